"""The JSON of every finding: keys, kinds and sums, the same from run to run and in every format."""

from __future__ import annotations

import json
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import freezegun
import pytest
from typer.testing import CliRunner

from cli import app

ROOT = Path(__file__).resolve().parents[1]
STORIES = sorted(path.stem for path in (ROOT / "fixtures" / "streams").glob("*.jsonl"))
YEAR, DECIDED = "a-year-of-acme", "late-evidence-after-the-decision"
AS_OF = {YEAR: "2026-01-12T09:00:00Z"}
VERDICTS = ("met", "breached", "open", "overdue", "paused", "best_effort", "cancelled")
EXCLUDED = "planned_maintenance unplanned_maintenance emergency beyond_control not_covered customer_side"
BY = ("month", "customer", "service", "priority", "channel", "kind")
DOUBTS = (
    "no_agreement before_first_terms cut_at_as_of uncorroborated undetermined unattributed never_closed out_of_scope"
    " recorded_late dangling_reference against_evidence"
)
CLAUSES = (
    "§validity §scope §customer-duties §company-duties §not-provided §service-availability §planned-maintenance"
    " §unplanned-maintenance §emergency-service §business-hours §phone §email §chat §on-site §outside-hours"
    " §response-times §remote-assistance §availability-target §availability-calculation §availability-credit"
    " §delivery-metrics §prioritisation §order-of-handling §full-access"
)
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def shape(text: str) -> dict[str, str]:
    """The kinds of values by key, in their order, of `key:kind ...`; a kind that ends in ? may be null."""
    return dict(item.split(":") for item in text.split())


FOUND = "clauses:clauses because:positions doubts:doubts"
COMPLIANCE = shape(
    "case:text kind:text request_kind:text? customer:text service:text channel:text priority:text received_at:instant"
    " due_at:instant? responded_at:instant? paused_seconds:number business_seconds:number late_by_seconds:number?"
    f" verdict:text terms:text {FOUND}"
)
QUEUE = shape(
    "rank:number? case:text customer:text priority:text received_at:instant due_at:instant? remaining_seconds:number?"
    " at_risk:flag verdict:text doubts:doubts"
)
ORDER = shape(
    f"case:text priority:text received_at:instant handled_at:instant? overtook:number overtaken_by:number {FOUND}"
)
TOTALS = shape("handled:number out_of_turn:number overtaken:number overtakings:number in_turn_percent:two?")
AVAILABILITY = shape(
    "customer:text service:text from:instant until:instant period_seconds:number counted_seconds:number"
    " excluded_seconds:excluded already_credited_seconds:number unknown_seconds:number up_seconds:number"
    " availability:ratio? availability_if_unknown_down:ratio? target_percent:text met:flag? provisional:flag"
    f" outages:outages terms:text {FOUND}"
)
OUTAGE = shape("outage:text from:instant until:instant counted_seconds:number excluded_seconds:number reason:text")
DECISION = shape(
    "claim:text customer:text service:text from:date until:date verdict:text conditions:conditions"
    " availability:availability lost_percent:four steps:number rate_percent:four monthly_fee:money? credit:money?"
    f" warnings:list terms:text readings:object basis:basis format:number {FOUND}"
)
CONDITION = shape("condition:text holds:flag detail:object clause:text because:positions")
BASIS = shape("entries:number as_of:instant root:hash")
AUDIT = shape("claim:text result:text differences:list today:today")
TODAY = shape("verdict:text credit:money? entries_since:number")

PATTERNS = {"instant": INSTANT, "date": re.compile(r"\d{4}-\d\d-\d\d"), "two": re.compile(r"\d+\.\d\d")}
PATTERNS["hash"] = re.compile(r"[A-Za-z0-9+/]{43}=")
PATTERNS["four"] = re.compile(r"\d+\.\d{4}")
NESTED = {"outages": OUTAGE, "conditions": CONDITION, "availability": AVAILABILITY, "basis": BASIS, "today": TODAY}


def check(found: Any, expected: dict[str, str]) -> None:
    """Fail unless the object has these keys in this order among its keys, each with a value of its kind."""
    assert [key for key in found if key in expected] == list(expected)
    for key, kind in expected.items():
        assert is_of(found[key], kind), (key, found[key])


def is_of(value: Any, kind: str) -> bool:
    """Whether a value is of a kind; what is nested is checked too."""
    if value is None:
        return kind.endswith("?")
    kind = kind.rstrip("?")
    if kind in PATTERNS:
        return isinstance(value, str) and PATTERNS[kind].fullmatch(value) is not None
    if kind in NESTED:
        for item in value if isinstance(value, list) else [value]:
            check(item, NESTED[kind])
        return isinstance(value, list) == (kind in ("outages", "conditions"))
    if kind == "money":
        return list(value) == ["amount", "currency"] and re.fullmatch(r"\d+\.\d\d", value["amount"]) is not None
    if kind == "ratio":
        cut = int(Fraction(value["numerator"], value["denominator"]) * 10**6)
        return bool(value["percent"] == f"{cut // 10**4}.{cut % 10**4:04d}")
    if kind == "excluded":
        return list(value) == EXCLUDED.split() and all(type(n) is int for n in value.values())
    if kind == "positions":
        return bool(value == sorted(set(value)) and all(type(n) is int for n in value))
    if kind == "clauses":
        return bool(value and value == [c for c in CLAUSES.split() if c in value])
    if kind == "doubts":
        return bool(value == sorted(set(value)) and set(value) <= set(DOUBTS.split()))
    return type(value) is {"text": str, "number": int, "flag": bool, "list": list, "object": dict}[kind]


def run(*arguments: str, story: str = YEAR, code: int = 0, as_of: str | None = None) -> str:
    """What the command prints about a story, judged at an instant."""
    options = ["--db", str(ROOT / "fixtures" / "streams" / f"{story}.jsonl")]
    options += ["--as-of", as_of or AS_OF.get(story, "2026-09-01T12:00:00Z")]
    with freezegun.freeze_time("2026-09-02T09:00:00Z"):
        result = CliRunner().invoke(app, [*options, *arguments])
    assert (result.exit_code, result.stderr) == (code, "")
    return result.stdout


def rows(*arguments: str, story: str = YEAR) -> list[dict[str, Any]]:
    """The rows of a report."""
    found = json.loads(run("--json", *arguments, story=story))
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("story", STORIES)
def test_compliance_rows_have_their_shape_and_stand_in_order_of_receipt(story: str) -> None:
    found = rows("compliance", story=story)

    for row in found:
        check(row, COMPLIANCE)
        assert row["verdict"] in VERDICTS
        assert (row["kind"] == "request") == (row["request_kind"] is not None)
        assert (row["due_at"] is None) == (row["verdict"] in ("paused", "best_effort"))
    assert [r["received_at"] for r in found] == sorted(r["received_at"] for r in found)


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("story", [YEAR, "chat-apart", "downgraded-after-the-deadline", "exactly-99"])
def test_totals_count_each_finding_once_and_end_with_all(story: str, by: str) -> None:
    findings = rows("compliance", story=story)

    found = rows("compliance", "--by", by, story=story)

    for row in found:
        check(row, shape(f"{by}:text total:number {' '.join(f'{v}:number' for v in VERDICTS)} rate_percent:two?"))
        judged = row["met"] + row["breached"] + row["overdue"]
        cut = row["met"] * 10_000 // judged if judged else 0
        assert row["rate_percent"] == (f"{cut // 100}.{cut % 100:02d}" if judged else None)
        assert row["total"] == sum(row[v] for v in VERDICTS)
    *groups, last = found
    assert last[by] == "all"
    assert Counter(f["verdict"] for f in findings) == Counter({v: last[v] for v in VERDICTS if last[v]})
    assert all(sum(g[v] for g in groups) == last[v] for v in VERDICTS)
    if by != "month":
        assert Counter(f[by] for f in findings) == Counter({g[by]: g["total"] for g in groups})
    if by == "priority":
        assert [g[by] for g in groups] == [p for p in ("high", "medium", "low") if p in {g[by] for g in groups}]
    else:
        assert [g[by] for g in groups] == sorted(g[by] for g in groups)


@pytest.mark.parametrize("story, as_of", [(s, None) for s in STORIES] + [(YEAR, "2026-01-12T21:00:00Z")])
def test_queue_holds_the_unanswered_by_priority_then_receipt_and_paused_ones_last(
    story: str, as_of: str | None
) -> None:
    findings = json.loads(run("--json", "compliance", story=story, as_of=as_of))

    found = json.loads(run("--json", "queue", story=story, as_of=as_of))

    for row in found:
        check(row, QUEUE)
        assert (row["remaining_seconds"] is None) == (row["due_at"] is None)
        assert (row["verdict"] == "overdue") == ((row["remaining_seconds"] or 0) < 0)
    judged = {f["case"] for f in findings if f["verdict"] in ("open", "overdue", "paused")}
    assert {r["case"] for r in found if r["verdict"] != "best_effort"} == judged
    places = {"high": 0, "medium": 1, "low": 2}
    paused = [r["verdict"] == "paused" for r in found]
    assert found == sorted(found, key=lambda r: (r["verdict"] == "paused", places[r["priority"]], r["received_at"]))
    assert [r["rank"] for r in found] == [None if waits else n for n, waits in enumerate(paused, 1)]


@pytest.mark.parametrize("story", STORIES)
def test_order_rows_and_their_totals_agree(story: str) -> None:
    found = rows("order", story=story)
    summed = json.loads(run("--json", "order", "--totals", story=story))

    for row in found:
        check(row, ORDER)
    check(summed, TOTALS)
    handled = [r for r in found if r["handled_at"]]
    out_of_turn = sum(r["overtook"] > 0 for r in handled)
    cut = (len(handled) - out_of_turn) * 10_000 // len(handled) if handled else 0
    assert summed == {
        "handled": len(handled),
        "out_of_turn": out_of_turn,
        "overtaken": sum(r["overtaken_by"] > 0 for r in found),
        "overtakings": sum(r["overtook"] for r in found),
        "in_turn_percent": f"{cut // 100}.{cut % 100:02d}" if handled else None,
    }
    assert sum(r["overtook"] for r in found) == sum(r["overtaken_by"] for r in found)


@pytest.mark.parametrize(
    "period", ["--year 2025", "--from 2025-03-01 --until 2026-03-01", "--from 2026-08-31 --until 2027-01-01"]
)
@pytest.mark.parametrize("story", STORIES)
def test_the_parts_of_availability_add_up_to_the_period(story: str, period: str) -> None:
    found = rows("availability", *period.split(), story=story)

    for row in found:
        check(row, AVAILABILITY)
        add_up(row)


def add_up(row: dict[str, Any]) -> None:
    """Fail unless the parts of an availability make its period, and its ratios its parts."""
    parts = [row[f"{name}_seconds"] for name in ("counted", "already_credited", "unknown", "up")]
    assert sum(parts) + sum(row["excluded_seconds"].values()) == row["period_seconds"]
    assert min([*parts, *row["excluded_seconds"].values()]) >= 0
    if row["availability"] is None:
        assert (row["period_seconds"], row["met"]) == (0, None)
        return
    numerator, denominator = row["availability"]["numerator"], row["availability"]["denominator"]
    assert (numerator, denominator) == (row["period_seconds"] - row["counted_seconds"], row["period_seconds"])
    assert row["availability_if_unknown_down"]["numerator"] == numerator - row["unknown_seconds"]
    assert row["met"] == (Fraction(numerator, denominator) >= Fraction(99, 100))
    assert row["until"] > row["from"]


def test_a_period_after_the_instant_has_no_availability_and_says_so() -> None:
    (row, *_) = rows("availability", "--year", "2027")

    assert (row["availability"], row["availability_if_unknown_down"], row["period_seconds"]) == (None, None, 0)
    assert "cut_at_as_of" in row["doubts"]


@pytest.mark.parametrize(
    "story, claim", [(YEAR, "claim:2025"), (DECIDED, "claim:C-1"), ("second-claim-for-the-same-downtime", "C-2")]
)
def test_an_assessment_has_its_shape(story: str, claim: str) -> None:
    found = json.loads(run("--json", "claim", "assess", claim, story=story))

    check(found, DECISION)
    add_up(found["availability"])
    assert [c["condition"] for c in found["conditions"]] == ["agreement", "twelve_months", "ended", "below_target"]
    assert all(c["clause"] in CLAUSES.split() for c in found["conditions"])
    assert (found["verdict"] == "granted") == all(c["holds"] for c in found["conditions"])
    assert found["format"] == 1
    assert len(found["other_readings"]) == 5


def test_a_decision_is_printed_stored_and_shown_in_one_shape_and_its_audit_reproduces_it(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    story = ROOT / "fixtures" / "streams" / f"{YEAR}.jsonl"
    at = ["--db", str(ledger), "--as-of", AS_OF[YEAR], "--json"]
    assert CliRunner().invoke(app, ["--db", str(ledger), "import", "--verbatim", str(story)]).exit_code == 0

    with freezegun.freeze_time("2026-01-12T10:00:00Z"):
        decided = CliRunner().invoke(app, [*at, "claim", "decide", "2025", "--at", AS_OF[YEAR]])
        shown = CliRunner().invoke(app, [*at, "claim", "show", "2025"])
        audited = CliRunner().invoke(app, [*at, "audit", "2025"])

    decision = json.loads(decided.stdout)
    check(decision, DECISION)
    assert json.dumps(json.loads(shown.stdout)["decision"]) == json.dumps(decision)
    audit = json.loads(audited.stdout)
    check(audit, AUDIT)
    assert (audit["result"], audit["differences"], audit["today"]["entries_since"]) == ("reproduced", [], 1)
    assert audit["today"]["credit"] == decision["credit"] == {"amount": "600.00", "currency": "NOK"}
