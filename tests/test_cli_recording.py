"""Facts go in by hand, by import and through a claim's life; whatever is refused leaves the ledger as it was."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.events import EVENTS
from ledger.streams.acceptance import ACCEPTED
from tests.support import do, log

STREAMS = Path(__file__).resolve().parents[1] / "fixtures" / "streams"
YEAR = STREAMS / "a-year-of-acme.jsonl"
BY_COMMAND = {"TermsPosted": "terms", "CreditGranted": "claim", "CreditRefused": "claim", "CreditRevised": "claim"}
SPAN = '"from": "2026-01-05T10:00:00Z", "until": "2026-01-05T11:00:00Z"'
FEE = '"monthly_fee": {"amount": "1000.00", "currency": "NOK"}'
WHY = '"reason": "by word of mouth"'
TOLD = '"notified": ["incident:1"]'
CASE = '"customer": "acme", "service": "licence", "channel": "phone"'
# every fact that is recorded by hand, each stream in an order it accepts
FACTS = f"""
HolidaysPublished calendar:oslo {{"desk": "oslo", "dates": ["2026-05-01", "2026-05-17"]}}
EntryCorrected calendar:oslo {{"version": 1, {WHY}, "time": "2026-01-04T00:00:00Z", "data": {{"desk": "oslo"}}}}
EntryWithdrawn calendar:oslo {{"version": 1, {WHY}}}
AgreementSigned agreement:a {{"customer": "a", "desk": "oslo", "services": [{{"service": "s", {FEE}}}]}}
ServiceAdded agreement:a {{"effective_from": "2026-01-01T23:00:00Z", "service": "bridge", {FEE}}}
MonthlyFeeAgreed agreement:a {{"service": "bridge", {FEE}}}
ServiceEnded agreement:a {{"service": "bridge"}}
RoundTheClockSupportAgreed agreement:a {{}}
RoundTheClockSupportEnded agreement:a {{}}
AgreementEnded agreement:a {{{WHY}}}
IncidentReported incident:1 {{{CASE}, "remote_assistance": true, "summary": "no sound", "source": "desk"}}
PriorityAssigned incident:1 {{"priority": "medium", {WHY}}}
AccessRequested incident:1 {{"what": "remote_access"}}
AccessGranted incident:1 {{"what": "remote_access"}}
ResponseGiven incident:1 {{"responder": "human"}}
TroubleshootingStarted incident:1 {{}}
IncidentResolved incident:1 {{}}
IncidentReopened incident:1 {{{WHY}}}
IncidentCancelled incident:1 {{{WHY}}}
ServiceRequested request:1 {{{CASE}, "kind": "webcast", "wanted_for": "2026-03-01T09:00:00Z"}}
RequestFulfilled request:1 {{}}
RequestCancelled request:1 {{{WHY}}}
OutageReported outage:1 {{"services": ["a", "b"], "customers": "all", "degree": "degraded", "noticed_by": "staff"}}
OutageReported outage:2 {{"services": ["a"], "customers": ["b", "c"], "degree": "degraded", "noticed_by": "staff"}}
EvidenceRecorded outage:1 {{"source": "client_report", {SPAN}, "reference": "mail of Monday"}}
ServiceRestored outage:1 {{}}
TimeframeDetermined outage:1 {{{SPAN}, "evidence": [2], "decided_by": "ops", {WHY}}}
TimeframeDetermined outage:1 {{"spans": [{{{SPAN}}}], "evidence": [], "decided_by": "ops", {WHY}}}
OutageAttributed outage:1 {{"cause": "not_covered", "ground": "content", "decided_by": "ops", {WHY}}}
MaintenanceScheduled maintenance:1 {{"category": "planned", "services": ["licence"], {SPAN}, {WHY}}}
MaintenanceCommunicated maintenance:1 {{"audience": ["customers", "partners"]}}
MaintenanceRescheduled maintenance:1 {{{SPAN}, {WHY}}}
MaintenanceStarted maintenance:1 {{}}
MaintenanceCompleted maintenance:1 {{}}
MaintenanceScheduled maintenance:2 {{"category": "emergency", "services": ["licence"], {SPAN}, {WHY}}}
MaintenanceCancelled maintenance:2 {{{WHY}}}
MonitoringGapRecorded monitoring:licence {{{SPAN}, {WHY}}}
BackupTaken backup:1 {{"scope": "all"}}
BackupDeleted backup:1 {{}}
CreditRequested claim:1 {{"customer": "a", "service": "s", "from": "2025-01-01", "until": "2026-01-01", {TOLD}}}
""".replace('"data": {"desk": "oslo"}', '"data": {"desk": "oslo", "dates": ["2026-05-01"]}')
AT = "2026-01-05T12:00:00Z"
CLOSED = "HolidaysPublished calendar:oslo --desk oslo --dates 2026-05-01"


def options(data: dict[str, Any]) -> Iterator[str]:
    """The options that a person gives for data: kebab case, lists by repeating, money as text, objects as JSON."""
    for key, value in data.items():
        name = f"--{key.replace('_', '-')}"
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and "currency" in item:
                yield from (name, f"{item['amount']} {item['currency']}")
            else:
                yield from [name] if item is True else [name, json.dumps(item) if isinstance(item, dict) else str(item)]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    do(path, "init")
    return path


def test_init_posts_the_terms_and_refuses_what_is_there(ledger: Path) -> None:
    before = ledger.read_bytes()

    refused = do(ledger, "init", code=1)

    (entry,) = log(ledger)
    assert (entry["type"], entry["time"]) == ("TermsPosted", "2020-09-22T22:00:00Z")
    assert "there is something here already" in refused.stderr
    assert ledger.read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        f"record {CLOSED}",
        f"import {YEAR}",
        "claim submit 1 --customer acme --service licence --from 2025-01-01 --until 2026-01-01",
        "claim dispute 1 --by acme --reason r",
        "claim decide 1",
        "claim uphold 1",
        "claim revise 1",
        "claim issue 1 --reference R-1",
    ],
)
def test_a_write_to_a_missing_ledger_is_refused_and_names_init(tmp_path: Path, command: str) -> None:
    missing = tmp_path / "missing.db"

    refused = do(missing, *shlex.split(command), code=1)

    assert refused.stderr.splitlines()[-1] == f"create one: sla-ledger --db {missing} init"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", sorted(ACCEPTED.keys() - {"terms"}))
def test_every_type_is_recorded_from_options_made_of_its_fields(ledger: Path, kind: str) -> None:
    facts = [(*f.split(maxsplit=2)[:2], json.loads(f.split(maxsplit=2)[2])) for f in FACTS.strip().splitlines()]
    facts = [fact for fact in facts if fact[1].startswith(f"{kind}:")]

    for name, stream, data in facts:
        do(ledger, "record", name, stream, *options(data), "--at", AT, "--actor", "tester")

    found = log(ledger)[1:]
    assert [(x["type"], x["stream"], x["data"]) for x in found] == facts
    assert {(x["time"], x["actor"], x["recorded_at"]) for x in found} == {(AT, "tester", "2026-02-01T09:00:00Z")}


def test_every_type_that_is_recorded_by_hand_stands_in_the_list_above() -> None:
    life_of_a_claim = {"CreditDisputed", "DecisionUpheld", "CreditIssued"}
    assert {f.split()[0] for f in FACTS.strip().splitlines()} == {*EVENTS} - {*BY_COMMAND} - life_of_a_claim


def test_list_names_every_type(ledger: Path) -> None:
    assert [x["type"] for x in json.loads(do(ledger, "--json", "record", "--list").stdout)] == list(EVENTS)


@pytest.mark.parametrize("name", [n for n in EVENTS if n not in BY_COMMAND])
def test_help_shows_every_field(ledger: Path, name: str) -> None:
    shown = do(ledger, "record", name, "--help").stdout

    fields = [(info.alias or field).replace("_", "-") for field, info in EVENTS[name].model_fields.items()]
    assert [f for f in fields if f"--{f}" not in re.findall(r"--[a-z-]+", shown)] == []


@pytest.mark.parametrize("name, command", BY_COMMAND.items())
def test_decisions_and_terms_are_not_recorded_by_hand(ledger: Path, name: str, command: str) -> None:
    refused = do(ledger, "record", name, "claim:1", "--data", "{}", code=1)

    assert f"sla-ledger {command} " in refused.stderr.splitlines()[-1]
    assert len(log(ledger)) == 1


def test_data_is_the_whole_of_an_event_and_not_given_beside_fields(ledger: Path) -> None:
    do(ledger, "record", "BackupTaken", "backup:1", "--data", '{"scope": "all"}')
    do(ledger, "record", "BackupTaken", "backup:2", "--data", '{"scope": "all"}', "--scope", "all", code=2)
    do(ledger, "record", "BackupTaken", "backup:2", "--data", '{"scope": "all", "scope": "half"}', code=2)
    do(ledger, "record", "BackupTaken", "backup:2", "--data", '{"size": 1}', code=1)

    assert [x["data"] for x in log(ledger)[1:]] == [{"scope": "all"}]


def test_a_command_id_is_recorded_once(ledger: Path) -> None:
    fact = ["--json", "record", *CLOSED.split(), "--at", AT, "--command-id", "once"]

    first = do(ledger, *fact)
    second = do(ledger, *fact, now="2026-02-02T09:00:00Z")

    assert first.stdout == second.stdout
    assert [x["command_id"] for x in log(ledger)[1:]] == ["once"]


@pytest.mark.parametrize(
    "typed, code, said",
    [
        (f"{CLOSED} --at 2026-01-05T12:00:00", 2, "expected an instant with a zone"),
        (f"{CLOSED} --at 2026-02-01T09:05:01Z", 1, "in_the_future"),
        ("PriorityAssigned incident:1", 2, "--priority, --reason"),
        ("MaintenanceStarted incident:1", 1, "not_of_this_kind"),
        ("BackupDeleted backup:1", 1, "not_opened"),
        ("backupDeleted backup:1", 2, "BackupDeleted"),
        ("ResponseGiven incident:1 --responder robot", 1, "responder"),
        ("MonthlyFeeAgreed agreement:a --service s --monthly-fee 10", 1, "currency"),
        ("MonthlyFeeAgreed agreement:a --service s --monthly-fee 10.001", 1, "currency"),
        ("MonthlyFeeAgreed agreement:a --service s --monthly-fee '10.001 NOK'", 1, "NOK has 2 decimals"),
        (f"{CLOSED} --actor 'Kari Nordmann'", 2, "no identifier"),
    ],
)
def test_a_fact_that_cannot_be_is_refused_and_leaves_nothing(ledger: Path, typed: str, code: int, said: str) -> None:
    refused = do(ledger, "record", *shlex.split(typed), code=code)

    assert said in refused.stderr
    assert len(log(ledger)) == 1


def bad_rows(folder: Path) -> Path:
    """A stream file of two good rows, an unreadable one, and one that its stream refuses."""
    head = {"specversion": "1.0", "time": "2026-01-05T12:00:00Z"}
    good = [{**head, "type": "BackupTaken", "subject": f"backup:{n}", "data": {"scope": "all"}} for n in (1, 2)]
    late = {**head, "type": "BackupDeleted", "subject": "backup:3", "data": {}}
    path = folder / "rows.jsonl"
    path.write_text("\n".join([json.dumps(good[0]), "{", json.dumps(late), json.dumps(good[1]), ""]))
    return path


def test_importing_the_same_file_twice_adds_nothing(ledger: Path) -> None:
    first = json.loads(do(ledger, "--json", "import", str(YEAR)).stdout)
    before = log(ledger)
    second = json.loads(do(ledger, "--json", "import", str(YEAR)).stdout)

    lines = len(YEAR.read_text().splitlines())
    assert (first["added"], first["already_there"], first["rejected"]) == (lines, 0, 0)
    assert (second["added"], second["already_there"], second["rejected"]) == (0, lines, 0)
    assert log(ledger) == before
    assert {x["recorded_at"] for x in before} == {"2026-02-01T09:00:00Z"}


def test_importing_what_a_verbatim_copy_was_made_of_adds_nothing(tmp_path: Path) -> None:
    do(tmp_path / "copy.db", "import", "--verbatim", str(YEAR))

    again = json.loads(do(tmp_path / "copy.db", "--json", "import", str(YEAR)).stdout)

    assert (again["added"], again["already_there"]) == (0, len(YEAR.read_text().splitlines()))


def test_rejects_replace_nothing_but_rejects(ledger: Path, tmp_path: Path) -> None:
    rows, loop, earlier = bad_rows(tmp_path), tmp_path / "loop", tmp_path / "rejects.jsonl"
    loop.symlink_to(loop)
    link = tmp_path / "link"
    link.symlink_to(earlier)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "seal.key").write_text("PRIVATE+KEY+...")
    shutil.copyfile(ledger, tmp_path / "other.db")
    for taken in ("loop", "link", "pipe", "seal.key", "other.db"):
        before = (tmp_path / taken).lstat()
        refused = do(ledger, "import", str(rows), "--rejects", str(tmp_path / taken), code=1)
        assert "name another file for the rejects" in refused.stderr
        assert (tmp_path / taken).lstat() == before
    earlier.touch()
    for _ in range(2):
        do(ledger, "import", str(rows), "--rejects", str(earlier))
    assert len(earlier.read_text().splitlines()) == 2


def test_one_bad_row_refuses_the_file_unless_rejects_are_set_aside(ledger: Path, tmp_path: Path) -> None:
    rows, rejects = bad_rows(tmp_path), tmp_path / "rejects.jsonl"

    refused = do(ledger, "import", str(rows), code=1)
    assert f"{rows}, line 2" in refused.stderr
    assert f"{rows}, line 3" in refused.stderr
    assert len(log(ledger)) == 1

    do(ledger, "import", str(rows), "--rejects", str(rejects), "--dry-run")
    assert (len(log(ledger)), rejects.exists()) == (1, False)

    taken = json.loads(do(ledger, "--json", "import", str(rows), "--rejects", str(rejects)).stdout)
    assert (taken["added"], taken["rejected"], [x["line"] for x in taken["rejects"]]) == (2, 2, [2, 3])
    kept = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(x["line"], x["row"]) for x in kept] == [(2, "{"), (3, rows.read_text().splitlines()[2])]
    assert "not strict JSON" in kept[0]["reason"]
    assert "not_opened" in kept[1]["reason"]


@pytest.mark.parametrize("story", sorted(path.stem for path in STREAMS.glob("*.jsonl")))
def test_a_verbatim_copy_exports_byte_for_byte_what_its_source_exports(tmp_path: Path, story: str) -> None:
    exported = do(STREAMS / f"{story}.jsonl", "export").stdout_bytes
    (tmp_path / "export.jsonl").write_bytes(exported)

    do(tmp_path / "copy.db", "import", "--verbatim", str(tmp_path / "export.jsonl"))

    assert do(tmp_path / "copy.db", "export").stdout_bytes == exported
    do(tmp_path / "copy.db", "import", "--verbatim", str(tmp_path / "export.jsonl"), code=1)
