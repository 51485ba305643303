"""The record read again in order of position: no gap, each entry against its leaf, the tree, the recording times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice, pairwise

from ledger.errors import LedgerBroken
from ledger.memory import without_cycles
from ledger.seal.findings import TODO
from ledger.seal.leaves import RECORDED_AT, leaf
from ledger.seal.merkle import EMPTY, Frontier
from ledger.store.reading import Sealed

AT_ONCE = 1024  # entries that are looked at together
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
    found, tree, rows = Walk(), Frontier(), iter(entries)
    wanted = sorted(set(sizes), reverse=True)
    if wanted and not wanted[-1]:
        found.roots[wanted.pop()] = EMPTY
    last, recorded_at = 0, b""
    while some := list(islice(rows, AT_ONCE)):
        try:
            made = [leaf(p, stream, version, name, state) for p, stream, version, name, state, _ in some]
        except (TypeError, AttributeError):
            raise _odd(some) or ValueError("no leaf hash can be made") from None
        if made != [row[5] for row in some]:
            found.changed += [row[0] for row, leaf_hash in zip(some, made, strict=True) if row[5] != leaf_hash]
        times = [recorded_at, *(row[4][RECORDED_AT] for row in some)]
        if times != sorted(times):
            backwards = [row[0] for row, (one, other) in zip(some, pairwise(times), strict=True) if other < one]
            found.first_backwards = found.first_backwards or backwards[0]
            found.backwards += len(backwards)
        if some[-1][0] - last != len(some):
            positions = pairwise([last, *(row[0] for row in some)])
            gaps = [(one + 1, other) for one, other in positions if other != one + 1]
            found.gaps += gaps[: MOST_GAPS - len(found.gaps)]
        there = made if not found.gaps else made[: max(0, found.gaps[0][0] - 1 - last)]
        begin = 0
        while wanted and wanted[-1] <= last + len(there):
            tree.extend(there[begin : wanted[-1] - last])
            begin = wanted[-1] - last
            found.roots[wanted.pop()] = tree.root()
        tree.extend(there[begin:])
        last, recorded_at = some[-1][0], times[-1]
        found.entries += len(some)
        progress(last)
    return found


def _odd(entries: list[Sealed]) -> LedgerBroken | None:
    """Return an error that names the first entry whose values are of other types than this program stores."""
    for entry in entries:
        if [type(value) for value in entry[:5]] != [int, str, int, str, bytes]:
            return LedgerBroken(
                f"entry {entry[0]}", "changed bytes: its values are of other types than are stored", TODO
            )
    return None
