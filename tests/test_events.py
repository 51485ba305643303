"""Every event of the agreement's table exists, stores one text for one fact, and refuses what strict JSON refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest
from freezegun import freeze_time

from ledger.entry import Fact, event_data, from_line
from ledger.errors import BadLine
from ledger.events import EVENTS, Event
from tests.oracle.acceptance import CORRECTIONS, DECISIONS
from tests.oracle.acceptance import EVENTS as TABLE

Data = dict[str, Any]

AT = "2026-03-27T14:00:00Z"
SPAN = {"from": "2026-03-27T14:00:00Z", "until": "2026-03-28T14:00:00Z"}
FEE = {"amount": "1000.00", "currency": "NOK"}
SERVICE, REASON, WHO = {"service": "licence"}, {"reason": "reviewed"}, {"decided_by": "operations.lead"}
CASE = {"customer": "acme", "service": "licence", "channel": "phone"}
CASE_OPTIONS = {"remote_assistance": True, "summary": "no sound", "source": "mailbox"}
SEALED = {"key": "q46iohqtgmeawszb", "sealed": "aK87FmiYmAv0BDlwCbwWRMJ1OJb7PIscwBg/5fNd7Wyc9XCmCMq27D+sajXo"}
SEALED_OPTIONS = {"remote_assistance": True, "sealed_summary": SEALED, "source": "mailbox"}
SINCE = {"effective_from": AT}
DECISION = {"decision": {"verdict": "granted", "credit": FEE}, **WHO}

# what must be said, then what may be left out, as the table of events has it
EXAMPLES: dict[str, tuple[Data, Data]] = {
    "TermsPosted": ({"document": "id = 1", "sha256": sha256(b"id = 1").hexdigest()}, {}),
    "HolidaysPublished": ({"desk": "oslo", "dates": ["2026-05-17", "2026-12-25"]}, {}),
    "AgreementSigned": ({"customer": "acme", "desk": "oslo", "services": [{**SERVICE, "monthly_fee": FEE}]}, SINCE),
    "ServiceAdded": ({**SERVICE, "monthly_fee": FEE}, SINCE),
    "ServiceEnded": (SERVICE, SINCE),
    "MonthlyFeeAgreed": ({**SERVICE, "monthly_fee": FEE}, SINCE),
    "RoundTheClockSupportAgreed": ({}, SERVICE | SINCE),
    "RoundTheClockSupportEnded": ({}, SERVICE | SINCE),
    "AgreementEnded": ({}, REASON | SINCE),
    "IncidentReported": (CASE, CASE_OPTIONS),
    "PriorityAssigned": ({"priority": "high", **REASON}, {}),
    "ResponseGiven": ({"responder": "human"}, {}),
    "TroubleshootingStarted": ({}, {}),
    "AccessRequested": ({"what": "details"}, {}),
    "AccessGranted": ({"what": "remote_access"}, {}),
    "IncidentResolved": ({}, {}),
    "IncidentReopened": (REASON, {}),
    "IncidentCancelled": (REASON, {}),
    "ServiceRequested": ({**CASE, "kind": "webcast"}, SEALED_OPTIONS | {"wanted_for": AT}),
    "RequestFulfilled": ({}, {}),
    "RequestCancelled": (REASON, {}),
    "OutageReported": (
        {"services": ["licence", "support"], "customers": ["acme"], "degree": "degraded", "noticed_by": "staff"},
        {},
    ),
    "EvidenceRecorded": ({"source": "client_report", "from": AT}, {"until": SPAN["until"], "reference": "probe-7"}),
    "ServiceRestored": ({}, {}),
    "TimeframeDetermined": ({**SPAN, "evidence": [2, 3], **WHO, **REASON}, {}),
    "OutageAttributed": (
        {"cause": "planned_maintenance", **WHO, **REASON},
        {"maintenance": "maintenance:M-1", "ground": "content"},
    ),
    "MaintenanceScheduled": ({"category": "planned", "services": ["licence"], **SPAN, **REASON}, {}),
    "MaintenanceCommunicated": ({"audience": ["customers", "partners"]}, {}),
    "MaintenanceRescheduled": (SPAN | REASON, {}),
    "MaintenanceStarted": ({}, {}),
    "MaintenanceCompleted": ({}, {}),
    "MaintenanceCancelled": (REASON, {}),
    "MonitoringGapRecorded": (SPAN | REASON, {}),
    "BackupTaken": ({"scope": "everything"}, {}),
    "BackupDeleted": ({}, {}),
    "CreditRequested": (
        {"customer": "acme", "service": "licence", "from": "2025-01-01", "until": "2026-01-01"},
        {"notified": ["incident:INC-1"]},
    ),
    "CreditGranted": (DECISION, REASON),
    "CreditRefused": (DECISION, REASON),
    "CreditRevised": (DECISION, REASON),
    "CreditDisputed": ({"by": "acme.finance", **REASON}, {}),
    "DecisionUpheld": (REASON | WHO, {}),
    "CreditIssued": ({"reference": "NOTE-1"}, {}),
    "EntryWithdrawn": ({"version": 1, **REASON}, {}),
    "EntryCorrected": (
        {"version": 1, **REASON, "time": AT, "data": {"source": "client_report", "from": AT}},
        {},
    ),
}


def stream_of(name: str) -> str:
    return next(f"{kind}:A-1" for kind, names in TABLE.items() if name in (*names, *CORRECTIONS))


def line(name: str, data: Any, **head: Any) -> str:
    """A line that holds this data, on line 7 of facts.jsonl wherever it is read."""
    return json.dumps(
        {"specversion": "1.0", "type": name, "subject": stream_of(name), "time": AT, "data": data, **head}
    )


def read(text: str) -> Fact:
    return from_line(text, "facts.jsonl", 7).fact


def stored(name: str, data: Data) -> str:
    """What the ledger keeps of this data."""
    return event_data(read(line(name, data)).event)


def everywhere(value: Any, change: Callable[[str], str]) -> Any:
    """The value with every text in it changed."""
    if isinstance(value, dict):
        return {key: everywhere(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [everywhere(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def backwards(value: Any) -> Any:
    """The value with the keys of every object in it the other way round."""
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(value)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


def in_another_zone(text: str) -> str:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", text):
        return text
    return datetime.fromisoformat(text).astimezone(timezone(timedelta(hours=5, minutes=45))).isoformat()


NOTATIONS: dict[str, Callable[[Any], Any]] = {
    "keys in another order": backwards,
    "another zone": lambda data: everywhere(data, in_another_zone),
    "small letters and a fraction": lambda data: everywhere(data, lambda t: re.sub(r"T(.*\d)Z$", r"t\1.999999999z", t)),
    "an amount with fewer decimals": lambda data: everywhere(data, lambda t: "1000.0" if t == "1000.00" else t),
    "an amount with more digits": lambda data: everywhere(data, lambda t: "01000.0000" if t == "1000.00" else t),
}


def test_the_registry_is_the_table_of_events_and_nothing_more() -> None:
    table = {name for names in TABLE.values() for name in names} | set(CORRECTIONS)

    assert set(EVENTS) == table == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_event_has_one_sentence_one_clause_and_the_fields_of_the_table(name: str) -> None:
    model = EVENTS[name]
    required, optional = EXAMPLES[name]

    fields = {field.alias or key: field.is_required() for key, field in model.model_fields.items()}
    if name == "TimeframeDetermined":
        assert fields.pop("spans") is False
        fields |= dict.fromkeys(SPAN, True)
    if "summary" in fields:  # plain or sealed, not both
        assert fields.pop("sealed_summary" if "summary" in optional else "summary") is False

    assert issubclass(model, Event)
    assert model.__doc__
    assert re.fullmatch(r"[A-Z][^\n]*\.", model.__doc__)
    assert re.fullmatch(r"§[a-z-]+", model.clause)
    assert fields == dict.fromkeys(required, True) | dict.fromkeys(optional, False)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_stored_as_it_was_said_and_reads_back_the_same(name: str) -> None:
    required, optional = EXAMPLES[name]

    texts = [stored(name, required), stored(name, required | optional)]

    assert [json.loads(text) for text in texts] == [required, required | optional]
    assert [stored(name, json.loads(text)) for text in texts] == texts


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in (*DECISIONS, "EntryCorrected")])
def test_the_same_fact_in_another_notation_gives_the_same_bytes(name: str, notation: str) -> None:
    required, optional = EXAMPLES[name]
    said = required | optional

    other = NOTATIONS[notation](said)

    assert stored(name, other) == stored(name, said)


@pytest.mark.parametrize("name, field", [(n, f) for n, (_, optional) in EXAMPLES.items() for f in optional])
def test_null_is_the_same_as_leaving_an_optional_field_out(name: str, field: str) -> None:
    required, _ = EXAMPLES[name]

    assert stored(name, required | {field: None}) == stored(name, required)


def test_no_remote_assistance_is_the_same_as_leaving_it_out() -> None:
    assert stored("IncidentReported", CASE | {"remote_assistance": False}) == stored("IncidentReported", CASE)


def test_spans_and_an_amount_of_zero_have_one_text_too() -> None:
    frame: Data = {"evidence": [], **WHO, **REASON}
    fee = {"amount": "0", "currency": "JPY"}

    spans = stored("TimeframeDetermined", {**frame, "spans": [everywhere(SPAN, in_another_zone)]})

    assert spans == stored("TimeframeDetermined", {"spans": [SPAN], **frame})
    assert json.loads(stored("MonthlyFeeAgreed", {**SERVICE, "monthly_fee": fee}))["monthly_fee"] == fee


@freeze_time("2026-05-01 12:00:00")
def test_frozen_time_gives_the_same_bytes() -> None:
    for name, (required, optional) in EXAMPLES.items():
        assert json.loads(stored(name, required | optional)) == required | optional
    gap = EXAMPLES["MonitoringGapRecorded"][0]
    assert stored("MonitoringGapRecorded", everywhere(gap, in_another_zone)) == stored("MonitoringGapRecorded", gap)


@pytest.mark.parametrize("name, field", [(n, f) for n, (required, _) in EXAMPLES.items() for f in required])
def test_a_missing_field_is_refused_by_name(name: str, field: str) -> None:
    required, _ = EXAMPLES[name]

    with pytest.raises(BadLine) as refused:
        read(line(name, {key: value for key, value in required.items() if key != field}))

    assert refused.value.where == "facts.jsonl, line 7"
    whole = name == "TimeframeDetermined" and field in SPAN
    assert refused.value.what.startswith(f"{name} data" if whole else f"{name} data.{field}: field required")


def sealed_as(**changes: str) -> Data:
    return CASE | {"sealed_summary": SEALED | changes}


BAD_DATA: dict[str, tuple[str, Data, str]] = {
    "unknown field": ("IncidentReported", CASE | {"colour": "red"}, "colour"),
    "a name that only the program uses": ("EvidenceRecorded", {"source": "client_report", "from_": AT}, "from_"),
    "unknown channel": ("IncidentReported", CASE | {"channel": "fax"}, "channel"),
    "unknown kind": ("ServiceRequested", CASE | {"kind": "party"}, "kind"),
    "a number as text": ("EntryWithdrawn", {"version": "1", **REASON}, "version"),
    "version 0": ("EntryWithdrawn", {"version": 0, **REASON}, "version"),
    "a truth as version": ("EntryWithdrawn", {"version": True, **REASON}, "version"),
    "text as truth": ("IncidentReported", CASE | {"remote_assistance": "yes"}, "remote_assistance"),
    "summary too long": ("IncidentReported", CASE | {"summary": "x" * 501}, "summary"),
    "a summary plain and sealed": ("IncidentReported", CASE | CASE_OPTIONS | {"sealed_summary": SEALED}, ""),
    "a seal without a key": ("IncidentReported", sealed_as(key=""), "sealed_summary.key"),
    "a seal that is too short": ("IncidentReported", sealed_as(sealed="AAAA"), "sealed_summary.sealed"),
    "a seal with another notation": ("IncidentReported", sealed_as(sealed=f"{'A' * 53}B=="), "sealed_summary.sealed"),
    "a seal that is no base64": ("IncidentReported", sealed_as(sealed="!" * 40), "sealed_summary.sealed"),
    "reason too long": ("IncidentCancelled", {"reason": "x" * 2001}, "reason"),
    "empty reason": ("IncidentCancelled", {"reason": ""}, "reason"),
    "identifier with a blank": ("IncidentReported", CASE | {"customer": "acme inc"}, "customer"),
    "identifier with two dots": ("IncidentReported", CASE | {"customer": "a..b"}, "customer"),
    "identifier that begins with a dot": ("IncidentReported", CASE | {"customer": ".a"}, "customer"),
    "identifier with a letter beyond ASCII": ("IncidentReported", CASE | {"customer": "blåbær"}, "customer"),
    "identifier with a line end": ("IncidentReported", CASE | {"customer": "acme\n"}, "customer"),
    "empty identifier": ("IncidentReported", CASE | {"customer": ""}, "customer"),
    "identifier too long": ("IncidentReported", CASE | {"customer": "a" * 121}, "customer"),
    "naive time": ("EvidenceRecorded", {"source": "client_report", "from": "2026-03-27T14:00:00"}, "from"),
    "time as a number": ("EvidenceRecorded", {"source": "client_report", "from": 1774620000}, "from"),
    "a date for an instant": ("EvidenceRecorded", {"source": "client_report", "from": "2026-03-27"}, "from"),
    "an instant for a date": ("HolidaysPublished", {"desk": "oslo", "dates": [AT]}, "dates.0"),
    "no such day": ("HolidaysPublished", {"desk": "oslo", "dates": ["2026-02-29"]}, "dates.0"),
    "from at until": ("MonitoringGapRecorded", SPAN | REASON | {"until": SPAN["from"]}, ""),
    "evidence backwards": ("EvidenceRecorded", {"source": "client_report", "from": SPAN["until"], "until": AT}, ""),
    "a claim over no day": ("CreditRequested", EXAMPLES["CreditRequested"][0] | {"until": "2025-01-01"}, ""),
    "spans and a frame": ("TimeframeDetermined", EXAMPLES["TimeframeDetermined"][0] | {"spans": [SPAN]}, ""),
    "no spans": ("TimeframeDetermined", {"spans": [], "evidence": [], **WHO, **REASON}, "spans"),
    "a span twice": ("TimeframeDetermined", {"spans": [SPAN, SPAN], "evidence": [], **WHO, **REASON}, ""),
    "evidence twice": ("TimeframeDetermined", {**SPAN, "evidence": [2, 2], **WHO, **REASON}, "evidence"),
    "a day twice": ("HolidaysPublished", {"desk": "oslo", "dates": ["2026-05-17"] * 2}, "dates"),
    "no day": ("HolidaysPublished", {"desk": "oslo", "dates": []}, "dates"),
    "an audience twice": ("MaintenanceCommunicated", {"audience": ["customers"] * 2}, "audience"),
    "nobody told": ("MaintenanceCommunicated", {"audience": []}, "audience"),
    "a service twice": ("OutageReported", EXAMPLES["OutageReported"][0] | {"services": ["x", "x"]}, "services"),
    "one text for a list": ("OutageReported", EXAMPLES["OutageReported"][0] | {"services": "licence"}, "services"),
    "no customer": ("OutageReported", EXAMPLES["OutageReported"][0] | {"customers": []}, "customers"),
    "no service": ("AgreementSigned", EXAMPLES["AgreementSigned"][0] | {"services": []}, "services"),
    "a case twice": ("CreditRequested", EXAMPLES["CreditRequested"][0] | {"notified": ["incident:I"] * 2}, "notified"),
    "no stream": ("CreditRequested", EXAMPLES["CreditRequested"][0] | {"notified": ["INC-1"]}, "notified.0"),
    "another kind of stream": ("OutageAttributed", {"maintenance": "outage:O", "cause": "failure"}, "maintenance"),
    "a float in a decision": ("CreditGranted", {"decision": {"credit": {"amount": 1.5}}, **WHO}, "decision"),
}


@pytest.mark.parametrize("name, data, field", BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data_are_refused_with_file_line_and_field(name: str, data: Data, field: str) -> None:
    with pytest.raises(BadLine) as refused:
        read(line(name, data))

    assert refused.value.where == "facts.jsonl, line 7"
    assert re.match(rf"{name} data{'.' if field else ''}{field}: ", refused.value.what)


FEES: dict[str, Data] = {
    "a float": {"amount": 1000.0, "currency": "NOK"},
    "a whole number": {"amount": 1000, "currency": "NOK"},
    "below zero": {"amount": "-0.01", "currency": "NOK"},
    "zero with a sign": {"amount": "-0.00", "currency": "NOK"},
    "more decimals than the currency has": {"amount": "1000.001", "currency": "NOK"},
    "decimals of a currency without": {"amount": "1000.5", "currency": "JPY"},
    "an exponent": {"amount": "1e3", "currency": "NOK"},
    "not a number": {"amount": "NaN", "currency": "NOK"},
    "digits beyond ASCII": {"amount": "١٠", "currency": "NOK"},
    "small letters": {"amount": "1000.00", "currency": "nok"},
    "no currency": {"amount": "1000.00"},
}


@pytest.mark.parametrize("fee", FEES.values(), ids=FEES)
def test_bad_money_is_refused_with_file_line_and_field(fee: Data) -> None:
    with pytest.raises(BadLine) as refused:
        read(line("MonthlyFeeAgreed", SERVICE | {"monthly_fee": fee}))

    assert refused.value.where == "facts.jsonl, line 7"
    assert refused.value.what.startswith("MonthlyFeeAgreed data.monthly_fee")
