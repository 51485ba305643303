"""What many tests need: lines into entries, entries into judgements."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import freezegun
from typer.testing import CliRunner, Result

from cli import app
from ledger.entry import Entry
from ledger.store.stream_file import entries_of
from projections.history import History
from projections.judgement import Judgement


def entries(lines: Iterable[dict[str, Any]]) -> list[Entry]:
    """The entries that a stream file of these lines holds."""
    return entries_of(((n, json.dumps(line)) for n, line in enumerate(lines, 1)), "test")


def judged(lines: Iterable[dict[str, Any]], as_of: datetime, **readings: Any) -> Judgement:
    """These lines, judged at an instant."""
    return Judgement(History(entries(lines)), as_of, changes=readings)


def only(row: dict[str, Any], *left_out: str) -> dict[str, Any]:
    """The row without some keys."""
    return {k: v for k, v in row.items() if k not in left_out}


def do(db: Path | str, *arguments: str, code: int = 0, now: str = "2026-02-01T09:00:00Z") -> Result:
    """The outcome of a command on a ledger at an instant."""
    with freezegun.freeze_time(now):
        result = CliRunner().invoke(app, ["--db", str(db), *arguments])
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    if code == 1:
        assert len(result.stderr.splitlines()) == 3 or "missing:" in result.stderr or "row" in result.stderr
    return result


def log(db: Path | str, *arguments: str) -> list[dict[str, Any]]:
    """The entries of a ledger as rows."""
    found = json.loads(do(db, "--json", "log", *arguments).stdout)
    assert isinstance(found, list)
    return found


def empty_index(ledger: Path) -> None:
    """Put an empty index in the place of that by stream: every entry is there, and no question about one finds it."""
    with closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE other (a TEXT, b INTEGER, UNIQUE (a, b))")
        connection.execute("PRAGMA writable_schema = ON")
        [empty] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_other_1'")
        index = "sqlite_autoindex_stored_events_1"
        connection.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = ?", (*empty, index))
        connection.execute("DELETE FROM sqlite_schema WHERE tbl_name = 'other'")
