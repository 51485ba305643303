"""Agreements: services and 24x7 deals come and go one at a time; after the end only a new signature."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ledger import events as e
from ledger.entry import Entry

KINDS = {
    "agreement": (
        e.AgreementSigned,
        e.ServiceAdded,
        e.ServiceEnded,
        e.MonthlyFeeAgreed,
        e.RoundTheClockSupportAgreed,
        e.RoundTheClockSupportEnded,
        e.AgreementEnded,
    )
}
OPENING: tuple[type[e.Event], ...] = (e.AgreementSigned,)


@dataclass(frozen=True, slots=True)
class State:
    """What is agreed: the services, and the 24x7 deals (None is the one for all services)."""

    opened: bool = False
    signed: bool = False
    services: frozenset[str] = frozenset()
    deals: frozenset[str | None] = frozenset()


def evolve(state: State, entry: Entry) -> State:
    """Return the state after an entry that was not refused."""
    match entry.event:
        case e.AgreementSigned(services=services):
            return State(opened=True, signed=True, services=frozenset(item.service for item in services))
        case e.ServiceAdded(service=service):
            return replace(state, services=state.services | {service})
        case e.ServiceEnded(service=service):
            return replace(state, services=state.services - {service})
        case e.RoundTheClockSupportAgreed(service=deal):
            return replace(state, deals=state.deals | {deal})
        case e.RoundTheClockSupportEnded(service=deal):
            return replace(state, deals=state.deals - {deal})
        case e.AgreementEnded():
            return State(opened=True)
    return state


def refuse(state: State, entry: Entry) -> str | None:
    """Return the reason why the entry cannot follow, or None."""
    match entry.event:
        case e.AgreementSigned():
            return "already_signed" if state.signed else None
        case _ if not state.signed:
            return "agreement_has_ended"
        case e.ServiceAdded(service=service) if service in state.services:
            return "service_already_agreed"
        case e.ServiceEnded(service=service) | e.MonthlyFeeAgreed(service=service) if service not in state.services:
            return "no_such_service"
        case e.RoundTheClockSupportAgreed(service=deal) if deal in state.deals:
            return "deal_already_agreed"
        case e.RoundTheClockSupportEnded(service=deal) if deal not in state.deals:
            return "no_such_deal"
    return None
