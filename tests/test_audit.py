"""A recorded decision made again: reproduced to the byte, or the first difference; and what moved it since."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import freezegun
import pytest
from typer.testing import CliRunner

import cli

STREAMS = Path(__file__).resolve().parents[1] / "fixtures" / "streams"
LATE = STREAMS / "late-evidence-after-the-decision.jsonl"
TWICE = STREAMS / "second-claim-for-the-same-downtime.jsonl"


def ask(path: Path, *arguments: str, status: int = 0) -> Any:
    with freezegun.freeze_time("2026-08-01T00:00:00Z"):
        result = CliRunner().invoke(cli.app, ["--db", str(path), *arguments, "--json"])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def tampered(tmp_path: Path, change: Callable[[dict[str, Any]], None], until: int | None = None) -> Path:
    """The story of late evidence with its recorded decision changed."""
    lines = [json.loads(line) for line in LATE.read_text().splitlines()][:until]
    decision = next(x for x in lines if x["type"] == "CreditGranted")["data"]["decision"]
    change(decision)
    path = tmp_path / "tampered.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))
    return path


def test_what_moved_a_decision_is_named_entry_by_entry() -> None:
    found = ask(LATE, "audit", "C-1")

    assert (found["result"], found["differences"]) == ("reproduced", [])
    [moved] = found["today"]["moved_by"]
    assert (moved["entry"], moved["type"]) == (12, "TimeframeDetermined")
    assert (moved["before"]["credit"]["amount"], moved["credit"]["amount"]) == ("300.00", "600.00")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda d: d["credit"].update(amount="1.00"), "credit.amount"),
        (lambda d: d.update(verdict="refused"), "verdict"),
        (lambda d: d["availability"].update(counted_seconds=1), "availability.counted_seconds"),
        (lambda d: d.update(because=[1]), "because"),
        (lambda d: d.update(extra=1), "extra"),
        (lambda d: d["basis"].update(entries=7), "basis"),
        (lambda d: d["basis"].update(entries=99), "basis"),
        (lambda d: d["basis"].update(as_of="2025-01-01T00:00:00Z"), "basis"),
        (lambda d: d.update(basis="none"), "basis"),
        (lambda d: d.update(terms="nope"), "basis"),
        (lambda d: d["readings"].update(lost_from="bogus"), "basis"),
        (lambda d: d.update(format=2), "format"),
    ],
)
def test_a_changed_decision_differs_and_says_where(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], field: str
) -> None:
    found = ask(tampered(tmp_path, change, until=9), "audit", "C-1", status=1)

    assert found["result"] == "differs"
    assert found["differences"][0]["field"] == field
    assert found["today"]["credit"] == {"amount": "300.00", "currency": "NOK"}


def test_a_forged_figure_is_not_taken_for_something_that_happened(tmp_path: Path) -> None:
    found = ask(tampered(tmp_path, lambda d: d["credit"].update(amount="1.00"), until=9), "audit", "C-1", status=1)

    assert found["today"]["moved_by"] == []


def test_downtime_that_earned_a_credit_is_named_with_its_claim_and_entry() -> None:
    explained = ask(TWICE, "explain", "C-2")

    credited = next(s for s in explained["steps"] if s["step"] == "already_credited")
    assert (credited["value"], credited["because"]) == (360_000, [9])
    assert "claim:C-1" in credited["says"]
    assert 9 in explained["finding"]["because"]


def test_the_outages_of_an_explanation_sum_up_to_its_total() -> None:
    """Where they overlap the surplus is stated, so that a pocket calculator comes to the same figure."""
    for story in ("a-year-of-acme", "second-claim-for-the-same-downtime", "customer-who-came-in-march"):
        path = STREAMS / f"{story}.jsonl"
        claim = next(json.loads(x)["subject"] for x in path.read_text().splitlines() if '"CreditRequested"' in x)
        steps = ask(path, "explain", claim)["steps"]
        parts = {p["part"]: p["seconds"] for s in steps if s["step"] == "availability" for p in s["parts"]}
        own = sum(s["value"]["counted_seconds"] for s in steps if s["step"] == "outage")

        with freezegun.freeze_time("2026-08-01T00:00:00Z"):
            text = CliRunner().invoke(cli.app, ["--db", str(path), "explain", claim]).stdout

        surplus = own + parts["counted"] + parts["already_credited"]
        assert surplus >= 0
        assert (f"of which {surplus} s lie in several" in text) == (surplus > 0)
