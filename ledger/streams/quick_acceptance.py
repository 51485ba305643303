"""Which streams of cases are beyond doubt: every entry valid, in canonical bytes, and accepted.

Where a fact leads is asked of the streams' own rules, once for each state and kind of fact. Whatever is not plain to
see is left to the plain rules, so that nothing passes here that they would refuse.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

from ledger.clock import CLOCK_TOLERANCE
from ledger.entry import Entry
from ledger.events import EVENTS
from ledger.instants import HAPPENED_IN, RECORDED_IN, TAIL
from ledger.streams import cases
from ledger.streams.acceptance import refusal_at
from ledger.streams.quick_states import DOUBTS, SEEN, Reading, pieces, readings_of, said

Stored = tuple[int, str, int, str, bytes]  # position, stream, version, name, state


def accepts(rows: Sequence[Stored], command_ids: list[tuple[int, str]]) -> bool:
    """Return whether all entries of a stream are beyond doubt; False says nothing.

    rows: in order of version. When True, each is valid and in canonical bytes, versions have no gap and go with
    positions, and each was accepted after those before it; command ids have been added with their positions. No stream
    is beyond doubt of which an entry was corrected or withdrawn.
    """
    expected, before, last, here = 0, 0, b"", _BEGIN
    facts: list[tuple[bytes, int, Any]] = []
    try:
        known = readings_of(rows[0][1])
        for position, _, version, name, state in rows:
            expected += 1
            if version != expected or position <= before:
                return False
            before = position
            fact, command_id = said(known[name], state)
            if command_id:
                command_ids.append((position, command_id))
            at = state[HAPPENED_IN]
            if at > state[RECORDED_IN] and _is_too_early(state):
                return False
            if at >= last:
                facts.append((at, version, fact))
                here, last = here[fact], at
            else:
                insort(facts, (at, version, fact))
                here = _led(facts)
    except DOUBTS:
        return False
    return True


class Following:
    """Streams of cases whose entries go by in order of position.

    doubtful: those that began here and are not beyond doubt, each with the position of the first entry that is not;
    such a stream is followed no further, and nothing is said of it. Beside what `accepts` cannot tell, it is one with a
    fact that happened before two others ahead of it. earlier: streams that began before, each with the position of its
    first entry here; nothing is said of them either. command_ids: with their positions, of entries beyond doubt.
    """

    def __init__(self) -> None:
        self.doubtful: dict[str, int] = {}
        self.earlier: dict[str, int] = {}
        self.command_ids: list[tuple[int, str]] = []
        self._heads: dict[str, _Head | None] = {}

    def followed(self) -> Iterable[str]:
        """Return the streams that are beyond doubt."""
        return (stream for stream, head in self._heads.items() if head is not None)

    def follow(self, rows: Iterable[tuple[int, str, int, str, bytes, Any]], recorded_at: Iterable[bytes]) -> None:
        """Let more entries go by: position, stream, version, name, state, and anything."""
        heads, seen, is_early = self._heads, SEEN.issuperset, _is_too_early
        for (position, stream, version, name, state, _), recorded in zip(rows, recorded_at, strict=True):
            head = heads.get(stream, _UNSEEN)
            if head is None:
                continue
            try:
                expected, known, here, last, fact_before, before, last_before = (
                    head if head is not _UNSEEN else (1, readings_of(stream), _BEGIN, b"", None, _BEGIN, b"")
                )
                if version != expected:
                    raise ValueError(version)
                reading, fact, command_id = known[name], None, ""
                if seen(pieces(state)):
                    fact = reading.tails.get(state[TAIL])
                if fact is None:
                    fact, command_id = said(reading, state)
                at = state[HAPPENED_IN]
                if at > recorded and is_early(state):
                    raise ValueError(at)
                if at >= last:
                    heads[stream] = (version + 1, known, here[fact], at, fact, here, last)
                elif at >= last_before:
                    between = before[fact]
                    heads[stream] = (version + 1, known, between[fact_before], last, fact_before, between, at)
                else:
                    raise ValueError(at)
                if command_id:
                    self.command_ids.append((position, command_id))
            except DOUBTS:
                heads[stream] = None
                (self.earlier if head is _UNSEEN and version != 1 else self.doubtful)[stream] = position


def _is_too_early(state: bytes) -> bool:
    """Return whether a fact was recorded long before it happened."""
    at, recorded_at = (datetime.fromisoformat(state[x].decode()) for x in (HAPPENED_IN, RECORDED_IN))
    return at - recorded_at > CLOCK_TOLERANCE


# Where a fact leads


class _Place(dict[Any, "_Place"]):
    """A state of a case, and where each fact leads from it; KeyError for one that is refused."""

    def __init__(self, state: cases.State) -> None:
        self._state = state

    def __missing__(self, fact: Any) -> _Place:
        name, fields = (fact, {}) if isinstance(fact, str) else (fact[0], {"what": fact[1]})
        event = EVENTS[name].model_construct(**fields)
        nowhere = cast(Any, None)  # rules that looked at anything else would fail on it
        entry = Entry(nowhere, nowhere, nowhere, nowhere, nowhere, event)
        if refusal_at(cases, self._state, entry):
            raise KeyError(fact)
        found = self[fact] = _place(cases.evolve(self._state, entry))
        return found


_place = cache(_Place)
_BEGIN = _place(cases.State())
# The version to come, how entries are read; where a case stands, since when, by which fact; where it stood before, and
# since when.
_Head = tuple[int, dict[str, Reading], _Place, bytes, Any, _Place, bytes]
_UNSEEN: _Head = (0, {}, _BEGIN, b"", None, _BEGIN, b"")


def _led(facts: list[tuple[bytes, int, Any]]) -> _Place:
    """Return where facts in order of time lead from the beginning; KeyError when one of them is refused."""
    here = _BEGIN
    for _, _, fact in facts:
        here = here[fact]
    return here
