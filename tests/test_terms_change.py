"""A new version of the terms: what it judges, what it leaves alone, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import freezegun
import pytest
from typer.testing import CliRunner

import cli
from ledger.terms import BUILT_IN, built_in_document

LATER = "easymeeting-2026-07-01"
NOW = "2027-02-01T12:00:00Z"


def document(folder: Path, *changes: tuple[str, str], name: str = LATER, at: str = "2026-07-01T00:00:00+02:00") -> Path:
    """A version that answers High within 6 hours, promises 99.5 % and credits 5 %."""
    text = built_in_document()
    for old, new in (
        (f'id = "{BUILT_IN}"', f'id = "{name}"'),
        ("2020-09-23T00:00:00+02:00", at),
        ("\nhours = 8\n", "\nhours = 6\n"),
        ('target_percent = "99.0"', 'target_percent = "99.5"'),
        ('percent_of_monthly_fee = "2.5"', 'percent_of_monthly_fee = "5.0"'),
        *changes,
    ):
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def run(path: Path, *arguments: str, status: int = 0) -> str:
    with freezegun.freeze_time(NOW):
        result = CliRunner().invoke(cli.app, ["--db", str(path), *arguments])
    assert result.exit_code == status, result.output
    return result.stderr if status else result.stdout


def ask(path: Path, *arguments: str) -> Any:
    return json.loads(run(path, *arguments, "--json"))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Two cases of seven business hours and an outage of 48 hours on either side of the change; a claim over 2026."""
    path = tmp_path / "ledger.db"
    fee = json.dumps({"service": "licence", "monthly_fee": {"amount": "1000.00", "currency": "NOK"}})
    signed = ("--customer", "acme", "--desk", "oslo", "--services", fee, "--at", "2025-01-01T00:00:00Z")
    case = ("--customer", "acme", "--service", "licence", "--channel", "web")
    run(path, "init")
    run(path, "record", "AgreementSigned", "agreement:acme", *signed)
    for number, day in enumerate(("2026-06-30", "2026-07-01"), 1):
        run(path, "record", "IncidentReported", f"incident:INC-{number}", *case, "--at", f"{day}T07:00:00Z")
        human = ("--responder", "human", "--at", f"{day}T14:00:00Z")
        run(path, "record", "ResponseGiven", f"incident:INC-{number}", *human)
    for number, month in enumerate(("03", "09"), 1):
        stream, begin, end = f"outage:O-{number}", f"2026-{month}-02T00:00:00Z", f"2026-{month}-04T00:00:00Z"
        noticed = ("--services", "licence", "--customers", "all", "--degree", "unavailable", "--noticed-by", "staff")
        run(path, "record", "OutageReported", stream, *noticed, "--at", begin)
        settled = ("--from", begin, "--until", end, "--reason", "r", "--at", end)
        run(path, "record", "TimeframeDetermined", stream, *settled)
        run(path, "record", "OutageAttributed", stream, "--cause", "failure", "--reason", "r", "--at", end)
    period = ("--from", "2026-01-01", "--until", "2027-01-01")
    run(path, "claim", "submit", "C-1", "--customer", "acme", "--service", "licence", *period)
    return path


def test_each_case_is_judged_by_the_terms_at_its_receipt(ledger: Path, tmp_path: Path) -> None:
    run(ledger, "terms", "post", str(document(tmp_path)))

    rows = ask(ledger, "compliance")

    assert [(r["terms"], r["verdict"]) for r in rows] == [(BUILT_IN, "met"), (LATER, "breached")]
    assert all(any(p in r["because"] for p in (1, 14)) for r in rows)


def test_or_all_by_those_at_the_end_of_the_reported_period(ledger: Path, tmp_path: Path) -> None:
    run(ledger, "terms", "post", str(document(tmp_path)))
    reading = ("--reading", "terms_change=period_end")

    later = ask(ledger, "compliance", *reading)
    earlier = ask(ledger, "compliance", *reading, "--until", "2026-07-01")

    assert [(r["terms"], r["verdict"]) for r in later] == [(LATER, "breached"), (LATER, "breached")]
    assert [(r["case"], r["terms"], r["verdict"]) for r in earlier] == [("incident:INC-1", BUILT_IN, "met")]


def test_target_and_credit_are_those_at_the_periods_end(ledger: Path, tmp_path: Path) -> None:
    before = ask(ledger, "claim", "assess", "C-1")
    run(ledger, "terms", "post", str(document(tmp_path)))

    after = ask(ledger, "claim", "assess", "C-1")
    old_year = ask(ledger, "availability", "--from", "2026-01-01", "--until", "2026-07-01")[0]

    assert (before["terms"], before["rate_percent"], before["credit"]["amount"]) == (BUILT_IN, "2.5000", "25.00")
    assert (after["terms"], after["rate_percent"], after["credit"]["amount"]) == (LATER, "5.0000", "50.00")
    assert (after["availability"]["target_percent"], old_year["target_percent"]) == ("99.5", "99.0")
    assert old_year["terms"] == BUILT_IN


def test_a_decision_keeps_the_terms_it_was_made_by(ledger: Path, tmp_path: Path) -> None:
    run(ledger, "claim", "decide", "C-1")
    run(ledger, "terms", "post", str(document(tmp_path)))

    audited = ask(ledger, "audit", "C-1")

    assert audited["result"] == "reproduced"
    assert audited["today"]["credit"]["amount"] == "50.00"
    assert [row["type"] for row in audited["today"]["moved_by"]] == ["TermsPosted"]


def test_readings_are_posted_with_the_terms(ledger: Path, tmp_path: Path) -> None:
    run(ledger, "terms", "post", str(document(tmp_path, ('lost_steps = "whole"', 'lost_steps = "begun"'))))

    assert ask(ledger, "claim", "assess", "C-1")["steps"] == 2
    assert ask(ledger, "claim", "assess", "C-1", "--terms", BUILT_IN)["steps"] == 1
    assert ask(ledger, "claim", "assess", "C-1", "--reading", "lost_steps=exact")["steps"] == "1.0958"


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        ({}, ("--at", "2026-08-01T00:00:00Z"), "takes effect at 2026-06-30T22:00:00Z, not at 2026-08-01T00:00:00Z"),
        ({"name": BUILT_IN}, (), "is posted already with another document"),
        ({"at": "2020-09-23T00:00:00+02:00"}, (), "takes effect at the same instant"),
        ({"at": "2027-07-01T00:00:00+02:00"}, (), "in the future"),
    ],
    ids=["another time", "another document", "the same instant", "the future"],
)
def test_what_contradicts_the_posted_terms_is_refused(
    ledger: Path, tmp_path: Path, changes: dict[str, str], options: tuple[str, ...], says: str
) -> None:
    path = document(tmp_path, **changes)

    assert says in run(ledger, "terms", "post", str(path), *options, status=1)
    assert [row["terms"] for row in ask(ledger, "terms", "list")] == [BUILT_IN]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('lost_steps = "whole"', 'lost_steps = "most"'), "terms.readings.lost_steps"),
        (("\nhours = 6\n", '\nhours = "six"\n'), "terms.targets.high.hours"),
        (("[credit]", "[credits]"), "terms"),
        (('title = "', "title = "), "not TOML"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused_by_its_key(
    ledger: Path, tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    assert says in run(ledger, "terms", "post", str(document(tmp_path, change)), status=1)


def test_what_changed_between_two_versions(ledger: Path, tmp_path: Path) -> None:
    run(ledger, "terms", "post", str(document(tmp_path)))

    rows = {r["term"]: (r["before"], r["after"]) for r in ask(ledger, "terms", "show", "--diff", BUILT_IN, LATER)}

    assert rows["targets.high.hours"] == (8, 6)
    assert rows["availability.target_percent"] == ("99.0", "99.5")
    assert rows["credit.percent_of_monthly_fee"] == ("2.5", "5.0")
    assert not any(term.startswith(("clauses", "desks", "readings")) for term in rows)


def test_readings_that_contradict_each_other_are_refused_with_the_reason(ledger: Path) -> None:
    both = ("--reading", "best_effort=phone,chat", "--reading", "off_hours_phone=next_opening")
    twice = ("--reading", "lost_steps=exact", "--reading", "lost_steps=begun")

    assert "contradict each other" in run(ledger, "compliance", *both, status=1)
    assert "at once" in run(ledger, "claim", "assess", "C-1", *twice, status=1)
    run(ledger, "compliance", *both[:2])


def test_what_judged_so_far_goes_on_judging_the_past(tmp_path: Path) -> None:
    """A ledger that nobody posted terms to is judged by the built-in ones; a new version does not reach back."""
    story = Path(__file__).resolve().parents[1] / "fixtures" / "streams" / "a-year-of-acme.jsonl"
    ledger = tmp_path / "copy.db"
    run(ledger, "import", "--verbatim", str(story))
    before = ask(ledger, "compliance", "--as-of", "2026-01-12T09:00:00Z")

    run(ledger, "terms", "post", str(document(tmp_path)))

    after = ask(ledger, "compliance", "--as-of", "2026-01-12T09:00:00Z")
    assert [(r["case"], r["terms"], r["verdict"]) for r in after] == [
        (r["case"], r["terms"], r["verdict"]) for r in before
    ]
    assert [r["terms"] for r in ask(ledger, "terms", "list")] == [BUILT_IN, LATER]
