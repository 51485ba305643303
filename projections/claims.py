"""Claims as their entries leave them: the request, the first decision and the one in force, and what followed.

§availability-credit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ledger import events as e
from ledger.entry import Entry
from ledger.errors import NotFound
from projections.history import folded
from projections.judgement import Judgement


@dataclass(frozen=True, slots=True)
class State:
    """A claim as its entries leave it: the request, the first decision, and the one in force."""

    opening: Entry
    first_decision: Entry | None = None
    decision: Entry | None = None
    disputed: Entry | None = None
    upheld: Entry | None = None
    issued: Entry | None = None

    @property
    def request(self) -> e.CreditRequested:
        """What was claimed."""
        assert isinstance(self.opening.event, e.CreditRequested)
        return self.opening.event

    def recorded(self) -> dict[str, Any] | None:
        """Return the recorded decision in force."""
        return None if self.decision is None else decision_of(self.decision)


def decision_of(entry: Entry) -> dict[str, Any]:
    """Return the decision that an entry records."""
    assert isinstance(entry.event, e.CreditGranted | e.CreditRefused | e.CreditRevised)
    return entry.event.decision


def evolve(state: State | None, entry: Entry) -> State:
    """Return the claim after one more of its entries, in order of time, then position."""
    if state is None:
        return State(entry)
    match entry.event:
        case e.CreditGranted() | e.CreditRefused():
            return replace(state, first_decision=entry, decision=entry)
        case e.CreditRevised():
            return replace(state, decision=entry, disputed=None)
        case e.CreditDisputed():
            return replace(state, disputed=entry)
        case e.DecisionUpheld():
            return replace(state, upheld=entry, disputed=None)
        case e.CreditIssued():
            return replace(state, issued=entry)
    return state


def claim(judgement: Judgement, stream: str) -> State:
    """Return a claim by its stream id; NotFound when nothing of it is known at `as_of`."""
    entries = judgement.history.stream(stream, judgement.as_of)
    if not entries:
        raise NotFound(stream, "no such claim is known", "see all claims: sla-ledger log --type CreditRequested")
    return folded(evolve, entries)
