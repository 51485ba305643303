"""The main job on real histories: imported without a lost row, reported, one claim decided, explained, audited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import freezegun
import pytest
from typer.testing import CliRunner

import cli

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real histories are not here: {DATA}")
SERVICE = "gossembrot-bibliothek"  # down for more than eight days in its year


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with the real incident log and both monitor histories, and a customer of the worst service."""
    folder = tmp_path_factory.mktemp("real")
    path, rejects = folder / "ledger.db", folder / "rejects.jsonl"
    with freezegun.freeze_time("2026-11-23T12:00:00Z"):
        run(path, "init")
        log = str(DATA / "servicenow" / "incident_event_log_head.csv.gz")
        found = ask(path, "import", "--from", "servicenow", log, "--zone", "Europe/Oslo", "--rejects", str(rejects))
        assert len(rejects.read_text().splitlines()) == found["rejected"] == len(found["rejects"])
        for site in ("upptime_bern", "upptime_manticore"):
            history, heads = str(DATA / site / "status_commits.csv"), str(DATA / site / "sites_head.json")
            settled = ("--attribute", "failure", "--decided-by", "ops")
            run(path, "import", "--from", "upptime", history, "--heads", heads, *settled)
        fee = json.dumps({"service": SERVICE, "monthly_fee": {"amount": "12000.00", "currency": "NOK"}})
        signed = ("--customer", "library", "--desk", "oslo", "--services", fee, "--at", "2025-08-01T00:00:00Z")
        run(path, "record", "AgreementSigned", "agreement:library", *signed)
    return path


def run(path: Path, *arguments: str) -> str:
    result = CliRunner().invoke(cli.app, ["--db", str(path), *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def ask(path: Path, *arguments: str) -> Any:
    return json.loads(run(path, *arguments, "--json"))


def test_a_second_import_of_the_same_rows_adds_nothing(ledger: Path, tmp_path: Path) -> None:
    log = str(DATA / "servicenow" / "incident_event_log_head.csv.gz")
    rejects = str(tmp_path / "rejects.jsonl")

    again = ask(ledger, "import", "--from", "servicenow", log, "--zone", "Europe/Oslo", "--rejects", rejects)

    assert again["added"] == 0
    assert again["already_there"] > 40_000


def test_compliance_and_order_sum_up_every_incident(ledger: Path) -> None:
    months, priorities = (ask(ledger, "compliance", "--by", by) for by in ("month", "priority"))

    assert months[-1]["total"] == priorities[-1]["total"] == sum(r["total"] for r in months[:-1]) > 9_000
    for row in [*months, *priorities]:
        verdicts = ("met", "breached", "open", "overdue", "paused", "best_effort", "cancelled")
        assert sum(row[v] for v in verdicts) == row["total"]
    totals = ask(ledger, "order", "--totals")
    assert totals["handled"] <= months[-1]["total"]
    assert totals["overtaken"] <= totals["overtakings"]


def test_availability_of_every_service_adds_up(ledger: Path) -> None:
    rows = ask(ledger, "availability", "--from", "2025-08-22", "--until", "2026-08-22")

    assert len(rows) > 50
    for row in rows:
        assert row["period_seconds"] == 365 * 86400
        assert row["up_seconds"] + row["counted_seconds"] + row["unknown_seconds"] == row["period_seconds"]


def test_a_claim_is_submitted_decided_explained_and_audited(ledger: Path) -> None:
    claim = ("--customer", "library", "--service", SERVICE, "--from", "2025-08-22", "--until", "2026-08-22")
    with freezegun.freeze_time("2026-11-23T12:00:00Z"):
        run(ledger, "claim", "submit", "C-1", *claim)
        decided = ask(ledger, "claim", "decide", "C-1", "--decided-by", "finance")
        explained = ask(ledger, "explain", "claim:C-1")
        audited = ask(ledger, "audit", "C-1")

    down = decided["availability"]["counted_seconds"]
    assert (decided["verdict"], decided["steps"]) == ("granted", down * 100 // (365 * 86400))
    assert decided["credit"] == {"amount": f"{decided['steps'] * 300}.00", "currency": "NOK"}
    assert explained["finding"] == decided
    assert {s["step"] for s in explained["steps"]} >= {"request", "availability", "outage", "lost", "steps", "credit"}
    assert (audited["result"], audited["differences"]) == ("reproduced", [])
