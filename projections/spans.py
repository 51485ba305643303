"""Half-open spans of time `(from, until)`, and the sums and differences of sets of them.

A set of spans is a list in ascending order whose spans neither overlap nor touch; `union` makes one of any list.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import accumulate

from ledger.instants import seconds

Span = tuple[datetime, datetime]

SECOND = timedelta(seconds=1)


def in_seconds(span: Span) -> tuple[int, int]:
    """Return begin and end of a span in seconds since 1970."""
    return seconds(span[0]), seconds(span[1])


def union(spans: Iterable[Span]) -> list[Span]:
    """Return the instants that any of the spans holds, touching spans joined; empty spans hold none."""
    merged: list[Span] = []
    for begin, end in sorted(s for s in spans if s[0] < s[1]):
        if merged and begin <= merged[-1][1]:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
        else:
            merged.append((begin, end))
    return merged


def intersection(one: list[Span], other: list[Span]) -> list[Span]:
    """Return the instants that both sets hold."""
    found: list[Span] = []
    i = j = 0
    while i < len(one) and j < len(other):
        begin, end = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if begin < end:
            found.append((begin, end))
        if one[i][1] <= other[j][1]:
            i += 1
        else:
            j += 1
    return found


def minus(one: list[Span], other: list[Span]) -> list[Span]:
    """Return the instants that the first set holds and the second does not."""
    found: list[Span] = []
    j = 0
    for begin, end in one:
        while j < len(other) and other[j][1] <= begin:
            j += 1
        k = j
        while k < len(other) and other[k][0] < end:
            if begin < other[k][0]:
                found.append((begin, other[k][0]))
            begin = max(begin, other[k][1])
            k += 1
        if begin < end:
            found.append((begin, end))
    return found


def clip(spans: list[Span], begin: datetime, end: datetime) -> list[Span]:
    """Return the instants of a set from `begin` until `end`."""
    return intersection(spans, [(begin, end)]) if begin < end else []


def covered_at_least(sets: list[list[Span]], times: int) -> list[Span]:
    """Return the instants that at least so many of the sets hold."""
    changes: dict[datetime, int] = {}
    for spans in sets:
        for begin, end in spans:
            changes[begin] = changes.get(begin, 0) + 1
            changes[end] = changes.get(end, 0) - 1
    found, depth, since = [], 0, None
    for at in sorted(changes):
        depth += changes[at]
        if depth >= times and since is None:
            since = at
        elif depth < times and since is not None:
            found.append((since, at))
            since = None
    return found


def total(spans: Iterable[Span]) -> int:
    """Return how many seconds a set of spans holds."""
    return sum((end - begin for begin, end in spans), timedelta()) // SECOND


class Sums:
    """A set of spans with running sums: how many of its seconds a span holds is two binary searches."""

    def __init__(self, spans: list[Span]) -> None:
        self._begins = [begin for begin, _ in spans]
        self._ends = [end for _, end in spans]
        self._sums = [0, *accumulate((end - begin) // SECOND for begin, end in spans)]

    def within(self, begin: datetime, end: datetime) -> int:
        """Return how many seconds of the set lie in `[begin, end)`; `begin` is not after `end`."""
        return self._before(end) - self._before(begin)

    def _before(self, at: datetime) -> int:
        begun = bisect_right(self._begins, at)
        if not begun:
            return 0
        end = self._ends[begun - 1]
        return self._sums[begun] - ((end - at) // SECOND if at < end else 0)
