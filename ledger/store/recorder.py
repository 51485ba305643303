"""What every store offers, whichever database keeps the entries."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Protocol

from eventsourcing.persistence import StoredEvent

from ledger.entry import Fact
from ledger.store.mapper import Row

Decision = Callable[[int, dict[str, int], Sequence[Row]], Sequence[StoredEvent]]


class Recorder(Protocol):
    """Appends entries and reads them, beside what the library's application asks of its recorder."""

    def max_notification_id(self) -> int | None:
        """Return the position of the last entry, None for none."""

    def rows(self, up_to: int) -> Generator[Row, None, None]:
        """Yield the entries up to a position, in order of position."""

    def at(self, positions: Iterable[int]) -> list[Row]:
        """Return the entries at these positions, in this order."""

    def positions_of(self, command_ids: Sequence[str]) -> dict[str, int]:
        """Return the positions of those command ids that are already in the ledger."""

    def last_sealed(self, customer: str = "", after: int = 0) -> bytes | None:
        """Return the state of the last entry with a sealed summary, or of the last that also names a customer; None for
        none, which takes a look at every entry after a position.
        """

    def identity(self) -> str:
        """Return what tells this ledger from any other that may come into its place."""

    def sync(self) -> None:
        """Make sure that what can be read here survives a power cut; PersistenceError when it may not."""

    def before(self, facts: Sequence[Fact]) -> tuple[int, dict[str, int], list[Row]]:
        """Return how the ledger stands at one instant, for facts to be judged: the last position, the positions of
        their command ids, and the rows of the streams of those that are not there by id, in order of version.
        """

    def insert_events(self, stored_events: Sequence[StoredEvent]) -> Sequence[int] | None:
        """Append entries in one transaction and return their positions."""

    def insert_decided(self, facts: Sequence[Fact], decided: Decision) -> Sequence[int]:
        """Append what is decided on how the ledger stands before facts, and return its positions; no other writer comes
        between. What `decided` raises leaves everything as it was.
        """

    def keep_checkpoint(self, size: int, note: str) -> str:
        """Keep a checkpoint, unless one of that size or larger is kept; return the first of these that is."""


class Store(Protocol):
    """A module that keeps ledgers in one kind of database."""

    @property
    def __name__(self) -> str:
        """The module's name; `LedgerFactory` in it builds the library's infrastructure."""

    def check_is_ledger(self, address: str) -> None:
        """Raise NoLedger when nothing is at the address, StorageFailed when it is something else than a ledger."""

    def create(self, address: str, entries: Sequence[StoredEvent]) -> None:
        """Make a new ledger of these entries, whole or not at all; LedgerError when something is there already."""
