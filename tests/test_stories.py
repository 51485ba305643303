"""Stories: short histories under frozen time, each with what was worked out by hand and every finding in full.

`pytest --renew` writes the findings anew; read them in the diff. What was worked out by hand is never written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import freezegun
import pytest
from typer.testing import CliRunner

import cli

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
STORIES = sorted(p.stem for p in (FIXTURES / "streams").glob("*.jsonl"))


def ask(story: str, *arguments: str) -> Any:
    """What the program answers about a story, as JSON."""
    result = CliRunner().invoke(cli.app, ["--db", str(FIXTURES / "streams" / f"{story}.jsonl"), *arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def findings(story: str) -> dict[str, Any]:
    """Every finding about a story: cases, order, the availability of each year it touches, claims."""
    log = ask(story, "log")
    years = sorted({int(row["time"][:4]) for row in log if row["stream"].startswith("outage:")} - {2024})
    claims = sorted({row["stream"] for row in log if row["type"] == "CreditRequested"})
    return {
        "compliance": ask(story, "compliance"),
        "order": ask(story, "order"),
        "availability": [row for year in years for row in ask(story, "availability", "--year", str(year))],
        "claims": [ask(story, "claim", "assess", claim) for claim in claims],
    }


def dumped(expected: dict[str, Any]) -> str:
    """The expectation with one finding a line, so that a diff can be read."""
    parts = []
    for key, rows in expected["findings"].items():
        lines = ",\n".join("   " + json.dumps(row, ensure_ascii=False) for row in rows)
        parts.append(f'  "{key}": [' + (f"\n{lines}\n  ]" if rows else "]"))
    head = json.dumps({k: expected[k] for k in ("point", "as_of", "by_hand")}, indent=1, ensure_ascii=False)
    return head[:-2] + ',\n "findings": {\n' + ",\n".join(parts) + "\n }\n}\n"


@pytest.mark.parametrize("story", STORIES)
def test_story(story: str, request: pytest.FixtureRequest) -> None:
    path = FIXTURES / "expected" / f"{story}.json"
    expected = json.loads(path.read_text())

    with freezegun.freeze_time(expected["as_of"]):
        found = findings(story)
        check_by_hand(story, expected["by_hand"], found)

    if request.config.getoption("--renew"):
        path.write_text(dumped(expected | {"findings": found}), encoding="utf-8")
    assert found == json.loads(path.read_text())["findings"]


def check_by_hand(story: str, by_hand: dict[str, Any], found: dict[str, Any]) -> None:
    """Compare the findings with the figures that were worked out independently of the program."""
    agrees({row["case"]: row for row in found["compliance"]}, by_hand.get("compliance", {}))
    agrees({row["case"]: row for row in found["order"]}, by_hand.get("order", {}))
    known = by_hand.get("compliance_known_at")
    if known:
        for scope in (("--known-at", known["known_at"]), ("--at-entry", str(known["at_entry"]))):
            earlier = {row["case"]: row for row in ask(story, "compliance", *scope)}
            agrees(earlier, known["compliance"])
    for wanted in by_hand.get("availability", ()):
        rows = ask(story, "availability", "--year", str(wanted["year"]))
        row = next(r for r in rows if (r["customer"], r["service"]) == (wanted["customer"], wanted["service"]))
        agrees({"row": flat(row)}, {"row": {k: v for k, v in wanted.items() if k != "year"}})
    today = {decision["claim"]: decision for decision in found["claims"]}
    for claim, wanted in by_hand.get("claim", {}).items():
        recorded = ask(story, "claim", "show", claim)["decision"]
        decision = recorded or today[claim]
        agrees({claim: flat(decision)}, {claim: {k: v for k, v in wanted.items() if k != "today"}})
        agrees({claim: flat(today[claim])}, {claim: wanted.get("today", {})})
        if recorded:
            assert ask(story, "audit", claim)["result"] == "reproduced"


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A finding with the figures of its availability beside it, exclusions of zero left out."""
    inner = row["availability"] if isinstance(row["availability"].get("availability"), dict) else row
    excluded = {k: v for k, v in inner["excluded_seconds"].items() if v}
    return {**inner, **row, "percent": inner["availability"]["percent"], "excluded_seconds": excluded}


def agrees(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Every figure that is wanted is found."""
    for key, figures in wanted.items():
        assert {k: found[key][k] for k in figures} == figures, key


def test_there_are_at_least_twenty_stories_and_each_has_its_point() -> None:
    assert len(STORIES) >= 20
    for story in STORIES:
        assert json.loads((FIXTURES / "expected" / f"{story}.json").read_text())["point"]
        assert (
            len((FIXTURES / "streams" / f"{story}.jsonl").read_text().splitlines()) <= 20 or story == "a-year-of-acme"
        )
