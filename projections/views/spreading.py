"""Judging the cases of a ledger elsewhere: parts that workers read themselves, by the ledger's address.

All that a part is judged by is handed over, so that nothing of a worker's clock, zone or environment counts.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import msgspec

from ledger.errors import LedgerError, NoLedger
from ledger.store.address import reader_at, shown
from ledger.store.reading import Reader
from projections.grounds import Grounds
from projections.views.building import Progress, Spread
from projections.views.file import made_by, mark
from projections.views.parts import KINDS, Part, added, besides, connected, part
from projections.views.tables import encode

FAST = 1  # of zlib: to a third in a fourteenth of the time that judging takes
Spans = list[tuple[str, str]]  # streams with first <= id < until


@dataclass(frozen=True, slots=True)
class Source:
    """What cases are judged from: a ledger up to an entry, which must be this one, on grounds as JSON, in windows."""

    address: str = field(repr=False)  # a password may stand in it, and workers may log what they fail at
    up_to: int
    mark: list[str] = field(repr=False)
    made_by: str
    grounds: bytes = field(repr=False)
    edges: Sequence[int]


@dataclass(frozen=True, slots=True)
class Judged:
    """The cases of a part: their file and their moves, compressed, and what they add up to."""

    file: bytes
    moves: list[bytes]  # a window of time each
    part: Part


class Run(Protocol):
    """Has work done elsewhere, and returns what it makes of each part, in their order."""

    def __call__(
        self, work: Callable[[Spans], Judged], parts: Sequence[Spans], done: Callable[[int], None]
    ) -> list[Judged]:
        """done: called with the count of parts that are ready."""


def spreading(run: Run, address: str, parts: int) -> Spread:
    """Return what does as `parts.part` does for all cases of a ledger, by having about so many parts judged."""

    def spread(
        path: Path, reader: Reader, grounds: Grounds, up_to: int, edges: Sequence[int], progress: Progress
    ) -> Part:
        source = Source(address, up_to, _mark(reader, up_to), made_by(), encode(grounds), edges)
        cut = cuts(reader, parts)
        return _joined(path, run(partial(judged, source), cut, lambda count: progress(count, len(cut))))

    return spread


def cuts(reader: Reader, parts: int) -> list[Spans]:
    """Return the streams of cases in about so many parts of about equal size; of a short ledger fewer."""
    first, last = KINDS[0][0], KINDS[-1][1]
    edges = [first, *reader.bounds(first, last, parts), last]
    found = [[(max(a, x), min(b, y)) for x, y in KINDS if max(a, x) < min(b, y)] for a, b in pairwise(edges)]
    return [spans for spans in found if spans]


def judged(source: Source, spans: Spans) -> Judged:
    """Return the cases of these streams, from the ledger opened by its address; LedgerError when it is another one."""
    if source.made_by != made_by():
        what = "a worker runs another version of this program"
        raise LedgerError("--scheduler", what, "install the same one on every worker, then start the workers again")
    try:
        reader = reader_at(source.address)
    except NoLedger as error:
        todo = "put it where every worker finds it at this address, or keep it in PostgreSQL"
        raise LedgerError(error.where, "a worker finds no ledger here", todo) from None
    with closing(reader), tempfile.TemporaryDirectory() as folder:
        if _mark(reader, source.up_to) != source.mark:
            what = f"a worker finds another ledger here: entry {source.up_to} is missing or not the same"
            raise LedgerError(shown(source.address), what, "let every worker read this ledger, not a copy of its own")
        grounds = msgspec.json.decode(source.grounds, type=Grounds)
        file = Path(folder, "part")
        found = part(file, reader, grounds, spans, source.up_to, source.edges)
        rows, *moves = (
            zlib.compress(path.read_bytes(), FAST) for path in (file, *besides(file, len(source.edges) + 1))
        )
        return Judged(rows, moves, found)


def _mark(reader: Reader, position: int) -> list[str]:
    return [mark(entry) for entry in reader.at([position])]


def _joined(path: Path, found: Sequence[Judged]) -> Part:
    """Write parts into one file, and return what they add up to together."""
    path.write_bytes(zlib.decompress(found[0].file))
    for window, moves in enumerate(besides(path, len(found[0].moves))):
        moves.write_bytes(b"".join(zlib.decompress(one.moves[window]) for one in found))
    with closing(connected(path)) as connection:
        for one in found[1:]:
            connection.execute("ATTACH ':memory:' AS part")
            connection.deserialize(zlib.decompress(one.file), name="part")
            for table in ("cases", "emptied"):
                connection.execute(f"INSERT INTO {table} SELECT * FROM part.{table}")
            connection.execute("DETACH part")
    return added([one.part for one in found])
