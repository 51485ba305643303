"""Who overtakes whom, counted in one walk through all that cases do: they wait in a group, leave it, are handled.

The same count as `handling_order`, from an instant on: what lies before is not counted, and cases that wait then are
there from the beginning. Going on in steps of time keeps no more in memory than what waits and what is to come.
§order-of-handling, §prioritisation; R14.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import islice

Key = int  # an instant and a position, in this order
Stay = tuple[str, Key, Key | None]
Move = tuple[Key, int, Key]  # when, what, and which case by its rank of receipt

LEAVES, ENTERS, HANDLED = range(3)
CHUNK = 1024


@dataclass(slots=True)
class Passing:
    """What a walk found, by the rank of receipt: an instant and a position.

    overtook: how many each handled case overtook, and the first received among them. overtaken: by how many each case
    was overtaken. passers: of each case, the beginning of each stay in which it was overtaken, and who was first.
    """

    overtook: dict[Key, tuple[int, Key]] = field(default_factory=dict)
    overtaken: dict[Key, int] = field(default_factory=dict)
    passers: dict[Key, list[tuple[Key, Key]]] = field(default_factory=dict)

    def of(self, rank: Key) -> tuple[int, int, Key | None, list[tuple[Key, Key]]]:
        """Take out what was found of one case: overtook, overtaken, first, passers."""
        overtook, first = self.overtook.pop(rank, _NOBODY)
        return overtook, self.overtaken.pop(rank, 0), first, self.passers.pop(rank, [])


_NOBODY = (0, None)


class Walk:
    """A walk from an instant on, as far as it is led; cases are added before the walk comes to their moves."""

    def __init__(self, by_priority: bool, since: Key = -(1 << 80)) -> None:
        self.found = Passing()
        self._by_priority, self._since = by_priority, since
        self._groups = _Groups()

    def add(self, rank: Key, stays: Iterable[Stay], handled: tuple[str, Key] | None) -> None:
        """Add the moves of one case. A stay that began before the walk does enters as it begins."""
        since, groups = self._since, self._groups
        for name, begin, end in stays if self._by_priority else joined(stays):
            if end is None or end > since:
                moves = groups[name].moves
                moves.append((begin if begin >= since else since, ENTERS, rank))
                if end is not None:
                    moves.append((end, LEAVES, rank))
        if handled is not None and handled[1] >= since:
            groups[handled[0] if self._by_priority else ALL].moves.append((handled[1], HANDLED, rank))

    def lead(self, until: Key | None = None) -> Passing:
        """Walk through all moves before an instant, through all of them without one, and return what is found so far.

        At the end the cases that wait still count how often they were overtaken.
        """
        for group in self._groups.values():
            group.lead(self.found, until)
        return self.found

    def end(self, until: Key | None = None) -> Passing:
        """Walk up to an instant, and let the cases that wait then count how often they were overtaken."""
        if until is not None:
            self.lead(until)
            for group in self._groups.values():
                group.moves.clear()
        return self.lead()


ALL = "all"


def joined(stays: Iterable[Stay]) -> list[Stay]:
    """Return stays whatever their group: one that begins as another ends goes on."""
    found: list[Stay] = []
    for _, begin, end in stays:
        if found and found[-1][2] == begin:
            found[-1] = (ALL, found[-1][1], end)
        else:
            found.append((ALL, begin, end))
    return found


class _Groups(dict[str, "_Group"]):
    def __missing__(self, name: str) -> _Group:
        found = self[name] = _Group()
        return found


class _Group:
    """Those that wait in one group, by rank of receipt, and the moves that are to come.

    Ranks stand in ascending chunks, one as long as few wait. Being handled after others came first passes all before a
    place: that is noted at the place only, in its chunk and in one sum for each earlier chunk, so that a case was
    passed as often as is noted from its own place on.
    """

    def __init__(self) -> None:
        self.moves: list[Move] = []
        self._chunks: list[tuple[list[Key], list[int]]] = [([], [])]  # ranks, and what is noted at each place
        self._sums: list[int] = [0]
        self._totals: list[int] = [0]  # of what is noted in each chunk
        self._before: dict[Key, int] = {}  # what was noted from its place on when a case entered, if anything
        self._since: dict[Key, Key] = {}  # of each that waits, when its stay began
        self._unpassed: list[Key] = []  # a heap; some may have left meanwhile

    def lead(self, found: Passing, until: Key | None) -> None:
        """Walk through all moves before an instant; without one through all, and those that wait still are counted."""
        self.moves.sort()
        end = len(self.moves) if until is None else bisect_left(self.moves, (until, LEAVES, 0))
        chunks, sums, totals, before = self._chunks, self._sums, self._totals, self._before
        since, unpassed = self._since, self._unpassed
        overtook, overtaken = found.overtook, found.overtaken
        place, (ranks, notes) = 0, chunks[0]
        is_one = len(chunks) == 1
        for at, what, rank in islice(self.moves, end):
            if not is_one:
                place = self._place(rank)
                ranks, notes = chunks[place]
            i = bisect_left(ranks, rank)
            if what == ENTERS:
                since[rank] = at
                heappush(unpassed, rank)
                if noted := sums[place] + sum(notes[i:]):
                    before[rank] = noted
                ranks.insert(i, rank)
                notes.insert(i, 0)
                if len(ranks) > CHUNK:
                    self._split(place)
                    is_one = False
            elif what == LEAVES:
                del since[rank], ranks[i]
                behind = sum(notes[i:]) if 2 * i > len(notes) else totals[place] - sum(notes[:i])
                if noted := sums[place] + behind - before.pop(rank, 0):
                    overtaken[rank] = overtaken.get(rank, 0) + noted
                if own := notes.pop(i):
                    if i:
                        notes[i - 1] += own
                    else:
                        totals[place] -= own
                if not ranks and len(chunks) > 1:
                    del chunks[place], sums[place], totals[place]
            else:
                if i:
                    notes[i - 1] += 1
                    totals[place] += 1
                if place:
                    i += self._pass_before(place)
                if i:
                    overtook[rank] = i, chunks[0][0][0]
                    if unpassed and unpassed[0] < rank:
                        self._pass(rank, found.passers)
        del self.moves[:end]
        if len(unpassed) > 4 * len(since) + CHUNK:
            self._unpassed = list({r for r in unpassed if r in since})
            heapify(self._unpassed)
        if until is None:
            self._end(found.overtaken)

    def _pass_before(self, place: int) -> int:
        """Note in earlier chunks that a case behind them was handled, and return how many wait there."""
        self._sums[:place] = [noted + 1 for noted in self._sums[:place]]
        return sum(len(ranks) for ranks, _ in self._chunks[:place])

    def _pass(self, rank: Key, passers: dict[Key, list[tuple[Key, Key]]]) -> None:
        """Note a case that was handled as the first to pass those before it that nobody had passed yet."""
        unpassed, since = self._unpassed, self._since
        while unpassed and unpassed[0] < rank:
            passed = heappop(unpassed)
            if passed in since:
                known = passers.setdefault(passed, [])
                if (since[passed], rank) not in known:
                    known.append((since[passed], rank))

    def _end(self, overtaken: dict[Key, int]) -> None:
        """Let those that wait count how often they were overtaken, and wait no more."""
        for (ranks, notes), noted in zip(self._chunks, self._sums, strict=True):
            for rank, note in zip(reversed(ranks), reversed(notes), strict=True):
                noted += note
                if times := noted - self._before.get(rank, 0):
                    overtaken[rank] = overtaken.get(rank, 0) + times
        self._chunks, self._sums, self._totals = [([], [])], [0], [0]
        self._before.clear()
        self._since.clear()

    def _place(self, rank: Key) -> int:
        """Return which chunk a case stands in or belongs into."""
        low, high = 0, len(self._chunks) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._chunks[middle][0][0] <= rank:
                low = middle
            else:
                high = middle - 1
        return low

    def _split(self, place: int) -> None:
        ranks, notes = self._chunks[place]
        half = len(ranks) // 2
        self._chunks[place : place + 1] = [(ranks[:half], notes[:half]), (ranks[half:], notes[half:])]
        totals = [sum(notes[:half]), sum(notes[half:])]
        self._sums[place : place + 1] = [self._sums[place] + totals[1], self._sums[place]]
        self._totals[place : place + 1] = totals
