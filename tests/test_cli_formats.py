"""One report in every format, from every process, with its options anywhere: always the same rows."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import freezegun
import pytest
from typer.testing import CliRunner

from cli import app

STORY = Path(__file__).resolve().parents[1] / "fixtures" / "streams" / "a-year-of-acme.jsonl"
AS_OF = "2026-01-12T09:00:00Z"
BY = ("month", "customer", "service", "priority", "channel", "kind")
REPORTS = [
    "compliance",
    *(f"compliance --by {by}" for by in BY),
    "queue",
    "order",
    "order --totals",
    "availability --year 2025",
    "claim assess 2025",
    "log",
    "explain claim:2025",
]


def run(*arguments: str) -> str:
    """What the command prints about a year of one customer."""
    with freezegun.freeze_time("2026-09-02T09:00:00Z"):
        result = CliRunner().invoke(app, ["--db", str(STORY), "--as-of", AS_OF, *arguments])
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_two_processes_print_the_same_bytes() -> None:
    def printed(seed: str, report: str) -> bytes:
        command = [sys.executable, "-P", "-m", "cli", "--db", str(STORY), "--as-of", AS_OF, "--json"]
        seeded = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(STORY.parents[2])}
        return subprocess.run([*command, *report.split()], env=seeded, check=True, capture_output=True).stdout

    for report in ("compliance", "availability --year 2025", "claim assess 2025"):
        assert printed("1", report) == printed("2", report) == run("--json", *report.split()).encode()


@pytest.mark.parametrize("report", REPORTS)
def test_the_same_run_twice_prints_the_same(report: str) -> None:
    assert run("--json", *report.split()) == run("--json", *report.split())


@pytest.mark.parametrize("report", [r for r in REPORTS if r.split()[-1] not in ("--totals", "2025", "claim:2025")])
def test_every_format_holds_the_same_rows(report: str) -> None:
    found: list[dict[str, Any]] = json.loads(run("--json", *report.split()))

    lines = run("--format", "jsonl", *report.split()).splitlines()
    comma = list(csv.DictReader(io.StringIO(run("--format", "csv", *report.split()))))
    tabs = list(
        csv.DictReader(
            io.StringIO(run("--format", "tsv", *report.split())),
            delimiter="\t",
            quotechar=None,
            quoting=csv.QUOTE_NONE,
            escapechar="\\",
        )
    )
    table = run("--format", "table", *report.split()).splitlines()

    assert [json.loads(line) for line in lines] == found
    for separated in (comma, tabs):
        assert [list(row) for row in separated] == [list(row) for row in found]
        for row, cells in zip(found, separated, strict=True):
            plain = {k: "" if v is None else str(v) for k, v in row.items() if type(v) in (str, int, type(None))}
            assert {k: cells[k] for k in plain} == plain
    assert len(table) == len(found) + 1
    first = next(k for k in ("case", "stream", report.split()[-1]) if k in found[0])
    assert all(row[first] in line for row, line in zip(found, table[1:], strict=True))


@pytest.mark.parametrize(
    "options",
    [
        "--as-of 2025-06-01T00:00:00Z",
        "--known-at 2025-06-01T00:00:00Z",
        "--at-entry 40",
        "--at-entry 0",
        "--terms easymeeting-2020-09-23",
        "--reading business_hours=oslo --reading responder=any",
        "--format csv",
        "--json",
    ],
)
@pytest.mark.parametrize("report", ["compliance", "queue", "availability --year 2025"])
def test_options_mean_the_same_before_and_after_the_name(report: str, options: str) -> None:
    assert run(*options.split(), *report.split()) == run(*report.split(), *options.split())


def test_without_an_instant_everything_is_judged_now() -> None:
    with freezegun.freeze_time(AS_OF):
        found = CliRunner().invoke(app, ["--db", str(STORY), "--json", "queue"])

    assert found.stdout == run("--json", "queue")


@pytest.mark.parametrize("chosen", ["csv", "tsv"])
@pytest.mark.parametrize("report", ["compliance", "queue", "order", "availability --year 2025", "commitments", "log"])
def test_an_empty_report_has_the_header_of_a_full_one(report: str, chosen: str) -> None:
    headers = []
    for position in ("0", "203"):
        scope = ("--db", str(STORY), "--as-of", AS_OF, "--at-entry", position, "--format", chosen)
        headers.append(CliRunner().invoke(app, [*scope, *report.split()]).stdout.splitlines()[0])

    assert headers[0] == headers[1]
