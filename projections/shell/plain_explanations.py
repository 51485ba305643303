"""How a verdict or a decision comes about by the plain rules, on those streams that have a say in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tzdata import IANA_VERSION

from ledger.errors import LedgerError, NotFound
from ledger.events import EntryCorrected
from ledger.streams.acceptance import kind_of
from ledger.text import clean
from projections import claims, credits, explain_case, explain_claim
from projections.grounds import CONTEXT
from projections.history import History
from projections.judgement import Judgement
from projections.response_times import KINDS
from projections.settlement import KINDS as CONCERNED
from projections.shell import output
from projections.shell.explanations import Explained, explained
from projections.shell.options import stream_id
from projections.shell.roots import root_of
from projections.shell.scope import Scope


def explain(scope: Scope, stream: str) -> Explained:
    """Return how a case's verdict or a claim's decision comes about, as JSON and as lines."""
    names = [stream] if ":" in stream else [f"{kind}:{stream}" for kind in (*KINDS, "claim")]
    history = scope.history(*CONTEXT, streams=names)
    judgement = scope.judgement(history)
    if ":" in stream and kind_of(stream) not in (*KINDS, "claim"):
        what = "only cases and claims are explained"
        raise NotFound(clean(stream), what, f"see what it amounts to: sla-ledger show {clean(stream)}")
    known = [name for name in names if history.recorded(name)]
    target = stream_id(known[0] if known else stream, *KINDS, "claim")
    if not history.stream(target, judgement.as_of):
        raise NotFound(clean(target), "no such stream is known at this instant", "see all entries: sla-ledger log")
    if kind_of(target) == "claim":
        judgement = scope.judgement(concerned(scope, history, target), judgement.as_of)
        judgement = on_its_basis(scope, judgement, target)
        return claim_derivation(judgement, target, root_of(scope, history, judgement.history.last_position))
    if scope.is_bundle:
        what = "a bundle does not hold the cases that this one overtook or was overtaken by"
        raise LedgerError(clean(scope.db), what, f"see its entries and verdict: sla-ledger show {clean(target)}")
    judgement = scope.judgement(beside(scope, judgement, target), judgement.as_of)
    verdict, steps = explain_case.case(judgement, target)
    return explained(target, verdict.as_json(), steps)


def beside(scope: Scope, judgement: Judgement, case: str) -> History:
    """Return what is known with the cases that one overtook or was overtaken by, found in the views; else with all."""
    history, as_of = judgement.history, judgement.as_of
    then = replace(scope, as_of=as_of, at_entry=history.last_position, known_at=None)
    found = then.ask(lambda views: [views.stream_of(row[0]) for rows in views.beside(case) for row in rows])
    return scope.more(history, *KINDS) if found is None else scope.more(history, streams=found)


def concerned(scope: Scope, history: History, claim: str) -> History:
    """Return what is known with all that has a say in a claim, which a history holds already."""
    notified = list[str]()
    for event in (x.event for x in history.recorded(claim)):
        said = event.data.get("notified") if isinstance(event, EntryCorrected) else getattr(event, "notified", None)
        notified += said or ()
    return scope.more(history, *CONCERNED, streams=notified)


def on_its_basis(scope: Scope, judgement: Judgement, stream: str) -> Judgement:
    """Return the judgement of a claim's recorded decision, unless it is undecided or the question names its own."""
    state = claims.claim(judgement, stream)
    decision = state.recorded()
    asked = scope.as_of or scope.known_at or scope.at_entry is not None or scope.readings or scope.terms
    if asked or state.decision is None or decision is None or "basis" not in decision:
        return judgement
    return claims.judgement_of(judgement.history, decision, state.decision.position)


def claim_derivation(judgement: Judgement, stream: str, root: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """Return the derivation of a claim as JSON and as lines; root: that of the tree over its entries."""
    assessed = credits.assess(judgement, stream)
    steps, decision = explain_claim.claim(assessed), assessed.as_json(root)
    found = {
        "stream": stream,
        "finding": decision,
        "steps": [s.as_json() for s in steps],
        "missing": assessed.missing,
        "zone_data": IANA_VERSION,
    }
    verdict, amount = decision["verdict"], f", {output.cell(decision['credit'])}" if decision["credit"] else ""
    if assessed.missing:
        verdict = f"cannot be decided yet ({len(assessed.missing)} missing, see below); provisionally {verdict}"
    basis = decision["basis"]
    lines = [
        f"{stream}: {verdict}{amount}",
        f"made from the entries up to {basis['entries']}, judged at {basis['as_of']}",
        f"by the terms {decision['terms']}, with zone data {IANA_VERSION}",
        *(line for s in steps for line in s.text()),
        *(f"warning: {w.replace('_', ' ')}" for w in decision["warnings"]),
        *(f"doubt: {d.replace('_', ' ')}" for d in decision["doubts"]),
        *(f"missing: {m}" for m in assessed.missing),
    ]
    return found, lines
