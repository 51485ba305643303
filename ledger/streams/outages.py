"""Outages: restored once, frames name evidence that exists, causes name what they need."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ledger import events as e
from ledger.entry import Entry

KINDS = {
    "outage": (
        e.OutageReported,
        e.EvidenceRecorded,
        e.ServiceRestored,
        e.TimeframeDetermined,
        e.OutageAttributed,
    )
}
OPENING: tuple[type[e.Event], ...] = (e.OutageReported,)
NEEDS_MAINTENANCE = ("planned_maintenance", "unplanned_maintenance")


@dataclass(frozen=True, slots=True)
class State:
    """Where an outage stands. `evidence` holds the versions of all evidence in the stream, whenever it came."""

    opened: bool = False
    restored: bool = False
    evidence: frozenset[int] = frozenset()


def begin(entries: list[Entry]) -> State:
    """Return the state before the first entry, with all evidence that the stream holds."""
    return State(evidence=frozenset(x.version for x in entries if isinstance(x.event, e.EvidenceRecorded)))


def evolve(state: State, entry: Entry) -> State:
    """Return the state after an entry that was not refused."""
    match entry.event:
        case e.OutageReported():
            return replace(state, opened=True)
        case e.ServiceRestored():
            return replace(state, restored=True)
        case e.EvidenceRecorded():
            return replace(state, evidence=state.evidence | {entry.version})
    return state


def refuse(state: State, entry: Entry) -> str | None:
    """Return the reason why the entry cannot follow, or None."""
    match entry.event:
        case e.ServiceRestored() if state.restored:
            return "already_restored"
        case e.TimeframeDetermined(evidence=named) if not state.evidence.issuperset(named):
            return "no_such_evidence"
        case e.OutageAttributed(cause=cause, maintenance=maintenance) if (maintenance is not None) != (
            cause in NEEDS_MAINTENANCE
        ):
            return "maintenance_exactly_with_maintenance_cause"
        case e.OutageAttributed(cause=cause, ground=ground) if (ground is not None) != (cause == "not_covered"):
            return "ground_exactly_with_not_covered"
    return None
