"""Making a ledger and recording facts. `record` takes its options from the events themselves."""

from __future__ import annotations

import getpass
import inspect
from datetime import datetime
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ledger import clock, terms
from ledger.book import Ledger, create
from ledger.entry import Entry, Fact, parsed_event, to_line
from ledger.errors import LedgerError
from ledger.events import EVENTS, EntryCorrected, Event, EvidenceRecorded, TimeframeDetermined
from ledger.instants import stamp
from ledger.privacy.sealing import Summaries
from ledger.store.address import shown
from ledger.streams.acceptance import ACCEPTED, ADVICE, kind_of
from ledger.text import clean, identifier, plain_json
from projections import outages
from projections.history import folded
from projections.shell import output
from projections.shell.event_options import (
    FIELD,
    data_help,
    json_of,
    keyword,
    need,
    parameter,
    stream_argument,
    value_of,
)
from projections.shell.options import option_instant, stream_id, writing
from projections.shell.scope import Scope

ELSEWHERE = {
    "TermsPosted": "sla-ledger terms post FILE",
    "CreditGranted": "sla-ledger claim decide CLAIM",
    "CreditRefused": "sla-ledger claim decide CLAIM",
    "CreditRevised": "sla-ledger claim revise CLAIM",
}
At = Annotated[str | None, typer.Option(metavar="T", help="when it happened (default: now)")]
Actor = Annotated[str | None, typer.Option(help="who records it (default: cli.USER)")]


@writing
def init(scope: Scope) -> None:
    """Create a ledger and post the built-in terms, effective 23 September 2020.

    In PostgreSQL it also makes the roles sla_ledger_writer and sla_ledger_auditor, to be granted to logins that record
    or only read.

    \b
    Examples:
      sla-ledger --db support.db init
      sla-ledger --db postgresql://owner@db.example/support init
    """
    create(scope.path, facts=[built_in_fact(default_actor())])
    output.note(f"{shown(scope.path)}: a new ledger, terms {terms.BUILT_IN} posted")


class Events(TyperGroup):
    """A command for each event, made of its fields."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all events that are recorded here."""
        return [name for name in EVENTS if name not in ELSEWHERE]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command that records one event; refused by name for what is recorded elsewhere."""
        if cmd_name in ELSEWHERE:
            what = "decisions and terms are not recorded by hand"
            raise LedgerError(f"record {cmd_name}", what, f"use: {ELSEWHERE[cmd_name]}")
        if cmd_name not in EVENTS:
            self.commands = {name: TyperCommand(name) for name in EVENTS}  # so that a near miss is suggested
            return None
        single = typer.Typer(rich_markup_mode=None, add_completion=False)
        single.command(cmd_name, help=_help(EVENTS[cmd_name]))(_command(EVENTS[cmd_name]))
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write every event with its first sentence."""
        with formatter.section("Events"):
            formatter.write_dl([(name, _summary(EVENTS[name])) for name in self.list_commands(ctx)])


record = typer.Typer(cls=Events, rich_markup_mode=None, add_completion=False, invoke_without_command=True)


@record.callback()
def all_types(
    ctx: typer.Context,
    list_: Annotated[bool, typer.Option("--list", help="name all types, with the streams they belong to")] = False,
) -> None:
    """Append one fact: record TYPE STREAM --FIELD VALUE ...

    \b
    Examples:
      sla-ledger record IncidentReported incident:INC-1 --customer acme --service licence --channel phone
      sla-ledger record PriorityAssigned incident:INC-1 --priority medium --reason "poor picture"
      sla-ledger record ResponseGiven incident:INC-1 --responder human --at 2026-03-27T15:00:00+01:00
      sla-ledger record IncidentReported --help
    """
    if list_:
        kinds = {n: [k for k, events in ACCEPTED.items() if EVENTS[n] in events] or ["any"] for n in EVENTS}
        found = [
            {"type": n, "streams": ",".join(kinds[n]), "clause": EVENTS[n].clause, "meaning": _summary(EVENTS[n])}
            for n in EVENTS
        ]
        output.rows(Scope(format=(ctx.obj or {}).get("format")), found)
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        raise typer.BadParameter("name a TYPE and a STREAM; see record --list", param_hint="TYPE")


def built_in_fact(actor: str) -> Fact:
    """Return the fact that posts the built-in terms, at the time they took effect. §validity"""
    document = terms.parse(terms.built_in_document())
    return Fact(f"terms:{document.id}", document.effective_from, terms.built_in(), actor)


def default_actor() -> str:
    """Return cli.USER, with the user's name made an identifier."""
    try:
        return f"cli.{identifier(getpass.getuser())}"
    except (ValueError, OSError, KeyError):
        return "cli.unknown"


def append(scope: Scope, *facts: Fact) -> list[Entry]:
    """Record facts and say so: the entries' lines as JSON, or one message each."""
    ledger = Ledger(scope.path, keys=scope.keys)
    summaries = Summaries(scope.keys, ledger)
    try:
        before = ledger.last_position()
        facts = tuple(map(summaries.sealed, facts))
        entries = ledger.record(*facts, summaries=summaries)
    finally:
        ledger.close()
    if summaries.left_out:
        output.note("warning: the summary was left out: this customer was forgotten")
    for entry, fact in zip(entries, facts, strict=False):
        known = "" if entry.position > before else ", already there by its command id"
        if known and (entry.stream, entry.name, entry.event) != (fact.stream, fact.event.name, fact.event):
            output.note(f"warning: entry {entry.position} says something else than this fact; nothing was added")
        if scope.format in ("json", "jsonl"):
            output.write(plain_json(to_line(entry)))
        else:
            output.note(f"entry {entry.position}: {entry.name} in {entry.stream}, version {entry.version}{known}")
    return entries


def happened_at(at: str | None) -> datetime:
    """Return the instant that --at names, now without it."""
    return option_instant(at, "--at") or clock.now()


def _command(model: type[Event]) -> Any:
    """Return a function whose parameters are the event's fields, for the command line to read its options from."""
    fields = {info.alias or name: info for name, info in model.model_fields.items()}

    def command(
        scope: Scope, stream: str, at: str | None, actor: str | None, command_id: str | None, **given: Any
    ) -> None:
        who = actor or default_actor()
        text = given.pop("whole_data", None)
        named = {k.removeprefix(FIELD): v for k, v in given.items()}
        data = {k: value_of(fields[k], v, k) for k, v in named.items() if v not in (None, [], ())}
        if text is not None:
            if model is EntryCorrected:
                data["data"] = json_of(text, "--data")
            elif data:
                raise typer.BadParameter("give the fields or --data, not both", param_hint="--data")
            else:
                data = json_of(text, "--data")
        if "decided_by" in fields and "decided_by" not in data and text is None:
            data["decided_by"] = who
        kinds = [k for k, events in ACCEPTED.items() if model in events] or list(ACCEPTED)
        need(model, data, fields, whole=text is not None and model is not EntryCorrected)
        where = f"record {model.__name__}"
        target = stream_id(stream, *(kinds if kind_of(stream) in kinds or ":" not in stream else [kind_of(stream)]))
        if kind_of(target) not in ACCEPTED:
            raise LedgerError(clean(target), f"{kind_of(target)!r} is no kind of stream", ADVICE["unknown_kind"])
        if model is TimeframeDetermined and isinstance(data, dict) and not {"from", "until", "spans"} & data.keys():
            data["spans"] = _proposed(scope, target, data.get("evidence"), happened_at(at))
        event = parsed_event(model.__name__, data, where)
        append(scope, Fact(target, happened_at(at), event, identifier_of(who, "--actor"), _id(command_id)))

    parameters = [
        inspect.Parameter("stream", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=stream_argument(model)),
        *(parameter(name, info) for name, info in fields.items() if not (model is EntryCorrected and name == "data")),
        keyword("whole_data", Annotated[str | None, typer.Option("--data", metavar="JSON", help=data_help(model))]),
        keyword("at", At),
        keyword("actor", Actor),
        keyword("command_id", Annotated[str | None, typer.Option(metavar="ID", help="record this fact once only")]),
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return writing(command)


def _proposed(scope: Scope, stream: str, evidence: Any, at: datetime) -> list[dict[str, str]]:
    """Return the frame that the named evidence of an outage proposes. R25"""
    judgement = Scope(db=scope.db).judgement(as_of=at)
    entries = judgement.history.stream(stream, at)
    named = [x for x in entries if isinstance(x.event, EvidenceRecorded) and x.version in (evidence or ())]
    for version in evidence or ():
        if version not in {x.version for x in named}:
            todo = f"see what there is: sla-ledger reconcile {stream}"
            raise LedgerError(stream, f"version {version} is no evidence of this outage", todo)
    if not entries or not named:
        what = "there is nothing to take a frame from"
        raise LedgerError(stream, what, "give --from and --until, or name the evidence: --evidence VERSION")
    state = folded(outages.evolve, [entries[0], *named])
    frame = outages.proposed(state, at, judgement.rules_at(state.opening.time).readings)
    if frame.spans and outages.is_open(state) and frame.spans[-1][1] == at:
        raise LedgerError(stream, "this evidence has not ended", "give --from and --until, or record its end")
    if not frame.spans:
        raise LedgerError(
            stream, "this evidence agrees on no second", "see it: sla-ledger reconcile; give --from and --until"
        )
    return [{"from": stamp(a), "until": stamp(b)} for a, b in frame.spans]


def identifier_of(text: str, hint: str) -> str:
    """Return the text of an option that names somebody; a usage error when it is no identifier."""
    from pydantic import TypeAdapter, ValidationError

    from ledger.values import Identifier

    try:
        return TypeAdapter(Identifier).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"{clean(text)!r} is no identifier", param_hint=hint) from None


def _id(text: str | None) -> str | None:
    from pydantic import TypeAdapter, ValidationError

    from ledger.values import CommandId

    if text is None:
        return None
    try:
        return TypeAdapter(CommandId).validate_python(text)
    except ValidationError:
        what = f"{clean(text)[:40]!r}: expected 1 to 400 printable characters without blanks"
        raise typer.BadParameter(what, param_hint="--command-id") from None


def _summary(model: type[Event]) -> str:
    return (model.__doc__ or "").strip().split("\n")[0]


def _help(model: type[Event]) -> str:
    return f"{_summary(model)} {model.clause}"
