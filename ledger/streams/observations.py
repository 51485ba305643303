"""Published holidays and monitoring gaps: single facts that stand for themselves, in any number and order."""

from __future__ import annotations

from dataclasses import dataclass

from ledger import events as e
from ledger.entry import Entry

KINDS = {"calendar": (e.HolidaysPublished,), "monitoring": (e.MonitoringGapRecorded,)}
OPENING: tuple[type[e.Event], ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """There is nothing to remember."""

    opened: bool = True


def evolve(state: State, entry: Entry) -> State:
    """Return the state after an entry that was not refused."""
    return state


def refuse(state: State, entry: Entry) -> str | None:
    """Return the reason why the entry cannot follow, or None."""
    return None
