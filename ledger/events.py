"""Every event: one frozen class, one sentence, one clause. Fields are facts a witness could state, never results.

An event's stored name is its class name; `EVENTS` is the registry. Optional fields that are left out are not stored,
so that the same fact always gives the same bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from ledger.values import (
    Day,
    Days,
    Document,
    Flag,
    Frame,
    Identifier,
    Identifiers,
    Instant,
    Money,
    Reason,
    SealedText,
    ServiceFee,
    StreamId,
    Streams,
    Summary,
    Value,
    Version,
    distinct,
    ordered,
)

Channel = Literal["phone", "email", "chat", "web", "video", "on_site", "monitoring"]
Priority = Literal["high", "medium", "low"]
RequestKind = Literal[
    "support",
    "feature",
    "licence_online",
    "licence_manual",
    "meeting_bridge",
    "webcast",
    "easy_number",
    "endpoint_registration",
    "meeting_support",
    "on_site",
    "outside_hours",
]
EvidenceSource = Literal["event_monitoring", "infrastructure_log", "client_report"]
Cause = Literal[
    "failure",
    "planned_maintenance",
    "unplanned_maintenance",
    "emergency",
    "beyond_control",
    "not_covered",
    "customer_side",
]
Ground = Literal["third_party", "foreign_network", "abuse_or_attack", "unsupported", "content"]
MaintenanceCategory = Literal["planned", "unplanned", "emergency"]
Audience = Literal["customers", "partners", "resellers"]


def _no_float(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError("a figure that decides money is never a float")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _no_float(item)
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_no_float)]


def _not_all(customers: tuple[str, ...]) -> tuple[str, ...]:
    if "all" in customers:
        raise ValueError('write "all" instead of a list, or name every customer')
    return customers


class Event(Value):
    """What happened; when and where stand in the entry that holds it."""

    clause: ClassVar[str]

    @property
    def name(self) -> str:
        return type(self).__name__


# Terms and calendars


class TermsPosted(Event):
    """A version of the agreement took effect, the whole document word for word."""

    clause = "§validity"
    document: Document
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class HolidaysPublished(Event):
    """A desk is closed on these dates, in its own zone."""

    clause = "§business-hours"
    desk: Identifier
    dates: Days


# Agreements: all take effect at `effective_from`, or at the event's own time when it is left out


class AgreementEvent(Event):
    """A change of one customer's agreement."""

    clause = "§scope"
    effective_from: Instant | None = None


class AgreementSigned(AgreementEvent):
    """A customer is entitled to these services, each at its monthly fee, and is served by a desk."""

    customer: Identifier
    desk: Literal["oslo", "new_york"]
    services: Annotated[tuple[ServiceFee, ...], Field(strict=False, min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _each_service_once(self) -> AgreementSigned:
        distinct(tuple(item.service for item in self.services))
        return self


class ServiceAdded(AgreementEvent):
    """The agreement covers one more service."""

    service: Identifier
    monthly_fee: Money


class ServiceEnded(AgreementEvent):
    """The agreement no longer covers a service."""

    service: Identifier


class MonthlyFeeAgreed(AgreementEvent):
    """A service has a new monthly fee."""

    clause = "§availability-credit"
    service: Identifier
    monthly_fee: Money


class RoundTheClockSupportAgreed(AgreementEvent):
    """A 24x7 support deal begins, for one service or for all."""

    clause = "§phone"
    service: Identifier | None = None


class RoundTheClockSupportEnded(AgreementEvent):
    """A 24x7 support deal ends."""

    clause = "§phone"
    service: Identifier | None = None


class AgreementEnded(AgreementEvent):
    """The customer's agreement ends, and every 24x7 deal with it."""

    reason: Reason | None = None


# Cases: incidents and service requests


class CaseReported(Event):
    """What a customer turned to us with."""

    customer: Identifier
    service: Identifier
    channel: Channel
    remote_assistance: Flag = False
    summary: Summary | None = None
    sealed_summary: SealedText | None = None
    source: Identifier | None = None

    @model_validator(mode="after")
    def _one_summary(self) -> CaseReported:
        if self.summary is not None and self.sealed_summary is not None:
            raise ValueError("give the summary plain or sealed, not both")
        return self


class IncidentReported(CaseReported):
    """A problem was received; its response time begins."""

    clause = "§response-times"


class ServiceRequested(CaseReported):
    """A service request was received; its response time begins."""

    clause = "§delivery-metrics"
    kind: RequestKind
    wanted_for: Instant | None = None


class PriorityAssigned(Event):
    """Somebody judged how urgent a case is."""

    clause = "§prioritisation"
    priority: Priority
    reason: Reason


class ResponseGiven(Event):
    """The customer got an answer, from a person or from a machine."""

    clause = "§response-times"
    responder: Literal["human", "automatic"]


class TroubleshootingStarted(Event):
    """Work on the problem began."""

    clause = "§delivery-metrics"


class AccessRequested(Event):
    """We wait for the customer: for remote access, or for details of what preceded."""

    clause = "§full-access"
    what: Literal["remote_access", "details"]


class AccessGranted(Event):
    """The customer gave what was asked for."""

    clause = "§full-access"
    what: Literal["remote_access", "details"]


class IncidentResolved(Event):
    """The problem is solved."""

    clause = "§response-times"


class IncidentReopened(Event):
    """The problem turned out not to be solved."""

    clause = "§response-times"
    reason: Reason


class IncidentCancelled(Event):
    """The problem was withdrawn, or was none."""

    clause = "§response-times"
    reason: Reason


class RequestFulfilled(Event):
    """What was requested has been delivered."""

    clause = "§delivery-metrics"


class RequestCancelled(Event):
    """The request was withdrawn."""

    clause = "§delivery-metrics"
    reason: Reason


# Outages


class OutageReported(Event):
    """Services were noticed to be down, or worse than they should be."""

    clause = "§availability-target"
    services: Identifiers
    customers: Annotated[Identifiers, AfterValidator(_not_all)] | Literal["all"]
    degree: Literal["unavailable", "degraded"]
    noticed_by: Literal["event_monitoring", "client", "staff"]


class EvidenceRecorded(Event):
    """One source says that the services were down from then until then; without an end they still are."""

    clause = "§availability-calculation"
    source: EvidenceSource
    from_: Instant = Field(alias="from")
    until: Instant | None = None
    reference: Summary | None = None

    _forwards = model_validator(mode="after")(ordered)


class ServiceRestored(Event):
    """The services work again."""

    clause = "§availability-target"


class TimeframeDetermined(Event):
    """Somebody matched the evidence and settled when the services were down: one frame, or several spans."""

    clause = "§availability-calculation"
    from_: Instant | None = Field(default=None, alias="from")
    until: Instant | None = None
    spans: Annotated[tuple[Frame, ...], Field(strict=False, min_length=1, max_length=10_000)] | None = None
    evidence: Annotated[tuple[Version, ...], Field(strict=False, max_length=10_000), AfterValidator(distinct)]
    decided_by: Identifier
    reason: Reason

    @model_validator(mode="after")
    def _one_form(self) -> TimeframeDetermined:
        if (self.from_ is None) != (self.until is None) or (self.from_ is None) == (self.spans is None):
            raise ValueError("give either 'from' and 'until' or 'spans'")
        if self.spans is not None:
            distinct(self.spans)
        return ordered(self)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The spans in the order given; one when `from` and `until` were."""
        if self.spans is not None:
            return self.spans
        assert self.from_ is not None
        assert self.until is not None
        return (Frame(from_=self.from_, until=self.until),)


class OutageAttributed(Event):
    """Somebody settled why the services were down."""

    clause = "§service-availability"
    cause: Cause
    maintenance: Annotated[StreamId, Field(pattern="^maintenance:")] | None = None
    ground: Ground | None = None
    decided_by: Identifier
    reason: Reason


# Maintenance, monitoring and backups


class MaintenanceScheduled(Event):
    """Work on the platform was planned for a window."""

    clause = "§planned-maintenance"
    category: MaintenanceCategory
    services: Identifiers
    from_: Instant = Field(alias="from")
    until: Instant
    reason: Reason

    _forwards = model_validator(mode="after")(ordered)


class MaintenanceCommunicated(Event):
    """The window was announced to these audiences."""

    clause = "§planned-maintenance"
    audience: Annotated[tuple[Audience, ...], Field(strict=False, min_length=1, max_length=3), AfterValidator(distinct)]


class MaintenanceRescheduled(Event):
    """The window moved; its notice counts anew."""

    clause = "§planned-maintenance"
    from_: Instant = Field(alias="from")
    until: Instant
    reason: Reason

    _forwards = model_validator(mode="after")(ordered)


class MaintenanceStarted(Event):
    """The work began."""

    clause = "§planned-maintenance"


class MaintenanceCompleted(Event):
    """The work is done."""

    clause = "§planned-maintenance"


class MaintenanceCancelled(Event):
    """The work will not take place."""

    clause = "§planned-maintenance"
    reason: Reason


class MonitoringGapRecorded(Event):
    """A service was not watched from then until then."""

    clause = "§availability-calculation"
    from_: Instant = Field(alias="from")
    until: Instant
    reason: Reason

    _forwards = model_validator(mode="after")(ordered)


class BackupTaken(Event):
    """The infrastructure was backed up."""

    clause = "§company-duties"
    scope: Summary


class BackupDeleted(Event):
    """A backup was deleted."""

    clause = "§company-duties"


# Claims


class CreditRequested(Event):
    """A customer asks for a credit over a half-open period of dates, in the zone of its desk."""

    clause = "§availability-credit"
    customer: Identifier
    service: Identifier
    from_: Day = Field(alias="from")
    until: Day
    notified: Streams | None = None

    _forwards = model_validator(mode="after")(ordered)


class CreditGranted(Event):
    """A credit was decided and is to be paid; the decision holds every figure it rests on."""

    clause = "§availability-credit"
    decision: JsonObject
    decided_by: Identifier
    reason: Reason | None = None


class CreditRefused(Event):
    """A credit was decided and is not to be paid."""

    clause = "§availability-credit"
    decision: JsonObject
    decided_by: Identifier
    reason: Reason | None = None


class CreditDisputed(Event):
    """The decision is contested."""

    clause = "§availability-credit"
    reason: Reason
    by: Identifier


class DecisionUpheld(Event):
    """The contested decision stands."""

    clause = "§availability-credit"
    reason: Reason
    decided_by: Identifier


class CreditRevised(Event):
    """The contested decision is replaced by this one."""

    clause = "§availability-credit"
    decision: JsonObject
    decided_by: Identifier
    reason: Reason | None = None


class CreditIssued(Event):
    """The credit was paid, under this reference."""

    clause = "§availability-credit"
    reference: Identifier


# Corrections, in any stream


class EntryWithdrawn(Event):
    """An earlier entry of the stream is set aside; the right fact may follow as a new entry."""

    clause = "§validity"
    version: Version
    reason: Reason


class EntryCorrected(Event):
    """An earlier entry of the stream reads so from here on: same type, same position, this time, this data."""

    clause = "§validity"
    version: Version
    reason: Reason
    time: Instant
    data: JsonObject


def _registry() -> dict[str, type[Event]]:
    abstract = {AgreementEvent, CaseReported}
    found = [c for c in globals().values() if isinstance(c, type) and issubclass(c, Event)]
    return {c.__name__: c for c in found if c is not Event and c not in abstract}


EVENTS: dict[str, type[Event]] = _registry()
