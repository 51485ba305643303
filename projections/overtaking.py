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

    overtook: how many each handled case overtook. first: the first received among them. overtaken: by how many each
    case was overtaken. passers: of each case, the beginning of each stay in which it was overtaken, and who was first.
    """

    overtook: dict[Key, int] = field(default_factory=dict)
    first: dict[Key, Key] = field(default_factory=dict)
    overtaken: dict[Key, int] = field(default_factory=dict)
    passers: dict[Key, list[tuple[Key, Key]]] = field(default_factory=dict)

    def of(self, rank: Key) -> tuple[int, int, Key | None, list[tuple[Key, Key]]]:
        """Take out what was found of one case: overtook, overtaken, first, passers."""
        return (
            self.overtook.pop(rank, 0),
            self.overtaken.pop(rank, 0),
            self.first.pop(rank, None),
            self.passers.pop(rank, []),
        )


class Walk:
    """A walk from an instant on, as far as it is led; cases are added before the walk comes to their moves."""

    def __init__(self, by_priority: bool, since: Key = -(1 << 80)) -> None:
        self.found = Passing()
        self._by_priority, self._since = by_priority, since
        self._groups: dict[str, _Group] = {}

    def add(self, rank: Key, stays: Iterable[Stay], handled: tuple[str, Key] | None) -> None:
        """Add the moves of one case. A stay that began before the walk does enters as it begins."""
        since = self._since
        for name, begin, end in stays if self._by_priority else joined(stays):
            if end is None or end > since:
                moves = self._moves(name)
                moves.append((begin if begin >= since else since, ENTERS, rank))
                if end is not None:
                    moves.append((end, LEAVES, rank))
        if handled is not None and handled[1] >= since:
            self._moves(handled[0] if self._by_priority else ALL).append((handled[1], HANDLED, rank))

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

    def _moves(self, name: str) -> list[Move]:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group()
        return group.moves


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


class _Group:
    """Those that wait in one group, and the moves that are to come."""

    def __init__(self) -> None:
        self.moves: list[Move] = []
        self._waiting = Waiting()
        self._since: dict[Key, Key] = {}  # of each that waits, when its stay began
        self._unpassed: list[Key] = []  # a heap; some may have left meanwhile

    def lead(self, found: Passing, until: Key | None) -> None:
        self.moves.sort()
        end = len(self.moves) if until is None else bisect_left(self.moves, (until, LEAVES, 0))
        waiting, since, unpassed, overtaken = self._waiting, self._since, self._unpassed, found.overtaken
        for at, what, rank in islice(self.moves, end):
            if what == ENTERS:
                waiting.enter(rank)
                since[rank] = at
                heappush(unpassed, rank)
            elif what == LEAVES:
                times = waiting.leave(rank)
                del since[rank]
                if times:
                    overtaken[rank] = overtaken.get(rank, 0) + times
            elif before := waiting.passed_by(rank):
                found.overtook[rank] = before
                found.first[rank] = waiting.first()
                while unpassed and unpassed[0] < rank:
                    passed = heappop(unpassed)
                    if passed in since:
                        known = found.passers.setdefault(passed, [])
                        if (since[passed], rank) not in known:
                            known.append((since[passed], rank))
        del self.moves[:end]
        if len(unpassed) > 4 * len(since) + CHUNK:
            self._unpassed = list({r for r in unpassed if r in since})
            heapify(self._unpassed)
        if until is None:
            for rank in since:
                if times := waiting.leave(rank):
                    overtaken[rank] = overtaken.get(rank, 0) + times
            since.clear()


class Waiting:
    """Cases that wait in a group, by rank of receipt: how many came before one, and how often each was overtaken.

    Ranks stand in ascending chunks. Being handled after others came first passes all before a place: that is noted at
    the place only, in its chunk and in one sum for each earlier chunk, so that a case was passed as often as is noted
    from its own place on.
    """

    def __init__(self) -> None:
        self._ranks: list[list[Key]] = [[]]
        self._notes: list[list[int]] = [[]]
        self._sums: list[int] = [0]
        self._before: dict[Key, int] = {}  # what was noted from its place on when a case entered, if anything

    def first(self) -> Key:
        """Return the case that was received first; one waits."""
        return next(ranks[0] for ranks in self._ranks if ranks)

    def enter(self, rank: Key) -> None:
        """Let a case wait that does not yet."""
        c = 0 if len(self._ranks) == 1 else self._chunk(rank)
        ranks, notes, noted = self._ranks[c], self._notes[c], self._sums[c]
        if not ranks or rank > ranks[-1]:  # as mostly: who is received later
            ranks.append(rank)
            notes.append(0)
        else:
            i = bisect_left(ranks, rank)
            ranks.insert(i, rank)
            notes.insert(i, 0)
            noted += sum(notes[i:])
        if noted:
            self._before[rank] = noted
        if len(ranks) > CHUNK:
            self._split(c)

    def leave(self, rank: Key) -> int:
        """Let a case wait no more, and return how often it was overtaken meanwhile."""
        c = 0 if len(self._ranks) == 1 else self._chunk(rank)
        ranks, notes = self._ranks[c], self._notes[c]
        i = bisect_left(ranks, rank)
        assert ranks[i] == rank
        noted = self._sums[c] + sum(notes[i:]) - self._before.pop(rank, 0)
        own = notes.pop(i)
        del ranks[i]
        if own and i:
            notes[i - 1] += own
        if not ranks and len(self._ranks) > 1:
            del self._ranks[c], self._notes[c], self._sums[c]
        return noted

    def passed_by(self, rank: Key) -> int:
        """Note that a case was handled, and return how many that wait were received before it."""
        c = 0 if len(self._ranks) == 1 else self._chunk(rank)
        i = bisect_left(self._ranks[c], rank)
        if i:
            self._notes[c][i - 1] += 1
        if not c:
            return i
        found = i
        for earlier in range(c):
            self._sums[earlier] += 1
            found += len(self._ranks[earlier])
        return found

    def _chunk(self, rank: Key) -> int:
        low, high = 0, len(self._ranks) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._ranks[middle][0] <= rank:
                low = middle
            else:
                high = middle - 1
        return low

    def _split(self, c: int) -> None:
        half = len(self._ranks[c]) // 2
        ranks, notes = self._ranks[c], self._notes[c]
        later = notes[half:]
        self._ranks[c : c + 1] = [ranks[:half], ranks[half:]]
        self._notes[c : c + 1] = [notes[:half], later]
        self._sums[c : c + 1] = [self._sums[c] + sum(later), self._sums[c]]
