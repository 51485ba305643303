"""A made-up ledger of any length, the same for the same seed: three years of support, in order of recording.

Its rows are what the store keeps, byte for byte, and every stream accepts them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random

from ledger import book, terms
from ledger.entry import Entry
from ledger.instants import instant
from ledger.seal.leaves import leaf
from ledger.store.mapper import from_state, to_state
from tests.benchmarks import estate
from tests.benchmarks.cases import ENTRIES_A_CASE, Customer, Draw, Happening, life, receipt
from tests.benchmarks.instants import (
    BEGINS,
    DAY,
    ENDS,
    HOUR,
    MINUTE,
    day_of,
    is_weekday,
    number_of,
    seconds,
    stamp,
)

Row = tuple[int, str, int, str, bytes, str | None]  # position, stream, version, name, state, command id
Recorded = tuple[int, int, str, int, str, bytes, str | None]  # recorded at, turn, then as in a Row

WEEKEND = 0.15  # of a weekday's cases
CHAINED = frozenset(
    ["IncidentReported", "ServiceRequested", "AccessRequested", "AccessGranted", "IncidentResolved"]
    + ["IncidentReopened", "IncidentCancelled", "RequestFulfilled", "RequestCancelled"]
)


def entries(count: int, seed: int = 1) -> Iterator[Row]:
    """Yield that many rows of a ledger from the posting of the terms on; the last is recorded about New Year 2026."""
    yield _first()
    book_of_days = _Days(count, seed)
    for position, row in enumerate(islice(book_of_days.rows(), count - 1), 2):
        yield (position, *row[2:])


def make(path: Path, count: int, seed: int = 1) -> None:
    """Make a ledger of that many entries at a path where nothing is yet."""
    rows = entries(count, seed)
    position, stream, version, name, state, _ = next(rows)
    book.create(path, [from_state(position, stream, version, name, state)])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000", "locking_mode = EXCLUSIVE"):
            connection.execute(f"PRAGMA {pragma}")
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        connection.execute("BEGIN")
        for name, _ in triggers:  # each entry is right by its making; looking again would double the time
            connection.execute(f"DROP TRIGGER {name}")
        connection.executemany("INSERT INTO stored_events VALUES (?, ?, ?, ?, ?, ?, ?)", map(with_leaf, rows))
        for _, statement in triggers:
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute(f"PRAGMA journal_mode = {journal}")


def more(path: Path, count: int, seed: int = 1) -> None:
    """Append that many entries: new cases, answers to open ones, a few recorded late, and an outage."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        last, state = connection.execute(
            "SELECT rowid, state FROM stored_events ORDER BY rowid DESC LIMIT 1"
        ).fetchone()
        found = sorted(_continued(connection, count, seed, seconds(_field(state, "recordedtime"))))[:count]
        connection.execute("BEGIN IMMEDIATE")
        rows = (with_leaf((position, *row[2:])) for position, row in enumerate(found, last + 1))
        connection.executemany("INSERT INTO stored_events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")


def with_leaf(row: Row) -> tuple[object, ...]:
    """Return a row as it is kept: with its leaf hash."""
    return (*row, leaf(*row[:5]))


class _Days:
    """Day after day: the cases received on it, and all that was recorded on it, in order."""

    def __init__(self, count: int, seed: int) -> None:
        self._random = Random(f"{seed}/{count}")
        self._recorder = _Recorder(self._random.random)
        self._buckets: dict[int, list[Recorded]] = {}
        found = estate.customers(self._random, max(12, round(count * 120 / 1_000_000)))
        self._customers = [customer for customer, _ in found]
        self._often = _by_size(self._customers)
        self._numbers = [0, 0]
        for _, (stream, happened) in found:
            self._put(self._recorder.prompt(stream, happened))
        others = 0
        for stream, happened in estate.around_all(self._random, self._customers, min(60, max(6, count // 1500))):
            others += self._put(self._recorder.prompt(stream, happened))
        first, end = number_of(BEGINS), number_of(ENDS)
        days = sum(1.0 if is_weekday(day) else WEEKEND for day in range(first, end))
        under_way = 3.0 * (count - others) / ENTRIES_A_CASE / days  # cases whose entries lie beyond the end, about
        self._cases_a_day = max(count - others + under_way * ENTRIES_A_CASE, 1) / ENTRIES_A_CASE / days
        self._missed = 0.0

    def rows(self) -> Iterator[Recorded]:
        """Yield without end what is recorded, in order."""
        begins = number_of(BEGINS)
        for day in sorted(d for d in self._buckets if d < begins):
            yield from sorted(self._buckets.pop(day))
        while True:
            self._receive(begins)
            yield from sorted(self._buckets.pop(begins, ()))
            begins += 1

    def _receive(self, day: int) -> None:
        """Take the cases of a day, in order of receipt."""
        self._missed += self._cases_a_day * (1.0 if is_weekday(day) else WEEKEND)
        today = int(self._missed)
        self._missed -= today
        for received, incident, customer in _received(self._random.random, self._often, day, today):
            self._numbers[incident] += 1
            stream = case_id(incident, self._numbers[incident])
            self._put(self._recorder.case(stream, life(self._random.random, incident, customer, received)))

    def _put(self, rows: Iterable[Recorded]) -> int:
        count = 0
        for row in rows:
            self._buckets.setdefault(day_of(row[0]), []).append(row)
            count += 1
        return count


class _Recorder:
    """Gives what happened its recording time, its version and its stored bytes."""

    def __init__(self, draw: Draw, turn: int = 0) -> None:
        self._draw = draw
        self._turn = turn

    def prompt(self, stream: str, happened: list[Happening], version: int = 0) -> Iterator[Recorded]:
        """Yield what is recorded within a minute, in order of time; version: the last one already there."""
        after = 0
        for number, one in enumerate(happened, version + 1):
            after = max(after, one[0] + 1 + int(self._draw() * MINUTE))
            yield self._row(after, stream, number, one)

    def case(self, stream: str, happened: list[Happening]) -> Iterator[Recorded]:
        """Yield a case's entries: most are recorded in minutes, some days or weeks late, a few corrected."""
        order: list[tuple[int, Happening]] = []
        opened = floor = 0
        for one in happened:
            recorded = max(one[0] + self._lateness(), opened)
            if one[1] in CHAINED:  # what follows from another fact is recorded after it
                recorded = floor = max(recorded, floor)
            opened = opened or recorded
            order.append((recorded, one))
        order.sort(key=lambda x: x[0])
        if self._draw() < 0.008:
            order = self._corrected(order)
        for version, (recorded, one) in enumerate(order, 1):
            command = f"gateway:{stream}:{version}" if version == 1 and one[3] == "gateway" else None
            yield self._row(recorded, stream, version, one, command)

    def _lateness(self) -> int:
        chance = self._draw()
        if chance < 0.00025:
            return 14 * DAY + int(self._draw() * 28 * DAY)
        if chance < 0.0031:
            return 2 * HOUR + int(self._draw() ** 2 * 5 * DAY)
        return 2 + int(chance * chance * chance * 10 * MINUTE)

    def _corrected(self, order: list[tuple[int, Happening]]) -> list[tuple[int, Happening]]:
        """Return the entries with a correction or a withdrawal of one that no other depends on."""
        cancelled = order[-1][1][1].endswith("Cancelled")
        number = int(self._draw() * min(len(order), 4))
        recorded, (at, name, data, actor) = order[number]
        later = recorded + HOUR + int(self._draw() * 3 * DAY)
        version = f'{{"version":{number + 1},"reason":'
        if name in ("IncidentReported", "ServiceRequested"):
            time = stamp(at - MINUTE - int(self._draw() * 10 * MINUTE))
        elif name == "ResponseGiven" and not cancelled:
            time = stamp(at + MINUTE + int(self._draw() * 5 * MINUTE))
        elif name in ("PriorityAssigned", "TroubleshootingStarted"):
            withdrawn = (later, "EntryWithdrawn", f'{version}"entered in the wrong case"}}', actor)
            return sorted([*order, (later + 30, withdrawn)], key=lambda x: x[0])
        else:
            return order
        right = (later, "EntryCorrected", f'{version}"the clock was misread","time":"{time}","data":{data}}}', actor)
        return sorted([*order, (later + 30, right)], key=lambda x: x[0])

    def _row(self, recorded: int, stream: str, version: int, one: Happening, command: str | None = None) -> Recorded:
        at, name, data, actor = one
        by = f'{actor}","commandid":"{command}' if command else actor
        state = f'{{"time":"{stamp(at)}","recordedtime":"{stamp(recorded)}","actor":"{by}","data":{data}}}'
        self._turn += 1
        return recorded, self._turn, stream, version, name, state.encode(), command


def case_id(incident: bool, number: int) -> str:
    """Return the stream of the n-th incident or request."""
    return f"incident:INC-{number:07}" if incident else f"request:REQ-{number:07}"


def _first() -> Row:
    """Return the row that posts the built-in terms, recorded before everything else."""
    at, recorded = instant("2020-09-22T22:00:00Z"), instant("2022-06-01T08:00:00Z")
    entry = Entry(1, f"terms:{terms.BUILT_IN}", 1, at, recorded, terms.built_in(), "legal")
    return 1, entry.stream, 1, entry.name, to_state(entry), None


def _by_size(customers: list[Customer]) -> list[Customer]:
    """Return the customers, each as often as it turns to us: the first ones much more than the last."""
    count = len(customers)
    return [c for number, c in enumerate(customers) for _ in range(1 + 12 * count // (count + 8 * number))]


def _received(draw: Draw, often: list[Customer], day: int, cases: int) -> list[tuple[int, bool, Customer]]:
    """Return receipt, whether it is an incident, and customer of the cases of a day, in order of receipt."""
    found = []
    for _ in range(cases):
        customer = often[int(draw() * len(often))]
        received = receipt(draw, customer, day)
        while received < customer.begins:
            customer = often[int(draw() * len(often))]
            received = receipt(draw, customer, day)
        found.append((received, draw() < 0.85, customer))
    return sorted(found, key=lambda x: x[0])


def _continued(connection: sqlite3.Connection, count: int, seed: int, after: int) -> Iterator[Recorded]:
    """Yield, in no order, what is recorded after an instant: more than `count` entries."""
    random = Random(f"{seed}/{count}/{after}")
    recorder = _Recorder(random.random)
    found = [_read_customer(state) for state in _states(connection, "agreement")]
    latest = "SELECT max(originator_version) FROM stored_events WHERE originator_id = ?"
    for number, stream in enumerate(_unanswered(connection, count // 20)):
        version = connection.execute(latest, (stream,)).fetchone()[0]
        answer = (after + 60 + number * 90, "ResponseGiven", '{"responder":"human"}', "desk.oslo")
        yield from recorder.prompt(stream, [answer], version)
    numbers = [last_number(connection, "request:REQ-"), last_number(connection, "incident:INC-")]
    yield from recorder.prompt(*estate.outage(random, last_number(connection, "outage:O-") + 1, after, found, [], []))
    received = sorted(after + 60 + random.randrange(DAY) for _ in range(max(count // 3, 4)))
    for at in received:
        incident, customer = random.random() < 0.85, random.choice(found)
        numbers[incident] += 1
        yield from recorder.case(case_id(incident, numbers[incident]), life(random.random, incident, customer, at))


def _states(connection: sqlite3.Connection, kind: str) -> list[bytes]:
    """Return the stored bytes of the opening entries of a kind of stream."""
    rows = connection.execute(
        "SELECT state FROM stored_events WHERE originator_id > ? AND originator_id < ? AND originator_version = 1",
        (f"{kind}:", f"{kind};"),
    )
    return [row[0] for row in rows]


def _read_customer(state: bytes) -> Customer:
    services = tuple(part.partition('"')[0] for part in state.decode().split('"service":"')[1:])
    return Customer(_field(state, "customer"), _field(state, "desk"), services, 0)


def _field(state: bytes, name: str) -> str:
    return state.decode().partition(f'"{name}":"')[2].partition('"')[0]


def last_number(connection: sqlite3.Connection, prefix: str) -> int:
    """Return the largest number among the streams that begin so, 0 for none."""
    found = connection.execute(
        "SELECT max(originator_id) FROM stored_events WHERE originator_id > ? AND originator_id < ?",
        (prefix, prefix + "a"),
    ).fetchone()[0]
    return int(found.removeprefix(prefix)) if found else 0


def _unanswered(connection: sqlite3.Connection, limit: int) -> list[str]:
    """Return the incidents among the last entries that nobody has answered or closed."""
    rows = connection.execute(
        "SELECT originator_id FROM stored_events AS opened WHERE topic = 'IncidentReported'"
        " AND rowid > (SELECT max(rowid) - 20000 FROM stored_events) AND NOT EXISTS (SELECT 1 FROM stored_events"
        " WHERE originator_id = opened.originator_id"
        " AND topic IN ('ResponseGiven', 'IncidentResolved', 'IncidentCancelled')) ORDER BY rowid LIMIT ?",
        (limit,),
    )
    return [row[0] for row in rows]
