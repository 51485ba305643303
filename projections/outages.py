"""Outages as their entries leave them: the time frame, determined or proposed from the evidence, and the cause.

§availability-calculation; R25.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, cast

from projections.spans import Span, covered_at_least, intersection, union

if TYPE_CHECKING:
    from ledger import events as e
    from ledger.entry import Entry
    from ledger.readings import Readings
    from ledger.values import Frame


@dataclass(frozen=True, slots=True)
class State:
    """An outage: what was reported, the evidence, and the frame and cause that were settled last."""

    opening: Entry
    evidence: tuple[Entry, ...] = ()
    restored: Entry | None = None
    determined: Entry | None = None
    attributed: Entry | None = None

    @property
    def report(self) -> e.OutageReported:
        """What was reported."""
        assert self.opening.name == "OutageReported"
        return cast("e.OutageReported", self.opening.event)

    @property
    def attribution(self) -> e.OutageAttributed | None:
        """The cause that was settled last."""
        if self.attributed is None:
            return None
        return cast("e.OutageAttributed", self.attributed.event)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The spans of the frame that was settled last; none without one."""
        return () if self.determined is None else cast("e.TimeframeDetermined", self.determined.event).frames

    @property
    def seen(self) -> list[e.EvidenceRecorded]:
        """The evidence."""
        return [cast("e.EvidenceRecorded", x.event) for x in self.evidence]

    def entries(self) -> list[Entry]:
        """Return every entry that a finding about this outage rests on."""
        others = (self.restored, self.determined, self.attributed)
        return [self.opening, *self.evidence, *(x for x in others if x is not None)]


def evolve(state: State | None, entry: Entry) -> State:
    """Return the outage after one more of its entries, in order of time, then position."""
    if state is None:
        return State(entry)
    match entry.name:
        case "EvidenceRecorded":
            return replace(state, evidence=(*state.evidence, entry))
        case "ServiceRestored":
            return replace(state, restored=entry)
        case "TimeframeDetermined":
            return replace(state, determined=entry)
        case "OutageAttributed":
            return replace(state, attributed=entry)
    return state


@dataclass(frozen=True, slots=True)
class TimeFrame:
    """When the services were down, and what is doubtful about it."""

    spans: tuple[Span, ...]
    doubts: tuple[str, ...] = ()


def time_frame(state: State, as_of: datetime, readings: Readings) -> TimeFrame:
    """Return the frame that was determined, otherwise the one the evidence proposes. What is open runs to `as_of`."""
    if state.determined is None:
        return proposed(state, as_of, readings)
    spans = union((f.from_, f.until) for f in state.frames)
    doubts = []
    if not cast("e.TimeframeDetermined", state.determined.event).evidence:
        doubts.append("uncorroborated")
    seen = union(s for spans in by_source(state, as_of).values() for s in spans)
    if seen and not intersection(spans, seen):
        doubts.append("against_evidence")
    return TimeFrame(tuple(spans), tuple(doubts))


def proposed(state: State, as_of: datetime, readings: Readings) -> TimeFrame:
    """Return the frame that the evidence proposes; without evidence, from report to restoration. R25"""
    sources = by_source(state, as_of)
    doubts = ["undetermined"]
    if any(seen.until is None and seen.from_ < as_of for seen in state.seen):
        doubts.append("never_closed")
    if not sources:
        end = state.restored.time if state.restored else as_of
        if state.restored is None and "never_closed" not in doubts:
            doubts.append("never_closed")
        return TimeFrame(tuple(union([(state.opening.time, end)])), tuple(doubts))
    sets, reading = list(sources.values()), readings.evidence
    everything = union(s for spans in sets for s in spans)
    if reading == "any_source":
        return TimeFrame(tuple(everything), tuple(doubts))
    if reading == "all_sources":
        return TimeFrame(tuple(covered_at_least(sets, len(sets))), tuple(doubts))
    if reading == "client_report" and "client_report" in sources:
        return TimeFrame(tuple(sources["client_report"]), tuple(doubts))
    twice = covered_at_least(sets, 2)
    if not twice:
        return TimeFrame(tuple(everything), (*doubts, "uncorroborated"))
    return TimeFrame(tuple(twice), tuple(doubts))


def is_open(state: State) -> bool:
    """Return whether some evidence has no end."""
    return any(seen.until is None for seen in state.seen)


def by_source(state: State, as_of: datetime) -> dict[str, list[Span]]:
    """Return what each source saw, open evidence up to `as_of`; sources that saw nothing are left out."""
    found: dict[str, list[Span]] = {}
    for seen in state.seen:
        found.setdefault(seen.source, []).append((seen.from_, as_of if seen.until is None else seen.until))
    return {source: spans for source, seen_spans in found.items() if (spans := union(seen_spans))}
