"""The ledger: the only door through which a fact becomes an entry."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import IntegrityError, JSONTranscoder, PersistenceError
from eventsourcing.utils import Environment, EnvType, get_topic
from msgspec.structs import replace

from ledger import clock
from ledger.entry import Entry, Fact
from ledger.errors import BadLine, Conflict, Refused, StorageFailed, damaged, said
from ledger.memory import without_cycles
from ledger.privacy.keys import Place, place_of
from ledger.privacy.sealing import Summaries
from ledger.store.address import shown, store_at
from ledger.store.mapper import Row, checked, from_state
from ledger.store.reading import EVERYTHING
from ledger.store.recorder import Recorder
from ledger.store.sqlite_reading import is_damage
from ledger.store.stored import EntryMapper, StoredEntries
from ledger.streams.acceptance import Refusal, Stream, Streams


@dataclass(frozen=True, slots=True)
class Reject:
    """A fact that was not accepted, and why."""

    fact: Fact
    reason: str
    what: str
    todo: str

    def error(self, where: str = "") -> Refused:
        """Return the error that says so."""
        return Refused(where or f"{self.fact.stream}: {self.fact.event.name}", self.reason, self.what, self.todo)


@dataclass(slots=True)
class Outcome:
    """What became of facts: entries added, facts that were already there with their positions, rejects."""

    added: list[Entry] = field(default_factory=list)
    already: list[tuple[Fact, int]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


class Ledger(Application[str]):
    """Entries in one SQLite file or PostgreSQL database. `mode` is `rw` to record, `ro` to read.

    `where` names it in messages, without a password. `keys`: where those are kept that seal summaries (default: beside
    the file, or in the user's data folder).
    """

    name = "ledger"

    def __init__(self, address: str | Path, mode: str = "rw", keys: Place | None = None) -> None:
        self.where = shown(str(address))
        self.keys = keys or place_of(str(address), {})
        self._looked: dict[str, tuple[int, bytes | None]] = {}
        store = store_at(str(address))
        store.check_is_ledger(str(address))
        with _storage_errors(self.where):
            super().__init__(
                {
                    "PERSISTENCE_MODULE": f"{store.__name__}:LedgerFactory",
                    "MAPPER_TOPIC": get_topic(EntryMapper),
                    "ORIGINATOR_ID_TYPE": "text",
                    "CREATE_TABLE": "no",
                    "LEDGER_ADDRESS": str(address),
                    "LEDGER_MODE": mode,
                }
            )

    def construct_env(self, name: str, env: EnvType | None = None) -> Environment:
        """Return the configuration given here; the process environment cannot redirect a ledger."""
        return Environment(name, dict(env or {}))

    @property
    def store(self) -> Recorder:
        """The recorder that keeps this ledger's entries."""
        return cast(Recorder, self.recorder)

    def stream(self, stream: str) -> list[Entry]:
        """Return the entries of a stream in order of recording; none for a stream that does not exist."""
        return self._state_of(stream).entries

    def last_position(self) -> int:
        """Return the position of the last entry, 0 for none."""
        with _storage_errors(self.where):
            return self.store.max_notification_id() or 0

    def entries(self, up_to: int | None = None) -> Iterator[Entry]:
        """Yield all entries in order of position, at most up to a position."""
        rows = self.store.rows(EVERYTHING if up_to is None else up_to)
        with _storage_errors(self.where), contextlib.closing(rows):  # also after an entry that cannot be read
            yield from checked(rows)

    def last_sealed(self, customer: str = "") -> bytes | None:
        """Return the state of the last entry with a sealed summary, or of the last that also names a customer.

        What was looked through is not looked through again: a ledger that stays open asks for what came since.
        """
        up_to = self.last_position()
        with _storage_errors(self.where):
            after, found = self._looked.get(customer, (0, None))
            found = self.store.last_sealed(customer, after) or found
        self._looked[customer] = (up_to, found)
        return found

    def identity(self) -> str:
        """Return what tells this ledger from any other that may come into its place."""
        with _storage_errors(self.where):
            return self.store.identity()

    def record(self, *facts: Fact, summaries: Summaries | None = None) -> list[Entry]:
        """Append facts, all or none, and return their entries; those already there by command id come as they are.

        They are judged while no other writer can come between. Raises Refused for the first that its stream does not
        accept, BadLine when a correction's data do not fit, KeysUnusable when a summary cannot be sealed, else what
        `commit` raises. summaries: what has sealed those of the facts already.
        """
        if not facts:
            return []
        facts = tuple(map((summaries or Summaries(self.keys, self)).sealed, facts))
        outcome = Outcome()

        def decided(last: int, known: dict[str, int], rows: Sequence[Row]) -> StoredEntries:
            nonlocal outcome
            outcome = judged(facts, Streams(_by_stream(rows).__getitem__), last, known, clock.now())
            for reject in outcome.rejects:
                raise reject.error()
            return StoredEntries(self.mapper, outcome.added)

        try:
            self.store.insert_decided(facts, decided)
        except PersistenceError as error:
            return self._at(self._read_back(facts, outcome.added, error))
        there = self._at(dict.fromkeys(p for _, p in outcome.already)) if outcome.already else []
        return list({e.position: e for e in [*there, *outcome.added]}.values())

    @without_cycles()
    def judge(self, facts: Iterable[Fact], *, by_content: bool = False, summaries: Summaries | None = None) -> Outcome:
        """Return what would become of facts, in their order; nothing is appended yet.

        by_content: a fact equal to an entry without a command id is already there too. summaries: what has sealed those
        of the facts already; they are then the same facts.
        """
        facts = [*map((summaries or Summaries(self.keys, self)).sealed, facts)]
        with _storage_errors(self.where):
            last, known, rows = self.store.before(facts)
        there = _by_stream(rows)
        return judged(facts, Streams(there.__getitem__), last, known, clock.now(), by_content=by_content)

    @without_cycles()
    def commit(self, outcome: Outcome) -> Outcome:
        """Append what was judged acceptable, in one transaction, and return what became of it.

        Raises Conflict when another writer came first, StorageFailed when it could not be written; whether it is in the
        ledger after all is looked up before either is raised.
        """
        entries = outcome.added
        if not entries:
            return outcome
        try:
            positions = self.store.insert_events(StoredEntries(self.mapper, entries)) or ()
            stored = [e if e.position == p else replace(e, position=p) for e, p in zip(entries, positions, strict=True)]
            return Outcome(stored, outcome.already, outcome.rejects)
        except IntegrityError as error:
            there = self._read_back(entries, entries, error)
            facts = [Fact(e.stream, e.time, e.event, e.actor, e.command_id) for e in entries]
            already = [*outcome.already, *zip(facts, there, strict=True)]
            return Outcome([], already, outcome.rejects)
        except PersistenceError as error:
            return Outcome(self._at(self._read_back(entries, entries, error)), outcome.already, outcome.rejects)

    def keep_checkpoint(self, size: int, note: str) -> str:
        """Keep a checkpoint, unless one of that size or larger is kept; return the first of these that is."""
        with _storage_errors(self.where):
            return self.store.keep_checkpoint(size, note)

    def _read_back(self, wanted: Sequence[Fact | Entry], tried: Sequence[Entry], error: PersistenceError) -> list[int]:
        """Return the positions of what was to be written if all of it is there, by command id; else raise the error.

        What has no command id cannot be told from another writer's, only that nobody wrote what was `tried`.
        """
        ids = [x.command_id for x in wanted if x.command_id is not None]
        written = True
        with contextlib.suppress(PersistenceError):
            there = self.store.positions_of(ids) if len(ids) == len(wanted) else {}
            if ids and all(i in there for i in ids):
                self.store.sync()
                return [there[i] for i in ids]
            after = tried and self.recorder.select_events(tried[0].stream, gt=tried[0].version - 1, limit=1)
            written = len(ids) < len(wanted) and bool(after)
        if isinstance(error, IntegrityError):
            raise Conflict(wanted[0].stream) from error
        if is_damage(error):
            raise damaged(self.where, f"what is stored is damaged: {said(error)}") from error
        todo = "look whether it was added, then try again" if written else "nothing was added; try again"
        raise StorageFailed(self.where, f"could not be written: {said(error)}", todo) from error

    def _at(self, positions: Iterable[int]) -> list[Entry]:
        """Return the entries at these positions as they are stored."""
        with _storage_errors(self.where):
            return [from_state(*row) for row in self.store.at(positions)]

    def _state_of(self, stream: str) -> Stream:
        def project(_: Any, events: Iterator[Any]) -> Stream | None:
            entries: list[Entry] = []
            for entry in events:
                _check_follows(entries, entry)
                entries.append(entry)
            return Stream(entries) if entries else None

        with _storage_errors(self.where):
            try:
                return cast(Stream, self.repository.get(stream, projector_func=cast(Any, project)))
            except AggregateNotFoundError:
                return Stream()


def judged(
    facts: Sequence[Fact],
    streams: Streams,
    last_position: int,
    known: dict[str, int],
    recorded_at: datetime,
    *,
    by_content: bool = False,
) -> Outcome:
    """Return what becomes of facts, each judged against its stream with those accepted before it."""
    outcome, known = Outcome(), dict(known)
    for fact in facts:
        if fact.command_id is not None and fact.command_id in known:
            outcome.already.append((fact, known[fact.command_id]))
            continue
        stream = streams[fact.stream]
        if by_content and (there := stream.holds(fact)):
            outcome.already.append((fact, there))
            continue
        position, version = last_position + len(outcome.added) + 1, stream.version + 1
        entry = Entry(position, fact.stream, version, fact.time, recorded_at, fact.event, fact.actor, fact.command_id)
        entry = streams.canonical(entry)
        refusal = stream.admit(entry)
        if refusal is None:
            outcome.added.append(entry)
            if fact.command_id is not None:
                known[fact.command_id] = position
        else:
            outcome.rejects.append(rejected(fact, refusal))
    return outcome


def rejected(fact: Fact, refusal: Refusal | BadLine) -> Reject:
    """Return a refusal as the reject of a fact."""
    if isinstance(refusal, BadLine):
        return Reject(fact, "data_do_not_fit", refusal.what, refusal.todo)
    return Reject(fact, refusal.reason, refusal.what, refusal.todo.replace("STREAM", fact.stream))


def create(address: str | Path, entries: Sequence[Entry] = (), facts: Sequence[Fact] = ()) -> None:
    """Make a new ledger, whole or not at all: entries as they are, then facts judged like any others.

    Raises LedgerError when something is at the address already, Refused for the first fact that is not accepted.
    """
    streams = Streams(lambda stream: [x for x in entries if x.stream == stream])
    known = {x.command_id: x.position for x in entries if x.command_id is not None}
    outcome = judged(facts, streams, len(entries), known, clock.now())
    for reject in outcome.rejects:
        raise reject.error()
    with _storage_errors(shown(str(address))):
        stored = StoredEntries(EntryMapper(JSONTranscoder()), [*entries, *outcome.added])
        store_at(str(address)).create(str(address), stored)


def _by_stream(rows: Iterable[Row]) -> defaultdict[str, list[Entry]]:
    """Return the entries of each stream; rows: in order of version within a stream."""
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for row in rows:
        entry, entries = from_state(*row), found[row[1]]
        _check_follows(entries, entry)
        entries.append(entry)
    return found


def _check_follows(entries: list[Entry], entry: Entry) -> None:
    version = len(entries) + 1
    if entry.version != version:
        raise damaged(f"entry {entry.position}", f"version {version} of {entry.stream} is missing before it")


@contextlib.contextmanager
def _storage_errors(where: str) -> Iterator[None]:
    """Turn what the store raises into errors with three lines; damage is a broken ledger."""
    try:
        yield
    except (PersistenceError, sqlite3.Error, UnicodeDecodeError) as error:
        if is_damage(error):
            raise damaged(where, f"what is stored is damaged: {said(error)}") from error
        todo = "check the disk and the file, or the server, then try again"
        raise StorageFailed(where, f"the store failed: {said(error)}", todo) from error
