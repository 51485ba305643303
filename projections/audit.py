"""Making a recorded decision again from the entries and terms of its basis, and saying what is known today.

§availability-credit, §validity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ledger import events as e
from ledger.entry import Entry
from ledger.errors import LedgerError, NotFound
from ledger.streams.acceptance import kind_of
from projections import claims, credits
from projections.history import History
from projections.judgement import Judgement

FORMATS = (credits.FORMAT,)


def audit(judgement: Judgement, stream: str, root: Callable[[int], str | None]) -> dict[str, Any]:
    """Return whether the decision in force comes out the same from its basis, and what it would be today.

    root: gives that of the tree over the first entries; asked only of a decision that names one, for those from before
    there was a tree have none.
    Raises NotFound for a claim that has not been decided, BadTerms for a decision that names no basis.
    """
    state = claims.claim(judgement, stream)
    recorded = state.recorded()
    if state.decision is None or recorded is None:
        raise NotFound(stream, "has not been decided", f"decide it: sla-ledger claim decide {stream}")
    position, recomputed = state.decision.position, None
    if recorded.get("format") not in FORMATS:
        differences = [{"field": "format", "recorded": recorded.get("format"), "recomputed": credits.FORMAT}]
    else:
        try:
            again = credits.assess(claims.judgement_of(judgement.history, recorded, position), stream)
        except LedgerError as error:  # what it says it rests on cannot be so
            differences = [{"field": "basis", "recorded": recorded.get("basis"), "recomputed": error.what}]
        else:
            has_root = recorded["basis"].get("root") is not None
            recomputed = again.as_json(root(again.entries) if has_root else None)
            differences = compared(recorded, recomputed, "")
    today = Judgement(
        judgement.history,
        judgement.as_of,
        changes={**(taken(judgement, recorded) if recomputed else {}), **judgement.changes},
        terms=judgement.chosen,
    )
    assessed = credits.assess(today, stream)
    now, basis = assessed.as_json(), recorded.get("basis")
    return {
        "claim": stream,
        "result": "differs" if differences else "reproduced",
        "decision_entry": state.decision.position,
        "basis": basis,
        "differences": differences,
        "today": {
            "verdict": "undecided" if assessed.missing else now["verdict"],
            "credit": now["credit"],
            "availability": now["availability"]["availability"],
            "entries_since": judgement.history.last_position - _entries(recorded),
            "missing": assessed.missing,
            "moved_by": list(movements(today, stream, recomputed)) if recomputed else [],
        },
    }


def taken(judgement: Judgement, decision: dict[str, Any]) -> dict[str, Any]:
    """Return the readings that a decision took in place of those of its terms."""
    readings = decision.get("readings")
    versions = {v.terms.id: v.terms for v in Judgement(judgement.history, judgement.as_of).terms_book.versions}
    terms = versions.get(str(decision.get("terms")))
    if not isinstance(readings, dict) or terms is None:
        return {}
    posted = terms.readings.as_json()
    return {k: v for k, v in readings.items() if k in posted and posted[k] != v}


def movements(today: Judgement, stream: str, decision: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the entries since a decision's basis that moved its outcome, each with what it was and came to be.

    decision: as it comes out of its basis. A first row without an entry says that the instant or the terms alone
    moved it.
    """
    request, basis = claims.claim(today, stream).request, _entries(decision)
    slim = History(x for x in today.history.entries if _may_concern(today.history, x, request))
    inner = decision.get("availability")
    percent = (inner.get("availability") or {}).get("percent") if isinstance(inner, dict) else None
    before = (decision.get("verdict"), decision.get("credit"), percent)
    opened = claims.claim(today, stream).opening.position
    points: list[Entry | None] = [None, *(x for x in slim.entries if x.position > basis)]
    for entry in points:
        known = slim.at_entry(max(opened, basis if entry is None else entry.position))
        then = Judgement(known, today.as_of, changes=today.changes, terms=today.chosen)
        row = credits.assess(then, stream).as_json()
        value = row["availability"]["availability"]
        after = (row["verdict"], row["credit"], value and value["percent"])
        if after != before:
            yield {
                "entry": entry.position if entry else None,
                "stream": entry.stream if entry else None,
                "type": entry.name if entry else None,
                "verdict": after[0],
                "credit": after[1],
                "availability_percent": after[2],
                "before": {"verdict": before[0], "credit": before[1], "availability_percent": before[2]},
            }
        before = after


def _may_concern(history: History, entry: Entry, request: e.CreditRequested) -> bool:
    """Return whether an entry's stream can have a say in a claim at all."""
    said = [x.event for x in history.recorded(entry.stream)]
    kind = kind_of(entry.stream)
    if kind == "outage":
        return any(isinstance(x, e.OutageReported) and request.service in x.services for x in said) or any(
            isinstance(x, e.EntryCorrected) for x in said
        )
    if kind == "monitoring":
        return entry.stream == f"monitoring:{request.service}"
    return kind in ("agreement", "claim", "maintenance", "terms")


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
    entries = basis.get("entries") if isinstance(basis, dict) else None
    return entries if isinstance(entries, int) else 0
