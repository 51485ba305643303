"""A stream file read as rows and leaf hashes: those of a ledger that is an exact copy of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ledger.entry import Entry
from ledger.seal.leaves import leaf
from ledger.store.mapper import to_state
from ledger.store.reading import EVERYTHING, Sealed, Stored


class StreamRecord:
    """The entries of a stream file as a ledger would keep them.

    Leaf hashes are computed, for none are in the file, and checkpoints are not in it either. A file with empty or
    repeated lines has gaps between positions; a ledger has none.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        found = list(entries)
        self._rows: list[Stored] = [(x.position, x.stream, x.version, x.name, to_state(x)) for x in found]
        self._ids = [(x.position, x.command_id) for x in found if x.command_id is not None]

    def first_position(self) -> int:
        """Return the position of the first entry, 1 for none; in a ledger that is whole it is 1."""
        return self._rows[0][0] if self._rows else 1

    def last_position(self) -> int:
        """Return the position of the last entry, 0 for none."""
        return self._rows[-1][0] if self._rows else 0

    def count(self, up_to: int = EVERYTHING) -> int:
        """Return how many entries there are up to a position."""
        return sum(row[0] <= up_to for row in self._rows)

    def rows(self, up_to: int, after: int = 0) -> Iterator[Stored]:
        """Yield the entries in `(after, up_to]` in order of position."""
        return (row for row in self._rows if after < row[0] <= up_to)

    def rows_by_stream(self, first: str, until: str, up_to: int) -> Iterator[Stored]:
        """Yield the entries of streams with first <= id < until, up to a position, by id (as bytes), then version."""
        return iter(sorted((r for r in self.rows(up_to) if first <= r[1] < until), key=lambda row: row[1:3]))

    def at(self, positions: Iterable[int]) -> list[Stored]:
        """Return the entries at these positions, in this order."""
        found = {row[0]: row for row in self._rows}
        return [found[position] for position in positions if position in found]

    def leaves(self, up_to: int, after: int = 0) -> Iterator[bytes]:
        """Yield the leaf hashes of the entries in `(after, up_to]`, in order of position."""
        return (leaf(*row) for row in self.rows(up_to, after))

    def sealed(self, up_to: int, after: int = 0) -> Iterator[Sealed]:
        """Yield the entries in `(after, up_to]` in order of position, each with its leaf hash."""
        return ((*row, leaf(*row)) for row in self.rows(up_to, after))

    def command_ids(self, up_to: int) -> Iterator[tuple[int, str]]:
        """Yield position and command id of the entries up to a position that have one, in order of the ids."""
        return iter(sorted((x for x in self._ids if x[0] <= up_to), key=lambda x: x[1]))

    def kept_checkpoints(self) -> list[tuple[int, str]]:
        """Return none: they do not travel in a stream file."""
        return []

    def checkpoints(self) -> list[str]:
        """Return none: they do not travel in a stream file."""
        return []

    def close(self) -> None:
        """Do nothing: the file was read whole."""
