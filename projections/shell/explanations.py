"""How a verdict or a decision comes about, in sentences or as JSON."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from tzdata import IANA_VERSION

from ledger.errors import NotFound
from ledger.streams.acceptance import kind_of
from ledger.text import clean
from projections import claims, credits, explain_case, explain_claim
from projections.judgement import Judgement
from projections.response_times import KINDS
from projections.shell import output
from projections.shell.scope import Scope, reading, stream_id


@reading
def explain(
    scope: Scope,
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="a case or a claim, like incident:INC-1")],
) -> None:
    """How a case's verdict or a claim's decision comes about: every step with its clause, readings and entries.

    A decided claim is explained on the basis of its decision, unless an instant or a reading is given.

    \b
    Examples:
      sla-ledger explain incident:INC-1
      sla-ledger explain claim:2025 --json
    """
    judgement = scope.judgement()
    if ":" in stream and kind_of(stream) not in (*KINDS, "claim"):
        what = "only cases and claims are explained"
        raise NotFound(clean(stream), what, f"see what it amounts to: sla-ledger show {clean(stream)}")
    known = [f"{kind}:{stream}" for kind in (*KINDS, "claim") if judgement.history.recorded(f"{kind}:{stream}")]
    target = stream_id(known[0] if known else stream, *KINDS, "claim")
    if not judgement.history.stream(target, judgement.as_of):
        raise NotFound(clean(target), "no such stream is known at this instant", "see all entries: sla-ledger log")
    if kind_of(target) == "claim":
        found, lines = claim_derivation(on_its_basis(scope, judgement, target), target)
    else:
        verdict, steps = explain_case.case(judgement, target)
        found = {"stream": target, "finding": verdict.as_json(), "steps": [s.as_json() for s in steps]}
        lines = [f"{target}: {verdict.verdict}", *(line for s in steps for line in s.text())]
        lines += [f"doubt: {d.replace('_', ' ')}" for d in verdict.doubts]
    output.thing(scope, found, lines)


def on_its_basis(scope: Scope, judgement: Judgement, stream: str) -> Judgement:
    """Return the judgement of a claim's recorded decision, unless it is undecided or the question names its own."""
    state = claims.claim(judgement, stream)
    decision = state.recorded()
    asked = scope.as_of or scope.known_at or scope.at_entry is not None or scope.readings or scope.terms
    if asked or state.decision is None or decision is None or "basis" not in decision:
        return judgement
    return claims.judgement_of(judgement.history, decision, state.decision.position)


def claim_derivation(judgement: Judgement, stream: str) -> tuple[dict[str, Any], list[str]]:
    """Return the derivation of a claim as JSON and as lines."""
    assessed = credits.assess(judgement, stream)
    steps, decision = explain_claim.claim(assessed), assessed.as_json()
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
