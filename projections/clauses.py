"""The order of the agreement: of its clauses, and of its priorities."""

from __future__ import annotations

from collections.abc import Iterable

CLAUSES = (
    "§validity",
    "§scope",
    "§customer-duties",
    "§company-duties",
    "§not-provided",
    "§service-availability",
    "§planned-maintenance",
    "§unplanned-maintenance",
    "§emergency-service",
    "§business-hours",
    "§phone",
    "§email",
    "§chat",
    "§on-site",
    "§outside-hours",
    "§response-times",
    "§remote-assistance",
    "§availability-target",
    "§availability-calculation",
    "§availability-credit",
    "§delivery-metrics",
    "§prioritisation",
    "§order-of-handling",
    "§full-access",
)
RANKS = {"high": 0, "medium": 1, "low": 2}
DOUBTED = {"no_agreement": "§scope", "out_of_scope": "§scope", "before_first_terms": "§validity"}


def in_order(clauses: Iterable[str]) -> list[str]:
    """Return clause ids in the agreement's order, each once."""
    return sorted(set(clauses), key=CLAUSES.index)
