"""What is read and judged is what the options say; what cannot be is said in three lines, with an exit status."""

from __future__ import annotations

import json
import os
import pty
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import freezegun
import pytest
from typer.testing import CliRunner, Result

from cli import app

ROOT = Path(__file__).resolve().parents[1]
STREAMS = ROOT / "fixtures" / "streams"
YEAR, LATE = STREAMS / "a-year-of-acme.jsonl", STREAMS / "withdrawn-and-recorded-anew.jsonl"
AS_OF = "2026-01-12T09:00:00Z"


def do(*arguments: str, code: int = 0, typed: bytes | None = None) -> Result:
    """The outcome of a command at a fixed instant."""
    with freezegun.freeze_time("2026-09-01T09:00:00Z"):
        result = CliRunner().invoke(app, [*arguments], input=typed)
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result


def answers(*options: str) -> dict[str, tuple[str | None, str]]:
    """When each case was answered and its verdict, in the story of answers recorded late, withdrawn and corrected."""
    found = json.loads(do("--db", str(LATE), "--json", *options, "compliance").stdout)
    return {row["case"]: (row["responded_at"], row["verdict"]) for row in found}


ONE, TWO = "incident:INC-1", "incident:INC-2"
RIGHT = {ONE: ("2026-05-18T08:00:00Z", "met"), TWO: ("2026-05-18T08:10:00Z", "met")}
WRONG = {ONE: ("2026-05-19T08:00:00Z", "met"), TWO: ("2026-05-19T08:10:00Z", "met")}


@pytest.mark.parametrize(
    "options, expected",
    [
        ("", RIGHT),
        ("--as-of 2026-05-18T06:59:59Z", {}),
        ("--as-of 2026-05-18T07:00:00Z", {ONE: (None, "open")}),
        ("--as-of 2026-05-18T07:59:59Z", {ONE: (None, "open"), TWO: (None, "open")}),
        ("--as-of 2026-05-18T08:00:00Z", {ONE: RIGHT[ONE], TWO: (None, "open")}),
        ("--known-at 2026-05-18T06:59:59Z", {}),
        ("--known-at 2026-05-19T08:59:59Z --as-of 2026-05-19T08:30:00Z", {ONE: (None, "overdue"), TWO: (None, "overdue")}),
        ("--known-at 2026-05-19T09:00:00Z --as-of 2026-05-19T08:30:00Z", {ONE: ("2026-05-19T08:00:00Z", "breached"), TWO: (None, "overdue")}),
        ("--at-entry 0", {}),
        ("--at-entry 3", {ONE: (None, "overdue"), TWO: (None, "overdue")}),
        ("--at-entry 6 --as-of 2026-05-20T10:00:30Z", {ONE: (None, "overdue"), TWO: ("2026-05-19T08:10:00Z", "breached")}),
        ("--at-entry 7", {ONE: RIGHT[ONE], TWO: ("2026-05-19T08:10:00Z", "breached")}),
        ("--at-entry 8", RIGHT),
        ("--at-entry 8 --known-at 2026-05-20T10:01:00Z", {ONE: RIGHT[ONE], TWO: ("2026-05-19T08:10:00Z", "breached")}),
        ("--at-entry 3 --known-at 2026-06-01T00:00:00Z --as-of 2026-05-18T07:05:00Z", {ONE: (None, "open")}),
    ],
)  # fmt: skip
def test_only_what_was_known_and_had_happened_is_judged(options: str, expected: dict[str, Any]) -> None:
    assert answers(*options.split()) == expected


def test_a_late_entry_shows_how_late_it_came() -> None:
    found = json.loads(do("--db", str(LATE), "--json", "log").stdout)

    late = {row["position"]: row["late_by_seconds"] for row in found}
    assert late == {1: None, 2: None, 3: None, 4: 3600, 5: 3060, 6: None, 7: 180_060, 8: None}


@pytest.mark.parametrize("position", ["9", "-1", "999999999999"])
def test_a_position_beyond_the_last_is_refused(position: str) -> None:
    refused = do("--db", str(LATE), "compliance", "--at-entry", position, code=1)

    assert refused.stderr.splitlines()[:2] == [f"entry {position}", "the last entry is 8"]


def test_fail_on_breach_exits_3_exactly_when_a_shown_case_is_late() -> None:
    at = ["--db", str(YEAR), "--as-of", AS_OF, "--json", "compliance", "--fail-on", "breach"]

    shown = json.loads(do(*at, code=3).stdout)
    assert {"breached", "overdue"} <= {row["verdict"] for row in shown}
    for verdict, code in [("met", 0), ("breached", 3), ("open", 0), ("overdue", 3), ("paused", 0)]:
        assert json.loads(do(*at, "--verdict", verdict, code=code).stdout)
    do(*at, "--by", "month", code=3)
    do(*at, "--customer", "nobody", code=0)


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "nonsense",
        "queu",
        "compliance --by day",
        "compliance --verdict late",
        "compliance --fail-on",
        "compliance --fail-on overdue",
        "compliance --priority urgent",
        "compliance --from yesterday",
        "compliance --from 2026-1-1",
        "compliance --from 2026-W01-1",
        "compliance --from 2026-01-01T00:00:00",
        "compliance --format yaml",
        "queue --as-of 2026-01-12",
        "queue --as-of 2026-01-12T09:00:00",
        "queue --known-at now",
        "queue --at-entry one",
        "queue --reading lost_steps",
        "availability",
        "availability --year 20",
        "availability --year 2025 --from 2025-01-01 --until 2026-01-01",
        "availability --from 2026-01-01 --until 2025-01-01",
        "availability --from 2026-01-01",
        "log --type Incident",
        "record",
        "show",
        "import",
        "claim",
    ],
)
def test_wrong_usage_exits_2_and_prints_nothing_but_how(arguments: str) -> None:
    refused = do("--db", str(YEAR), *arguments.split(), code=2)

    assert "Usage: " in refused.stdout + refused.stderr
    assert refused.stdout == "" or arguments in ("", "claim")


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
@pytest.mark.parametrize("report", ["compliance --from", "order --until", "log --from", "availability --until 2026-01-01 --from", "availability --from 2025-01-01 --until"])  # fmt: skip
def test_the_ends_of_time_are_no_fault_of_the_program(report: str, at: str) -> None:
    with freezegun.freeze_time("2026-09-01T09:00:00Z"):
        result = CliRunner().invoke(app, ["--db", str(YEAR), *report.split(), at])

    assert "fault of this program" not in result.stderr
    assert result.exit_code in (0, 1, 2)


@pytest.mark.parametrize(
    "option, named",
    [
        ("--reading shoe_size=44", "shoe_size"),
        ("--reading lost_steps=half", "half"),
        ("--reading emergency=", "emergency"),
        ("--terms other-terms", "other-terms"),
    ],
)
def test_an_unknown_reading_value_or_version_is_refused_by_name(option: str, named: str) -> None:
    assert named in do("--db", str(YEAR), *option.split(), "queue", code=1).stderr


def test_standard_input_and_a_stream_file_and_a_ledger_tell_the_same(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    do("--db", str(ledger), "import", "--verbatim", str(YEAR))
    report = ["--as-of", AS_OF, "--json", "compliance"]

    from_file = do("--db", str(YEAR), *report).stdout

    assert do("--db", "-", *report, typed=YEAR.read_bytes()).stdout == from_file
    assert do("--db", str(ledger), *report).stdout == from_file
    assert "standard input, line 1" in do("--db", "-", "queue", typed=b"{\n", code=1).stderr
    assert "only read" in do("--db", "-", "init", code=1).stderr


def test_the_environment_names_the_ledger_unless_an_option_does() -> None:
    elsewhere = {"SLA_LEDGER_DB": str(LATE)}

    named = CliRunner().invoke(app, ["--json", "log"], env=elsewhere)
    overruled = CliRunner().invoke(app, ["--db", str(YEAR), "--json", "log"], env=elsewhere)

    assert (len(json.loads(named.stdout)), len(json.loads(overruled.stdout))) == (8, 203)


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


def test_a_read_leaves_the_ledger_and_its_folder_as_they_are(tmp_path: Path) -> None:
    ledger = tmp_path / "made" / "ledger.db"
    ledger.parent.mkdir()
    do("--db", str(ledger), "import", "--verbatim", str(YEAR))
    shutil.copytree(ledger.parent, tmp_path / "copy")
    copy = tmp_path / "copy" / "ledger.db"
    before = {path.name: path.read_bytes() for path in copy.parent.iterdir()}

    do("--db", str(copy), "compliance")
    do("--db", str(copy), "claim", "assess", "2025")

    assert {path.name: path.read_bytes() for path in copy.parent.iterdir()} == before
