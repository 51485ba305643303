"""Posted terms: one version a stream, and its hash is the document's."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from ledger import events as e
from ledger.entry import Entry

KINDS = {"terms": (e.TermsPosted,)}
OPENING: tuple[type[e.Event], ...] = (e.TermsPosted,)


@dataclass(frozen=True, slots=True)
class State:
    """Whether the version has been posted."""

    opened: bool = False


def evolve(state: State, entry: Entry) -> State:
    """Return the state after an entry that was not refused."""
    return State(opened=True)


def refuse(state: State, entry: Entry) -> str | None:
    """Return the reason why the entry cannot follow, or None."""
    if isinstance(entry.event, e.TermsPosted):
        digest = sha256(entry.event.document.encode()).hexdigest()
        return None if digest == entry.event.sha256 else "hash_is_not_the_documents"
    return None
