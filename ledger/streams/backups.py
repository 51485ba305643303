"""Backups: each is deleted once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ledger import events as e
from ledger.entry import Entry

KINDS = {"backup": (e.BackupTaken, e.BackupDeleted)}
OPENING: tuple[type[e.Event], ...] = (e.BackupTaken,)


@dataclass(frozen=True, slots=True)
class State:
    """Where a backup stands."""

    opened: bool = False
    deleted: bool = False


def evolve(state: State, entry: Entry) -> State:
    """Return the state after an entry that was not refused."""
    match entry.event:
        case e.BackupTaken():
            return State(opened=True)
        case e.BackupDeleted():
            return replace(state, deleted=True)
    return state


def refuse(state: State, entry: Entry) -> str | None:
    """Return the reason why the entry cannot follow, or None."""
    if isinstance(entry.event, e.BackupDeleted) and state.deleted:
        return "already_deleted"
    return None
