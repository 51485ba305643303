"""Response times summed up: how many cases met their target, by month or by anything a case has.

§response-times; best-effort cases stand apart (R16).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from projections.clauses import RANKS
from projections.figures import percent_of

if TYPE_CHECKING:
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
    counts: dict[str, dict[str, int]] = {}
    for verdict in verdicts:
        counts.setdefault(GROUPS[by](verdict), dict.fromkeys(COUNTED, 0))[verdict.verdict] += 1
    return summed(by, counts)


def summed(by: str, counts: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    """Return counts of verdicts, by value of `by`, as rows in order, and a last row for all."""
    items = sorted(counts, key=(lambda k: str(RANKS[k])) if by == "priority" else None)
    everything = {name: sum(c[name] for c in counts.values()) for name in COUNTED}
    return [*(_row(by, item, counts[item]) for item in items), _row(by, "all", everything)]


def _row(by: str, key: str, counts: dict[str, int]) -> dict[str, Any]:
    judged = counts["met"] + counts["breached"] + counts["overdue"]
    rate = percent_of(counts["met"], judged, 2) if judged else None
    return {by: key, "total": sum(counts.values()), **counts, "rate_percent": rate}
