"""Views say what the entries say: built from nothing, caught up at any points, settled at any later instant."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ledger.entry import Entry
from ledger.events import TermsPosted
from ledger.instants import seconds
from ledger.seal.leaves import leaf
from ledger.store.mapper import to_state
from ledger.store.reading import EVERYTHING, Sealed, Stored
from ledger.terms import BUILT_IN, built_in_document
from projections import availability, handling_order, response_times, totals
from projections.downtime import Downtime
from projections.history import History
from projections.judgement import Judgement
from projections.spans import Span
from projections.views import answers, building, opening, uptime
from projections.views import then as then_as_it_was
from projections.views.file import State, opened
from projections.views.tables import KNOWN, NotKept
from projections.views.then import prepare
from tests.oracle.histories import as_ofs, case_histories, uptime_histories
from tests.support import entries

TABLES = ("cases", "handling", "emptied", "totals", "availability")


class InMemory:
    """Entries as a store would give them."""

    def __init__(self, found: Iterable[Entry]) -> None:
        self.found = [(x.position, x.stream, x.version, x.name, to_state(x)) for x in found]

    def identity(self) -> str:
        return ""

    def first_position(self) -> int:
        return 1

    def last_position(self) -> int:
        return len(self.found)

    def count(self, up_to: int = EVERYTHING) -> int:
        return len(self.found)

    def rows(self, up_to: int, after: int = 0) -> Iterator[Stored]:
        return iter([r for r in self.found if after < r[0] <= up_to])

    def rows_by_stream(self, first: str, until: str, up_to: int) -> Iterator[Stored]:
        return iter(sorted((r for r in self.found if first <= r[1] < until and r[0] <= up_to), key=lambda r: r[1:3]))

    def streams_after(self, after: int, up_to: int) -> list[str]:
        return list(dict.fromkeys(r[1] for r in self.rows(up_to, after)))

    def at(self, positions: Iterable[int]) -> list[Stored]:
        return [self.found[p - 1] for p in positions]

    def known_position(self, at: str, up_to: int) -> int:
        states = [(r[0], json.loads(r[4])["recordedtime"]) for r in self.rows(up_to)]
        return next((p - 1 for p, recorded in states if recorded > at), up_to)

    def earliest_after(self, position: int) -> tuple[str, list[str]]:
        rows = list(self.rows(len(self.found), position))
        corrected = {r[1] for r in rows if r[3] in ("EntryWithdrawn", "EntryCorrected")}
        return min(json.loads(r[4])["time"] for r in rows), sorted(corrected)

    def leaves(self, up_to: int, after: int = 0) -> Iterator[bytes]:
        return (leaf(*row) for row in self.rows(up_to, after))

    def sealed(self, up_to: int, after: int = 0) -> Iterator[Sealed]:
        return ((*row, leaf(*row)) for row in self.rows(up_to, after))

    def command_ids(self, up_to: int) -> Iterator[tuple[int, str]]:
        return iter(())

    def kept_checkpoints(self) -> list[tuple[int, str]]:
        return []

    def checkpoints(self) -> list[str]:
        return []

    def bounds(self, first: str, until: str, parts: int) -> list[str]:
        ids = sorted(r[1] for r in self.found if first <= r[1] < until)
        return list(dict.fromkeys(ids[len(ids) * k // parts] for k in range(1, parts) if ids))

    def close(self) -> None:
        pass


@contextlib.contextmanager
def views(path: Path, found: list[Entry], notices: list[str] | None = None) -> Iterator[sqlite3.Connection]:
    said = [] if notices is None else notices
    with contextlib.closing(opening.current(path, InMemory(found), said.append, lambda a, b: None)) as connection:
        yield connection


def kept(connection: sqlite3.Connection) -> dict[str, Any]:
    """All that the views hold, whatever way they came to it."""
    found: dict[str, Any] = {t: connection.execute(f"SELECT * FROM {t} ORDER BY 1, 2, 3, 4").fetchall() for t in TABLES}  # noqa: S608
    state = State(connection)
    grounds = state.grounds()
    found["state"] = [state.get(name) for name in KNOWN]
    found["grounds"] = msgspec.structs.replace(grounds, clocks=[], months={})
    return found


def after(found: list[Entry], later: timedelta) -> datetime:
    """An instant after every fact, corrected ones too."""
    last: datetime = max([x.time for x in found] + [c for x in found if (c := getattr(x.event, "time", None))])
    return last + max(later, timedelta(seconds=1))


def check(connection: sqlite3.Connection, found: list[Entry], later: timedelta) -> None:
    """The views give the findings that the plain rules give, at an instant after every fact."""
    as_of = after(found, later)
    compare(answers.Answers(connection, seconds(as_of)), Judgement(History(found), as_of))


def compare(asked: answers.Answers, judgement: Judgement) -> None:
    """What the views answer is what the plain rules find."""
    everything = answers.Wanted()
    verdicts, handled = response_times.findings(judgement), handling_order.findings(judgement)

    assert list(asked.compliance(everything)) == [v.as_json() for v in verdicts]
    assert list(asked.order(everything)) == [h.as_json() for h in handled]
    assert asked.order_totals(everything) == handling_order.totals(handled)
    assert asked.queue(everything) == handling_order.queue(judgement, verdicts)
    for case in verdicts:
        beside = ([asked.stream_of(row[0]) for row in rows] for rows in asked.beside(case.stream))
        assert tuple(beside) == handling_order.overtaken_by(judgement, case.stream)
    for by in totals.GROUPS:
        assert asked.totals(by, everything) == totals.totals(verdicts, by)


def posted(at: str, *changes: tuple[str, str]) -> dict[str, Any]:
    """A line that posts terms from an instant on."""
    name, document = at.translate({ord(":"): "-"}), built_in_document()
    named = (f'id = "{BUILT_IN}"', f'id = "since-{name}"'), ("2020-09-23T00:00:00+02:00", at)
    for old, new in (*named, *changes):
        document = document.replace(old, new)
    event = TermsPosted(document=document, sha256=sha256(document.encode()).hexdigest())
    told = {"specversion": "1.0", "source": "x", "type": "TermsPosted", "subject": f"terms:since-{name}"}
    return told | {"time": at, "recordedtime": at, "data": event.model_dump()}


@st.composite
def retold(draw: Any) -> list[dict[str, Any]]:
    """A history of cases in which now and then other terms are posted."""
    lines: list[dict[str, Any]] = draw(case_histories())
    times = sorted({line["recordedtime"] for line in lines})
    for at in draw(st.lists(st.sampled_from(times), unique=True, max_size=2)) if times else []:
        changes = [(old, draw(st.sampled_from([old, new]))) for old, new in OTHER_TERMS.items()]
        lines.append(posted(at, *changes))
    return sorted(lines, key=lambda line: line["recordedtime"])


OTHER_TERMS = {
    'order_within = "priority"': 'order_within = "all"',
    "\nhours = 8\n": "\nhours = 6\n",
    'responder = "human"': 'responder = "any"',
}


@given(st.data())
def test_built_from_nothing_they_equal_the_plain_rules(data: st.DataObject) -> None:
    found = entries(data.draw(case_histories()))
    later = data.draw(st.integers(1, 40 * 86400))
    with tempfile.TemporaryDirectory() as folder, views(Path(folder, "v"), found) as connection:
        check(connection, found, timedelta(seconds=later))


@given(st.data())
def test_asked_as_they_were_they_equal_the_plain_rules_of_then(data: st.DataObject) -> None:
    """Up to any entry, judged at any instant, before or after what was recorded later."""
    lines = data.draw(retold())
    found = entries(lines)
    position = data.draw(st.integers(0, len(found)))
    as_of = data.draw(as_ofs(lines))
    judgement = Judgement(History(found).at_entry(position), as_of)
    few = patch.object(then_as_it_was, "ASTRIDE", data.draw(st.sampled_from([0, 500])))
    with few, tempfile.TemporaryDirectory() as folder, views(Path(folder, "v"), found) as connection:
        try:
            then = prepare(connection, InMemory(found), position, seconds(as_of))
        except NotKept:
            event("left to the plain rules")
            return
        compare(answers.Answers(connection, seconds(as_of), then), judgement)


@given(st.data())
def test_caught_up_at_any_points_they_equal_a_rebuild(data: st.DataObject) -> None:
    found = entries(data.draw(retold()))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(found) - 1)), max_size=6)))
    with tempfile.TemporaryDirectory() as folder:
        for cut in cuts:
            with views(Path(folder, "v"), found[:cut]):
                pass
        with views(Path(folder, "v"), found) as caught_up, views(Path(folder, "w"), found) as rebuilt:
            assert kept(caught_up) == kept(rebuilt)
            check(caught_up, found, timedelta(days=1))


def in_this_process(jobs: int, so_far: Any) -> contextlib.nullcontext[Any]:
    building._share(so_far.counts)
    return contextlib.nullcontext((partial, lambda: None))


@given(st.data())
def test_built_in_parts_and_in_windows_of_time_they_are_the_same(data: st.DataObject) -> None:
    found = entries(data.draw(retold()))
    jobs, entries_a_window = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 30))
    reader = InMemory(found)
    here = patch.multiple(
        building,
        FEW=0,
        WINDOW=entries_a_window,
        _workers=in_this_process,
        _read_by=lambda address, given: contextlib.nullcontext(reader),
    )
    with tempfile.TemporaryDirectory() as folder:
        with here:
            opening.rebuild(Path(folder, "v"), reader, lambda a, b: None, "", jobs)
        with contextlib.closing(opened(Path(folder, "v"))) as parted, views(Path(folder, "w"), found) as whole:
            assert kept(parted) == kept(whole)
        assert sorted(os.listdir(folder)) == ["v", "v.lock", "w", "w.lock"]


@settings(max_examples=max(10, settings().max_examples // 2))
@given(st.data())
def test_availability_that_is_kept_is_what_is_judged_at_every_later_instant(data: st.DataObject) -> None:
    lines = data.draw(uptime_histories())
    found = entries(lines)
    year = data.draw(st.sampled_from([2025, 2026, 2027]))
    latest = max(x.time for x in found)
    first = max(data.draw(as_ofs(lines)), latest + timedelta(seconds=1))
    later = first + timedelta(seconds=data.draw(st.integers(0, 500 * 86400)))

    def judged(at: datetime) -> tuple[Downtime, list[availability.Availability]]:
        judgement = Judgement(History(found), at)
        downtime = Downtime(judgement)
        begin, end = date(year, 1, 1), date(year + 1, 1, 1)

        def period(customer: str) -> Span:
            zone = judgement.zone_of(customer, judgement.rules_at(judgement.as_of))
            return judgement.instant_of(begin, zone), judgement.instant_of(end, zone)

        return downtime, availability.findings(downtime, period)

    with tempfile.TemporaryDirectory() as folder, views(Path(folder, "v"), found) as connection:
        uptime.keep(connection, year, *judged(first))
        rows = uptime.kept(connection, year, None, None, seconds(later))
        anew = [f.as_json() for f in judged(later)[1]]
        assert rows is None or len(rows) == len(anew)
        for row in rows or ():
            event("judged again" if row.finding is None else "kept")
            assert row.finding in (None, anew[row.place])


def line(subject: str, kind: str, time: str, **data: Any) -> dict[str, Any]:
    found = {"specversion": "1.0", "type": kind, "subject": f"incident:{subject}", "time": f"2026-03-02T{time}:00Z"}
    return found | {"recordedtime": "2026-03-02T20:00:00Z", "data": data}


def reported(subject: str, time: str) -> dict[str, Any]:
    return line(subject, "IncidentReported", time, customer="acme", service="licence", channel="phone")


def assigned(subject: str, time: str, priority: str) -> dict[str, Any]:
    return line(subject, "PriorityAssigned", time, priority=priority, reason="a quality issue")


def answered(subject: str, time: str) -> dict[str, Any]:
    return line(subject, "ResponseGiven", time, responder="human")


def test_the_order_then_is_that_of_the_terms_in_force_then(tmp_path: Path) -> None:
    """R14: A waits with low priority, B without one is answered; within a priority nobody is passed, among all A is."""
    lines = [
        posted("2026-03-02T06:00:00Z", ('order_within = "priority"', 'order_within = "all"')),
        reported("A", "07:00"),
        assigned("A", "07:10", "low"),
        reported("B", "08:00"),
        answered("B", "09:00"),
        posted("2026-03-02T12:00:00Z"),
    ]
    found = entries(lines)
    for position, hour in ((6, 10), (5, 10), (5, 13)):
        as_of = datetime(2026, 3, 2, hour, tzinfo=UTC)
        judgement = Judgement(History(found).at_entry(position), as_of)
        with views(tmp_path / f"{position}-{hour}", found) as connection:
            then = prepare(connection, InMemory(found), position, seconds(as_of))
            compare(answers.Answers(connection, seconds(as_of), then), judgement)
    assert handling_order.totals(handling_order.findings(judgement))["overtakings"] == 1


def check_each_step(folder: Path, lines: list[dict[str, Any]]) -> None:
    """Caught up after each entry, the views are to the byte what building them from nothing gives."""
    found = entries(lines)
    for position in range(1, len(found) + 1):
        with (
            views(folder / "v", found[:position]) as caught_up,
            views(folder / f"w{position}", found[:position]) as anew,
        ):
            assert kept(caught_up) == kept(anew)
            check(caught_up, found[:position], timedelta(days=1))


def test_who_overtook_first_is_kept_in_order_of_time_however_it_was_found(tmp_path: Path) -> None:
    """A case is overtaken in two groups, of which the later one had its first case before the other."""
    check_each_step(
        tmp_path,
        [
            reported("LOW", "08:00"),
            assigned("LOW", "08:00", "low"),
            reported("A", "08:10"),
            assigned("A", "08:10", "medium"),
            reported("B", "08:20"),
            assigned("B", "08:20", "medium"),
            reported("C", "08:30"),
            assigned("C", "08:30", "low"),
            answered("B", "08:40"),
            assigned("A", "08:50", "low"),
            answered("C", "09:00"),
        ],
    )


def test_who_is_answered_in_the_same_second_was_not_overtaken_after_all(tmp_path: Path) -> None:
    """The answer that is recorded second takes back what the first one seemed to do."""
    check_each_step(
        tmp_path, [reported("A", "08:00"), reported("B", "08:01"), answered("B", "08:10"), answered("A", "08:10")]
    )


def test_cases_of_which_nothing_is_left_may_be_all_there_is(tmp_path: Path) -> None:
    withdrawn = [line(name, "EntryWithdrawn", "09:00", version=1, reason="a test") for name in "AB"]
    check_each_step(tmp_path, [reported("A", "08:00"), reported("B", "08:01"), *withdrawn])
