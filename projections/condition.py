"""How the record stands: what came late, where recording runs backwards, and which outages nobody has ended or settled.

No finding rests on this; it is for those who keep the ledger. R25
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ledger.clock import CLOCK_TOLERANCE
from ledger.instants import RECORDED_AT
from ledger.store.reading import Stored
from projections.history import folded
from projections.judgement import Judgement
from projections.outages import evolve, time_frame
from projections.replay import unreadable
from projections.spans import SECOND
from projections.stored_facts import HOUR, HOURS, PAST, SECONDS

_BEHIND = RECORDED_AT[0] - 1 - HOUR.start
_RECORDED_HOUR = slice(HOUR.start + _BEHIND, HOUR.stop + _BEHIND)
_RECORDED_PAST = slice(PAST.start + _BEHIND, PAST.stop + _BEHIND)
_DECISIONS = ("CreditGranted", "CreditRefused", "CreditRevised")


@dataclass(slots=True)
class Timeliness:
    """How entries came: how many, how many late and the latest of them, how often recording times ran backwards.

    Backwards is before the entry ahead, as `verify` says it. Positions are 0 for none; `last_recorded` is seconds since
    1970, of the latest recording time.
    """

    entries: int = 0
    late: int = 0
    latest_by_seconds: int = 0
    latest: int = 0
    backwards: int = 0
    first_backwards: int = 0
    backwards_by_seconds: int = 0
    last_recorded: int = 0


def timeliness(rows: Iterable[Stored]) -> Timeliness:
    """Return how entries came, in order of position; late is what `log` marks so.

    Raises LedgerBroken at the first one whose times cannot be read.
    """
    found, ahead, tolerance = Timeliness(), 0, CLOCK_TOLERANCE // SECOND
    for row in rows:
        position, state = row[0], row[4]
        try:
            happened = HOURS[state[HOUR]] + SECONDS[state[PAST]]
            recorded = HOURS[state[_RECORDED_HOUR]] + SECONDS[state[_RECORDED_PAST]]
        except (ValueError, TypeError):
            raise unreadable(row) from None
        found.entries += 1
        if recorded - happened > tolerance:
            found.late += 1
            if recorded - happened > found.latest_by_seconds:
                found.latest_by_seconds, found.latest = recorded - happened, position
        if recorded < ahead:
            found.backwards += 1
            found.first_backwards = found.first_backwards or position
            found.backwards_by_seconds = max(found.backwards_by_seconds, ahead - recorded)
        ahead = recorded
        found.last_recorded = max(found.last_recorded, recorded)
    return found


def recorded_at(row: Stored) -> int:
    """Return when an entry was recorded, in seconds since 1970."""
    return HOURS[row[4][_RECORDED_HOUR]] + SECONDS[row[4][_RECORDED_PAST]]


def last_decision(rows: Iterable[Stored]) -> int | None:
    """Return when the latest decision of claims was recorded, in seconds since 1970; None when there is none."""
    return max((recorded_at(row) for row in rows if row[3] in _DECISIONS), default=None)


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An outage that lacks something: `is_open` when nobody has recorded its end; `missing` is what settles it."""

    outage: str
    services: tuple[str, ...]
    since: datetime
    is_open: bool
    missing: tuple[str, ...]


def unsettled_outages(judgement: Judgement) -> list[Unsettled]:
    """Return the outages that are open, undetermined or unattributed at the instant, in order of their reports. R25"""
    found, readings = [], judgement.rules_at(judgement.as_of).readings
    for stream, entries in judgement.history.all(judgement.as_of, "outage"):
        state = folded(evolve, entries)
        frame = time_frame(state, judgement.as_of, readings)
        is_open = "never_closed" in frame.doubts and state.restored is None
        missing = [d for d in ("undetermined",) if d in frame.doubts]
        missing += ["unattributed"] if state.attributed is None else []
        if is_open or missing:
            since = frame.spans[0][0] if frame.spans else state.opening.time
            found.append(Unsettled(stream, tuple(state.report.services), since, is_open, tuple(missing)))
    return found
