"""Claims: decided once, disputed once decided, upheld or revised once disputed, issued once when the decision pays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from ledger import events as e
from ledger.entry import Entry

KINDS = {
    "claim": (
        e.CreditRequested,
        e.CreditGranted,
        e.CreditRefused,
        e.CreditRevised,
        e.CreditDisputed,
        e.DecisionUpheld,
        e.CreditIssued,
    )
}
OPENING: tuple[type[e.Event], ...] = (e.CreditRequested,)


@dataclass(frozen=True, slots=True)
class State:
    """Where a claim stands."""

    opened: bool = False
    decided: bool = False
    disputed: bool = False
    pays: bool = False
    issued: bool = False


def evolve(state: State, entry: Entry) -> State:
    """Return the state after an entry that was not refused."""
    match entry.event:
        case e.CreditRequested():
            return State(opened=True)
        case e.CreditGranted(decision=decision):
            return replace(state, decided=True, pays=pays(decision))
        case e.CreditRefused():
            return replace(state, decided=True, pays=False)
        case e.CreditDisputed():
            return replace(state, disputed=True)
        case e.DecisionUpheld():
            return replace(state, disputed=False)
        case e.CreditRevised(decision=decision):
            return replace(state, disputed=False, pays=pays(decision))
        case e.CreditIssued():
            return replace(state, issued=True)
    return state


def refuse(state: State, entry: Entry) -> str | None:
    """Return the reason why the entry cannot follow, or None."""
    match entry.event:
        case e.CreditGranted() | e.CreditRefused() if state.decided:
            return "already_decided"
        case e.CreditDisputed() if not state.decided:
            return "not_decided"
        case e.DecisionUpheld() | e.CreditRevised() if not state.disputed:
            return "not_disputed"
        case e.CreditIssued() if not state.decided:
            return "not_decided"
        case e.CreditIssued() if state.issued:
            return "already_issued"
        case e.CreditIssued() if not state.pays:
            return "decision_does_not_pay"
    return None


def pays(decision: dict[str, Any]) -> bool:
    """Return whether a decision grants an amount above zero."""
    credit = decision.get("credit")
    if decision.get("verdict") != "granted" or not isinstance(credit, dict):
        return False
    try:
        return Decimal(str(credit.get("amount"))) > 0
    except InvalidOperation:
        return False
