"""The record read again in order of position: no gap, each entry against its leaf, the tree, the recording times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ledger.memory import without_cycles
from ledger.seal.leaves import RECORDED_AT, leaf
from ledger.seal.merkle import EMPTY, Frontier
from ledger.store.reading import Sealed

AT_ONCE = 8192  # leaves that go into the tree together
MOST_GAPS = 1000
Progress = Callable[[int], None]


@dataclass(slots=True)
class Walk:
    """What was found on the way.

    entries: how many were read. gaps: missing positions, half-open, the first ones. changed: positions of entries that
    are not what the leaf hashes kept with them were made of. roots: by size, none behind a gap. backwards: how many
    entries were recorded before the one ahead of them, and which was the first.
    """

    entries: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    roots: dict[int, bytes] = field(default_factory=dict)
    backwards: int = 0
    first_backwards: int | None = None


@without_cycles()
def walked(entries: Iterable[Sealed], sizes: Iterable[int], progress: Progress = lambda done: None) -> Walk:
    """Read entries with the leaf hashes that are kept with them; return what was found, with the roots of sizes.

    The tree is made of what the entries say now, not of the leaves that are kept.
    """
    found, tree, fresh = Walk(), Frontier(), list[bytes]()
    wanted = sorted(set(sizes), reverse=True)
    if wanted and not wanted[-1]:
        found.roots[wanted.pop()] = EMPTY
    next_wanted = wanted.pop() if wanted else 0
    expected, recorded_at = 0, b""
    for position, stream, version, name, state, kept in entries:
        expected += 1
        if position != expected:
            if len(found.gaps) < MOST_GAPS:
                found.gaps.append((expected, position))
            expected = position
        made = leaf(position, stream, version, name, state)
        if made != kept:
            found.changed.append(position)
        if (now := state[RECORDED_AT]) < recorded_at:
            found.backwards += 1
            found.first_backwards = found.first_backwards or position
        recorded_at = now
        found.entries += 1
        fresh.append(made)
        if len(fresh) == AT_ONCE or position == next_wanted:
            progress(position)
            if not found.gaps:
                tree.extend(fresh)
                if position == next_wanted:
                    found.roots[position] = tree.root()
                    next_wanted = wanted.pop() if wanted else 0
            fresh.clear()
    return found
