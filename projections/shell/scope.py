"""The options that concern reading, taken before or after a command's name, and the history they select."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ledger import clock
from ledger.errors import BadTerms, LedgerError, NotFound
from ledger.instants import day, instant, seconds, stamp
from ledger.text import clean

if TYPE_CHECKING:
    from ledger.book import Ledger
    from ledger.entry import Entry
    from ledger.privacy.keys import Place
    from ledger.seal.bundle import Bundle
    from ledger.store.reading import Reader, Record
    from projections.history import History
    from projections.judgement import Judgement
    from projections.spans import Span
    from projections.views.answers import Answers
    from projections.views.building import Spread

_Answer = TypeVar("_Answer")

Db = Annotated[str | None, typer.Option(help="a ledger, a *.jsonl stream file, a *.zip bundle, or -")]
Format = Annotated[str | None, typer.Option(metavar="FORMAT", help="table, json, jsonl, csv or tsv")]
Json = Annotated[bool, typer.Option("--json", help="short for --format json")]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="a Dask scheduler whose workers share the work, like tcp://host:8786; only one to trust: they are told the"
        " ledger's whole address. With PGPASSWORD or ~/.pgpass on the workers, no password need stand in it",
    ),
]
READING_OPTIONS: dict[str, Any] = {
    "db": Db,
    "as_of": Annotated[str | None, typer.Option(metavar="T", help="judge at this instant (default: now)")],
    "known_at": Annotated[str | None, typer.Option(metavar="T", help="only what had been recorded by then")],
    "at_entry": Annotated[int | None, typer.Option(metavar="N", help="only entries up to this position")],
    "terms": Annotated[str | None, typer.Option(metavar="ID", help="judge everything by this version of the terms")],
    "reading": Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="take another reading; repeatable")],
    "views": Annotated[
        str | None, typer.Option(metavar="FILE", help="where findings are kept (default: beside the ledger)")
    ],
    "format": Format,
    "json": Json,
}
WRITING_OPTIONS: dict[str, Any] = {"db": Db, "format": Format, "json": Json}
ON_A_BUNDLE = ("assess", "show", "audit", "readings", "explain", "availability", "log", "list_", "verify")
FORMATS = ("table", "json", "jsonl", "csv", "tsv")


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
        from projections.views.tables import Damaged, NotKept

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
        from projections.views.tables import Damaged

        # what cannot be kept is found again when it is asked for again
        with suppress(Damaged, sqlite3.DatabaseError), closing(self.reader()) as reader:
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


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that concern reading; it is called with a Scope first."""
    return with_options(command, READING_OPTIONS)


def writing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that records the options --db and --format; it is called with a Scope first."""
    return with_options(command, WRITING_OPTIONS)


def with_options(command: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """Give a command options that make its scope; those given after the command's name win."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for name, p in signature.parameters.items() if name != "scope"]
    shared = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=[] if name == "reading" else False if name == "json" else None,
            annotation=annotation,
        )
        for name, annotation in options.items()
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)

    @functools.wraps(command)
    def wrapper(**given: Any) -> Any:
        ctx = given.pop("ctx")
        here = {name: given.pop(name) for name in options}
        scope = _scope(ctx.obj or {}, here)
        if scope.is_bundle and "as_of" in options:
            _check_answered(command.__name__, scope)
        return command(scope=scope, **given)

    as_keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    parameters = [context, *as_keywords, *shared]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    del wrapper.__wrapped__
    return wrapper


def _check_answered(command: str, scope: Scope) -> None:
    """Raise LedgerError for a question that the entries of one decision cannot answer."""
    todo = f"ask what the decision rests on: sla-ledger --db {clean(scope.db)} log"
    if command not in ON_A_BUNDLE:
        raise LedgerError(
            clean(scope.db), "a bundle holds the entries of one decision: too few for this question", todo
        )
    if scope.known_at is not None:
        what = "a bundle does not know when the entries between its own were recorded, so --known-at has no answer"
        raise LedgerError(clean(scope.db), what, "ask by position: --at-entry N")


def _scope(before: dict[str, Any], after: dict[str, Any]) -> Scope:
    """Return the scope that options before and after the command's name give; the later one wins."""
    chosen = {**before, **{k: v for k, v in after.items() if v is not None and v != [] and v is not False}}
    if after.get("json"):
        chosen["format"] = "json"
    if chosen.get("format") not in (None, *FORMATS):
        raise typer.BadParameter(f"{chosen['format']!r} is none of {', '.join(FORMATS)}", param_hint="--format")
    readings: dict[str, str] = {}
    for item in [*before.get("reading", []), *after.get("reading", [])]:
        key, value = pair(item, "--reading")
        if readings.get(key, value) != value:
            what = f"{key} cannot be {readings[key]!r} and {value!r} at once"
            raise BadTerms(f"reading {key}", what, "name each reading once")
        readings[key] = value
    return Scope(
        chosen.get("db") or "ledger.db",
        option_instant(chosen.get("as_of"), "--as-of"),
        option_instant(chosen.get("known_at"), "--known-at"),
        chosen.get("at_entry"),
        chosen.get("terms"),
        readings,
        chosen.get("format"),
        chosen.get("views"),
    )


def pair(item: str, hint: str) -> tuple[str, str]:
    """Return key and value of KEY=VALUE; a usage error for anything else."""
    key, equals, value = item.partition("=")
    if not equals:
        raise typer.BadParameter(f"{clean(item)!r}: expected KEY=VALUE", param_hint=hint)
    return key.strip(), value.strip()


def option_instant(text: str | None, hint: str) -> datetime | None:
    """Return the instant an option names, None when it was not given; a usage error when it names none."""
    try:
        return None if text is None else instant(text)
    except ValueError as error:
        raise typer.BadParameter(f"{clean(text or '')!r}: {error}", param_hint=hint) from None


def option_bound(text: str | None, hint: str) -> date | datetime | None:
    """Return the date or instant an option names."""
    if text is None:
        return None
    try:
        return day(text) if len(text) == 10 else instant(text)
    except ValueError as error:
        raise typer.BadParameter(f"{clean(text)!r}: {error}", param_hint=hint) from None


def bound(at: date | datetime, zone: tzinfo) -> datetime:
    """Return an instant as it is, and a date as the instant it begins in a zone."""
    from projections.business_time import begin_of

    return at if isinstance(at, datetime) else begin_of(at, zone)


def check_year(year: int) -> None:
    """Raise a usage error for a year outside the calendar's."""
    if not 1990 <= year <= 2100:
        raise typer.BadParameter(f"{year}: expected 1990 to 2100", param_hint="--year")


def period_of(
    judgement: Judgement, year: int | None, begin: date | datetime | None, end: date | datetime | None
) -> Callable[[str], Span]:
    """Return a function that gives the period of a customer, read in the zone of its desk."""
    if year is not None:
        check_year(year)
        begin, end = date(year, 1, 1), date(year + 1, 1, 1)
    if begin is None or end is None:
        raise typer.BadParameter("give --year, or --from and --until", param_hint="--year")
    first, last = begin, end

    def period(customer: str) -> Span:
        zone = judgement.zone_of(customer, judgement.rules_at(judgement.as_of))
        span = bound(first, zone), bound(last, zone)
        if not span[0] < span[1]:
            raise typer.BadParameter("--from must come before --until", param_hint="--from")
        return span

    return period


def stream_id(text: str, *kinds: str) -> str:
    """Return the id of a stream of one of these kinds: with its kind as given, otherwise of the first kind."""
    from pydantic import TypeAdapter, ValidationError

    from ledger.values import StreamId

    found = text if ":" in text else f"{kinds[0]}:{text}"
    try:
        TypeAdapter(StreamId).validate_python(found)
    except ValidationError:
        raise NotFound(clean(text), "this is no stream id", f"write it like {kinds[0]}:REFERENCE") from None
    if found.partition(":")[0] not in kinds:
        raise NotFound(clean(text), f"this stream is no {kinds[0]}", f"write it like {kinds[0]}:REFERENCE")
    return found
