"""What every store offers, whichever database keeps the entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from eventsourcing.persistence import StoredEvent

Row = tuple[int, str, int, str, bytes]  # position, stream, version, name, state


class Recorder(Protocol):
    """Reads stored entries, beside what the library's application asks of its recorder."""

    def max_notification_id(self) -> int | None:
        """Return the position of the last entry, None for none."""

    def rows(self, up_to: int, after: int = 0) -> Iterator[Row]:
        """Yield the entries at positions above `after`, at most `up_to`, in order of position."""

    def rows_by_stream(self, first: str, until: str, up_to: int) -> Iterator[Row]:
        """Yield the entries up to a position of the streams from `first` to before `until`, by stream, then version.

        Streams come, and are compared, in the order of their bytes.
        """

    def streams_after(self, after: int, up_to: int) -> list[str]:
        """Return the streams with entries at positions above `after`, at most `up_to`, in the order of their bytes."""

    def at(self, positions: Iterable[int]) -> list[Row]:
        """Return the entries at these positions, in this order."""

    def positions_of(self, command_ids: Sequence[str]) -> dict[str, int]:
        """Return the positions of those command ids that are already in the ledger."""


class Store(Protocol):
    """A module that keeps ledgers in one kind of database."""

    @property
    def __name__(self) -> str:
        """The module's name; `LedgerFactory` in it builds the library's infrastructure."""

    def check_is_ledger(self, address: str) -> None:
        """Raise NoLedger when nothing is at the address, StorageFailed when it is something else than a ledger."""

    def create(self, address: str, entries: Sequence[StoredEvent]) -> None:
        """Make a new ledger of these entries, whole or not at all; LedgerError when something is there already."""
