"""The life of a claim: submitted, assessed, decided, disputed, upheld or revised, issued; never out of order."""

from __future__ import annotations

import json
import shlex
from hashlib import sha256
from pathlib import Path

import freezegun
import pytest
from typer.testing import CliRunner

from cli import app
from ledger.terms import BUILT_IN, built_in_document
from tests.support import do, log

YEAR = Path(__file__).resolve().parents[1] / "fixtures" / "streams" / "a-year-of-acme.jsonl"
SUBMIT = "claim submit 1 --customer acme --service licence --from 2025-01-01 --until 2026-01-01"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    do(path, "init")
    return path


def claim_state(ledger: Path) -> tuple[str, str | None]:
    """Status and verdict of the claim."""
    shown = json.loads(do(ledger, "--json", "claim", "show", "1").stdout)
    return shown["status"], shown["verdict"]


def test_a_claim_lives_from_submission_to_issue_and_nothing_happens_out_of_order(ledger: Path) -> None:
    do(ledger, "import", str(YEAR))
    later = ["dispute 1 --by acme --reason r", "uphold 1 --decided-by lead", "issue 1 --reference R-1"]
    for command in ["decide 1", "assess 1", "show 1", "revise 1", *later]:
        do(ledger, "claim", *shlex.split(command), code=1)
    do(ledger, *SUBMIT.split())
    do(ledger, *SUBMIT.split(), code=1)
    entries = len(log(ledger))
    assessed = json.loads(do(ledger, "--json", "claim", "assess", "1").stdout)
    assert (len(log(ledger)), claim_state(ledger)) == (entries, ("submitted", None))
    for command in ["revise 1", *later]:
        do(ledger, "claim", *shlex.split(command), code=1)

    decided = json.loads(do(ledger, "--json", "claim", "decide", "1", "--decided-by", "lead").stdout)
    assert decided == assessed
    assert claim_state(ledger) == ("granted", "granted")
    for command in ["decide 1", "uphold 1", "revise 1"]:
        do(ledger, "claim", *command.split(), code=1)
    for end, status in [
        ("uphold 1 --reason r", "granted"),
        ("revise 1 --reason r --reading lost_steps=begun", "granted"),
    ]:
        do(ledger, "claim", "dispute", "1", "--by", "acme", "--reason", "too little")
        assert claim_state(ledger)[0] == "disputed"
        do(ledger, "claim", *shlex.split(end))
        assert claim_state(ledger)[0] == status
    do(ledger, "claim", "issue", "1", "--reference", "R-1")
    assert claim_state(ledger) == ("issued", "granted")
    do(ledger, "claim", "issue", "1", "--reference", "R-2", code=1)
    shown = json.loads(do(ledger, "--json", "claim", "show", "1").stdout)
    assert shown["credit"] == {"amount": "900.00", "currency": "NOK"}
    kept = "CreditRequested CreditGranted CreditDisputed DecisionUpheld CreditDisputed CreditRevised CreditIssued"
    assert " ".join(x["type"] for x in shown["entries"]) == kept
    assert json.loads(do(ledger, "--json", "audit", "1").stdout)["result"] == "reproduced"


def test_a_refused_claim_is_a_decision_and_is_never_paid(ledger: Path) -> None:
    do(ledger, *SUBMIT.split())

    decided = json.loads(do(ledger, "--json", "claim", "decide", "1").stdout)

    assert (decided["verdict"], claim_state(ledger)) == ("refused", ("refused", "refused"))
    assert "decision_does_not_pay" in do(ledger, "claim", "issue", "1", "--reference", "R-1", code=1).stderr


def test_what_is_not_settled_is_not_decided_but_listed_with_its_commands(ledger: Path) -> None:
    do(ledger, *SUBMIT.split())
    report = "OutageReported outage:O-1 --services licence --customers all --degree unavailable --noticed-by staff"
    do(ledger, "record", *report.split(), "--at", "2025-06-01T00:00:00Z")
    do(ledger, "record", "ServiceRestored", "outage:O-1", "--at", "2025-06-11T00:00:00Z")
    before = log(ledger)

    for command in ("decide", "assess"):
        refused = do(ledger, "claim", command, "1", code=1).stderr.splitlines()
        assert refused[:2] == ["claim:1", "cannot be decided yet, missing:"]
        assert "sla-ledger record TimeframeDetermined outage:O-1 " in refused[2]
        assert "sla-ledger record OutageAttributed outage:O-1 " in refused[3]
    shown = json.loads(do(ledger, "--json", "claim", "assess", "1", "--provisional").stdout)

    assert (shown["availability"]["provisional"], shown["availability"]["counted_seconds"]) == (True, 10 * 86_400)
    assert {"undetermined", "unattributed"} <= set(shown["doubts"])
    assert log(ledger) == before


@pytest.mark.parametrize(
    "begin, end", [("0001-01-01", "0002-01-01"), ("9998-12-31", "9999-12-31"), ("9999-01-01", "9999-12-31")]
)
def test_a_claim_at_the_ends_of_time_is_no_fault_of_the_program(ledger: Path, begin: str, end: str) -> None:
    far = f"claim submit 1 --customer acme --service licence --from {begin} --until {end}"

    with freezegun.freeze_time("2026-02-01T09:00:00Z"):
        results = [CliRunner().invoke(app, ["--db", str(ledger), *c.split()]) for c in (far, "claim assess 1")]

    assert all("fault of this program" not in result.stderr for result in results)


def test_a_decision_by_other_terms_is_made_again_by_those_terms(ledger: Path, tmp_path: Path) -> None:
    document = built_in_document().replace(BUILT_IN, "doubled", 1)
    document = document.replace('percent_of_monthly_fee = "2.5"', 'percent_of_monthly_fee = "5.0"')
    data = {"document": document, "sha256": sha256(document.encode()).hexdigest()}
    head = {"specversion": "1.0", "type": "TermsPosted", "subject": "terms:doubled", "time": "2026-01-31T00:00:00Z"}
    (tmp_path / "terms.jsonl").write_text(json.dumps({**head, "data": data}))
    do(ledger, "import", str(YEAR), str(tmp_path / "terms.jsonl"))

    decided = json.loads(do(ledger, "--json", "--terms", "doubled", "claim", "decide", "2025").stdout)

    assert (decided["terms"], decided["credit"]["amount"]) == ("doubled", "1200.00")
    assert json.loads(do(ledger, "--json", "audit", "2025").stdout)["result"] == "reproduced"
