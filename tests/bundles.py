"""A ledger in the hands of its owner, its log's key and a witness's, and what outsiders are given of it."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from ledger.seal.bundle import Bundle, bundled
from ledger.seal.checkpoints import Checkpoint
from ledger.seal.notes import COSIGNATURE, Note, Signer
from ledger.seal.roots import root_at
from ledger.store.mapper import from_state
from ledger.store.stream_record import StreamRecord
from ledger.terms import built_in
from projections import credits
from projections.concerning import concern
from projections.history import History
from tests.support import entries, judged

LOG = Signer("example.com/ledger", bytes(range(32)))
WITNESS = Signer("acme.example/witness", bytes(range(1, 33)))
OTHER = Signer("example.com/ledger", bytes(32))
KEYS = [LOG.verifier(), WITNESS.verifier(COSIGNATURE)]
SEEN_AT = 1_780_000_000
NOK = {"amount": "1000.00", "currency": "NOK"}
CASES = [
    ("incident:INC-1", "IncidentReported", {"customer": "acme", "service": "licence", "channel": "phone"}),
    ("incident:INC-2", "IncidentReported", {"customer": "borealis", "service": "licence", "channel": "phone"}),
]


def line(stream: str, name: str, at: datetime, data: dict[str, Any]) -> dict[str, Any]:
    time = f"{at:%Y-%m-%dT%H:%M:%SZ}"
    head = {"specversion": "1.0", "source": "sla-ledger", "type": name, "subject": stream}
    return {**head, "time": time, "recordedtime": time, "data": data}


def sealed(
    record: StreamRecord, size: int, *, by: Signer = LOG, witness: Signer | None = WITNESS
) -> tuple[Checkpoint, Note]:
    """A checkpoint of a ledger's first entries, as it is signed."""
    said = Checkpoint(LOG.name, size, root_at(record, size))
    note = by.sign(said.note())
    return said, note if witness is None else witness.cosign(note, SEEN_AT)


def decide(lines: list[dict[str, Any]], claim: str, at: datetime) -> dict[str, Any]:
    """The line that decides a claim on all the lines before it; granted whatever comes out."""
    record = StreamRecord(entries(lines))
    root = b64encode(root_at(record, record.count())).decode()
    decision = credits.assess(judged(lines, at.replace(tzinfo=UTC)), claim).as_json(root)
    name = "CreditGranted" if decision["verdict"] == "granted" else "CreditRefused"
    return line(claim, name, at, {"decision": decision, "decided_by": "finance"})


@lru_cache(maxsize=1)
def decided() -> StreamRecord:
    """A ledger in which claim:C is decided on entries among those of others, and some more came after it."""
    lines = list[dict[str, Any]]()
    for number, told in enumerate(story()):
        when = datetime.fromisoformat(told["time"]).replace(tzinfo=None)
        lines.append(decide(lines, told["subject"], when) if "decision" in told["data"] else told)
        other = {"customer": "borealis", "service": "support", "channel": "phone"}
        lines += [line(f"incident:B-{number}-{k}", "IncidentReported", when, other) for k in range(2)]
    lines.append(decide(lines, "claim:C", datetime(2026, 2, 3)))
    late = [
        *outage("outage:O-9", "all", "licence", 10, {"cause": "failure"}),
        *outage("outage:O-8", "all", "support", 11, {"cause": "failure"}),
    ]
    return StreamRecord(entries([*lines, *late]))


def bundle(record: StreamRecord | None = None, **changed: Any) -> Bundle:
    """The bundle of claim:C, of a ledger that was sealed at its decision and at its end."""
    record = record or decided()
    found = [from_state(*row) for row in record.rows(10**9)]
    history = History(found)
    position = next(x.position for x in reversed(found) if x.stream == "claim:C")
    positions = [x.position for x in history.of_streams(concern(history, "claim:C").streams).entries]
    notes = [sealed(record, record.count()), sealed(record, position)]
    given: dict[str, Any] = {"notes": notes, "keys": KEYS, "where": "ledger.db"} | changed
    return bundled(record, "claim:C", position, positions, **given)


def story() -> list[dict[str, Any]]:
    """A history in which every stream that a claim rests on matters, and some that it does not rest on."""
    at = datetime(2024, 12, 1)
    agreed = {"customer": "acme", "desk": "oslo", "services": [{"service": "licence", "monthly_fee": NOK}]}
    other = agreed | {"customer": "borealis"}
    asked = {"customer": "acme", "service": "licence", "from": "2025-01-01", "until": "2026-01-01"}
    window = {"category": "planned", "from": "2025-03-01T00:00:00Z", "until": "2025-03-03T00:00:00Z", "reason": "x"}
    gap = {"from": "2025-04-01T00:00:00Z", "until": "2025-04-02T00:00:00Z", "reason": "x"}
    document = built_in().model_dump()
    lines = [
        line("terms:t", "TermsPosted", at, document),
        line("agreement:acme", "AgreementSigned", at, agreed),
        line("agreement:borealis", "AgreementSigned", at, other),
        line("maintenance:M-1", "MaintenanceScheduled", at, window | {"services": ["licence"]}),
        line("maintenance:M-2", "MaintenanceScheduled", at, window | {"services": ["support"]}),
        line("maintenance:M-3", "MaintenanceScheduled", at, window | {"services": ["support"]}),
        line("calendar:oslo", "HolidaysPublished", at, {"desk": "oslo", "dates": ["2025-05-17"]}),
        line("incident:INC-1", CASES[0][1], at, CASES[0][2]),
        line("incident:INC-2", CASES[1][1], at, CASES[1][2]),
        *outage("outage:O-1", "all", "licence", 5, {"cause": "planned_maintenance", "maintenance": "maintenance:M-1"}),
        *outage(
            "outage:O-2", ["acme"], "licence", 7, {"cause": "planned_maintenance", "maintenance": "maintenance:M-2"}
        ),
        *outage("outage:O-3", ["borealis"], "licence", 8, {"cause": "failure"}),
        *outage("outage:O-4", "all", "support", 9, {"cause": "failure"}),
        line("monitoring:licence", "MonitoringGapRecorded", datetime(2025, 12, 1), gap),
        line("monitoring:support", "MonitoringGapRecorded", datetime(2025, 12, 1), gap),
        line("claim:C-0", "CreditRequested", datetime(2026, 2, 1), asked),
    ]
    decision = credits.assess(judged(lines, datetime(2026, 2, 1, tzinfo=UTC)), "claim:C-0").as_json()
    granted = {"decision": decision | {"verdict": "granted"}, "decided_by": "finance"}
    lines.append(line("claim:C-0", "CreditGranted", datetime(2026, 2, 1), granted))
    lines.append(line("claim:C-1", "CreditRequested", datetime(2026, 2, 1), asked))  # never decided
    return [*lines, line("claim:C", "CreditRequested", datetime(2026, 2, 2), asked | {"notified": ["incident:INC-1"]})]


def outage(stream: str, customers: Any, service: str, month: int, cause: dict[str, Any]) -> list[dict[str, Any]]:
    begin, who = datetime(2025, month, 3), {"decided_by": "noc", "reason": "x"}
    down = {"services": [service], "customers": customers, "degree": "unavailable", "noticed_by": "staff"}
    span = {"from": f"2025-{month:02}-03T00:00:00Z", "until": f"2025-{month:02}-06T00:00:00Z", "evidence": []}
    return [
        line(stream, "OutageReported", begin, down),
        line(stream, "TimeframeDetermined", begin + timedelta(days=9), span | who),
        line(stream, "OutageAttributed", begin + timedelta(days=9), cause | who),
    ]
