"""Business time: when desks are open, and how much of that lies between two instants.

A desk has local hours for each weekday; a calendar is the union of its desks. Local spans become UTC instants, are
merged, and get running sums, so that a question is two binary searches. Years are built when they are asked for,
1990 to 2100. An instant that summer time skips counts as the first one after the gap; a doubled one as the first.

§business-hours, §response-times; R7, R8, R9, R10, R11.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache

from ledger.errors import CalendarExhausted
from ledger.zones import ZoneInfo
from projections.spans import Span

FIRST_YEAR, LAST_YEAR = 1990, 2100
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)
_FIRST = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
_LAST = datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)

Hours = Sequence[tuple[str, str]]


def local_instant(local: datetime, zone: tzinfo) -> datetime:
    """Return the UTC instant of a naive local time: the first of two, or the first after a gap."""
    first = local.replace(tzinfo=zone, fold=0)
    found = first.astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == local:
        return found
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)  # with the later offset: still before the gap
    low, high = 0, int((found - before).total_seconds())
    old = before.astimezone(zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def begin_of(on: date, zone: tzinfo) -> datetime:
    """Return the instant at which a local date begins; CalendarExhausted when UTC has no such instant."""
    try:
        return local_instant(datetime.combine(on, time()), zone)
    except OverflowError:
        what = "there is no such instant in UTC"
        raise CalendarExhausted(f"the date {on}", what, "name a date between the years 2 and 9998") from None


def does_not_exist(local: datetime, zone: tzinfo) -> bool:
    """Return whether summer time skips a naive local time in that zone."""
    return local.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local


@lru_cache(maxsize=512)
def zone_named(name: str) -> tzinfo:
    """Return the zone of an IANA name, or of a fixed offset written like UTC+1."""
    if name.startswith("UTC") and name[3:].lstrip("+-").isdigit():
        return timezone(timedelta(hours=int(name[3:])))
    return ZoneInfo(name)


class Desk:
    """When one desk is open: local hours by weekday in its zone, minus closed dates.

    hours: `{"mon": [("08:00", "16:00")], ...}`; "24:00" ends a day; an end at or before its beginning lies on the next
    day, and the span belongs to the day it begins on. closed: local dates on which no span begins. special: hours of
    single dates in place of the weekday's. breaks: local spans of single dates that are taken out.
    """

    def __init__(
        self,
        zone: str,
        hours: Mapping[str, Hours],
        closed: Iterable[date] = frozenset(),
        special: Mapping[date, Hours] | None = None,
        breaks: Mapping[date, Hours] | None = None,
    ) -> None:
        for name in hours:
            if name not in WEEKDAYS:
                raise ValueError(f"{name!r} is no weekday; expected one of {', '.join(WEEKDAYS)}")
        self.zone = zone_named(zone)
        self._hours = [tuple(_parsed(hours.get(name, ()))) for name in WEEKDAYS]
        self._closed = frozenset(closed)
        self._special = {on: tuple(_parsed(h)) for on, h in (special or {}).items()}
        self._breaks = {on: tuple(_parsed(h)) for on, h in (breaks or {}).items()}

    def opened(self, year: int) -> list[tuple[int, int]]:
        """Return the spans that begin on local dates of a year, in microseconds since 1970, breaks taken out."""
        from_day, until_day = date(year, 1, 1), date(year + 1, 1, 1)
        found: list[tuple[int, int]] = []
        on = from_day
        while on < until_day:
            hours = self._special.get(on, self._hours[on.weekday()])
            if hours and on not in self._closed:
                found += [self._instants(on, h) for h in hours]
            on += DAY
        for on, breaks in self._breaks.items():
            if from_day - DAY <= on <= until_day:
                for taken in breaks:
                    found = list(_without(found, self._instants(on, taken)))
        return found

    def _instants(self, on: date, hours: tuple[timedelta, timedelta]) -> tuple[int, int]:
        midnight = datetime.combine(on, time())
        begin, end = (local_instant(midnight + offset, self.zone) for offset in hours)
        return (begin - EPOCH) // MICROSECOND, (end - EPOCH) // MICROSECOND


class Calendar:
    """The union of desks. Takes aware instants of any zone, returns UTC."""

    def __init__(self, desks: Iterable[Desk]) -> None:
        self._desks = tuple(desks)
        self._years: dict[int, list[tuple[int, int]]] = {}
        self._begins: list[int] = []
        self._ends: list[int] = []
        self._sums: list[int] = []  # business time up to the end of each span

    def add(self, start: datetime, amount: timedelta) -> datetime:
        """Return the instant at which `amount` of business time has passed since `start`.

        start: outside business hours it counts from the next opening. An amount that ends at closing time ends then,
        not at the next opening; an amount of zero ends at `start`. Raises CalendarExhausted past the last year,
        ValueError for a naive start or a negative amount. §response-times
        """
        at, wanted = _microseconds(start), amount // MICROSECOND
        if wanted < 0:
            raise ValueError("cannot add a negative amount")
        if wanted == 0:
            return _instant(at)
        self._cover(start, start)
        before = self._before(at)
        while not self._sums or self._sums[-1] < before + wanted:
            self._extend(max(self._years) + 1, start)
        i = bisect_left(self._sums, before + wanted)
        return _within(_instant(self._ends[i] - (self._sums[i] - before - wanted)))

    def subtract(self, end: datetime, amount: timedelta) -> datetime:
        """Return the instant from which `amount` of business time passes until `end`; at an opening, that opening."""
        at, wanted = _microseconds(end), amount // MICROSECOND
        if wanted < 0:
            raise ValueError("cannot subtract a negative amount")
        if wanted == 0:
            return _instant(at)
        self._cover(end, end)
        while self._before(at) < wanted:
            self._extend(min(self._years) - 1, end)
        left = self._before(at) - wanted
        i = bisect_right(self._sums, left)
        return _within(_instant(self._begins[i] + left - (self._sums[i - 1] if i else 0)))

    def between(self, start: datetime, until: datetime) -> timedelta:
        """Return the business time in `[start, until)`. ValueError when `until` lies before `start`."""
        begin, end = _microseconds(start), _microseconds(until)
        if end < begin:
            raise ValueError("cannot count backwards: the end lies before the start")
        if begin == end:
            return timedelta()
        self._cover(start, until)
        return timedelta(microseconds=self._before(end) - self._before(begin))

    def spans(self, start: datetime, until: datetime) -> list[Span]:
        """Return the business spans in `[start, until)`, merged, ascending."""
        begin, end = _microseconds(start), _microseconds(until)
        if end < begin:
            raise ValueError("cannot count backwards: the end lies before the start")
        self._cover(start, until)
        i, j = bisect_right(self._ends, begin), bisect_left(self._begins, end)
        return [
            (_instant(max(self._begins[k], begin)), _instant(min(self._ends[k], end)))
            for k in range(i, j)
            if max(self._begins[k], begin) < min(self._ends[k], end)
        ]

    def is_open(self, at: datetime) -> bool:
        """Return whether an instant lies in business hours; closing time does not."""
        point = _microseconds(at)
        self._cover(at, at)
        i = bisect_right(self._begins, point)
        return i > 0 and point < self._ends[i - 1]

    def last_span_begun_on(self, on: date, zone: tzinfo) -> Span | None:
        """Return the last span that begins on a local date, None when none does: it is no working day."""
        return self._span_begun_on(on, zone, last=True)

    def first_span_begun_on(self, on: date, zone: tzinfo) -> Span | None:
        """Return the first span that begins on a local date, None when none does: it is no working day."""
        return self._span_begun_on(on, zone, last=False)

    def _span_begun_on(self, on: date, zone: tzinfo, *, last: bool) -> Span | None:
        begin, end = (local_instant(datetime.combine(d, time()), zone) for d in (on, on + DAY))
        self._cover(begin, end)
        i = bisect_left(self._begins, _microseconds(begin))
        j = bisect_left(self._begins, _microseconds(end))
        if i == j:
            return None
        k = j - 1 if last else i
        return _instant(self._begins[k]), _instant(self._ends[k])

    def _before(self, at: int) -> int:
        """Return the business time before an instant, counted from the first year that is built."""
        i = bisect_right(self._begins, at)
        return 0 if i == 0 else self._sums[i - 1] - max(0, self._ends[i - 1] - at)

    def _cover(self, start: datetime, until: datetime) -> None:
        _within(start), _within(until)
        first, last = (start - 2 * DAY).year, (until + 2 * DAY).year
        if first not in self._years or last not in self._years:
            known = self._years or (first,)
            self._build(range(min(first, *known), max(last, *known) + 1))

    def _extend(self, year: int, asked: datetime) -> None:
        if not FIRST_YEAR - 1 <= year <= LAST_YEAR + 1:
            raise _exhausted(asked)
        self._build((year,))

    def _build(self, years: Iterable[int]) -> None:
        for year in years:
            if year not in self._years:
                self._years[year] = [span for desk in self._desks for span in desk.opened(year)]
        self._begins, self._ends, self._sums = [], [], []
        for begin, end in sorted(span for spans in self._years.values() for span in spans):
            if begin >= end:
                continue
            if self._ends and begin <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._begins.append(begin)
                self._ends.append(end)
        passed = 0
        for begin, end in zip(self._begins, self._ends, strict=True):
            passed += end - begin
            self._sums.append(passed)


class AlwaysOpen(Calendar):
    """The calendar of a 24x7 deal: every second counts, and every date closes at the midnight that ends it."""

    def __init__(self) -> None:
        super().__init__(())

    def add(self, start: datetime, amount: timedelta) -> datetime:
        """Return the instant `amount` after `start`."""
        return start.astimezone(UTC) + amount

    def between(self, start: datetime, until: datetime) -> timedelta:
        """Return the time from `start` to `until`."""
        if until < start:
            raise ValueError("cannot count backwards: the end lies before the start")
        return until - start

    def spans(self, start: datetime, until: datetime) -> list[Span]:
        """Return the one span from `start` to `until`."""
        return [(start, until)] if start < until else []

    def is_open(self, at: datetime) -> bool:
        """Return True."""
        return True

    def _span_begun_on(self, on: date, zone: tzinfo, *, last: bool) -> Span | None:
        return (
            local_instant(datetime.combine(on, time()), zone),
            local_instant(datetime.combine(on + DAY, time()), zone),
        )


def working_day_after(calendar: Calendar, on: date, number: int, zone: tzinfo) -> tuple[date, Span]:
    """Return the `number`-th working day after a local date, and the last span that begins on it.

    A working day is a date in `zone` on which business hours begin. Raises CalendarExhausted when there is none.
    """
    found: Span | None = None
    while number > 0:
        on += DAY
        found = calendar.last_span_begun_on(on, zone)
        if found is not None:
            number -= 1
    assert found is not None
    return on, found


def _parsed(hours: Hours) -> Iterable[tuple[timedelta, timedelta]]:
    for begin_text, end_text in hours:
        begin, end = _clock(begin_text), _clock(end_text)
        yield begin, end if end > begin else end + DAY


def _clock(text: str) -> timedelta:
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(p.isascii() and p.isdigit() and len(p) == 2 for p in parts):
        raise ValueError(f"{text!r} is no time of day; expected 00:00 to 24:00")
    hour, minute, second = (*map(int, parts), 0)[:3]
    found = timedelta(hours=hour, minutes=minute, seconds=second)
    if minute > 59 or second > 59 or found > DAY:
        raise ValueError(f"{text!r} is no time of day; expected 00:00 to 24:00")
    return found


def _without(spans: Iterable[tuple[int, int]], taken: tuple[int, int]) -> Iterable[tuple[int, int]]:
    for begin, end in spans:
        yield from (s for s in ((begin, min(end, taken[0])), (max(begin, taken[1]), end)) if s[0] < s[1])


def _microseconds(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError("a time without a zone names no instant")
    return (at - EPOCH) // MICROSECOND


def _instant(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def _within(at: datetime) -> datetime:
    if not _FIRST <= at <= _LAST:
        raise _exhausted(at)
    return at


def _exhausted(at: datetime) -> CalendarExhausted:
    return CalendarExhausted(
        f"business time at {at:%Y-%m-%d}",
        f"the calendar covers the years {FIRST_YEAR} to {LAST_YEAR}",
        "check the date; withdraw or correct the entry that states it",
    )
