"""The life of a claim, from submission to issue, and the audit of its decision."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Annotated, Any

import typer

from ledger.entry import Fact, parsed_event
from ledger.errors import Undecided
from projections import audit as audits
from projections import claims, credits
from projections import readings as alternatives
from projections.judgement import Judgement
from projections.shell import output
from projections.shell.options import option_instant, pair, reading, stream_id, writing
from projections.shell.plain_entries import claim_status, entry_row
from projections.shell.plain_explanations import claim_derivation, concerned
from projections.shell.recording import Actor, At, append, default_actor, happened_at
from projections.shell.roots import root_of
from projections.shell.scope import Scope

claim = typer.Typer(
    rich_markup_mode=None, add_completion=False, no_args_is_help=True, help="Submit, assess and decide service credits."
)
Claim = Annotated[str, typer.Argument(metavar="CLAIM", help="like claim:2025 or 2025")]
DecidedBy = Annotated[str | None, typer.Option(metavar="WHO", help="who decides (default: the actor)")]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="why")]


@claim.command()
@writing
def submit(
    scope: Scope,
    claim: Claim,
    customer: Annotated[str, typer.Option(help="who asks")],
    service: Annotated[str, typer.Option(help="for which service")],
    begin: Annotated[str, typer.Option("--from", metavar="DATE", help="the period's first day")],
    end: Annotated[str, typer.Option("--until", metavar="DATE", help="the day after its last")],
    notified: Annotated[
        list[str] | None, typer.Option(metavar="STREAM", help="a case that told us; repeatable")
    ] = None,
    at: At = None,
    actor: Actor = None,
) -> None:
    """A customer asks for a credit over twelve months.

    \b
    Example:
      sla-ledger claim submit 2025 --customer acme --service licence --from 2025-01-01 --until 2026-01-01
    """
    data: dict[str, Any] = {"customer": customer, "service": service, "from": begin, "until": end}
    if notified:
        data["notified"] = notified
    _append(scope, claim, "CreditRequested", data, at, actor)


@claim.command()
@reading
def assess(
    scope: Scope,
    claim: Claim,
    provisional: Annotated[bool, typer.Option("--provisional", help="even if something is still missing")] = False,
) -> None:
    """What the decision would be. Nothing is recorded.

    \b
    Example:
      sla-ledger claim assess 2025 --reading lost_steps=exact
    """
    judgement, stream = _judgement(scope, claim)
    assessed = credits.assess(judgement, stream)
    if assessed.missing and not provisional:
        raise Undecided(stream, assessed.missing)
    root = root_of(scope, judgement.history, assessed.entries)
    output.thing(scope, assessed.as_json(root), claim_derivation(judgement, stream)[1])


@claim.command()
@reading
def decide(
    scope: Scope, claim: Claim, decided_by: DecidedBy = None, reason: Reason = None, at: At = None, actor: Actor = None
) -> None:
    """Decide a claim: record what is granted or refused.

    The decision holds every figure and entry it rests on.

    \b
    Example:
      sla-ledger claim decide 2025 --decided-by finance.lead
    """
    judgement, stream = _judgement(scope, claim, at)
    decision = _decision(scope, judgement, stream)
    name = "CreditGranted" if decision["verdict"] == "granted" else "CreditRefused"
    _record_decision(scope, stream, name, decision, decided_by, reason, at, actor, judgement)


@claim.command()
@reading
def revise(
    scope: Scope, claim: Claim, decided_by: DecidedBy = None, reason: Reason = None, at: At = None, actor: Actor = None
) -> None:
    """Decide a disputed claim anew; the first decision stays."""
    judgement, stream = _judgement(scope, claim, at)
    decision = _decision(scope, judgement, stream)
    _record_decision(scope, stream, "CreditRevised", decision, decided_by, reason, at, actor, judgement)


@claim.command()
@writing
def dispute(
    scope: Scope,
    claim: Claim,
    by: Annotated[str, typer.Option(metavar="WHO", help="who contests it")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="why")],
    at: At = None,
    actor: Actor = None,
) -> None:
    """Contest a decision."""
    _append(scope, claim, "CreditDisputed", {"reason": reason, "by": by}, at, actor)


@claim.command()
@writing
def uphold(
    scope: Scope,
    claim: Claim,
    decided_by: DecidedBy = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="why")] = "the decision stands",
    at: At = None,
    actor: Actor = None,
) -> None:
    """Let a disputed decision stand."""
    data = {"reason": reason, "decided_by": decided_by or actor or default_actor()}
    _append(scope, claim, "DecisionUpheld", data, at, actor)


@claim.command()
@writing
def issue(
    scope: Scope,
    claim: Claim,
    reference: Annotated[str, typer.Option(metavar="REF", help="the credit note or payment")],
    at: At = None,
    actor: Actor = None,
) -> None:
    """Note that a granted credit was paid."""
    _append(scope, claim, "CreditIssued", {"reference": reference}, at, actor)


@claim.command()
@reading
def show(scope: Scope, claim: Claim) -> None:
    """Where a claim stands, and its decision as it was recorded."""
    stream = stream_id(claim, "claim")
    judgement = scope.judgement(scope.history(streams=[stream]))
    state = claims.claim(judgement, stream)
    entries = [entry_row(x) for x in judgement.history.recorded(stream)]
    found = {"claim": stream, **claim_status(state), "decision": state.recorded(), "entries": entries}
    shown = [f"{k.replace('_', ' ')}: {output.cell(v)}" for k, v in claim_status(state).items()]
    shown += [f"  {x['position']:>6}  {x['time']}  {x['type']}" for x in entries]
    output.thing(scope, found, [stream, *shown])


@reading
def audit(scope: Scope, claim: Claim) -> None:
    """Make a recorded decision again from its basis: reproduced or differs; then what is known today.

    \b
    Example:
      sla-ledger audit claim:2025
    """
    judgement, stream = _judgement(scope, claim)
    found = audits.audit(judgement, stream, partial(root_of, scope, judgement.history))
    output.thing(scope, found, _audit_text(found))
    if found["differences"]:
        raise typer.Exit(1)


@reading
def readings(
    scope: Scope,
    claim: Claim,
    every: Annotated[bool, typer.Option("--all", help="every combination that can matter")] = False,
    tries: Annotated[
        list[str] | None,
        typer.Option("--try", metavar="KEY=VALUE", help="a number, duration or list to try; repeatable"),
    ] = None,
) -> None:
    """The decision under each other reading, one at a time or in every combination that can matter.

    \b
    Examples:
      sla-ledger readings claim:2025
      sla-ledger readings claim:2025 --try cap_percent=4 --all
    """
    judgement, stream = _judgement(scope, claim)
    wanted: dict[str, list[str]] = {}
    for item in tries or ():
        key, value = pair(item, "--try")
        wanted.setdefault(key, []).append(value)
    if every:
        with output.progress("combining readings") as done:
            found = alternatives.combinations(judgement, stream, wanted, lambda n, of: done(n, of))
    else:
        found = alternatives.one_at_a_time(judgement, stream, wanted)
    result = found.as_json()
    under = ", ".join(f"{k}={v}" for k, v in scope.readings.items())
    output.thing(scope, result, _readings_text(stream, f"under {under}" if under else "by default", result, every))


def _readings_text(stream: str, under: str, found: dict[str, Any], every: bool) -> list[str]:
    default = found["default"]
    lines = [f"{stream} {under}: {_outcome_text(default)}"]
    if every:
        everyone = [default, *found["alternatives"]]
        counts = Counter(f"{row['verdict']}, {output.cell(row['credit']) or 'no credit'}" for row in everyone)
        lines.append(f"in {counts.total()} combinations, by what they come to:")
        lines += [f"  {times:>8}  {text}" for text, times in counts.most_common(40)]
        if len(counts) > 40:
            lines.append(f"  and {len(counts) - 40} other outcomes; all with --json")
    else:
        for row in found["alternatives"]:
            mark = "money" if row["moves_the_money"] else "figures" if row["moves_the_figures"] else "-"
            lines.append(f"  {mark:<8}{_taken(row):<42}{_outcome_text(row)}")
    for name in ("lowest", "highest"):
        lines.append(f"{name}: {output.cell(found[name]['credit']) or 'no credit'} under {_taken(found[name])}")
    lines.append(f"these move the money: {', '.join(found['move_the_money']) or 'none'}")
    lines.append(f"these move only the figures: {', '.join(found['move_only_the_figures']) or 'none'}")
    lines += [f"left out: {x['reading']}, since {x['reason']}" for x in found["left_out"]]
    return lines + [f"provisional, missing: {m}" for m in found["missing"]]


def _taken(row: dict[str, Any]) -> str:
    return ", ".join(f"{k}={output.cell(v)}" for k, v in row["readings"].items()) or "the default"


def _outcome_text(row: dict[str, Any]) -> str:
    credit = output.cell(row["credit"]) or "no credit"
    return f"{row['verdict']}, {row['availability_percent']} %, {row['steps']} steps, {credit}"


def _audit_text(found: dict[str, Any]) -> list[str]:
    today, basis = found["today"], found["basis"] if isinstance(found["basis"], dict) else {}
    lines = [
        f"{found['claim']}: {found['result']}",
        f"  the decision is entry {found['decision_entry']}, made from the entries up to {basis.get('entries')}"
        f" and judged at {basis.get('as_of')}",
    ]
    lines += [
        f"  differs in {d['field']}: recorded {output.cell(d['recorded'])}, recomputed {output.cell(d['recomputed'])}"
        for d in found["differences"]
    ]
    lines.append(
        f"  today: {today['verdict']}, {output.cell(today['credit']) or 'no credit'},"
        f" {today['entries_since']} entries recorded since its basis"
    )
    for row in today["moved_by"]:
        cause = (
            f"entry {row['entry']} ({row['type']} in {row['stream']})" if row["entry"] else "the instant or the terms"
        )
        lines.append(f"  moved by {cause}: from {_moved(row['before'])} to {_moved(row)}")
    return lines + [f"  missing: {m}" for m in today["missing"]]


def _moved(row: dict[str, Any]) -> str:
    return f"{row['verdict']}, {row['availability_percent']} %, {output.cell(row['credit']) or 'no credit'}"


def _judgement(scope: Scope, claim: str, at: str | None = None) -> tuple[Judgement, str]:
    """Return what to judge a claim with, and its stream: at --as-of, else at the time of the decision, else now."""
    as_of, stream = option_instant(at, "--at"), stream_id(claim, "claim")
    return scope.judgement(concerned(scope, scope.history(streams=[stream]), stream), as_of), stream


def _decision(scope: Scope, judgement: Judgement, stream: str) -> dict[str, Any]:
    assessed = credits.assess(judgement, stream)
    if assessed.missing:
        raise Undecided(stream, assessed.missing)
    return assessed.as_json(root_of(scope, judgement.history, assessed.entries))


def _record_decision(
    scope: Scope,
    stream: str,
    name: str,
    decision: dict[str, Any],
    decided_by: str | None,
    reason: str | None,
    at: str | None,
    actor: str | None,
    judgement: Judgement,
) -> None:
    data: dict[str, Any] = {"decision": decision, "decided_by": decided_by or actor or default_actor()}
    if reason:
        data["reason"] = reason
    quiet = Scope(db=scope.db)
    _append(quiet, stream, name, data, at, actor)
    output.thing(scope, decision, claim_derivation(judgement, stream)[1])


def _append(scope: Scope, claim: str, name: str, data: dict[str, Any], at: str | None, actor: str | None) -> None:
    stream = stream_id(claim, "claim")
    event = parsed_event(name, data, f"claim {name}")
    who = actor or default_actor()
    append(scope, Fact(stream, happened_at(at), event, who))
