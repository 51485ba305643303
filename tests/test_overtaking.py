"""The walk through the handling order, against counting each case that was handled against each that waited."""

from __future__ import annotations

from collections import Counter
from itertools import count
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from projections import overtaking
from projections.overtaking import Key, Stay, Walk, joined
from projections.stored_facts import SHIFT

Case = tuple[Key, list[Stay], tuple[str, Key] | None]  # rank, stays, handled
Found = dict[Key, tuple[int, int, Key | None, list[tuple[Key, Key]]]]

GAPS = st.integers(0, 9)
STAYS = st.lists(
    st.tuples(st.sampled_from("ab"), GAPS, GAPS), max_size=3
)  # group, seconds it lasts, and until the next


@st.composite
def histories(draw: st.DrawFn) -> list[Case]:
    """Cases in order of receipt, in the same few seconds."""
    positions, found = count(1), list[Case]()
    for received, spans, last, is_handled in draw(
        st.lists(st.tuples(GAPS, STAYS, st.sampled_from("ab"), st.booleans()), max_size=25)
    ):
        at = rank = received << SHIFT | next(positions)
        stays: list[Stay] = []
        for group, lasts, gap in spans:
            until = ((at >> SHIFT) + lasts) << SHIFT | next(positions)
            stays.append((group, at, until))
            at = ((until >> SHIFT) + gap) << SHIFT | next(positions) if gap else until
        second = ((at >> SHIFT) + 1) << SHIFT
        stays.append((last, at, second if is_handled else None))
        found.append((rank, stays, (last, second | next(positions)) if is_handled else None))
    return sorted(found)


def counted(cases: list[Case], by_priority: bool) -> Found:
    """What a walk through all of it has to find."""
    overtook, overtaken, first = Counter[Key](), Counter[Key](), dict[Key, Key]()
    passers: dict[Key, dict[Key, Key]] = {rank: {} for rank, _, _ in cases}
    for (group, at), rank in sorted((handled, rank) for rank, _, handled in cases if handled):
        for other, stays, _ in cases:
            for name, begin, end in stays if by_priority else joined(stays):
                is_there = begin <= at and (end is None or end > at)
                if other < rank and is_there and (name == group or not by_priority):
                    overtook[rank] += 1
                    overtaken[other] += 1
                    first.setdefault(rank, other)
                    known = passers[other].get(begin)
                    if known is None or at < next(h[1] for r, _, h in cases if r == known and h):
                        passers[other][begin] = rank
    return {
        rank: (overtook[rank], overtaken[rank], first.get(rank), sorted(passers[rank].items())) for rank, _, _ in cases
    }


@given(histories(), st.booleans(), st.sampled_from([1, 2, 1024]), st.integers(1, 30))
def test_a_walk_counts_the_same_in_whatever_steps_and_however_many_wait(
    cases: list[Case], by_priority: bool, many: int, step: int
) -> None:
    walk = Walk(by_priority)

    with patch.object(overtaking, "MANY", many):
        for number, (rank, stays, handled) in enumerate(cases, 1):
            walk.add(rank, stays, handled)
            if number % step == 0:
                walk.lead(rank)
        found = walk.lead()

    walked = {rank: found.of(rank) for rank, _, _ in cases}
    assert {r: (*f[:3], sorted(f[3])) for r, f in walked.items()} == counted(cases, by_priority)


def test_who_is_handled_as_a_walk_begins_passes_those_who_wait_then() -> None:
    earlier, later, begin = 1 << SHIFT | 1, 2 << SHIFT | 2, 3 << SHIFT | 3
    walk = Walk(by_priority=True, since=begin)

    walk.add(later, [("a", later, 3 << SHIFT)], ("a", begin))
    walk.add(earlier, [("a", earlier, None)], None)

    found = walk.lead()
    assert found.of(later) == (1, 0, earlier, [])
    assert found.of(earlier) == (0, 1, None, [(begin, later)])
