"""The options that concern reading and recording, taken before or after a command's name, and what their texts mean."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import date, datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.errors import BadTerms, LedgerError, NotFound
from ledger.instants import day, instant
from ledger.text import clean
from projections.shell.scope import Scope

if TYPE_CHECKING:
    from projections.judgement import Judgement
    from projections.spans import Span

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
    if scope.at_entry is not None:
        from projections.shell.evidence_bundle import check_entry

        check_entry(scope, scope.at_entry)


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
