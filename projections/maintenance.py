"""Maintenance windows: what was scheduled and announced when, and whether downtime inside one is excluded.

§planned-maintenance, §unplanned-maintenance, §emergency-service; R17, R19, R29.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, cast

from projections.spans import SECOND, Span

if TYPE_CHECKING:
    from ledger import events as e
    from ledger.entry import Entry
    from ledger.terms import Version


@dataclass(frozen=True, slots=True)
class State:
    """A window: its category and services, its last schedule, and what was announced after that."""

    opening: Entry
    scheduled: Entry
    window: Span
    announced: tuple[Entry, ...] = ()  # to customers, since the last schedule
    cancelled: Entry | None = None

    @property
    def plan(self) -> e.MaintenanceScheduled:
        """What was scheduled in the first place."""
        assert self.opening.name == "MaintenanceScheduled"
        return cast("e.MaintenanceScheduled", self.opening.event)

    def entries(self) -> list[Entry]:
        """Return every entry that the window and its notice rest on."""
        found = [self.opening, self.scheduled, *self.announced, *([self.cancelled] if self.cancelled else [])]
        return list({x.position: x for x in found}.values())


def evolve(state: State | None, entry: Entry) -> State:
    """Return the window after one more of its entries, in order of time, then position."""
    match entry.name:
        case "MaintenanceScheduled":
            return State(entry, entry, _window(entry))
        case "MaintenanceRescheduled" if state:
            return replace(state, scheduled=entry, window=_window(entry), announced=())
        case "MaintenanceCommunicated" if state:
            is_heard = "customers" in cast("e.MaintenanceCommunicated", entry.event).audience
            return replace(state, announced=(*state.announced, entry)) if is_heard else state
        case "MaintenanceCancelled" if state:
            return replace(state, cancelled=entry)
    assert state is not None
    return state


def _window(entry: Entry) -> Span:
    scheduled = cast("e.MaintenanceScheduled | e.MaintenanceRescheduled", entry.event)
    return scheduled.from_, scheduled.until


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a window excludes nothing; `missed_by_seconds` where a notice came too late."""

    reason: str
    missed_by_seconds: int | None = None


def obstacles(state: State, category: str, service: str) -> list[Obstacle]:
    """Return what keeps a window from covering a service at all, whatever its notice."""
    found = []
    if state.plan.category != category:
        found.append(Obstacle("other_category"))
    if service not in state.plan.services:
        found.append(Obstacle("other_service"))
    if state.cancelled:
        found.append(Obstacle("cancelled"))
    return found


def planned_obstacles(state: State, service: str, rules: Version) -> list[Obstacle]:
    """Return what keeps a planned window over a service from qualifying; nothing when it does. §planned-maintenance

    It must be scheduled, and announced to customers, long enough before it begins; what was announced before a
    rescheduling does not count.
    """
    found, notice, begin = obstacles(state, "planned", service), rules.terms.planned_maintenance, state.window[0]
    missed = (state.scheduled.time + notice.scheduled_before - begin) // SECOND
    if missed > 0:
        found.append(Obstacle("scheduled_late", missed))
    if not state.announced:
        found.append(Obstacle("not_communicated"))
    else:
        missed = (state.announced[0].time + notice.communicated_before - begin) // SECOND
        if missed > 0:
            found.append(Obstacle("communicated_late", missed))
    return found


def is_planned_notice_recorded_late(state: State, rules: Version) -> bool:
    """Return whether the notice was given in time but the ledger learned of it only after the window began."""
    begin, before = state.window[0], rules.terms.planned_maintenance.communicated_before
    in_time = [x for x in state.announced if x.time + before <= begin]
    return state.scheduled.recorded_at > begin or all(x.recorded_at > begin for x in in_time)


def unplanned_obstacles(state: State, service: str, frame_begins: datetime, rules: Version) -> list[Obstacle]:
    """Return what keeps an unplanned window from covering a frame; nothing when it does. §unplanned-maintenance, R17

    It must be scheduled no later than the frame's first second, and announced to customers immediately (R29).
    """
    found = obstacles(state, "unplanned", service)
    missed = (state.scheduled.time - frame_begins) // SECOND
    if missed > 0:
        found.append(Obstacle("declared_after_failure", missed))
    if not state.announced:
        found.append(Obstacle("not_communicated"))
    else:
        missed = (state.announced[0].time - state.scheduled.time - rules.readings.immediately) // SECOND
        if missed > 0:
            found.append(Obstacle("communicated_late", missed))
    return found
