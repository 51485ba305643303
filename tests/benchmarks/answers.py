"""That quick answers are right: the same bytes as from a stream file of the same entries, which is replayed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.benchmarks import history, measure

AS_OF = "2026-06-01T00:00:00Z"
QUERIES: dict[str, tuple[str, ...]] = {
    "compliance --by month": ("compliance", "--by", "month"),
    "queue": ("queue",),
    "order --totals": ("order", "--totals"),
    "availability --year 2025": ("availability", "--year", "2025"),
}
MORE_QUERIES = (
    ("compliance",),
    ("compliance", "--by", "customer", "--from", "2024-02-01", "--until", "2025-03-01"),
    ("compliance", "--verdict", "breached"),
    ("order",),
    ("commitments", "--totals"),
    ("show", "outage:O-00001"),
)
SHARES = (0.1, 0.5, 0.9, 0.9999)


def check(small: bool, folder: Path) -> int:
    """Return how many answers were compared; WrongResult for the first that differs.

    Compared are answers right after a rebuild, answers as of earlier entries and times, and answers after further
    entries came; each with and without an instant to judge at, as far as it does not change from second to second.
    """
    path = folder / "answers.db"
    for left in (path, path.with_name(path.name + ".views")):
        left.unlink(missing_ok=True)
    history.make(path, 1500 if small else 5000)
    measure.rebuilt(path)
    compared = _compare(path, folder, small)
    history.more(path, 300)
    return compared + _compare(path, folder, small)


def cases_of(path: Path) -> list[str]:
    """Return an early, a middle and the last incident of a made-up ledger."""
    with closing(sqlite3.connect(path)) as connection:
        count = history.last_number(connection, "incident:INC-")
    return [history.case_id(True, number) for number in (max(count // 50, 1), max(count // 2, 1), count)]


def last_position(path: Path) -> int:
    """Return how many entries a ledger has."""
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("SELECT max(rowid) FROM stored_events").fetchone()[0]
        return found


def points(path: Path, shares: tuple[float, ...]) -> list[tuple[str, str, float]]:
    """Return for these shares of a ledger's entries the option that asks what it said then, by entry and by time."""
    found = []
    with closing(sqlite3.connect(path)) as connection:
        for share in shares:
            position = max(int(last_position(path) * share), 1)
            state = connection.execute("SELECT state FROM stored_events WHERE rowid = ?", (position,)).fetchone()[0]
            recorded = json.loads(state)["recordedtime"]
            found += [("--at-entry", str(position), share), ("--known-at", recorded, share)]
    return found


def _compare(path: Path, folder: Path, small: bool) -> int:
    plain = folder / "answers.jsonl"
    plain.write_bytes(measure.program(path, "export").stdout)
    compared = 0
    for query in _asked(path, small):
        quick, slow = (measure.program(db, "--json", *query).stdout for db in (path, plain))
        if quick != slow:
            raise measure.WrongResult(f"{' '.join(query)}: the ledger and its stream file answer differently")
        compared += 1
    return compared


def _asked(path: Path, small: bool) -> Iterator[tuple[str, ...]]:
    cases = cases_of(path)
    yield from (("--as-of", AS_OF, *query) for query in QUERIES.values())
    yield "explain", cases[0]
    for option, value, _ in points(path, SHARES[1:2] if small else SHARES):
        yield from (("--as-of", AS_OF, option, value, *query) for query in list(QUERIES.values())[: 1 if small else 4])
    if not small:
        yield from (query for name, query in QUERIES.items() if name != "queue")
        yield from (("--as-of", AS_OF, action, case) for action in ("show", "explain") for case in cases)
        yield from (("--as-of", at, *query) for at in ("2024-05-01T10:00:00Z", AS_OF) for query in MORE_QUERIES)
