"""The door of every stream: corrections take effect, facts are judged in order of time, and a refusal has a name."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from types import ModuleType
from typing import Any

from msgspec.structs import replace

from ledger.clock import CLOCK_TOLERANCE
from ledger.entry import Entry, Fact, corrected_event, event_data
from ledger.errors import BadLine
from ledger.events import EntryCorrected, EntryWithdrawn, Event
from ledger.streams import agreements, backups, cases, claims, maintenance, observations, outages, posted_terms
from ledger.text import strict_json

_MODULES: tuple[ModuleType, ...] = (
    agreements,
    backups,
    cases,
    claims,
    maintenance,
    observations,
    outages,
    posted_terms,
)
MODULES: dict[str, ModuleType] = {kind: module for module in _MODULES for kind in module.KINDS}
ACCEPTED: dict[str, tuple[type[Event], ...]] = {kind: m.KINDS[kind] for kind, m in MODULES.items()}
CORRECTIONS = (EntryWithdrawn, EntryCorrected)
_ORDER = attrgetter("time", "position")

ADVICE = {
    "in_the_future": "a fact is recorded when it has happened; check the time and its zone",
    "unknown_kind": f"a stream begins with one of: {', '.join(sorted(ACCEPTED))}",
    "not_of_this_kind": "see what the stream accepts: sla-ledger record --list",
    "not_opened": "record the opening event first, or check the order of the times",
    "opened_twice": "see what is there: sla-ledger show STREAM",
    "no_such_version": "see the versions: sla-ledger show STREAM",
    "version_is_a_correction": "name the entry that was corrected or withdrawn in the first place",
    "later_entries_depend_on_it": "correct it instead: sla-ledger record EntryCorrected",
    "contradicts_later_entries": "see them: sla-ledger show STREAM; withdraw or correct the later ones first",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a fact is not accepted: the reason's name, the entries it collides with, and what to do."""

    reason: str
    versions: tuple[int, ...] = ()

    @property
    def what(self) -> str:
        """One line for a person."""
        text = self.reason.replace("_", " ")
        return f"{text}: {', '.join(map(str, self.versions))}" if self.versions else text

    @property
    def todo(self) -> str:
        """What to do about it."""
        return ADVICE.get(self.reason, "see what is recorded: sla-ledger show STREAM")


def kind_of(stream: str) -> str:
    """Return the kind of a stream id."""
    return stream.partition(":")[0]


def effective(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries of one stream as its corrections leave them, in order of time, then position.

    entries: in order of recording. Corrections themselves are gone from the result. An entry that was withdrawn stays
    withdrawn, whatever is corrected afterwards.
    """
    found: dict[int, Entry] = {}
    for entry in entries:
        event = entry.event
        if not isinstance(event, CORRECTIONS):
            found[entry.version] = entry
        elif isinstance(event, EntryWithdrawn):
            found.pop(event.version, None)
        elif event.version in found:
            target = found[event.version]
            right = corrected_event(event, target, f"{entry.stream}, entry {entry.position}")
            found[event.version] = target.corrected(entry.position, event.time, right)
    return sorted(found.values(), key=_ORDER)


class Stream:
    """One stream while facts are added to it: its entries, and where they leave it."""

    __slots__ = ("_effective", "_state", "_unnamed", "entries")

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries: list[Entry] = list(entries)
        self._effective = effective(self.entries) if self.entries else []
        self._state: Any = None
        self._unnamed: dict[tuple[str, datetime, str], int] | None = None
        if self._effective:
            self._state, _ = _fold(self._effective)

    @property
    def version(self) -> int:
        """The last entry's version, 0 for an empty stream."""
        return self.entries[-1].version if self.entries else 0

    def holds(self, fact: Fact) -> int | None:
        """Return the position of an entry without command id that says the same as a fact, None without one."""
        if self._unnamed is None:
            unnamed = [e for e in self.entries if e.command_id is None]
            self._unnamed = {(e.name, e.time, event_data(e.event)): e.position for e in unnamed}
        return self._unnamed.get((fact.event.name, fact.time, event_data(fact.event))) if self._unnamed else None

    def admit(self, entry: Entry) -> Refusal | BadLine | None:
        """Add the entry and return None, or return why it is refused and change nothing."""
        try:
            refusal = self.refuse(entry)
        except BadLine as bad:
            return bad
        if refusal is None:
            self.add(entry)
        return refusal

    def refuse(self, entry: Entry) -> Refusal | None:
        """Return why the stream does not accept the entry as its next, or None."""
        kind = kind_of(entry.stream)
        module = MODULES.get(kind)
        if module is None:
            return Refusal("unknown_kind")
        if entry.time - entry.recorded_at > CLOCK_TOLERANCE:
            return Refusal("in_the_future")
        if isinstance(entry.event, CORRECTIONS):
            return self._refuse_correction(entry, entry.event.version)
        if type(entry.event) not in ACCEPTED[kind]:
            return Refusal("not_of_this_kind")
        if not self._effective or self._effective[-1].time <= entry.time:
            reason = refusal_at(module, self._state if self._effective else _begin(module, [entry]), entry)
            return Refusal(reason) if reason else None
        with_it = list(self._effective)
        insort(with_it, entry, key=_ORDER)
        return _first(_fold(with_it)[1], entry)

    def add(self, entry: Entry) -> None:
        """Take an entry that was not refused."""
        in_order = not self._effective or self._effective[-1].time <= entry.time
        self.entries.append(entry)
        if in_order and not isinstance(entry.event, CORRECTIONS):
            module = MODULES[kind_of(entry.stream)]
            state = self._state if self._effective else _begin(module, [entry])
            self._effective.append(entry)
            self._state = module.evolve(state, entry)
        else:
            self._effective = effective(self.entries)
            self._state = _fold(self._effective)[0] if self._effective else None

    def _refuse_correction(self, entry: Entry, version: int) -> Refusal | None:
        if not 1 <= version < entry.version or version > len(self.entries):
            return Refusal("no_such_version")
        if isinstance(self.entries[version - 1].event, CORRECTIONS):
            return Refusal("version_is_a_correction")
        if isinstance(entry.event, EntryCorrected):
            corrected_event(entry.event, self.entries[version - 1], f"{entry.stream}, EntryCorrected")
            if entry.event.time - entry.recorded_at > CLOCK_TOLERANCE:
                return Refusal("in_the_future")
        after = effective([*self.entries, entry])
        refused = _fold(after)[1] if after else []
        if not refused:
            return None
        versions = tuple(sorted(x.version for x, _ in refused))
        if isinstance(entry.event, EntryWithdrawn):
            return Refusal("later_entries_depend_on_it", versions)
        if versions == (version,):
            return Refusal(refused[0][1])
        return Refusal("contradicts_later_entries", versions)


def _begin(module: ModuleType, entries: list[Entry]) -> Any:
    return module.begin(entries) if hasattr(module, "begin") else module.State()


def refusal_at(module: ModuleType, state: Any, entry: Entry) -> str | None:
    """Return why an entry cannot follow a state of its kind of stream, or None."""
    if module.OPENING:
        opens = type(entry.event) in module.OPENING
        if not state.opened and not opens:
            return "not_opened"
        if state.opened and opens and module is not agreements:
            return "opened_twice"
    reason: str | None = module.refuse(state, entry)
    return reason


def _fold(entries: list[Entry]) -> tuple[Any, list[tuple[Entry, str]]]:
    """Return the state after the entries that are accepted one by one, and those that are not with their reasons."""
    module = MODULES[kind_of(entries[0].stream)]
    state, refused = _begin(module, entries), []
    for entry in entries:
        reason = refusal_at(module, state, entry)
        if reason:
            refused.append((entry, reason))
        else:
            state = module.evolve(state, entry)
    return state, refused


def _first(refused: list[tuple[Entry, str]], new: Entry) -> Refusal | None:
    if not refused:
        return None
    for entry, reason in refused:
        if entry is new:
            return Refusal(reason)
    return Refusal("contradicts_later_entries", tuple(sorted(x.version for x, _ in refused)))


class Streams:
    """All streams of a ledger while facts are added to it; `load` gives the entries a stream already has."""

    def __init__(self, load: Any = None) -> None:
        self._load = load
        self._found: dict[str, Stream] = {}

    def __getitem__(self, stream: str) -> Stream:
        found = self._found.get(stream)
        if found is None:
            found = self._found[stream] = Stream(self._load(stream) if self._load else ())
        return found

    def canonical(self, entry: Entry) -> Entry:
        """Return the entry with the data of a correction in the one notation that its target's type has."""
        if not isinstance(entry.event, EntryCorrected):
            return entry
        entries = self[entry.stream].entries
        if not 1 <= entry.event.version <= len(entries):
            return entry
        try:
            event = corrected_event(entry.event, entries[entry.event.version - 1], entry.stream)
        except BadLine:
            return entry  # refused in a moment, with the field that does not fit
        return replace(entry, event=entry.event.model_copy(update={"data": strict_json(event_data(event))}))

    def admit(self, entry: Entry) -> Refusal | BadLine | None:
        """Add the entry to its stream and return None, or return why it is refused and change nothing."""
        return self[entry.stream].admit(entry)
