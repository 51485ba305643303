"""Response times summed up: how many cases met their target, by month or by anything a case has.

§response-times; best-effort cases stand apart (R16).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from projections.figures import truncated
from projections.handling_order import RANKS
from projections.response_times import Verdict

COUNTED = ("met", "breached", "open", "overdue", "paused", "best_effort", "cancelled")
GROUPS: dict[str, Callable[[Verdict], str]] = {
    "month": lambda v: f"{v.received_at.astimezone(v.zone):%Y-%m}",
    "customer": lambda v: v.state.case.customer,
    "service": lambda v: v.state.case.service,
    "priority": lambda v: v.priority,
    "channel": lambda v: v.state.case.channel,
    "kind": lambda v: v.stream.partition(":")[0],
}


def totals(verdicts: Iterable[Verdict], by: str) -> list[dict[str, Any]]:
    """Return a row for each value of `by` and a last one for all; months are those of the customer's desk."""
    groups: dict[str, list[str]] = {}
    for verdict in verdicts:
        groups.setdefault(GROUPS[by](verdict), []).append(verdict.verdict)
    ordered = sorted(groups, key=(lambda k: str(RANKS[k])) if by == "priority" else None)
    found = [_row(by, key, groups[key]) for key in ordered]
    return [*found, _row(by, "all", [v for group in groups.values() for v in group])]


def _row(by: str, key: str, verdicts: list[str]) -> dict[str, Any]:
    counts = {name: verdicts.count(name) for name in COUNTED}
    judged = counts["met"] + counts["breached"] + counts["overdue"]
    rate = truncated(Fraction(counts["met"] * 100, judged), 2) if judged else None
    return {by: key, "total": len(verdicts), **counts, "rate_percent": rate}
