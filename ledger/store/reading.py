"""A ledger's rows as they are stored, and what every store can be asked for, past the library.

Nothing heavy is imported here; a command that only reads starts quickly. Writing goes through `ledger.book`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from ledger.errors import NotFound, damaged

FORMAT = 2
EVERYTHING = 2**63 - 1  # the last position there can be
Stored = tuple[int, str, int, str, bytes]  # position, stream, version, name, state
Sealed = tuple[int, str, int, str, bytes, bytes]  # the same, and the leaf hash

SEALED_SUMMARY = b'"sealed_summary":'  # in the state of every entry that holds one, and of no other


_TYPES = (int, str, int, str, bytes, bytes)  # of an entry's values, and of the leaf hash kept with it


def typed(rows: list[Any], types: tuple[type, ...] = _TYPES) -> list[Any]:
    """Return rows as they are; LedgerBroken where a value, from the first on, is of another type than is stored.

    A table tells types when it is written to, not when a file or the table itself was changed past the program.
    """
    columns = zip(zip(*rows, strict=True), types, strict=False)
    if any([*map(type, column)].count(kind) != len(rows) for column, kind in columns):
        wrong = next(row for row in rows if tuple(map(type, row)) != types[: len(row)])
        raise damaged(f"entry {wrong[0]}", "its values are not of the types that an entry's have")
    return rows


def typed_ids(rows: list[Any]) -> list[Any]:
    """Return positions with command ids as they are; LedgerBroken where one is of another type than is stored."""
    return typed(rows, (int, str))


def typed_leaves(rows: list[Any]) -> list[Any]:
    """Return leaf hashes as they are; LedgerBroken where one is of another type than is stored."""
    return typed(rows, (bytes,))


def another_format(made_by: int) -> tuple[str, str]:
    """Return what to say of a ledger in another format than this program's, and what to do."""
    todo = "export it with the release that made it, and here: sla-ledger --db NEW import --verbatim FILE"
    return f"this ledger has format {made_by}, not {FORMAT}", todo if made_by < FORMAT else "use a newer release"


def naming(customer: str) -> bytes:
    """Return what stands in the state of every entry that names a customer; for "" in all that say whose a case is."""
    return b'"customer":' + (f'"{customer}"'.encode() if customer else b"")


def known_entry(position: int, last: int) -> int:
    """Return the position of an entry that is there, or 0; NotFound when it lies beyond the last."""
    if not 0 <= position <= last:
        todo = "name a position from 0 to the last"
        raise NotFound(f"entry {position}", f"the last entry is {last}", todo)
    return position


class Record(Protocol):
    """What a ledger and a stream file can be asked for alike."""

    def first_position(self) -> int:
        """Return the position of the first entry, 1 for none; in a ledger that is whole it is 1."""

    def last_position(self) -> int:
        """Return the position of the last entry, 0 for none."""

    def count(self, up_to: int = EVERYTHING) -> int:
        """Return how many entries there are up to a position."""

    def rows(self, up_to: int, after: int = 0) -> Iterator[Stored]:
        """Yield the entries in `(after, up_to]` in order of position."""

    def rows_by_stream(self, first: str, until: str, up_to: int) -> Iterator[Stored]:
        """Yield the entries of streams with first <= id < until, up to a position, by id (as bytes), then version."""

    def at(self, positions: Iterable[int]) -> list[Stored]:
        """Return the entries at these positions."""

    def leaves(self, up_to: int, after: int = 0) -> Iterator[bytes]:
        """Yield the leaf hashes that are kept with the entries in `(after, up_to]`, in order of position."""

    def sealed(self, up_to: int, after: int = 0) -> Iterator[Sealed]:
        """Yield the entries in `(after, up_to]` in order of position, each with the leaf hash that is kept with it."""

    def command_ids(self, up_to: int) -> Iterator[tuple[int, str]]:
        """Yield position and command id of the entries up to a position that are known by one, in order of the ids."""

    def kept_checkpoints(self) -> list[tuple[int, str]]:
        """Return all checkpoints that are kept, by the size that each is kept under: that size, and the note."""

    def checkpoints(self) -> list[str]:
        """Return the notes of all checkpoints that are kept, by size."""

    def close(self) -> None:
        """Give back what is held."""


class Reader(Record, Protocol):
    """What every store can be asked for."""

    def identity(self) -> str:
        """Return what tells this ledger from any other that may come into its place."""

    def streams_after(self, after: int, up_to: int) -> list[str]:
        """Return the streams that have entries in `(after, up_to]`."""

    def known_position(self, at: str, up_to: int) -> int:
        """Return the position before the first entry recorded after an instant (RFC 3339 in UTC), at most `up_to`."""

    def earliest_after(self, position: int) -> tuple[str, list[str]]:
        """Return the earliest time of an entry after a position, and the streams that are corrected after it."""

    def bounds(self, first: str, until: str, parts: int) -> list[str]:
        """Return stream ids that cut the streams with first <= id < until into parts of about equal size."""
