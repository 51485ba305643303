"""The options that concern reading, taken before or after a command's name, and the history they select."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from typing import Annotated, Any

import typer

from ledger import clock
from ledger.errors import BadTerms, LedgerError, NotFound
from ledger.text import clean
from ledger.values import day, instant
from projections.history import History
from projections.judgement import Judgement
from projections.spans import Span

Db = Annotated[str | None, typer.Option(help="a ledger, a *.jsonl stream file, or - for standard input")]
Format = Annotated[str | None, typer.Option(metavar="FORMAT", help="table, json, jsonl, csv or tsv")]
Json = Annotated[bool, typer.Option("--json", help="short for --format json")]
READING_OPTIONS: dict[str, Any] = {
    "db": Db,
    "as_of": Annotated[str | None, typer.Option(metavar="T", help="judge at this instant (default: now)")],
    "known_at": Annotated[str | None, typer.Option(metavar="T", help="only what had been recorded by then")],
    "at_entry": Annotated[int | None, typer.Option(metavar="N", help="only entries up to this position")],
    "terms": Annotated[str | None, typer.Option(metavar="ID", help="judge everything by this version of the terms")],
    "reading": Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="take another reading; repeatable")],
    "format": Format,
    "json": Json,
}
WRITING_OPTIONS: dict[str, Any] = {"db": Db, "format": Format, "json": Json}
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

    def history(self) -> History:
        """Return what is known in this scope."""
        history = History(self._entries())
        if self.at_entry is not None:
            history = history.at_entry(self.at_entry)
        return history.known_at(self.known_at) if self.known_at is not None else history

    def judgement(self, history: History | None = None, as_of: datetime | None = None) -> Judgement:
        """Return the entries, instant and terms to judge with; the instant is now unless one was given."""
        at = self.as_of or as_of or clock.now()
        known = self.history() if history is None else history
        return Judgement(known, at, changes=dict(self.readings), terms=self.terms)

    @property
    def path(self) -> str:
        """The address of the ledger to record to; refused when it is not one."""
        if self.db == "-" or self.db.endswith(".jsonl"):
            raise LedgerError(
                clean(self.db),
                "a stream file is only read, never written",
                "import it into a ledger: sla-ledger import",
            )
        return self.db

    def _entries(self) -> Any:
        if self.db == "-" or self.db.endswith(".jsonl"):
            from ledger.store.stream_file import read

            return read(self.db)
        from ledger.book import Ledger

        ledger = Ledger(self.db, "ro")
        try:
            return list(ledger.entries())
        finally:
            ledger.close()


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that concern reading; it is called with a Scope first."""
    return _with_options(command, READING_OPTIONS)


def writing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that records the options --db and --format; it is called with a Scope first."""
    return _with_options(command, WRITING_OPTIONS)


def _with_options(command: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
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
        return command(scope=_scope(ctx.obj or {}, here), **given)

    as_keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    parameters = [context, *as_keywords, *shared]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    del wrapper.__wrapped__
    return wrapper


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


def bound(judgement: Judgement, at: date | datetime, zone: tzinfo) -> datetime:
    """Return an instant as it is, and a date as the instant it begins in a zone."""
    return at if isinstance(at, datetime) else judgement.instant_of(at, zone)


def period_of(
    judgement: Judgement, year: int | None, begin: date | datetime | None, end: date | datetime | None
) -> Callable[[str], Span]:
    """Return a function that gives the period of a customer, read in the zone of its desk."""
    if year is not None:
        if not 1990 <= year <= 2100:
            raise typer.BadParameter(f"{year}: expected 1990 to 2100", param_hint="--year")
        begin, end = date(year, 1, 1), date(year + 1, 1, 1)
    if begin is None or end is None:
        raise typer.BadParameter("give --year, or --from and --until", param_hint="--year")
    first, last = begin, end

    def period(customer: str) -> Span:
        zone = judgement.zone_of(customer, judgement.rules_at(judgement.as_of))
        span = bound(judgement, first, zone), bound(judgement, last, zone)
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
