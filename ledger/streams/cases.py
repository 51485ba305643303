"""Incidents and service requests: access is granted only when asked for, and nothing follows a cancellation."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ledger import events as e
from ledger.entry import Entry

KINDS = {
    "incident": (
        e.IncidentReported,
        e.PriorityAssigned,
        e.ResponseGiven,
        e.TroubleshootingStarted,
        e.AccessRequested,
        e.AccessGranted,
        e.IncidentResolved,
        e.IncidentReopened,
        e.IncidentCancelled,
    ),
    "request": (
        e.ServiceRequested,
        e.PriorityAssigned,
        e.ResponseGiven,
        e.AccessRequested,
        e.AccessGranted,
        e.RequestFulfilled,
        e.RequestCancelled,
    ),
}
OPENING: tuple[type[e.Event], ...] = (e.IncidentReported, e.ServiceRequested)


@dataclass(frozen=True, slots=True)
class State:
    """Where a case stands: what is waited for, and whether it is resolved, fulfilled or cancelled."""

    opened: bool = False
    waiting_for: frozenset[str] = frozenset()
    resolved: bool = False
    fulfilled: bool = False
    cancelled: bool = False


def evolve(state: State, entry: Entry) -> State:
    """Return the state after an entry that was not refused."""
    match entry.event:
        case e.CaseReported():
            return State(opened=True)
        case e.AccessRequested(what=what):
            return replace(state, waiting_for=state.waiting_for | {what})
        case e.AccessGranted(what=what):
            return replace(state, waiting_for=state.waiting_for - {what})
        case e.IncidentResolved():
            return replace(state, resolved=True)
        case e.IncidentReopened():
            return replace(state, resolved=False)
        case e.RequestFulfilled():
            return replace(state, fulfilled=True)
        case e.IncidentCancelled() | e.RequestCancelled():
            return replace(state, cancelled=True)
    return state


def refuse(state: State, entry: Entry) -> str | None:
    """Return the reason why the entry cannot follow, or None."""
    if state.cancelled:
        return "nothing_after_cancellation"
    match entry.event:
        case e.AccessRequested(what=what) if what in state.waiting_for:
            return "access_already_requested"
        case e.AccessGranted(what=what) if what not in state.waiting_for:
            return "no_open_access_request"
        case e.IncidentResolved() if state.resolved:
            return "already_resolved"
        case e.IncidentReopened() if not state.resolved:
            return "not_resolved"
        case e.RequestFulfilled() if state.fulfilled:
            return "already_fulfilled"
    return None
