"""What is found in parts of a record that are read beside each other is what one slow look at all of it finds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.instants import RECORDED_IN
from ledger.seal import by_position, merkle
from ledger.seal.by_position import Part, Walk, read_part
from ledger.seal.by_stream import readmitted
from ledger.seal.leaves import leaf, leaves
from ledger.store.reading import Sealed, Stored
from tests.test_quick_acceptance import streams

BLOCK = 4


@st.composite
def records(draw: Any) -> list[Sealed]:
    """Entries of several streams as they might be stored: some changed, missing or put in where nothing belongs."""
    waiting = [[row[2:] for row in draw(streams())] for _ in range(draw(st.integers(1, 4)))]
    rows: list[Sealed] = []
    position = 0
    while waiting:
        at = draw(st.integers(0, len(waiting) - 1))
        version, name, state = waiting[at].pop(0)
        position += 1 + (draw(st.integers(0, 9)) == 0) * draw(st.integers(0, 9))
        entry: Stored = (position, f"incident:{at % 3}", version, name, state)
        made = leaf(*entry)
        rows.append((*entry, made if draw(st.integers(0, 9)) else bytes(32)))
        waiting = [rest for rest in waiting if rest]
    return rows


def read_in_parts(rows: list[Sealed], cuts: list[int], sizes: list[int]) -> Walk:
    """What parts that begin and end at these positions find together."""
    walk = Walk()
    for after, until in pairwise([0, *cuts, rows[-1][0]]):
        walk.join(read_part((row for row in rows if after < row[0] <= until), after, sizes))
    return walk


def by_stream(rows: list[Sealed]) -> list[Stored]:
    return sorted((row[:5] for row in rows), key=lambda row: (row[1], row[2], row[0]))


@pytest.fixture(autouse=True)
def small_blocks() -> Iterator[None]:
    with patch.object(by_position, "BLOCK", BLOCK):
        yield


@given(records(), st.data())
def test_parts_find_what_is_there(rows: list[Sealed], data: st.DataObject) -> None:
    last = rows[-1][0]
    cuts = sorted(BLOCK * cut for cut in data.draw(st.sets(st.integers(1, max(1, last // BLOCK - 1)), max_size=3)))
    cuts = [cut for cut in cuts if cut < last]
    sizes = data.draw(st.lists(st.integers(0, last)))
    walk = read_in_parts(rows, cuts, sizes)

    positions = [row[0] for row in rows]
    missing = [p for p in range(1, last + 1) if p not in positions]
    whole = missing[0] - 1 if missing else last
    leaves = [leaf(*row[:5]) for row in rows]
    times = [row[4][RECORDED_IN] for row in rows]
    early = [p for p, (one, other) in zip(positions[1:], pairwise(times), strict=True) if other < one]
    assert walk.entries == len(rows)
    assert walk.last == last
    assert [p for begin, end in walk.gaps for p in range(begin, end)] == missing
    assert all(one[1] < other[0] for one, other in pairwise(walk.gaps))
    assert walk.changed == [row[0] for row, made in zip(rows, leaves, strict=True) if row[5] != made]
    assert walk.roots == {size: merkle.root(leaves[:size]) for size in {0, *sizes} if size <= whole}
    assert (walk.backwards, walk.first_backwards) == (len(early), early[0] if early else None)


@given(records(), st.data())
def test_streams_are_judged_as_if_each_had_been_read_alone(rows: list[Sealed], data: st.DataObject) -> None:
    last = rows[-1][0]
    cuts = [cut for cut in (BLOCK * data.draw(st.integers(0, 3)),) if 0 < cut < last]
    walk = read_in_parts(rows, cuts, [])
    every = readmitted(by_stream(rows))
    if walk.is_ambiguous:
        assert every.findings.listed
        return

    left = {**walk.earlier, **walk.doubtful}
    again = readmitted((row for row in by_stream(rows) if row[1] in left), left)
    walk.identify(again.command_ids)

    assert walk.streams == every.streams
    assert again.findings.ordered() == every.findings.ordered()
    assert again.findings.counts == every.findings.counts
    if not every.findings.listed:
        expected = Walk()
        expected.identify(every.command_ids)
        assert (walk.command_ids, walk.identified) == (expected.command_ids, expected.identified)


@given(st.sampled_from([0, BLOCK]))
@example(BLOCK)
def test_a_stream_that_begins_twice_is_seen_in_one_part_or_in_two(cut: int) -> None:
    time, opening = b"2026-02-01T12:00:00Z", b'{"customer":"acme","service":"licence","channel":"web"}'
    state = b'{"time":"%b","recordedtime":"%b","data":%b}' % (time, time, opening)
    names = ["incident:1", "incident:2", "incident:3", "incident:4", "incident:5", "incident:1"]
    entries: list[Stored] = [(p, name, 1, "IncidentReported", state) for p, name in enumerate(names, 1)]
    walk = read_in_parts([(*entry, leaf(*entry)) for entry in entries], [cut] if cut else [], [])

    assert walk.is_ambiguous or list(walk.doubtful) == ["incident:1"]
    assert walk.is_ambiguous == bool(cut)


def told(*facts: tuple[str, str, bytes]) -> Part:
    """What is found in a stream of facts: name, time, data."""
    state, recorded = b'{"time":"%b","recordedtime":"%b","data":%b}', b"2026-02-02T00:00:00Z"
    entries: list[Stored] = [
        (n, "incident:1", n, name, state % (at.encode(), recorded, data)) for n, (name, at, data) in enumerate(facts, 1)
    ]
    return read_part([(*entry, leaf(*entry)) for entry in entries], 0, [])


OPENED = ("IncidentReported", "2026-02-01T12:00:00Z", b'{"customer":"acme","service":"licence","channel":"web"}')
STARTED = ("TroubleshootingStarted", "2026-02-01T13:00:00Z", b"{}")
RESOLVED = ("IncidentResolved", "2026-02-01T14:00:00Z", b"{}")
ANSWERED = ("ResponseGiven", "2026-02-01T12:30:00Z", b'{"responder":"human"}')
REOPENED = ("IncidentReopened", "2026-02-01T12:30:00Z", b"{}")


def test_a_fact_that_came_one_place_late_is_judged_where_it_belongs_and_others_with_their_whole_stream() -> None:
    assert not told(OPENED, RESOLVED, ANSWERED).doubtful
    assert not told(OPENED, RESOLVED, ANSWERED, STARTED).doubtful
    assert told(OPENED, RESOLVED, REOPENED).doubtful == {"incident:1": 3}
    assert told(OPENED, STARTED, RESOLVED, ANSWERED).doubtful == {"incident:1": 4}
    assert told(STARTED, OPENED).doubtful == {"incident:1": 1}


@given(records())
def test_many_leaf_hashes_are_those_made_one_by_one(rows: list[Sealed]) -> None:
    assert leaves(rows, [row[4][RECORDED_IN] for row in rows]) == [leaf(*row[:5]) for row in rows]
