"""The benchmarks: the made-up history is the same each time and accepted by every stream; the runner runs."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ledger import book
from ledger.book import Ledger
from ledger.entry import Entry, to_line
from ledger.instants import instant
from ledger.store.mapper import from_state, to_state
from ledger.store.stream_file import entries_of
from tests.benchmarks import history, measure, stock
from tests.benchmarks.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
COUNT = 20_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("history") / "ledger.db"
    history.make(found, COUNT)
    return found


def entries(path: Path) -> list[Entry]:
    ledger = Ledger(path, "ro")
    try:
        return list(ledger.entries())
    finally:
        ledger.close()


def schema(path: Path) -> list[tuple[str, str, str]]:
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
        pragmas = ("application_id", "user_version", "journal_mode", "page_size", "encoding", "auto_vacuum")
        found += [("pragma", name, connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in pragmas]
    connection.close()
    return found


def test_the_history_is_the_same_for_the_same_seed() -> None:
    first, again, other = (list(islice(history.entries(COUNT, seed), 3000)) for seed in (1, 1, 2))

    assert first == again != other
    assert len(list(history.entries(COUNT))) == COUNT


def test_its_bytes_are_what_the_store_writes(path: Path) -> None:
    rows = list(history.entries(COUNT))

    assert [to_state(from_state(*row[:5])) for row in rows] == [row[4] for row in rows]
    assert [from_state(*row[:5]) for row in rows] == entries(path)
    assert [from_state(*row[:5]).command_id for row in rows] == [row[5] for row in rows]


def test_its_ledger_is_made_like_any_other(path: Path, tmp_path: Path) -> None:
    book.create(tmp_path / "other.db")

    assert schema(path) == schema(tmp_path / "other.db")
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="never deleted"):
        connection.execute("DELETE FROM stored_events WHERE rowid = 7")
    connection.close()


def test_its_streams_accept_every_entry_and_every_further_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    history.make(path, COUNT)
    history.more(path, 1000)
    history.more(path, 500)
    found = entries(path)

    assert len(found) == COUNT + 1500
    assert entries_of(((e.position, to_line(e)) for e in found), "history") == found
    assert all(a.recorded_at <= b.recorded_at for a, b in zip(found, found[1:], strict=False))


def test_it_covers_three_years_and_every_kind_of_trouble(path: Path) -> None:
    found = entries(path)
    late = [e for e in found if (e.recorded_at - e.time).total_seconds() > 3600]

    assert instant("2025-12-15T00:00:00Z") < found[-1].recorded_at < instant("2026-01-10T00:00:00Z")
    assert 0.001 < len(late) / COUNT < 0.02
    assert {"EntryCorrected", "EntryWithdrawn", "IncidentReopened", "RoundTheClockSupportAgreed"} <= {
        e.name for e in found
    }


def test_the_runner_measures_and_says_what_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--small", "--only", "stock,business_time"]

    done = subprocess.run(
        [*command, "--json", str(file), "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(file.read_text())["results"]
    assert results["stock"]["projection runner, events/s"]["verdicts_compared"] > 10
    assert results["business_time"]["workclock: add, both desks"]["value"] > 0
    assert str(tmp_path) not in file.read_text()
    assert "workclock: add, both desks" in done.stdout


def test_a_wrong_result_is_said_and_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    def run(small: bool, folder: Path) -> dict[str, Any]:
        raise measure.WrongResult("one entry too many")

    monkeypatch.setattr(stock, "run", run)

    assert main(["--small", "--only", "stock", "--folder", str(tmp_path)]) == 1
    assert "one entry too many" in capsys.readouterr().out


def test_a_figure_is_compared_with_what_is_wanted() -> None:
    given: list[tuple[float | str, str | None]] = [(30.0, ">= 25"), (3.0, ">= 25"), (0.9, "<= 1.0"), (1.1, "<= 1.0")]
    given += [("not installed", ">= 1"), (5.0, None)]

    assert [measure.verdict(measure.figure(value, wanted)) for value, wanted in given] == [
        "yes",
        "no",
        "yes",
        "no",
        "",
        "",
    ]


def test_a_command_is_measured_alone_and_its_failure_is_no_figure() -> None:
    found = measure.command(sys.executable, "-c", "held = bytearray(200_000_000); print(len(held))")

    assert found.stdout.strip() == b"200000000"
    assert 200 < found.peak_bytes / measure.MEGABYTE < 300
    with pytest.raises(measure.WrongResult, match="exit status 3"):
        measure.command(sys.executable, "-c", "raise SystemExit(3)")
