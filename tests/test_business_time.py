"""Business time: edges by table, vectors of other projects, a minute-by-minute brute force, and workclock."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
import workclock
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import CalendarExhausted
from ledger.instants import seconds
from projections.business_time import (
    WEEKDAYS,
    AlwaysOpen,
    Calendar,
    Desk,
    does_not_exist,
    local_instant,
    working_day_after,
)
from projections.grounding import _Clocks

VECTORS = Path(__file__).resolve().parents[2] / "shared" / "data" / "vectors"
WEEK = {day: [("08:00", "16:00")] for day in WEEKDAYS[:5]}
OSLO, NEW_YORK = Desk("Europe/Oslo", WEEK), Desk("America/New_York", WEEK)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        ("2026-01-14 07:00", 8, "2026-01-14 15:00"),  # opening in Oslo, winter
        ("2026-01-14 06:59", 8, "2026-01-14 15:00"),  # a minute before opening
        ("2026-01-14 13:00", 8, "2026-01-14 21:00"),  # ends exactly at closing in New York, not at the next opening
        ("2026-01-14 21:00", 1, "2026-01-15 08:00"),  # closing time is closed
        ("2026-01-16 20:00", 2, "2026-01-19 08:00"),  # over a weekend
        ("2026-03-27 20:00", 1, "2026-03-30 07:00"),  # Europe springs forward: Monday opens at 06:00Z
        ("2026-03-11 18:00", 4, "2026-03-12 09:00"),  # only America has: the day ends at 20:00Z, 13 hours long
        ("2026-10-26 06:30", 2, "2026-10-26 09:00"),  # Europe fell back: opens at 07:00Z
        ("2026-10-28 19:00", 2, "2026-10-29 08:00"),  # America not yet: closes at 20:00Z
        ("2024-02-29 20:00", 1, "2024-02-29 21:00"),  # leap day
        ("2026-01-14 12:00", 0, "2026-01-14 12:00"),  # nothing to wait for
        ("2026-01-17 12:00", 0, "2026-01-17 12:00"),  # not even on a Saturday
    ],
)
def test_add_over_both_desks(start: str, hours: int, end: str) -> None:
    assert Calendar([OSLO, NEW_YORK]).add(at(start), timedelta(hours=hours)) == at(end)


def test_holidays_close_one_desk_and_leave_the_other() -> None:
    closed = Desk("Europe/Oslo", WEEK, frozenset({date(2026, 5, 14)}))

    calendar = Calendar([closed, NEW_YORK])

    assert calendar.spans(at("2026-05-14 00:00"), at("2026-05-15 00:00")) == [
        (at("2026-05-14 12:00"), at("2026-05-14 20:00"))
    ]


def test_a_span_past_midnight_belongs_to_the_day_it_begins_on_and_24_00_ends_a_day() -> None:
    night = Calendar([Desk("UTC", {"fri": [("22:00", "06:00")], "sun": [("12:00", "24:00")]})])

    assert night.spans(at("2026-01-16 00:00"), at("2026-01-19 12:00")) == [
        (at("2026-01-16 22:00"), at("2026-01-17 06:00")),
        (at("2026-01-18 12:00"), at("2026-01-19 00:00")),
    ]


def test_what_lies_beyond_the_calendar_is_an_error_and_never_a_silent_cut() -> None:
    calendar = Calendar([OSLO])

    for ask in (
        lambda: calendar.add(at("2100-12-31 20:00"), timedelta(hours=100)),
        lambda: calendar.between(at("1989-12-31 00:00"), at("1990-01-02 00:00")),
        lambda: calendar.between(at("2100-01-01 00:00"), at("2101-01-02 00:00")),
        lambda: Calendar([]).add(at("2026-01-01 00:00"), timedelta(seconds=1)),
    ):
        with pytest.raises(CalendarExhausted):
            ask()


def test_backwards_naive_and_negative_are_refused() -> None:
    calendar = Calendar([OSLO])

    for ask in (
        lambda: calendar.between(at("2026-01-02 00:00"), at("2026-01-01 00:00")),
        lambda: calendar.add(datetime(2026, 1, 1), timedelta(hours=1)),  # noqa: DTZ001
        lambda: calendar.add(at("2026-01-01 00:00"), timedelta(hours=-1)),
        lambda: Desk("UTC", {"mon": [("08:00", "25:00")]}),
        lambda: Desk("UTC", {"monday": [("08:00", "16:00")]}),
    ):
        with pytest.raises(ValueError):
            ask()


def test_the_first_and_last_years_are_covered_to_the_second() -> None:
    calendar = Calendar([OSLO, NEW_YORK])

    assert calendar.between(at("1990-01-01 00:00"), at("1990-01-02 00:00")) == timedelta(hours=14)
    assert calendar.between(at("2100-12-31 00:00"), at("2101-01-01 00:00")) == timedelta(hours=14)


def test_local_times_in_a_gap_are_the_first_instant_after_it_and_doubled_ones_the_first() -> None:
    oslo = ZoneInfo("Europe/Oslo")

    assert local_instant(datetime(2026, 3, 29, 2, 30), oslo) == at("2026-03-29 01:00")  # noqa: DTZ001
    assert local_instant(datetime(2026, 10, 25, 2, 30), oslo) == at("2026-10-25 00:30")  # noqa: DTZ001
    assert does_not_exist(datetime(2026, 3, 29, 2, 0), oslo)  # noqa: DTZ001
    assert not does_not_exist(datetime(2026, 3, 29, 3, 0), oslo)  # noqa: DTZ001


def test_always_open_counts_every_second_and_closes_at_midnight() -> None:
    always, oslo = AlwaysOpen(), ZoneInfo("Europe/Oslo")

    assert always.add(at("2026-03-28 12:00"), timedelta(hours=48)) == at("2026-03-30 12:00")
    assert always.last_span_begun_on(date(2026, 3, 29), oslo) == (at("2026-03-28 23:00"), at("2026-03-29 22:00"))


def test_a_year_is_asked_in_microseconds() -> None:
    calendar = Calendar([OSLO, NEW_YORK])
    begin, end = at("2026-01-01 00:00"), at("2026-12-31 00:00")
    calendar.between(begin, end)

    began = time.perf_counter()
    for _ in range(2000):
        calendar.between(begin, end)
        calendar.add(begin, timedelta(hours=3000))

    assert (time.perf_counter() - began) / 4000 < 0.0002


# Vectors


def vectors() -> list[Any]:
    if not VECTORS.is_dir():
        return [pytest.param(None, marks=pytest.mark.skip(reason="../shared/data/vectors is not here"))]
    found = [json.loads(line) for path in sorted(VECTORS.glob("*.jsonl")) for line in path.open()]
    done = ("add", "subtract", "elapsed", "is_open")
    return [pytest.param(v, id=v["id"]) for v in found if v["standard"] and v["op"] in done]


def calendar_of(given: dict[str, Any]) -> Calendar:
    breaks: dict[date, list[tuple[str, str]]] = {}
    for item in given.get("breaks", ()):
        breaks.setdefault(date.fromisoformat(item["date"]), []).append((item["start"], item["end"]))
    special = {date.fromisoformat(on): hours for on, hours in (given.get("special_hours") or {}).items()}
    closed = [date.fromisoformat(on) for on in given.get("holidays", ())]
    return Calendar([Desk(given["tz"], given["hours"], closed, special, breaks)])


@pytest.mark.parametrize("vector", vectors())
def test_vectors_of_other_projects(vector: dict[str, Any]) -> None:
    """Reversed questions are asked forwards and negated; what a source rounds is rounded half away from zero."""
    calendar = calendar_of(vector["calendar"])
    read = datetime.fromisoformat

    if vector["op"] == "is_open":
        assert calendar.is_open(read(vector["at"])) == vector["expected"]
    elif vector["op"] == "elapsed":
        start, end = read(vector["start"]), read(vector["end"])
        passed = calendar.between(min(start, end), max(start, end)).total_seconds()
        rounded = int(passed + 0.5) if vector.get("rounding") else passed
        assert (rounded if start <= end else -rounded) == vector["expected"]
    else:
        found = getattr(calendar, vector["op"])(read(vector["start"]), timedelta(seconds=vector["amount_seconds"]))
        assert abs((found - read(vector["expected"])).total_seconds()) <= vector.get("tolerance_seconds", 0)


# Second implementations

zones = st.sampled_from(["Europe/Oslo", "America/New_York", "UTC", "Asia/Kolkata", "Australia/Lord_Howe"])
minutes = st.integers(0, 1439).map(lambda m: f"{m // 60:02d}:{m % 60:02d}")
hours = st.dictionaries(
    st.sampled_from(WEEKDAYS),
    st.lists(st.tuples(minutes, st.one_of(minutes, st.just("24:00"))), min_size=1, max_size=3),
    max_size=7,
)
days = st.dates(date(2026, 1, 1), date(2026, 12, 31))
desks = st.lists(st.builds(Desk, zones, hours, st.frozensets(days, max_size=5)), min_size=1, max_size=3)
moments = st.builds(
    lambda on, minute: datetime(on.year, on.month, on.day, tzinfo=UTC) + timedelta(minutes=minute),
    st.one_of(days, st.sampled_from([date(2026, 3, 28), date(2026, 10, 24), date(2026, 3, 7), date(2026, 10, 31)])),
    st.integers(0, 1439),
)


def open_minutes(given: list[Desk], begin: datetime, end: datetime) -> set[datetime]:
    """Every open minute, found by asking of each one whether a span that began on a day nearby holds it."""
    found = set()
    spans = []
    on = begin.date() - timedelta(days=3)
    while on <= end.date() + timedelta(days=3):
        for desk in given:
            for offset_begin, offset_end in desk._hours[on.weekday()] if on not in desk._closed else ():
                midnight = datetime(on.year, on.month, on.day)  # noqa: DTZ001
                spans.append(
                    (local_instant(midnight + offset_begin, desk.zone), local_instant(midnight + offset_end, desk.zone))
                )
        on += timedelta(days=1)
    minute = begin
    while minute < end:
        if any(a <= minute < b for a, b in spans):
            found.add(minute)
        minute += timedelta(minutes=1)
    return found


@settings(max_examples=30)
@given(desks, moments, st.integers(0, 3 * 1440), st.integers(0, 1440))
def test_equal_to_a_minute_by_minute_count(given: list[Desk], begin: datetime, length: int, wanted: int) -> None:
    end = begin + timedelta(minutes=length)
    counted = sorted(open_minutes(given, begin, end))
    calendar = Calendar(given)

    assert calendar.between(begin, end) == timedelta(minutes=len(counted))
    assert {m for a, b in calendar.spans(begin, end) for m in _minutes(a, b)} == set(counted)
    if 0 < wanted <= len(counted):
        expected = counted[wanted - 1] + timedelta(minutes=1)
        assert calendar.add(begin, timedelta(minutes=wanted)) == expected
    assert calendar.is_open(begin) == (begin in open_minutes(given, begin, begin + timedelta(minutes=1)))


def _minutes(begin: datetime, end: datetime) -> list[datetime]:
    return [begin + timedelta(minutes=i) for i in range(int((end - begin).total_seconds() // 60))]


@given(desks, moments, st.integers(1, 10_000))
def test_add_undoes_between_and_subtract_undoes_add(given: list[Desk], begin: datetime, wanted: int) -> None:
    calendar = Calendar(given)
    if calendar.between(begin, begin + timedelta(days=60)) < timedelta(minutes=wanted):
        return

    end = calendar.add(begin, timedelta(minutes=wanted))

    assert calendar.between(begin, end) == timedelta(minutes=wanted)
    back = calendar.subtract(end, timedelta(minutes=wanted))
    assert calendar.between(begin, max(begin, back)) == timedelta()


@given(st.frozensets(days, max_size=5), moments, st.integers(0, 400 * 1440), st.integers(1, 20_000))
def test_equal_to_workclock_where_it_can_say_it(
    closed: frozenset[date], begin: datetime, length: int, wanted: int
) -> None:
    """One desk with a break at noon; a union of desks with their own holidays is beyond it."""
    hours = {day: [("08:00", "12:00"), ("13:00", "16:00")] for day in WEEKDAYS[:5]}
    calendar = Calendar([Desk("Europe/Oslo", hours, closed)])
    rules: list[workclock.Rule] = [
        workclock.WorkDay(clock(8), clock(12)),
        workclock.WorkDay(clock(13), clock(16)),
        workclock.Holidays(closed),
    ]
    other = workclock.Schedule(rules, time_zone="Europe/Oslo")
    end = begin + timedelta(minutes=length)

    assert calendar.between(begin, end) == other.between(begin, end)
    assert calendar.add(begin, timedelta(minutes=wanted)) == other.add(begin, minutes=wanted)
    assert calendar.subtract(begin, timedelta(minutes=wanted)) == other.sub(begin, minutes=wanted)


def test_a_date_that_a_zone_skips_counts_alike_in_bulk() -> None:
    """Samoa had no 30 December 2011; the clock that judges many cases counts dates as the calendar does."""
    zone = ZoneInfo("Pacific/Apia")
    clocks = _Clocks(cast(Any, None), range(2011, 2013))
    number = clocks._always("Pacific/Apia", zone)
    received = datetime(2011, 12, 28, 9, tzinfo=zone)

    for days in range(1, 6):
        _, (_, close) = working_day_after(AlwaysOpen(), received.date(), days, zone)
        assert clocks.clocks[number].close_of(seconds(received), days) == seconds(close)
