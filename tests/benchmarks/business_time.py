"""Business time against four libraries, in what each of them can do; equal results first, then calls a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from projections.business_time import Calendar, Desk
from tests.benchmarks import measure

WEEK = {day: [("08:00", "16:00")] for day in ("mon", "tue", "wed", "thu", "fri")}
OSLO, NEW_YORK = "Europe/Oslo", "America/New_York"
ONE, BOTH = Calendar([Desk(OSLO, WEEK)]), Calendar([Desk(OSLO, WEEK), Desk(NEW_YORK, WEEK)])

Question = tuple[datetime, int, datetime]  # a start in UTC, whole hours to add to it, and a later end
Call = Callable[[datetime, int, datetime], Any]


@dataclass(frozen=True, slots=True)
class Contest:
    """One operation of another library beside ours: the same questions, the same answers."""

    name: str
    ours: Call
    theirs: Call
    questions: list[Question]
    note: str = ""


def run(small: bool, folder: Path) -> dict[str, Any]:
    """Return, for each library and operation, how many of our calls fit into one of its."""
    found: dict[str, Any] = {}
    for library, contests in LIBRARIES.items():
        try:
            prepared = contests(20 if small else 200)
        except ImportError:
            found[library] = measure.figure("not installed")
            continue
        for contest in prepared:
            found[f"{library}: {contest.name}"] = _ratio(contest, 2 if small else 5)
    return found


def questions(count: int, *, inside: bool = False) -> list[Question]:
    """Return starts in three years with hours to add and an end; inside: at seventeen past an hour of Oslo's desk."""
    random, found = Random(7), list[Question]()
    while len(found) < count:
        start = datetime(2023, 1, 2, tzinfo=UTC) + timedelta(seconds=random.randrange(3 * 365 * 86_400))
        if inside:
            here = start.astimezone(ZoneInfo(OSLO)).replace(minute=17, second=0)
            if here.weekday() > 4 or not 8 <= here.hour < 16:
                continue
            start = here.astimezone(UTC)
        found.append((start, random.choice([4, 8, 20, 48, 100]), start + timedelta(hours=random.randrange(1, 500))))
    return found


def _ratio(contest: Contest, rounds: int) -> dict[str, Any]:
    """Return our calls a second over theirs, after both gave the same answers; WrongResult when they did not."""
    for question in contest.questions:
        ours, theirs = contest.ours(*question), contest.theirs(*question)
        if ours != theirs:
            raise measure.WrongResult(f"{contest.name}, {question[0]}, {question[1:]}: we say {ours}, they {theirs}")

    def all_of(call: Call, times: int) -> Callable[[], float]:
        def seconds() -> float:
            return measure.timed(lambda: [call(*q) for _ in range(times) for q in contest.questions]) / times

        return seconds

    times = measure.alternating({"ours": all_of(contest.ours, 20), "theirs": all_of(contest.theirs, 1)}, rounds)
    count = len(contest.questions)
    return measure.figure(
        times["theirs"].best / times["ours"].best,
        ">= 1",
        ours_calls_per_second=round(count / times["ours"].best),
        theirs_calls_per_second=round(count / times["theirs"].best),
        note=contest.note,
    )


def _add(calendar: Calendar) -> Call:
    return lambda start, hours, _: calendar.add(start, timedelta(hours=hours))


def _between(calendar: Calendar) -> Call:
    return lambda start, _, end: calendar.between(start, end)


def _workclock(count: int) -> list[Contest]:
    import workclock

    one = workclock.Schedule([workclock.WorkDay(clock(8), clock(16))], time_zone=OSLO)
    days = [workclock.WorkDay(clock(8), clock(16), time_zone=zone) for zone in (OSLO, NEW_YORK)]
    both = workclock.Schedule(days)
    asked, note = questions(count), "no holidays: it has them for all desks at once only"
    return [
        Contest("add, one desk", _add(ONE), lambda start, hours, _: one.add(start, hours=hours), asked),
        Contest("between, one desk", _between(ONE), lambda start, _, end: one.between(start, end), asked),
        Contest("add, both desks", _add(BOTH), lambda start, hours, _: both.add(start, hours=hours), asked, note),
        Contest("between, both desks", _between(BOTH), lambda start, _, end: both.between(start, end), asked, note),
    ]


def _businesstimedelta(count: int) -> list[Contest]:
    import businesstimedelta
    import pytz

    rule = businesstimedelta.WorkDayRule(clock(8), clock(16), [0, 1, 2, 3, 4], tz=pytz.timezone(OSLO))
    asked = questions(count // 4)

    def added(start: datetime, hours: int, _: datetime) -> datetime:
        found: datetime = start + businesstimedelta.BusinessTimeDelta(rule, hours=hours)
        return found

    return [
        Contest("add, one desk", _add(ONE), added, asked),
        Contest("between, one desk", _between(ONE), lambda a, _, b: rule.difference(a, b).timedelta, asked),
    ]


def _pandas(count: int) -> list[Contest]:
    import pandas

    offsets = {h: pandas.offsets.CustomBusinessHour(h, start="08:00", end="16:00") for h in (4, 8, 20, 48, 100)}

    def added(start: datetime, hours: int, _: datetime) -> datetime:
        found = pandas.Timestamp(start).tz_convert(OSLO) + offsets[hours]
        return datetime.fromtimestamp(found.timestamp(), UTC)

    note = "starts within opening hours, no end at closing time: there it goes on to the next opening"
    return [Contest("add whole hours, one desk", _add(ONE), added, questions(count, inside=True), note)]


def _django_bizcal(count: int) -> list[Contest]:
    from django_bizcal.calendars.composite import UnionCalendar
    from django_bizcal.calendars.working import WorkingCalendar

    week: Any = {day: [("08:00", "16:00")] for day in range(5)}
    one = WorkingCalendar(tz=OSLO, weekly_schedule=week)
    both = UnionCalendar([one, WorkingCalendar(tz=NEW_YORK, weekly_schedule=week)], tz="UTC")
    asked = questions(count // 4)
    return [
        Contest(f"{operation}, {desks}", ours(mine), theirs(other), asked)
        for desks, mine, other in (("one desk", ONE, one), ("both desks", BOTH, both))
        for operation, ours, theirs in (
            ("add", _add, lambda c: lambda a, hours, _: c.add_business_time(a, timedelta(hours=hours))),
            ("between", _between, lambda c: lambda a, _, b: c.business_time_between(a, b)),
        )
    ]


LIBRARIES: dict[str, Callable[[int], list[Contest]]] = {
    "workclock": _workclock,
    "businesstimedelta": _businesstimedelta,
    "pandas CustomBusinessHour": _pandas,
    "django-bizcal": _django_bizcal,
}
