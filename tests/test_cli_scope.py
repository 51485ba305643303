"""What is read and judged is what the options say; what cannot be is said in three lines, with an exit status."""

from __future__ import annotations

import json
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
LATE_ONE, LATE_TWO = ("2026-05-19T08:00:00Z", "breached"), ("2026-05-19T08:10:00Z", "breached")
OVERDUE = {ONE: (None, "overdue"), TWO: (None, "overdue")}


@pytest.mark.parametrize(
    "options, expected",
    [
        ("", RIGHT),
        ("--as-of 2026-05-18T06:59:59Z", {}),
        ("--as-of 2026-05-18T07:00:00Z", {ONE: (None, "open")}),
        ("--as-of 2026-05-18T07:59:59Z", {ONE: (None, "open"), TWO: (None, "open")}),
        ("--as-of 2026-05-18T08:00:00Z", {ONE: RIGHT[ONE], TWO: (None, "open")}),
        ("--known-at 2026-05-18T06:59:59Z", {}),
        ("--known-at 2026-05-19T08:59:59Z --as-of 2026-05-19T08:30:00Z", OVERDUE),
        ("--known-at 2026-05-19T09:00:00Z --as-of 2026-05-19T08:30:00Z", {ONE: LATE_ONE, TWO: (None, "overdue")}),
        ("--at-entry 0", {}),
        ("--at-entry 3", OVERDUE),
        ("--at-entry 6 --as-of 2026-05-20T10:00:30Z", {ONE: (None, "overdue"), TWO: LATE_TWO}),
        ("--at-entry 7", {ONE: RIGHT[ONE], TWO: LATE_TWO}),
        ("--at-entry 8", RIGHT),
        ("--at-entry 8 --known-at 2026-05-20T10:01:00Z", {ONE: RIGHT[ONE], TWO: LATE_TWO}),
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

    assert "Usage: " in refused.stdout + refused.stderr or refused.stderr.startswith("Error: ")
    assert refused.stdout == "" or arguments in ("", "claim")


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
