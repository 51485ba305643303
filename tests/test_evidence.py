"""The evidence of an outage side by side, and the frame that is taken from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import freezegun
import pytest
from typer.testing import CliRunner

import cli

REPORT: dict[str, Any] = {"services": ["licence"], "customers": "all", "degree": "unavailable", "noticed_by": "staff"}
NOW = "2026-06-02T00:00:00Z"
SETTLED = {"decided_by": "noc", "reason": "matched"}


def line(name: str, at: str, stream: str = "outage:O-1", **data: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "type": name, "subject": stream, "time": f"2026-06-01T{at}Z", "data": data}


def seen(source: str, begin: str, end: str | None, at: str = "20:00:00") -> dict[str, Any]:
    data: dict[str, Any] = {"source": source, "from": f"2026-06-01T{begin}Z"}
    if end is not None:
        data["until"] = f"2026-06-01T{end}Z"
    return line("EvidenceRecorded", at, **data)


def history(tmp_path: Path, *lines: dict[str, Any]) -> str:
    path = tmp_path / "history.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in (line("OutageReported", "10:00:00", **REPORT), *lines)))
    return str(path)


def run(db: str, *arguments: str, status: int = 0) -> str:
    with freezegun.freeze_time(NOW):
        result = CliRunner().invoke(cli.app, ["--db", db, *arguments])
    assert result.exit_code == status, result.output
    return result.stderr if status else result.stdout


def ask(db: str, *arguments: str) -> Any:
    return json.loads(run(db, *arguments, "--json"))


TWO = (seen("event_monitoring", "10:00:00", "12:00:00"), seen("client_report", "10:30:00", "13:00:00"))


def test_sources_stand_side_by_side_with_what_they_agree_on_and_what_one_alone_saw(tmp_path: Path) -> None:
    found = ask(history(tmp_path, *TWO), "reconcile", "O-1")

    assert [(s["source"], s["seconds"], s["versions"]) for s in found["sources"]] == [
        ("event_monitoring", 7200, [2]),
        ("client_report", 9000, [3]),
    ]
    assert (found["agreed_seconds"], found["seen_seconds"]) == (5400, 10800)
    assert found["proposed"]["spans"] == [{"from": "2026-06-01T10:30:00Z", "until": "2026-06-01T12:00:00Z"}]
    assert [(c["only"], c["seconds"]) for c in found["contradictions"]] == [
        ("event_monitoring", 1800),
        ("client_report", 3600),
    ]
    assert (found["gaps"], found["determined"], found["because"]) == ([], None, [1, 2, 3])


@pytest.mark.parametrize(
    ("reading", "seconds"),
    [("two_sources", 5400), ("any_source", 10800), ("all_sources", 5400), ("client_report", 9000)],
)
def test_the_proposal_follows_the_reading(tmp_path: Path, reading: str, seconds: int) -> None:
    found = ask(history(tmp_path, *TWO), "reconcile", "O-1", "--reading", f"evidence={reading}")

    assert (found["proposed"]["reading"], found["proposed"]["seconds"]) == (reading, seconds)


def test_gaps_open_sources_and_unwatched_time_are_named(tmp_path: Path) -> None:
    unwatched = {"from": "2026-06-01T11:00:00Z", "until": "2026-06-01T11:30:00Z"}
    gap = line("MonitoringGapRecorded", "21:00:00", "monitoring:licence", reason="agent restarted", **unwatched)
    monitored = (seen("event_monitoring", "10:00:00", "11:00:00"), seen("event_monitoring", "12:00:00", None))
    db = history(tmp_path, *monitored, gap)

    found = ask(db, "reconcile", "O-1")

    assert found["gaps"] == [{"from": "2026-06-01T11:00:00Z", "until": "2026-06-01T12:00:00Z"}]
    assert found["monitoring_gaps"] == [unwatched]
    assert [s["open"] for s in found["sources"]] == [True]
    assert found["doubts"] == ["never_closed", "uncorroborated", "undetermined"]
    assert "nobody saw 2026-06-01T11:00:00Z to 2026-06-01T12:00:00Z" in run(db, "reconcile", "O-1")


def test_the_proposal_is_taken_by_naming_its_evidence(tmp_path: Path) -> None:
    db = str(tmp_path / "ledger.db")
    run(db, "init")
    run(db, "import", history(tmp_path, *TWO))

    run(db, "record", "TimeframeDetermined", "outage:O-1", "--evidence", "2", "--evidence", "3", "--reason", "agreed")

    shown = ask(db, "show", "outage:O-1")
    assert shown["entries"][-1]["data"]["spans"] == [{"from": "2026-06-01T10:30:00Z", "until": "2026-06-01T12:00:00Z"}]
    assert shown["entries"][-1]["data"]["evidence"] == [2, 3]
    assert shown["amounts_to"]["frame"] == "determined"


@pytest.mark.parametrize(
    ("evidence", "says"),
    [((), "there is nothing to take a frame from"), ((seen("client_report", "10:00:00", None),), "has not ended")],
    ids=["no evidence", "open evidence"],
)
def test_a_frame_is_not_taken_from_nothing(tmp_path: Path, evidence: tuple[dict[str, Any], ...], says: str) -> None:
    db = str(tmp_path / "ledger.db")
    run(db, "init")
    run(db, "import", history(tmp_path, *evidence))
    named = ("--evidence", "2") if evidence else ()

    refused = run(db, "record", "TimeframeDetermined", "outage:O-1", *named, "--reason", "agreed", status=1)

    assert says in refused


def test_a_frame_against_all_evidence_is_flagged_wherever_it_is_used(tmp_path: Path) -> None:
    frame: dict[str, Any] = {
        "from": "2026-06-01T14:00:00Z",
        "until": "2026-06-01T15:00:00Z",
        "evidence": [2, 3],
        **SETTLED,
    }
    fee = {"service": "licence", "monthly_fee": {"amount": "1000.00", "currency": "NOK"}}
    signed = {"customer": "acme", "desk": "oslo", "services": [fee]}
    period: dict[str, Any] = {"from": "2025-06-01", "until": "2026-06-01"}
    db = history(
        tmp_path,
        *TWO,
        line("TimeframeDetermined", "21:00:00", **frame),
        line("OutageAttributed", "21:00:00", cause="failure", **SETTLED),
        line("AgreementSigned", "21:00:00", "agreement:acme", **signed, effective_from="2025-01-01T00:00:00Z"),
        line("CreditRequested", "22:00:00", "claim:C-1", customer="acme", service="licence", **period),
    )

    assert "against_evidence" in ask(db, "availability", "--year", "2026")[0]["doubts"]
    assert "against_evidence" in ask(db, "reconcile", "O-1")["doubts"]
    assert "against_evidence" in ask(db, "show", "outage:O-1")["amounts_to"]["doubts"]
    later = ask(db, "availability", "--from", "2025-06-01", "--until", "2026-06-01")[0]
    assert (later["outages"], ask(db, "claim", "assess", "C-1")["doubts"]) == ([], [])
