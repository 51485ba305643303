"""Who overtakes whom, counted in one walk through all that cases do: they wait in a group, leave it, are handled.

The same count as `handling_order`, from an instant on: what lies before is not counted, and cases that wait then are
there from the beginning. Going on in steps of time keeps no more in memory than what waits and what is to come.
§order-of-handling, §prioritisation; R14.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import chain, islice

Key = int  # an instant and a position, in this order
Stay = tuple[str, Key, Key | None]
Move = tuple[Key, int, Key]  # when, what, and which case by its rank of receipt

LEAVES, ENTERS, HANDLED = range(3)
MANY = 8192  # ranks in a list


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
                group = groups[name]
                group.enters.append((begin if begin >= since else since, ENTERS, rank))
                if end is not None:
                    group.moves.append((end, LEAVES, rank))
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
                group.clear()
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


class _Ranks:
    """Ranks in ascending order. They stand in several lists when there are many: what is put in moves all behind it."""

    def __init__(self) -> None:
        self._lists: list[list[Key]] = [[]]
        self._edges: list[Key] = []  # between lists: each is at most the lowest of the list behind it

    def __iter__(self) -> Iterator[Key]:
        return chain.from_iterable(self._lists)

    def add(self, rank: Key) -> None:
        """Put in a rank: mostly it is the highest."""
        ranks, place = self._lists[-1], len(self._edges)
        if ranks and rank > ranks[-1]:
            ranks.append(rank)
        else:
            place = bisect_right(self._edges, rank)
            ranks = self._lists[place]
            insort(ranks, rank)
        if len(ranks) > MANY:
            half = len(ranks) // 2
            self._lists[place : place + 1] = [ranks[:half], ranks[half:]]
            self._edges.insert(place, ranks[half])

    def remove(self, rank: Key) -> int:
        """Take out a rank that is there, and return how many are lower."""
        place = bisect_right(self._edges, rank) if self._edges else 0
        ranks = self._lists[place]
        found = bisect_left(ranks, rank)
        del ranks[found]
        if self._edges:
            found += sum(map(len, self._lists[:place]))
            if not ranks:
                del self._lists[place], self._edges[max(place - 1, 0)]
        return found

    def before(self, rank: Key) -> int:
        """Return how many are lower than a rank."""
        if not self._edges:
            return bisect_left(self._lists[0], rank)
        place = bisect_right(self._edges, rank)
        return sum(map(len, self._lists[:place])) + bisect_left(self._lists[place], rank)

    def first(self) -> Key:
        """Return the lowest; there is one."""
        return self._lists[0][0]


class _Group:
    """Those that wait in one group, those of it that were handled, and the moves that are to come.

    Who is handled passes all that wait then and were received before. So a case was passed while it waited as often as
    later ones were handled: as many as had been when it left, without those that had been when it entered.
    """

    def __init__(self) -> None:
        self.enters: list[Move] = []  # mostly in order, which sorting makes use of
        self.moves: list[Move] = []
        self._waiting, self._handled = _Ranks(), _Ranks()
        self._count, self._latest = 0, -(1 << 80)  # of those handled: how many, and the highest rank
        self._since: dict[Key, Key] = {}  # of each that waits, when its stay began
        self._before: dict[Key, int] = {}  # of each that waits, how many later ones had been handled then, if any
        self._unpassed: list[Key] = []  # a heap of those that wait and nobody has passed; some may have left meanwhile

    def clear(self) -> None:
        """Forget the moves that are to come."""
        self.enters.clear()
        self.moves.clear()

    def lead(self, found: Passing, until: Key | None) -> None:
        """Walk through all moves before an instant; without one through all, and those that wait still are counted."""
        self.moves += self.enters
        self.enters.clear()
        self.moves.sort()
        end = len(self.moves) if until is None else bisect_left(self.moves, (until, LEAVES, 0))
        enter, leave, waiting_before = self._waiting.add, self._waiting.remove, self._waiting.before
        handle, handled_before, count, latest = self._handled.add, self._handled.before, self._count, self._latest
        since, unpassed, entered = self._since, self._unpassed, self._before
        overtook, overtaken = found.overtook, found.overtaken
        left, place = None, 0  # who has just left, and how many wait that came before
        for at, what, rank in islice(self.moves, end):
            if what == ENTERS:
                enter(rank)
                left = None
                since[rank] = at
                heappush(unpassed, rank)
                if rank < latest and (later := count - handled_before(rank)):
                    entered[rank] = later
            elif what == LEAVES:
                left, place = rank, leave(rank)
                del since[rank]
                if rank < latest and (times := count - handled_before(rank) - entered.pop(rank, 0)):
                    overtaken[rank] = overtaken.get(rank, 0) + times
            else:
                if left != rank:
                    place = waiting_before(rank)
                if place:
                    overtook[rank] = place, self._waiting.first()
                    if unpassed and unpassed[0] < rank:
                        self._pass(rank, found.passers)
                handle(rank)
                left = None
                count += 1
                if rank > latest:
                    latest = rank
        self._count, self._latest = count, latest
        del self.moves[:end]
        if len(unpassed) > 4 * len(since) + MANY:
            self._unpassed = list({r for r in unpassed if r in since})
            heapify(self._unpassed)
        if until is None:
            self._end(overtaken)

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
        for rank in self._waiting:
            if times := self._count - self._handled.before(rank) - self._before.get(rank, 0):
                overtaken[rank] = overtaken.get(rank, 0) + times
        self._waiting = _Ranks()
        self._before.clear()
        self._since.clear()
