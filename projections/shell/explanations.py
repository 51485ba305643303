"""How a verdict or a decision comes about, in sentences or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from projections.shell import output
from projections.shell.options import reading
from projections.shell.scope import Scope
from projections.shell.single_cases import CASES, case_of

if TYPE_CHECKING:
    from projections.derivation import Step
    from projections.views.single import Single

Explained = tuple[dict[str, Any], list[str]]


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
    names = [stream] if ":" in stream else [f"{kind}:{stream}" for kind in CASES]
    found = case_of(scope, names, _told) if names[0].partition(":")[0] in CASES else None
    if found is None:
        from projections.shell import plain_explanations

        found = plain_explanations.explain(scope, stream)
    output.thing(scope, *found)


def _told(case: Single) -> Explained:
    from projections.explain_case import steps

    return explained(case.stream, case.finding(), steps(case.account()))


def explained(stream: str, finding: dict[str, Any], steps: list[Step]) -> Explained:
    """Return how the verdict on a case comes about, as JSON and as lines."""
    found = {"stream": stream, "finding": finding, "steps": [s.as_json() for s in steps]}
    lines = [f"{stream}: {finding['verdict']}", *(line for s in steps for line in s.text())]
    return found, lines + [f"doubt: {d.replace('_', ' ')}" for d in finding["doubts"]]
