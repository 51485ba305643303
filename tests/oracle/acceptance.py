"""What a stream accepts, told slowly and plainly: the oracle beside the program's own rules.

Every rule looks at one fact and at everything before it, from scratch; nothing is carried along.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

Line = dict[str, Any]

CORRECTIONS = ("EntryWithdrawn", "EntryCorrected")
CANCELLATIONS = ("IncidentCancelled", "RequestCancelled")
DECISIONS = ("CreditGranted", "CreditRefused", "CreditRevised")

# The first event of a kind opens its streams, except where the kind is in UNOPENED.
EVENTS = {
    "terms": ("TermsPosted",),
    "calendar": ("HolidaysPublished",),
    "agreement": (
        "AgreementSigned",
        "ServiceAdded",
        "ServiceEnded",
        "MonthlyFeeAgreed",
        "RoundTheClockSupportAgreed",
        "RoundTheClockSupportEnded",
        "AgreementEnded",
    ),
    "incident": (
        "IncidentReported",
        "PriorityAssigned",
        "ResponseGiven",
        "TroubleshootingStarted",
        "AccessRequested",
        "AccessGranted",
        "IncidentResolved",
        "IncidentReopened",
        "IncidentCancelled",
    ),
    "request": (
        "ServiceRequested",
        "PriorityAssigned",
        "ResponseGiven",
        "AccessRequested",
        "AccessGranted",
        "RequestFulfilled",
        "RequestCancelled",
    ),
    "outage": ("OutageReported", "EvidenceRecorded", "ServiceRestored", "TimeframeDetermined", "OutageAttributed"),
    "maintenance": (
        "MaintenanceScheduled",
        "MaintenanceCommunicated",
        "MaintenanceRescheduled",
        "MaintenanceStarted",
        "MaintenanceCompleted",
        "MaintenanceCancelled",
    ),
    "monitoring": ("MonitoringGapRecorded",),
    "backup": ("BackupTaken", "BackupDeleted"),
    "claim": ("CreditRequested", *DECISIONS, "CreditDisputed", "DecisionUpheld", "CreditIssued"),
}
UNOPENED = ("calendar", "monitoring")


@dataclass(frozen=True)
class Fact:
    """An entry as it reads after all withdrawals and corrections."""

    version: int
    type: str
    time: datetime
    data: dict[str, Any]


def instant(text: str) -> datetime:
    """An RFC 3339 instant as UTC, its fraction dropped."""
    return datetime.fromisoformat(text.upper()).astimezone(UTC).replace(microsecond=0)


def standing(lines: list[Line]) -> list[Fact]:
    """The facts of one stream that stand, in order of time, then position; corrections are not among them."""
    withdrawn = {line["data"]["version"] for line in lines if line["type"] == "EntryWithdrawn"}
    corrected = {line["data"]["version"]: line["data"] for line in lines if line["type"] == "EntryCorrected"}
    facts = []
    for version, line in enumerate(lines, start=1):
        if line["type"] not in CORRECTIONS and version not in withdrawn:
            now = corrected.get(version, line)
            facts.append(Fact(version, line["type"], instant(now["time"]), now["data"]))
    return sorted(facts, key=lambda fact: (fact.time, fact.version))


def objection(lines: list[Line]) -> str | None:
    """Why the contract refuses this stream (all its lines in order of position), or None if it accepts it."""
    return next(objections(lines), None)


def objections(lines: list[Line]) -> Iterator[str]:
    if not lines:
        return
    kind = lines[0]["subject"].partition(":")[0]
    yield from misplaced(lines, kind)
    facts = standing(lines)
    for at, fact in enumerate(facts):
        before = facts[:at]
        yield from malformed(fact)
        yield from unopened(fact, before, kind)
        if kind in ("incident", "request"):
            yield from case(fact, before)
        if kind == "outage":
            yield from outage(fact, before, facts)
        if kind == "maintenance":
            yield from maintenance(fact, before)
        if kind == "agreement":
            yield from agreement(fact, before)
        if kind == "claim":
            yield from claim(fact, before)
        if fact.type == "BackupDeleted" and has(before, "BackupDeleted"):
            yield "a backup is deleted once"
        if fact.type == "TermsPosted" and fact.data["sha256"] != sha256(fact.data["document"].encode()).hexdigest():
            yield "the hash is not the document's"


def misplaced(lines: list[Line], kind: str) -> Iterator[str]:
    for version, line in enumerate(lines, start=1):
        if line["type"] in CORRECTIONS:
            named = line["data"]["version"]
            if not 1 <= named < version:
                yield "a correction names an earlier entry of its stream"
            elif lines[named - 1]["type"] in CORRECTIONS:
                yield "a correction does not name a correction"
        elif line["type"] not in EVENTS.get(kind, ()):
            yield f"{line['type']} is no event of {kind} streams"


def malformed(fact: Fact) -> Iterator[str]:
    data = fact.data
    spans = [data] if given(data, "from") and given(data, "until") else []
    if fact.type == "TimeframeDetermined":
        whole = [key for key in ("from", "until") if given(data, key)]
        if given(data, "spans") == bool(whole) or len(whole) == 1:
            yield "a frame has either from and until, or spans"
            return
        spans += data.get("spans") or []
    if any(moment(span["from"]) >= moment(span["until"]) for span in spans):
        yield "from is not before until"
    for field, value in data.items():
        if isinstance(value, list):
            if not value and field != "evidence":
                yield f"{field} is empty"
            items = [sameness(item) for item in value]
            if any(item in items[:at] for at, item in enumerate(items)):
                yield f"{field} repeats itself"


def unopened(fact: Fact, before: list[Fact], kind: str) -> Iterator[str]:
    if kind in UNOPENED:
        return
    opening = EVENTS[kind][0]
    if not before and fact.type != opening:
        yield f"{opening} comes first"
    if fact.type == opening and has(before, opening) and before[-1].type != "AgreementEnded":
        yield f"{opening} comes once"


def case(fact: Fact, before: list[Fact]) -> Iterator[str]:
    if has(before, *CANCELLATIONS):
        yield "nothing happens after cancellation"
    if fact.type in ("AccessRequested", "AccessGranted"):
        same = [old for old in before if old.data.get("what") == fact.data["what"]]
        pending = latest(same, "AccessRequested", "AccessGranted") == "AccessRequested"
        if fact.type == "AccessGranted" and not pending:
            yield "a grant answers an open request of the same kind"
        if fact.type == "AccessRequested" and pending:
            yield "no second request of it while one is open"
    resolved = latest(before, "IncidentResolved", "IncidentReopened") == "IncidentResolved"
    if fact.type == "IncidentResolved" and resolved:
        yield "resolved only when unresolved"
    if fact.type == "IncidentReopened" and not resolved:
        yield "reopened only when resolved"
    if fact.type == "RequestFulfilled" and has(before, "RequestFulfilled"):
        yield "fulfilled once"


def outage(fact: Fact, before: list[Fact], facts: list[Fact]) -> Iterator[str]:
    if fact.type == "ServiceRestored" and has(before, "ServiceRestored"):
        yield "restored once"
    if fact.type == "TimeframeDetermined":
        evidence = [other.version for other in facts if other.type == "EvidenceRecorded"]
        if any(version not in evidence for version in fact.data.get("evidence") or []):
            yield "the evidence a frame names exists in the stream"
    if fact.type == "OutageAttributed":
        cause = fact.data["cause"]
        if given(fact.data, "maintenance") != (cause in ("planned_maintenance", "unplanned_maintenance")):
            yield "maintenance is given exactly with the two maintenance causes"
        if given(fact.data, "ground") != (cause == "not_covered"):
            yield "ground is given exactly with not_covered"


def maintenance(fact: Fact, before: list[Fact]) -> Iterator[str]:
    if has(before, "MaintenanceCompleted", "MaintenanceCancelled") and fact.type != "MaintenanceCommunicated":
        yield "nothing after completion or cancellation but communications"
    if fact.type == "MaintenanceStarted" and has(before, "MaintenanceStarted"):
        yield "started once"
    if fact.type == "MaintenanceCompleted" and not has(before, "MaintenanceStarted"):
        yield "completed only when started"


def agreement(fact: Fact, before: list[Fact]) -> Iterator[str]:
    if fact.type == "AgreementSigned":
        return
    if before and before[-1].type == "AgreementEnded":
        yield "nothing after the end but a new AgreementSigned"
    services: set[str] = set()
    deals: set[str | None] = set()
    for old in before:
        if old.type == "AgreementSigned":
            services = {item["service"] for item in old.data["services"]}
            deals = set()
        if old.type == "ServiceAdded":
            services.add(old.data["service"])
        if old.type == "ServiceEnded":
            services.discard(old.data["service"])
        if old.type == "RoundTheClockSupportAgreed":
            deals.add(old.data.get("service"))
        if old.type == "RoundTheClockSupportEnded":
            deals.discard(old.data.get("service"))
    service = fact.data.get("service")
    if fact.type == "ServiceAdded" and service in services:
        yield "a service is added only when absent"
    if fact.type in ("ServiceEnded", "MonthlyFeeAgreed") and service not in services:
        yield "a service is ended and priced only when present"
    if fact.type == "RoundTheClockSupportAgreed" and service in deals:
        yield "24x7 support is agreed only when absent"
    if fact.type == "RoundTheClockSupportEnded" and service not in deals:
        yield "24x7 support is ended only when present"


def claim(fact: Fact, before: list[Fact]) -> Iterator[str]:
    decided = has(before, "CreditGranted", "CreditRefused")
    if fact.type in ("CreditGranted", "CreditRefused") and decided:
        yield "decided once"
    if fact.type == "CreditDisputed" and not decided:
        yield "disputed only when decided"
    disputed = latest(before, "CreditDisputed", "DecisionUpheld", "CreditRevised") == "CreditDisputed"
    if fact.type in ("DecisionUpheld", "CreditRevised") and not disputed:
        yield "upheld or revised only when disputed"
    if fact.type == "CreditIssued":
        if has(before, "CreditIssued"):
            yield "issued once"
        inforce = [old for old in before if old.type in DECISIONS][-1:]
        if not any(pays(old.data["decision"]) for old in inforce):
            yield "issued only when the decision in force pays"


def pays(decision: dict[str, Any]) -> bool:
    credit = decision.get("credit")
    return decision["verdict"] == "granted" and credit is not None and Decimal(credit["amount"]) > 0


def has(facts: list[Fact], *types: str) -> bool:
    return any(fact.type in types for fact in facts)


def latest(facts: list[Fact], *types: str) -> str | None:
    """The type of the last fact that is of one of these types."""
    return next((fact.type for fact in reversed(facts) if fact.type in types), None)


def given(data: dict[str, Any], field: str) -> bool:
    return data.get(field) is not None


def moment(text: str) -> datetime:
    """An instant, or the start of a date: only to be compared with its like."""
    if len(text) == len("2026-01-01"):
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    return instant(text)


def sameness(item: Any) -> Any:
    """What makes two items of a list the same one: a span's instants, an agreement line's service."""
    if isinstance(item, dict):
        return (moment(item["from"]), moment(item["until"])) if "from" in item else item.get("service")
    return item
