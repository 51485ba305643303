"""The evidence of an outage, side by side: what each source saw, where they agree, and the frame they propose.

§availability-calculation; R25.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger import events as e
from ledger.instants import stamp
from projections import outages
from projections.history import folded
from projections.judgement import Judgement
from projections.outages import State
from projections.spans import Span, clip, covered_at_least, minus, total, union

AXIS = 60


@dataclass(slots=True)
class Reconciliation:
    """The sources of one outage beside each other. All spans are UTC, half-open; open evidence runs to `as_of`."""

    stream: str
    state: State
    sources: dict[str, list[Span]]
    open_sources: list[str]
    proposed: outages.TimeFrame
    terms: str
    reading: str
    determined: outages.TimeFrame | None
    watched: list[Span]  # monitoring gaps of its services that meet the outage

    @property
    def everything(self) -> list[Span]:
        """The seconds that any source saw."""
        return union(s for spans in self.sources.values() for s in spans)

    @property
    def agreed(self) -> list[Span]:
        """The seconds that every source with evidence saw; nothing with fewer than two."""
        return covered_at_least(list(self.sources.values()), len(self.sources)) if len(self.sources) > 1 else []

    @property
    def gaps(self) -> list[Span]:
        """The seconds between what was seen that no source saw."""
        seen = self.everything
        return minus([(seen[0][0], seen[-1][1])], seen) if seen else []

    @property
    def doubts(self) -> list[str]:
        """What is doubtful about the frame that holds: the determined one, else the proposed one."""
        return sorted((self.determined or self.proposed).doubts)

    def contradictions(self) -> list[dict[str, Any]]:
        """Return what one source alone saw while another, that has evidence too, did not."""
        found = []
        for source, spans in self.sources.items():
            others = union(s for o, spans_of in self.sources.items() if o != source for s in spans_of)
            if len(self.sources) > 1:
                found += [
                    {"only": source, "from": stamp(a), "until": stamp(b), "seconds": total([(a, b)])}
                    for a, b in minus(spans, others)
                ]
        return sorted(found, key=lambda c: (c["from"], c["only"]))

    def as_json(self) -> dict[str, Any]:
        """Return the reconciliation in its fixed shape."""
        positions = {p for x in self.state.entries() for p in x.positions}
        return {
            "outage": self.stream,
            "sources": [
                {
                    "source": source,
                    "spans": _spans(spans),
                    "seconds": total(spans),
                    "open": source in self.open_sources,
                    "versions": [x.version for x in self.state.evidence if _source(x.event) == source],
                }
                for source, spans in self.sources.items()
            ],
            "agreed_seconds": total(self.agreed),
            "agreed": _spans(self.agreed),
            "seen_seconds": total(self.everything),
            "proposed": {
                "reading": self.reading,
                "spans": _spans(self.proposed.spans),
                "seconds": total(self.proposed.spans),
            },
            "determined": None
            if self.determined is None
            else {"spans": _spans(self.determined.spans), "seconds": total(self.determined.spans)},
            "gaps": _spans(self.gaps),
            "contradictions": self.contradictions(),
            "monitoring_gaps": _spans(self.watched),
            "terms": self.terms,
            "clauses": ["§availability-calculation"],
            "because": sorted(positions),
            "doubts": self.doubts,
        }

    def text(self) -> list[str]:
        """Return the sources on one time axis, and below it where they agree."""
        rows: list[tuple[str, list[Span]]] = list(self.sources.items())
        if len(self.sources) > 1:
            rows.append(("all of them", self.agreed))
        rows.append((f"proposed ({self.reading})", list(self.proposed.spans)))
        if self.determined:
            rows.append(("determined", list(self.determined.spans)))
        rows += [("not watched", self.watched)] if self.watched else []
        shown = [s for _, spans in rows for s in spans]
        if not shown:
            return [self.stream, "no evidence, and no second of downtime"]
        begin, end = min(s[0] for s in shown), max(s[1] for s in shown)
        width = max(len(name) for name, _ in rows)
        lines = [self.stream, f"{'':{width}}  {stamp(begin)}{stamp(end):>{AXIS - 20}}"]
        lines += [f"{name:{width}}  {_drawn(spans, begin, end)}  {total(spans)} s" for name, spans in rows]
        lines += [f"only {c['only']} saw {c['from']} to {c['until']}: {c['seconds']} s" for c in self.contradictions()]
        lines += [f"nobody saw {stamp(a)} to {stamp(b)}" for a, b in self.gaps]
        lines += [f"{source} has not ended" for source in self.open_sources]
        return lines + [f"doubt: {d.replace('_', ' ')}" for d in self.doubts]


def reconciled(judgement: Judgement, stream: str) -> Reconciliation:
    """Return the evidence of an outage side by side, proposed under the reading in force at its report."""
    state = folded(outages.evolve, judgement.history.stream(stream, judgement.as_of))
    rules = judgement.rules_at(state.opening.time)
    readings = rules.readings
    sources = outages.by_source(state, judgement.as_of)
    seen = union(s for spans in sources.values() for s in spans)
    gaps = []
    for service in state.report.services:
        for entry in judgement.history.stream(f"monitoring:{service}", judgement.as_of):
            assert isinstance(entry.event, e.MonitoringGapRecorded)
            gaps.append((entry.event.from_, entry.event.until))
    return Reconciliation(
        stream,
        state,
        sources,
        sorted({_source(x.event) for x in state.evidence if getattr(x.event, "until", None) is None}),
        outages.proposed(state, judgement.as_of, readings),
        rules.terms.id,
        readings.evidence,
        outages.time_frame(state, judgement.as_of, readings) if state.determined else None,
        clip(union(gaps), seen[0][0], seen[-1][1]) if seen else [],
    )


def _source(event: e.Event) -> str:
    assert isinstance(event, e.EvidenceRecorded)
    return event.source


def _spans(spans: list[Span] | tuple[Span, ...]) -> list[dict[str, str]]:
    return [{"from": stamp(a), "until": stamp(b)} for a, b in spans]


def _drawn(spans: list[Span], begin: datetime, end: datetime) -> str:
    """Return spans drawn on an axis; a cell is filled when any of its seconds is covered."""
    length = (end - begin) / AXIS
    cells = [(begin + i * length, begin + (i + 1) * length) for i in range(AXIS)]
    return "".join("#" if clip(spans, a, b) else "." for a, b in cells)
