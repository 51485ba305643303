"""What must hold of a ledger after any fault."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from ledger.book import Ledger
from ledger.entry import Entry
from ledger.seal.leaves import leaf
from ledger.store.address import reader_at


def entries_of(db: Path | str) -> list[Entry]:
    """The entries of a ledger: positions and versions without a gap, every command id once, each with its leaf hash."""
    with closing(Ledger(db, "ro")) as ledger:
        found = list(ledger.entries())
    versions: Counter[str] = Counter()
    for position, entry in enumerate(found, 1):
        versions[entry.stream] += 1
        assert (entry.position, entry.version) == (position, versions[entry.stream]), entry
    with closing(reader_at(str(db))) as reader:
        leaves = zip(reader.leaves(len(found)), reader.rows(len(found)), strict=True)
        assert all(kept == leaf(*row) for kept, row in leaves)
    ids = Counter(entry.command_id for entry in found if entry.command_id is not None)
    assert [id_ for id_, count in ids.items() if count > 1] == []
    return found


def check_file(db: Path) -> None:
    """Check that SQLite finds nothing wrong in the file."""
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def pairs_of(entries: Iterable[Entry]) -> set[str]:
    """The pairs that are there; none is there by half."""
    found = [e.command_id.rsplit("/", 1) for e in entries if e.command_id is not None and e.command_id.count("/") == 2]
    sides = {side: {name for name, s in found if s == side} for side in "ab"}
    assert sides["a"] == sides["b"]
    return sides["a"]


def acknowledged(acks: Path, name: str) -> set[str]:
    """The pairs that a writer was told are in the ledger."""
    lines = acks.read_text().splitlines() if acks.exists() else []
    return {f"{name}/{number}" for number in lines}


def check(db: Path, acked: set[str], tried: set[str] | None = None) -> set[str]:
    """Check that a ledger is sound, nothing acknowledged is lost, and nothing is there that nobody tried."""
    there = pairs_of(entries_of(db))
    check_file(db)
    assert acked - there == set()
    assert tried is None or there - tried == set()
    return there
