"""The record read again in order of position: no gap, each entry against its leaf, the tree, the recording times.

Parts can be read beside each other; they are joined in their order. On the way each entry is read as one of its stream
too; streams that are not beyond doubt are left to be judged as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise

from ledger.instants import RECORDED_IN
from ledger.memory import without_cycles
from ledger.seal.leaves import leaves
from ledger.seal.merkle import Frontier, root
from ledger.store.reading import Sealed
from ledger.streams.quick_acceptance import Following

BLOCK = 256  # entries that are looked at together; a part begins where a block ends
MOST_GAPS = 1000
Progress = Callable[[int], None]


@dataclass(slots=True)
class Found:
    """What was found in entries that were read in order of position.

    last: position. gaps: missing positions, half-open, the first ones. changed: positions of entries that are not what
    the leaf hashes kept with them were made of. last_time: of recording. backwards: how many entries were recorded
    before the one ahead of them, and the first one.

    begun: a hash of each stream that began and is beyond doubt. doubtful, earlier: the other streams, each with the
    position of the first entry that is not beyond doubt; the latter began before the first entry. command_ids,
    identified: of entries that are, how many have one, and a sum over these and their positions, to be compared within
    one run of the program.
    """

    last: int = 0
    entries: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    last_time: bytes = b""
    backwards: int = 0
    first_backwards: int | None = None
    begun: set[int] = field(default_factory=set)
    doubtful: dict[str, int] = field(default_factory=dict)
    earlier: dict[str, int] = field(default_factory=dict)
    command_ids: int = 0
    identified: int = 0

    def identify(self, command_ids: Sequence[tuple[int, str]]) -> None:
        """Count command ids, given with their positions."""
        self.command_ids += len(command_ids)
        self.identified += sum(map(hash, command_ids))


@dataclass(slots=True)
class Part(Found):
    """What was found behind a position.

    first: position. blocks: the roots over whole blocks of entries before the first gap. edges: by size of a tree, the
    subtrees over the entries from its last whole block on.
    """

    after: int = 0
    first: int = 0
    first_time: bytes = b""
    blocks: list[bytes] = field(default_factory=list)
    edges: dict[int, list[bytes]] = field(default_factory=dict)

    def add(self, entries: list[Sealed], recorded_at: list[bytes], made: list[bytes], wanted: list[int]) -> None:
        """Add the entries of a block, and the leaf hashes made of them. wanted: sizes of trees, the smallest last."""
        if made != [row[5] for row in entries]:
            self.changed += [row[0] for row, leaf_hash in zip(entries, made, strict=True) if row[5] != leaf_hash]
        was_whole, sound = not self.gaps, len(made)
        if entries[-1][0] - self.last != len(entries):
            positions = pairwise([self.last, *(row[0] for row in entries)])
            gaps = [(one + 1, other) for one, other in positions if other != one + 1]
            self.gaps += gaps[: MOST_GAPS - len(self.gaps)]
            sound = self.gaps[0][0] - 1 - self.last
        while was_whole and wanted and wanted[-1] <= self.last + sound:
            size = wanted.pop()
            self.edges[size] = Frontier.over(made[: size - self.last]).subtrees if size % BLOCK else []
        if was_whole and sound == BLOCK:
            self.blocks.append(root(made))
        times = [self.last_time, *recorded_at]
        if times != sorted(times):
            backwards = [row[0] for row, (one, other) in zip(entries, pairwise(times), strict=True) if other < one]
            self.first_backwards = self.first_backwards or backwards[0]
            self.backwards += len(backwards)
        if not self.entries:
            self.first, self.first_time = entries[0][0], times[1]
        self.last, self.last_time = entries[-1][0], times[-1]
        self.entries += len(entries)


@without_cycles()
def read_part(
    entries: Iterable[Sealed], after: int, sizes: Iterable[int], progress: Progress = lambda done: None
) -> Part:
    """Read the entries behind a position at which a block ends, with the leaf hashes that are kept with them.

    sizes: of trees whose roots are wanted. A tree is made of what the entries say now, not of the leaves that are kept.
    """
    found, following, rows = Part(after, after=after), Following(), iter(entries)
    wanted = sorted({size for size in sizes if size > after}, reverse=True)
    while some := list(islice(rows, BLOCK)):
        recorded_at = [row[4][RECORDED_IN] for row in some]
        following.follow(some, recorded_at)
        found.add(some, recorded_at, leaves(some, recorded_at), wanted)
        progress(found.last)
    found.doubtful, found.earlier = following.doubtful, following.earlier
    found.begun = set(map(hash, following.followed()))
    found.identify(following.command_ids)
    return found


@dataclass(slots=True)
class Walk(Found):
    """What was found in parts that were joined.

    roots: by size, none behind a gap. is_ambiguous: a stream may have begun twice.
    """

    roots: dict[int, bytes] = field(default_factory=lambda: {0: Frontier().root()})
    is_ambiguous: bool = False
    _tree: Frontier = field(default_factory=Frontier)

    @property
    def streams(self) -> int:
        """How many streams there are."""
        return len(self.begun.union(map(hash, self.doubtful), map(hash, self.earlier)))

    def join(self, part: Part) -> None:
        """Add the part that follows."""
        if not part.entries:
            return
        if not self.gaps and part.after == self.last:
            self._grow(part)
        gaps = part.gaps if part.after == self.last else [(self.last + 1, part.after + 1), *part.gaps]
        if len(gaps) > 1 and gaps[0][1] == gaps[1][0]:
            gaps = [(gaps[0][0], gaps[1][1]), *gaps[2:]]
        self.gaps += gaps[: MOST_GAPS - len(self.gaps)]
        self.changed += part.changed
        is_backwards = part.first_time < self.last_time
        self.first_backwards = self.first_backwards or (part.first if is_backwards else part.first_backwards)
        self.backwards += part.backwards + is_backwards
        self.last, self.last_time = part.last, part.last_time
        self.entries += part.entries
        self.is_ambiguous |= not self.begun.isdisjoint(part.begun)
        self.begun |= part.begun
        self.doubtful = part.doubtful | self.doubtful
        self.earlier = part.earlier | self.earlier
        self.command_ids += part.command_ids
        self.identified += part.identified

    def _grow(self, part: Part) -> None:
        blocks = iter(part.blocks)
        for size, edge in part.edges.items():
            for block in islice(blocks, (size - self._tree.size) // BLOCK):
                self._tree.graft(block, BLOCK)
            self.roots[size] = Frontier(size, [*self._tree.subtrees, *edge]).root()
        for block in blocks:
            self._tree.graft(block, BLOCK)
