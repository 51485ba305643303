"""Appending, beside the stock library on the same SQLite with the same synchronisation.

A ratio `x_vs_stock` is our speed by the stock library's: 1 is as fast, 0.5 takes twice as long. `growth_x` is what a
fact costs in a large ledger by what it costs in an empty one. Each is the median of rounds in which both take
turns; the names in `_us` are microseconds a fact.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, cast
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.sqlite import SQLiteConnection, SQLiteConnectionPool, SQLiteFactory
from eventsourcing.utils import Environment

from ledger import events as e
from ledger.book import Ledger, create
from ledger.entry import Entry, Fact, to_line
from ledger.exchange import native
from ledger.instants import stamp
from ledger.seal.leaves import leaf
from ledger.store.mapper import to_state
from ledger.store.sqlite import has_wal_fix

START = datetime(2020, 10, 1, 12, tzinfo=UTC)
TOLD: tuple[e.Event, ...] = (  # the five facts of every case
    e.IncidentReported(customer="acme", service="licence", channel="phone"),
    e.PriorityAssigned(priority="high", reason="nobody can log in"),
    e.ResponseGiven(responder="human"),
    e.TroubleshootingStarted(),
    e.IncidentResolved(),
)
Turns = dict[str, tuple[Callable[[Any], object], list[Any]]]  # who takes turns: how it saves one thing, and the things
A_TRANSACTION = 100  # cases in one transaction of the stock library: 500 events


class Case(Aggregate):
    """The same case as the stock library tells it; ids in order, which is the quickest for it too."""

    ids = count(1)

    @staticmethod
    def create_id(*_: Any, **__: Any) -> UUID:
        return UUID(int=next(Case.ids))

    @event("Reported")
    def __init__(self, customer: str, service: str, channel: str) -> None:
        self.customer, self.service, self.channel = customer, service, channel

    @event("Prioritised")
    def prioritise(self, priority: str, reason: str) -> None:
        self.priority, self.reason = priority, reason

    @event("Responded")
    def respond(self, responder: str) -> None:
        self.responder = responder

    @event("Started")
    def start(self) -> None:
        self.started = True

    @event("Resolved")
    def resolve(self) -> None:
        self.resolved = True


class _Pool(SQLiteConnectionPool):
    def _create_connection(self) -> SQLiteConnection:
        connection = sqlite3.connect(
            self.db_name, uri=True, check_same_thread=False, isolation_level=None, cached_statements=True
        )
        wal = has_wal_fix(sqlite3.sqlite_version_info)
        connection.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'TRUNCATE'}")
        connection.execute(f"PRAGMA synchronous = {'FULL' if wal else 'EXTRA'}")
        connection.row_factory = sqlite3.Row
        return SQLiteConnection(connection, max_age=self.max_age)


class Stock(Application[UUID]):
    """The library as it comes, but for the connection's synchronisation."""

    def construct_factory(self, env: Environment) -> InfrastructureFactory[Any]:
        factory = cast(SQLiteFactory, super().construct_factory(env))
        factory.datastore.pool.close()
        factory.datastore.pool = _Pool(db_name=str(env["SQLITE_DBNAME"]))
        return factory


def stock(path: Path) -> Stock:
    """Return a new application of the stock library."""
    return Stock({"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)})


def told(case: int, with_ids: bool = False, facts: Sequence[int] = range(5)) -> list[Fact]:
    """Return those of a case's five facts."""
    stream, at = f"incident:INC-{case:08}", START + timedelta(seconds=case)
    ids = [f"desk/{case:08}/{n}" if with_ids else None for n in range(5)]
    return [Fact(stream, at + timedelta(minutes=n), TOLD[n], "desk.oslo", ids[n]) for n in facts]


def as_entries(facts: Sequence[Fact], first: int = 1) -> Iterator[Entry]:
    """Yield the facts as entries recorded in one go, cases whole and in order."""
    for position, f in enumerate(facts, first):
        version = TOLD.index(f.event) + 1
        yield Entry(position, f.stream, version, f.time, START, f.event, f.actor, f.command_id)


def write_file(path: Path, cases: range, with_ids: bool) -> Path:
    """Write a stream file of whole cases and return its path."""
    with path.open("w") as file:
        for case in cases:
            for entry in as_entries(told(case, with_ids)):
                line = json.loads(to_line(entry))
                del line["sequence"], line["recordedtime"]
                file.write(json.dumps(line, separators=(",", ":")) + "\n")
    return path


def import_file(path: Path, ledger: Ledger) -> int:
    """Import a stream file as the command does, and return how many facts were added."""
    outcome = ledger.judge(native.read(str(path)).facts, by_content=True)
    assert not outcome.rejects
    return len(ledger.commit(outcome).added)


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    begun = perf_counter()
    work()
    return perf_counter() - begun


def run(small: bool, folder: Path) -> dict[str, Any]:
    """Return the ratios and what they were made of, after a check that what is measured is right."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as own:  # nothing of an earlier run is found again
        place = Path(own)
        _check(place)
        return _recording(place, small) | _importing(place, small) | _growth(place, small)


def _check(folder: Path) -> None:
    """What was appended reads back equal, by either way, and the stock library holds as many events."""
    facts = [fact for case in range(1, 41) for fact in told(case, with_ids=True)]
    paths = [folder / f"check-{way}.db" for way in ("recorded", "imported")]
    for path in paths:
        create(path)
    write_file(folder / "check.jsonl", range(1, 41), with_ids=True)
    with closing(Ledger(paths[0])) as recorded, closing(Ledger(paths[1])) as imported:
        added = [entry for fact in facts for entry in recorded.record(fact)]
        assert import_file(folder / "check.jsonl", imported) == len(facts)
        assert import_file(folder / "check.jsonl", imported) == 0
        assert added == list(recorded.entries())
        for ledger in (recorded, imported):
            said = [Fact(x.stream, x.time, x.event, x.actor, x.command_id) for x in ledger.entries()]
            assert said == facts
    with closing(stock(folder / "check-stock.db")) as app:
        for _ in range(40):
            app.save(_whole_case())
        assert app.recorder.max_notification_id() == len(facts)


def _whole_case() -> Case:
    case = Case("acme", "licence", "phone")
    case.prioritise("high", "nobody can log in")
    case.respond("human")
    case.start()
    case.resolve()
    return case


def _recording(folder: Path, small: bool) -> dict[str, Any]:
    """One fact a command: the first of a stream, and the fifth of a stream of four."""
    rounds, cases, numbers = (3, 20, count(1)) if small else (15, 60, count(1))
    create(folder / "recording.db")
    took: dict[str, list[float]] = {}

    def in_turn(work: Turns) -> None:
        each: dict[str, list[float]] = {name: [] for name in work}
        for number in range(cases):
            for name, (save, items) in work.items():
                each[name].append(seconds(partial(save, items[number])) * 1e6)
        for name, times in each.items():
            took.setdefault(name, []).append(median(times))

    with closing(stock(folder / "recording-stock.db")) as app, closing(Ledger(folder / "recording.db")) as ledger:

        def resolved(case: Case) -> None:
            case.resolve()
            app.save(case)

        def reported(made: list[Case]) -> None:
            made.append(Case("acme", "licence", "phone"))
            app.save(made[-1])

        for _ in range(rounds):
            made: list[Case] = []
            first: Turns = {"stock": (reported, [made] * cases)}
            last: Turns = {"stock_existing": (resolved, made)}
            between: list[Fact] = []
            for with_ids, ending in ((False, ""), (True, "_with_ids")):
                mine = [next(numbers) for _ in range(cases)]
                first[f"record{ending}"] = (ledger.record, [told(n, with_ids, [0])[0] for n in mine])
                last[f"record_existing{ending}"] = (ledger.record, [told(n, with_ids, [4])[0] for n in mine])
                between += [fact for n in mine for fact in told(n, with_ids, range(1, 4))]
            in_turn(first)
            ledger.record(*between)
            in_turn(last)
    found = {
        f"{name}{ending}_vs_stock_save": _ratio(took[name.replace("record", "stock")], took[name + ending])
        for name in ("record", "record_existing")
        for ending in ("", "_with_ids")
    }
    return found | {f"{name}_us": round(median(times), 1) for name, times in took.items()}


def _importing(folder: Path, small: bool) -> dict[str, Any]:
    """A stream file from beginning to end, beside the stock library saving as many events, 500 a transaction."""
    rounds, cases = (2, 400) if small else (5, 20_000)
    files = {
        "import": write_file(folder / "with-ids.jsonl", range(1, cases + 1), with_ids=True),
        "import_without_ids": write_file(folder / "without-ids.jsonl", range(1, cases + 1), with_ids=False),
    }
    took: dict[str, list[float]] = {"stock_500": [], "import": [], "import_without_ids": []}
    path = folder / "importing.db"
    for _ in range(rounds):
        with closing(stock(path)) as app:
            batches = [[_whole_case() for _ in range(A_TRANSACTION)] for _ in range(cases // A_TRANSACTION)]
            took["stock_500"].append(sum(seconds(partial(app.save, *batch)) for batch in batches))
            assert app.recorder.max_notification_id() == 5 * cases
        path.unlink()
        for name, file in files.items():
            create(path)
            with closing(Ledger(path)) as ledger:
                took[name].append(seconds(partial(import_file, file, ledger)))
                assert ledger.last_position() == 5 * cases
            path.unlink()
    found = {f"{name}_vs_stock_500": _ratio(took["stock_500"], took[name]) for name in files}
    return found | {f"{name}_us": round(median(times) / cases / 5 * 1e6, 2) for name, times in took.items()}


def _growth(folder: Path, small: bool) -> dict[str, Any]:
    """The same appends to a ledger that begins empty and to one of very many entries."""
    cases, rounds, batch = (4_000, 2, 20) if small else (2_000_000, 9, 200)
    paths = {"empty": folder / "growth-empty.db", "large": folder / "growth-large.db"}
    for path in paths.values():
        create(path)
    fill(paths["large"], cases)
    took: dict[str, list[float]] = {}
    with closing(Ledger(paths["empty"])) as empty, closing(Ledger(paths["large"])) as large:
        for first in range(cases + 1, cases + 1 + 3 * batch * rounds, 3 * batch):
            facts = [told(n, True, [0])[0] for n in range(first, first + batch)]
            files = {
                "import": write_file(folder / "1.jsonl", range(first + batch, first + 2 * batch), with_ids=True),
                "import_without_ids": write_file(
                    folder / "2.jsonl", range(first + 2 * batch, first + 3 * batch), with_ids=False
                ),
            }
            for name, ledger in (("empty", empty), ("large", large)):
                times = [seconds(partial(ledger.record, fact)) for fact in facts]
                took.setdefault(f"record_{name}", []).append(median(times) * 1e6)
                for kind, file in files.items():
                    time = seconds(partial(import_file, file, ledger))
                    took.setdefault(f"{kind}_{name}", []).append(time / batch / 5 * 1e6)
        assert large.last_position() - 5 * cases == empty.last_position() == rounds * 11 * batch
    for path in paths.values():
        path.unlink()
    found: dict[str, Any] = {
        f"growth_{kind}": _ratio(took[f"{kind}_large"], took[f"{kind}_empty"])
        for kind in ("record", "import", "import_without_ids")
    }
    return found | {f"{name}_us": round(median(times), 2) for name, times in took.items()} | {"entries": 5 * cases}


def fill(path: Path, cases: int) -> None:
    """Put whole cases into a new ledger, past judgement but through every trigger; unsynchronised until the end."""
    states = [to_state(entry).partition(b',"data"')[2] for entry in as_entries(told(1, with_ids=True))]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        for first in range(1, cases + 1, 50_000):
            connection.execute("BEGIN")
            rows = (row for case in range(first, min(first + 50_000, cases + 1)) for row in _rows(case, states))
            connection.executemany("INSERT INTO stored_events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")


def _rows(case: int, states: list[bytes]) -> Iterator[tuple[Any, ...]]:
    for n, state in enumerate(states):
        at, command_id = stamp(START + timedelta(seconds=case, minutes=n)), f"desk/{case:08}/{n}"
        head = f'{{"time":"{at}","recordedtime":"{at}","actor":"desk.oslo","commandid":"{command_id}","data"'
        row = (5 * case - 4 + n, f"incident:INC-{case:08}", n + 1, TOLD[n].name, head.encode() + state)
        yield (*row, command_id, leaf(*row))


def _ratio(above: list[float], below: list[float]) -> float:
    """Return the median of what the rounds give."""
    return round(median(a / b for a, b in zip(above, below, strict=True)), 3)
