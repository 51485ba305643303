"""Claims as their entries leave them: the request, the first decision and the one in force, and what followed.

§availability-credit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ledger import events as e
from ledger.entry import Entry
from ledger.errors import BadTerms, NotFound
from ledger.instants import instant
from ledger.readings import READING_IDS
from projections.history import History, folded
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


def period(judgement: Judgement, request: e.CreditRequested) -> tuple[datetime, datetime]:
    """Return a claim's period as instants: its dates begin at midnight in the zone of the customer's desk."""
    zone = judgement.zone_of(request.customer, judgement.rules_at(judgement.as_of))
    return judgement.instant_of(request.from_, zone), judgement.instant_of(request.until, zone)


def judgement_of(history: History, decision: dict[str, Any], position: int) -> Judgement:
    """Return the judgement a recorded decision was made with: its entries, instant, terms and readings.

    position: that of the entry which records it. Raises BadTerms when the decision does not say on what it rests,
    NotFound when its terms are not posted.
    """
    basis, readings = decision.get("basis"), decision.get("readings")
    try:
        if not isinstance(basis, dict) or not isinstance(readings, dict):
            raise ValueError("no basis and readings")
        entries, as_of = int(basis["entries"]), instant(basis["as_of"])
        if not 0 <= entries < position:
            raise ValueError("its basis lies beyond its own entry")
    except (KeyError, ValueError, TypeError) as error:
        raise BadTerms(f"entry {position}", f"the decision cannot be made again: {error}", "revise the claim") from None
    changes = {k: v for k, v in readings.items() if k in READING_IDS}
    terms = decision.get("terms")
    return Judgement(history.at_entry(entries), as_of, changes=changes, terms=None if terms is None else str(terms))
