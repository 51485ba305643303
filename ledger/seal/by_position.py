"""The record read again in order of position: no gap, each entry against its leaf, the tree, the recording times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ledger.seal.leaves import RECORDED_AT, leaf
from ledger.seal.merkle import EMPTY, Frontier
from ledger.store.reading import Stored

AT_ONCE = 8192  # leaves that wait to go into the tree together
Progress = Callable[[int], None]


@dataclass(slots=True)
class Walk:
    """What was found on the way: entries read, gaps, entries that are not as their leaves say, and roots by size.

    gaps: positions that are missing, half-open, the first ones. roots: only of sizes before the first gap. backwards: entries recorded before
    the one ahead of them: how many, and the first.
    """

    entries: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    roots: dict[int, bytes] = field(default_factory=dict)
    backwards: int = 0
    first_backwards: int | None = None


def walked(
    rows: Iterable[Stored], leaves: Iterable[bytes | None], sizes: Iterable[int], progress: Progress = lambda done: None
) -> Walk:
    """Read entries and the leaf hashes that are kept with them, and return what was found, with the roots of sizes.

    The tree is made of what the entries say now, not of the leaves that are kept. leaves: None for an entry without.
    """
    found, tree, fresh = Walk(), Frontier(), list[bytes]()
    wanted = sorted(set(sizes), reverse=True)
    if wanted and not wanted[-1]:
        found.roots[wanted.pop()] = EMPTY
    expected, recorded_at, read = 0, b"", 0
    for row, kept in zip(rows, leaves, strict=True):
        expected += 1
        read += 1
        position, state = row[0], row[4]
        if position != expected:
            found.gaps.append((expected, position))
            expected, wanted = position, []
        made = leaf(*row)
        if made != kept and kept is not None:
            found.changed.append(position)
        fresh.append(made)
        if state[RECORDED_AT] < recorded_at:
            found.backwards += 1
            found.first_backwards = found.first_backwards or position
        recorded_at = state[RECORDED_AT]
        if len(fresh) == AT_ONCE or (wanted and position == wanted[-1]):
            progress(position)
            if not found.gaps:
                tree.extend(fresh)
            fresh.clear()
            if wanted and position == wanted[-1]:
                found.roots[wanted.pop()] = tree.root()
    found.entries = read
    return found
