"""Making a recorded decision again from the entries and terms of its basis, and saying what is known today.

§availability-credit, §validity.
"""

from __future__ import annotations

from typing import Any

from ledger.errors import NotFound
from projections import credits
from projections.judgement import Judgement

FORMATS = (credits.FORMAT,)


def audit(judgement: Judgement, stream: str) -> dict[str, Any]:
    """Return whether the decision in force comes out the same from its basis, and what it would be today.

    Raises NotFound for a claim that has not been decided, BadTerms for a decision that names no basis.
    """
    state = credits.claim(judgement, stream)
    recorded = state.recorded()
    if state.decision is None or recorded is None:
        raise NotFound(stream, "has not been decided", f"decide it: sla-ledger claim decide {stream}")
    if recorded.get("format") not in FORMATS:
        differences = [{"field": "format", "recorded": recorded.get("format"), "recomputed": credits.FORMAT}]
    else:
        then = credits.judgement_of(judgement.history, recorded, state.decision.position)
        recomputed = credits.assess(then, stream).as_json()
        differences = list(compared(recorded, recomputed, ""))
    today = credits.assess(judgement, stream)
    now = today.as_json()
    return {
        "claim": stream,
        "result": "differs" if differences else "reproduced",
        "decision_entry": state.decision.position,
        "basis": recorded.get("basis"),
        "differences": differences,
        "today": {
            "verdict": "undecided" if today.missing else now["verdict"],
            "credit": now["credit"],
            "availability": now["availability"]["availability"],
            "entries_since": judgement.history.last_position - _entries(recorded),
            "missing": today.missing,
        },
    }


def compared(recorded: Any, recomputed: Any, path: str) -> list[dict[str, Any]]:
    """Return where two JSON values differ, field by field, in order; lists of different length differ as a whole."""
    if isinstance(recorded, dict) and isinstance(recomputed, dict):
        keys = [*recorded, *(k for k in recomputed if k not in recorded)]
        found = []
        for key in keys:
            here = f"{path}.{key}" if path else key
            if key not in recorded or key not in recomputed:
                found.append({"field": here, "recorded": recorded.get(key), "recomputed": recomputed.get(key)})
            else:
                found += compared(recorded[key], recomputed[key], here)
        return found
    if isinstance(recorded, list) and isinstance(recomputed, list) and len(recorded) == len(recomputed):
        return [
            d for i, (a, b) in enumerate(zip(recorded, recomputed, strict=True)) for d in compared(a, b, f"{path}.{i}")
        ]
    same = recorded == recomputed and type(recorded) is type(recomputed)
    return [] if same else [{"field": path, "recorded": recorded, "recomputed": recomputed}]


def _entries(decision: dict[str, Any]) -> int:
    basis = decision.get("basis")
    return int(basis["entries"]) if isinstance(basis, dict) and "entries" in basis else 0
