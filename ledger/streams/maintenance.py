"""Maintenance windows: started once, completed only when started, then only announcements."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ledger import events as e
from ledger.entry import Entry

KINDS = {
    "maintenance": (
        e.MaintenanceScheduled,
        e.MaintenanceCommunicated,
        e.MaintenanceRescheduled,
        e.MaintenanceStarted,
        e.MaintenanceCompleted,
        e.MaintenanceCancelled,
    )
}
OPENING: tuple[type[e.Event], ...] = (e.MaintenanceScheduled,)


@dataclass(frozen=True, slots=True)
class State:
    """Where the work stands."""

    opened: bool = False
    started: bool = False
    over: bool = False


def evolve(state: State, entry: Entry) -> State:
    """Return the state after an entry that was not refused."""
    match entry.event:
        case e.MaintenanceScheduled():
            return State(opened=True)
        case e.MaintenanceStarted():
            return replace(state, started=True)
        case e.MaintenanceCompleted() | e.MaintenanceCancelled():
            return replace(state, over=True)
    return state


def refuse(state: State, entry: Entry) -> str | None:
    """Return the reason why the entry cannot follow, or None."""
    match entry.event:
        case e.MaintenanceCommunicated():
            return None
        case _ if state.over:
            return "maintenance_is_over"
        case e.MaintenanceStarted() if state.started:
            return "already_started"
        case e.MaintenanceCompleted() if not state.started:
            return "not_started"
    return None
