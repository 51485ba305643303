"""Whatever is wrong - names, files, times, a damaged ledger, a reader gone - ends in three lines, never a traceback."""

from __future__ import annotations

import os
import pty
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import freezegun
import pytest
from typer.testing import CliRunner, Result

from cli import app

ROOT = Path(__file__).resolve().parents[1]
YEAR = ROOT / "fixtures" / "streams" / "a-year-of-acme.jsonl"
AS_OF = "2026-01-12T09:00:00Z"
PERIOD = "availability --from 2025-01-01 --until 2026-01-01"
HOSTILE = [
    "--db no-such.db queue",
    "--db no-such.jsonl queue",
    "--db {folder} queue",
    "--db {folder}/a\nb.db queue",
    "--db {folder}/a\u202eb.db queue",
    "--db {folder}/\udcff.db queue",
    "--db {text} queue",
    "--db {empty} queue",
    "--db {other} queue",
    "--db {damaged} queue",
    "--db postgresql://user:secret@host/name queue",
    "--db {year} show incident:NO",
    "--db {year} show a\nb",
    "--db {year} show \x1b[31m",
    "--db {year} explain outage:O-01",
    "--db {year} explain claim:..",
    "--db {year} audit claim:2025",
    "--db {year} audit incident:INC-01",
    "--db {year} claim assess 2024",
    "--db {year} claim decide 2025",
    "--db {year} init",
    "--db {year} terms show no\nsuch",
    "--db {year} queue --terms other-terms",
    "--db {year} queue --terms a\nb",
    "--db {year} queue --reading shoe_size=44",
    "--db {year} queue --reading lost_steps=half",
    "--db {year} queue --reading cap_percent=-1",
    "--db {year} queue --reading best_effort=pigeon",
    "--db {year} queue --reading =",
    "--db {year} queue --at-entry 204",
    "--db {year} queue --as-of 9999-12-31T23:59:59Z",
    "--db no-such/deep.db init",
    "import no-such.jsonl",
    "import a\nb.jsonl",
]


def do(*arguments: str, code: int = 0) -> Result:
    """The outcome of a command at a fixed instant."""
    with freezegun.freeze_time("2026-09-01T09:00:00Z"):
        result = CliRunner().invoke(app, [*arguments])
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files that are no ledgers, and one that was."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "text.db").write_text("this is a diary, not a database\n" * 200)
    (folder / "empty.db").touch()
    with sqlite3.connect(folder / "other.db") as other:
        other.execute("CREATE TABLE diary (day TEXT)")
    do("--db", str(folder / "damaged.db"), "import", "--verbatim", str(YEAR))
    (folder / "damaged.db").write_bytes((folder / "damaged.db").read_bytes().replace(b'"phone"', b'"pXone"'))
    names = {name: str(folder / f"{name}.db") for name in ("text", "empty", "other", "damaged")}
    return {"folder": str(folder), "year": str(YEAR), **names}


@pytest.mark.parametrize("line", HOSTILE)
def test_what_is_refused_is_said_in_three_clean_lines(line: str, places: dict[str, str], tmp_path: Path) -> None:
    arguments = [part.format(**places) for part in line.split(" ")]
    if arguments[0] != "--db":
        do("--db", str(tmp_path / "new.db"), "init")
        arguments = ["--db", str(tmp_path / "new.db"), *arguments]

    refused = do(*arguments, code=4 if "{damaged}" in line else 1)

    assert (refused.stdout, len(refused.stderr.splitlines())) == ("", 3)
    assert all(part.strip() and part.isprintable() for part in refused.stderr.splitlines())
    assert all(word not in refused.stderr for word in ("Traceback", "fault of this program", "secret"))


@pytest.mark.parametrize(
    "at", ["0001-01-01", "0001-01-02", "9999-12-31", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)
@pytest.mark.parametrize(
    "report", ["compliance --from", "order --until", "log --from", f"{PERIOD} --from", f"{PERIOD} --until"]
)
def test_the_ends_of_time_are_no_fault_of_the_program(report: str, at: str) -> None:
    with freezegun.freeze_time("2026-09-01T09:00:00Z"):
        result = CliRunner().invoke(app, ["--db", str(YEAR), *report.split(), at])

    assert "fault of this program" not in result.stderr
    assert result.exit_code in (0, 1, 2)


def process(*arguments: str, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The outcome of a real process."""
    command = [sys.executable, "-P", "-m", "cli", "--db", str(YEAR), "--as-of", AS_OF, *arguments]
    where = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=where, timeout=30, check=False)


@pytest.mark.parametrize("report", ["log", "order --totals", "log --json", "claim assess 2025"])
def test_a_reader_that_goes_away_is_no_error(report: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    done = process(*report.split(), stdout=writing)

    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("environment, coloured", [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_a_table_with_colours_unless_there_shall_be_none(
    environment: dict[str, str], coloured: bool
) -> None:
    ours, theirs = pty.openpty()

    done = process("compliance", "--verdict", "overdue", stdout=theirs, TERM="xterm", **environment)

    shown = os.read(ours, 1_000_000)
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"received at" in shown
    assert (b"\x1b[31m" in shown) == coloured


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE stored_events SET state = x'7b' WHERE rowid = 40",
        "UPDATE stored_events SET topic = 'IncidentClosed' WHERE rowid = 40",
        "UPDATE stored_events SET originator_id = 'nothing' WHERE rowid = 40",
        "UPDATE stored_events SET originator_version = 9 WHERE rowid = 40",
        "DELETE FROM stored_events WHERE rowid = 40",
    ],
)
@pytest.mark.parametrize("command", ["queue", "export"])
def test_reading_a_ledger_with_a_broken_entry_exits_4(tmp_path: Path, damage: str, command: str) -> None:
    ledger = tmp_path / "ledger.db"
    do("--db", str(ledger), "import", "--verbatim", str(YEAR))
    with sqlite3.connect(ledger) as connection:
        for trigger in ("never_updated", "never_deleted"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(damage)

    refused = do("--db", str(ledger), command, code=4)

    assert (len(refused.stderr.splitlines()), "40" in refused.stderr) == (3, True)


@pytest.mark.parametrize("command", ["audit claim:2025", "claim assess claim:2025", "settle --year 2025"])
def test_a_stream_out_of_order_is_damage(tmp_path: Path, command: str) -> None:
    ledger = tmp_path / "ledger.db"
    do("--db", str(ledger), "import", "--verbatim", str(YEAR))
    with sqlite3.connect(ledger) as connection:
        connection.execute("DROP TRIGGER never_updated")
        connection.execute(
            "UPDATE stored_events SET rowid = 9223372036854775807"
            " WHERE originator_id = 'maintenance:M-02' AND originator_version = 1"
        )

    refused = do("--db", str(ledger), *command.split(), code=4)

    assert len(refused.stderr.splitlines()) == 3
    assert not refused.stdout


def test_what_cannot_be_answered_prints_no_header() -> None:
    for form in ("csv", "tsv", "json", "jsonl"):
        refused = do(
            "--db", str(YEAR), "--format", form, "--reading", "lost_steps=foo", "settle", "--year=2025", code=1
        )
        assert not refused.stdout


@pytest.mark.parametrize("command", ["rebuild --jobs 1", "queue"])
def test_a_process_that_finds_damage_ends_with_three_lines_too(tmp_path: Path, command: str) -> None:
    """Nor do readings that were left half-way complain when it ends."""
    ledger = tmp_path / "ledger.db"
    do("--db", str(ledger), "import", "--verbatim", str(YEAR))
    ledger.write_bytes(ledger.read_bytes().replace(b'"phone"', b'"pXone"'))

    done = process("--db", str(ledger), *command.split())

    assert (done.returncode, len(done.stderr.splitlines())) == (4, 3), done.stderr.decode()


def test_a_read_leaves_the_ledger_as_it_is_and_only_views_beside_it(tmp_path: Path) -> None:
    ledger = tmp_path / "made" / "ledger.db"
    ledger.parent.mkdir()
    do("--db", str(ledger), "import", "--verbatim", str(YEAR))
    shutil.copytree(ledger.parent, tmp_path / "copy")
    copy = tmp_path / "copy" / "ledger.db"
    before = {path.name: path.read_bytes() for path in copy.parent.iterdir()}

    do("--db", str(copy), "compliance")
    do("--db", str(copy), "claim", "assess", "2025")

    after = {path.name: path.read_bytes() for path in copy.parent.iterdir()}
    assert set(after) - set(before) == {"ledger.db.views", "ledger.db.views.lock"}
    assert {name: after[name] for name in before} == before
