"""The options that concern reading, taken before or after a command's name, and the history they select."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ledger import clock
from ledger.errors import LedgerError
from ledger.instants import seconds, stamp
from ledger.text import clean

if TYPE_CHECKING:
    from ledger.book import Ledger
    from ledger.entry import Entry
    from ledger.privacy.keys import Place
    from ledger.seal.bundle import Bundle
    from ledger.store.reading import Reader, Record
    from projections.history import History
    from projections.judgement import Judgement
    from projections.views.answers import Answers
    from projections.views.building import Spread

_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class Scope:
    """What to read: which ledger, up to which knowledge, judged when, by which terms and readings, printed how."""

    db: str = "ledger.db"
    as_of: datetime | None = None
    known_at: datetime | None = None
    at_entry: int | None = None
    terms: str | None = None
    readings: dict[str, str] = field(default_factory=dict)
    format: str | None = None
    views: str | None = None
    _bundle: Bundle | None = field(default=None, repr=False, compare=False)

    def history(self, *kinds: str, streams: Iterable[str] = ()) -> History:
        """Return what is known in this scope; of a ledger only some kinds of streams, and some streams, when named."""
        from projections.history import History

        named = [s for s in streams if s.isascii() and s.isprintable()]
        if (kinds or named) and not self.is_stream_file:
            with closing(self.reader()) as reader:
                return _read(reader, kinds, named, self._known(reader, reader.last_position()))
        history = History(self.entries(), self.bundle().checkpoint.size if self.is_bundle else None)
        if self.at_entry is not None:
            history = history.at_entry(self.at_entry)
        return history.known_at(self.known_at) if self.known_at is not None else history

    def more(self, history: History, *kinds: str, streams: Iterable[str] = ()) -> History:
        """Return what a history knows, and of a ledger what was known then of these kinds and these streams too."""
        from projections.history import History

        if self.is_stream_file:
            return history
        with closing(self.reader()) as reader:
            found = _read(reader, kinds, streams, history.last_position)
        every = {x.position: x for x in (*history.entries, *found.entries)}
        return History((every[p] for p in sorted(every)), history.last_position)

    def _known(self, reader: Reader, last: int) -> int:
        """Return the position of the last entry that is known in this scope, in a ledger that ends with another."""
        from ledger.store.reading import known_entry

        position = last if self.at_entry is None else known_entry(self.at_entry, last)
        return position if self.known_at is None else reader.known_position(stamp(self.known_at), position)

    def judgement(self, history: History | None = None, as_of: datetime | None = None) -> Judgement:
        """Return the entries, instant and terms to judge with; the instant is now unless one was given."""
        from projections.judgement import Judgement

        at = self.as_of or as_of or clock.now()
        known = self.history() if history is None else history
        return Judgement(known, at, changes=dict(self.readings), terms=self.terms)

    def ask(self, question: Callable[[Answers], _Answer], *, as_it_is: bool = False) -> _Answer | None:
        """Return what the views answer, brought up to the ledger first; None when the entries have to be asked instead.

        as_it_is: only if the ledger is asked as it is, not as it was. Views that are damaged are made anew, once.
        NotViews when a file was named that is something else.
        """
        if self.is_stream_file or self.readings or self.terms:
            return None
        from projections.shell.output import note
        from projections.views.place import NotViews, Unwritable
        from projections.views.tables import AMISS, Damaged, NotKept

        at = seconds(self.as_of or clock.now())
        with closing(self.reader()) as reader:
            for is_second in (False, True):
                try:
                    if is_second:
                        self.rebuild(reader)
                    with closing(self.kept(reader)) as connection:
                        return question(self._answers(connection, reader, at, as_it_is=as_it_is))
                except NotKept:
                    return None
                except AMISS:
                    from projections.views.building import find_damage

                    find_damage(reader, reader.last_position())
                    raise
                except Unwritable as error:
                    if self.views and isinstance(error, NotViews):
                        raise
                    note(f"{error.where}: {error.what}; reading the entries instead")
                    return None
                except (Damaged, sqlite3.DatabaseError) as error:
                    instead = "reading the entries instead" if is_second else "they are made anew"
                    note(f"{self.views_path}: the views cannot be read: {error}; {instead}")
        return None

    def _answers(self, connection: sqlite3.Connection, reader: Reader, as_of: int, *, as_it_is: bool) -> Answers:
        """Return the views to ask: as they are where that is what is asked for, else laid out as they were."""
        from projections.views.answers import Answers
        from projections.views.file import State
        from projections.views.tables import NotKept

        state = State(connection)
        if state.get("is_movable"):
            raise NotKept  # R26: verdicts depend on the period that is asked for
        last = state.get("position")
        position = self._known(reader, last)
        if position == last and state.get("last_time") < as_of:
            return Answers(connection, as_of)
        if as_it_is:
            raise NotKept
        from projections.shell.output import progress
        from projections.views.then import prepare

        with progress("going back to what was known then"):
            return Answers(connection, as_of, prepare(connection, reader, position, as_of))

    @property
    def is_present(self) -> bool:
        """Whether a ledger is asked as it is, in its own terms and readings: what the views are kept for."""
        return not (self.is_stream_file or self.readings or self.terms or self.known_at or self.at_entry is not None)

    def keep(self, position: int, write: Callable[[sqlite3.Connection], None]) -> None:
        """Add to the views what has been found, if they are there and true for a position."""
        from projections.views import opening
        from projections.views.place import Unwritable
        from projections.views.tables import Damaged

        # what cannot be kept is found again when it is asked for again
        with suppress(Damaged, Unwritable, sqlite3.DatabaseError), closing(self.reader()) as reader:
            opening.add(self.views_path, reader, position, write)

    def kept(self, reader: Reader) -> sqlite3.Connection:
        """Return the views of the ledger, caught up."""
        from projections.shell.output import note, progress
        from projections.views import opening

        with progress("bringing the views up to the ledger") as done:
            return opening.current(self.views_path, reader, note, done, self.db, os.cpu_count() or 1)

    def rebuild(self, reader: Reader, jobs: int = 0, elsewhere: Spread | None = None) -> int:
        """Build the views from nothing, and return the position they are true for. jobs: 0 for one a core."""
        from projections.shell.output import progress
        from projections.views import opening

        with progress("building the views") as done:
            jobs = jobs or os.cpu_count() or 1
            return opening.rebuild(self.views_path, reader, done, self.db, jobs, elsewhere)

    def reader(self) -> Reader:
        """Return the ledger's rows as they are stored, to be closed after use."""
        from ledger.store.address import reader_at

        return reader_at(self.db)

    def record(self) -> Record:
        """Return the rows and leaf hashes of the ledger or stream file, to be closed after use."""
        if not self.is_stream_file:
            return self.reader()
        if self.is_bundle:
            what = "a bundle holds the proofs of its own entries, not the tree that others are made from"
            raise LedgerError(clean(self.db), what, "name the ledger: --db")
        from ledger.store.stream_record import StreamRecord

        return StreamRecord(self.entries())

    @property
    def is_stream_file(self) -> bool:
        """Whether a stream file is read, or standard input, or an evidence bundle, in place of a ledger."""
        return self.db == "-" or self.db.endswith((".jsonl", ".zip"))

    @property
    def is_bundle(self) -> bool:
        """Whether an evidence bundle is read in place of a ledger: of all entries it holds those of one decision."""
        return self.db.endswith(".zip")

    def bundle(self) -> Bundle:
        """Return the evidence bundle that is read, checked when it is first asked for."""
        if self._bundle is None:
            from ledger.seal.opening import opened

            self._bundle = opened(self.db)
        return self._bundle

    @property
    def views_path(self) -> Path:
        """Where the findings are kept: beside a ledger's file, in the user's cache for a database.

        What a link leads to is the place, wherever that is. NotViews for a name that is the ledger's own.
        """
        from ledger.store.address import is_database, shown

        if self.views or not is_database(self.db):
            from projections.views import place

            path = Path(self.views or f"{self.db}.views")
            if self.views:
                place.check_name(path, Path(self.db))
            return Path(os.path.realpath(path)) if path.is_symlink() else path
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sla-ledger")
        with suppress(OSError):  # said by whoever writes there
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder / f"{re.sub('[^A-Za-z0-9._]+', '-', shown(self.db).partition('://')[2])}.views"

    @property
    def keys(self) -> Place:
        """Where the keys are kept that seal summaries."""
        from ledger.privacy.keys import place_of

        return place_of(self.db, os.environ)

    @property
    def elsewhere(self) -> str:
        """The address of the ledger for programs that run in another folder."""
        from ledger.store.address import is_database

        return self.db if is_database(self.db) else str(Path(self.db).absolute())

    @property
    def path(self) -> str:
        """The address of the ledger to record to; refused when it is not one."""
        if self.is_stream_file:
            raise LedgerError(
                clean(self.db),
                f"a {'bundle' if self.is_bundle else 'stream file'} is only read, never written",
                "record in the ledger" if self.is_bundle else "import it into a ledger: sla-ledger import",
            )
        return self.db

    def entries(self) -> Iterator[Entry]:
        """Yield all entries of the ledger."""
        if self.is_bundle:
            yield from self.bundle().said
            return
        if self.is_stream_file:
            from ledger.store.stream_file import read

            yield from read(self.db)
            return
        with opened(self.db) as ledger:
            yield from ledger.entries()


def _read(reader: Reader, kinds: Iterable[str], streams: Iterable[str], up_to: int) -> History:
    """Return what is known up to a position of the streams of some kinds, and of some other streams."""
    from ledger.store.mapper import of_streams
    from projections.history import History

    ranges = {f"{kind}:": f"{kind};" for kind in kinds}  # ";" follows ":", and a space comes before all of an id
    ranges |= {s: f"{s} " for s in streams if f"{s.partition(':')[0]}:" not in ranges}
    found = [x for first, until in ranges.items() for x in of_streams(reader.rows_by_stream(first, until, up_to))]
    return History(sorted(found, key=lambda x: x.position), up_to)


@contextmanager
def opened(address: str) -> Iterator[Ledger]:
    """Yield the ledger at an address, to be read."""
    from ledger.book import Ledger

    ledger = Ledger(address, "ro")
    try:
        yield ledger
    finally:
        ledger.close()
