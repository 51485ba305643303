"""Entries as the projections read them: by stream, corrections applied, what happened later hidden."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from ledger import events as e
from ledger.entry import Entry
from ledger.errors import NotFound
from ledger.streams.acceptance import MODULES, effective, kind_of
from projections.folding import folded

__all__ = ["FOUND_OUT", "History", "folded"]

# found out about the past: hidden by --known-at only, never by --as-of
FOUND_OUT = (
    e.EvidenceRecorded,
    e.TimeframeDetermined,
    e.OutageAttributed,
    e.MonitoringGapRecorded,
    e.HolidaysPublished,
)


class History:
    """What is known, up to a position or an instant of recording. Streams keep the order of their first entries.

    entries: in order of position; those of some kinds of streams are enough for what is judged by these kinds alone.
    last_position: that of the last entry that is known, when it is none of these.
    """

    def __init__(self, entries: Iterable[Entry], last_position: int | None = None) -> None:
        self.entries = list(entries)
        self._last_position = last_position
        self._recorded: dict[str, list[Entry]] = {}
        self._effective: dict[str, list[Entry]] = {}
        for entry in self.entries:
            self._recorded.setdefault(entry.stream, []).append(entry)

    @property
    def last_position(self) -> int:
        """The position of the last entry that is known, 0 for none."""
        if self._last_position is not None:
            return self._last_position
        return self.entries[-1].position if self.entries else 0

    def known_at(self, at: datetime) -> History:
        """Return what had been recorded at an instant: the entries before the first one recorded later.

        Only of a history that holds the entries of every kind.
        """
        for index, entry in enumerate(self.entries):
            if entry.recorded_at > at:
                return History(self.entries[:index])
        return self

    def at_entry(self, position: int) -> History:
        """Return what had been recorded up to a position; NotFound when it lies beyond the last."""
        if position == self.last_position:
            return self
        if position > self.last_position or position < 0:
            raise NotFound(
                f"entry {position}", f"the last entry is {self.last_position}", "name a position from 0 to the last"
            )
        return History((x for x in self.entries if x.position <= position), position)

    def of_streams(self, streams: Iterable[str]) -> History:
        """Return what is known of some streams alone; the last position stays."""
        found = [x for stream in dict.fromkeys(streams) for x in self.recorded(stream)]
        return History(sorted(found, key=lambda x: x.position), self.last_position)

    def streams(self, *kinds: str) -> list[str]:
        """Return the ids of all streams of these kinds; of every kind when none is named."""
        return [s for s in self._recorded if not kinds or kind_of(s) in kinds]

    def recorded(self, stream: str) -> list[Entry]:
        """Return the entries of a stream as they were recorded; none for an unknown stream."""
        return self._recorded.get(stream, [])

    def stream(self, stream: str, as_of: datetime) -> list[Entry]:
        """Return what a stream amounts to at an instant: corrections applied, in order of time, then position.

        What happened after `as_of` is hidden, what was found out about the past is not; a stream whose opening fact
        is hidden is empty.
        """
        found = self._effective.get(stream)
        if found is None:
            found = self._effective[stream] = effective(self._recorded.get(stream, ()))
        if not found or found[-1].time <= as_of:
            return found
        opening = MODULES[kind_of(stream)].OPENING
        if opening and not any(isinstance(x.event, opening) and x.time <= as_of for x in found):
            return []
        return [x for x in found if x.time <= as_of or isinstance(x.event, FOUND_OUT)]

    def all(self, as_of: datetime, *kinds: str) -> Iterator[tuple[str, list[Entry]]]:
        """Yield every stream of these kinds that is not hidden at an instant, with what it amounts to."""
        for stream in self.streams(*kinds):
            entries = self.stream(stream, as_of)
            if entries:
                yield stream, entries
