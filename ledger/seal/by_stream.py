"""The record read again stream by stream: each entry can be read, versions have no gap, and each would be accepted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType

from pydantic import TypeAdapter, ValidationError

from ledger.entry import Entry
from ledger.errors import BadLine, LedgerBroken
from ledger.memory import without_cycles
from ledger.seal.findings import Finding, Findings
from ledger.store.mapper import from_state, to_state
from ledger.store.reading import Stored
from ledger.streams.acceptance import Stream
from ledger.streams.identifiers import is_stream
from ledger.streams.quick_acceptance import accepts
from ledger.values import CommandId, Identifier

EVERY_STREAM = ("", "\U0010ffff")
_ACTOR: TypeAdapter[str | None] = TypeAdapter(Identifier | None)
_COMMAND_ID: TypeAdapter[str | None] = TypeAdapter(CommandId | None)


@dataclass(slots=True)
class Readmission:
    """What was found: how many streams were read, and their entries' command ids with their positions."""

    streams: int = 0
    command_ids: list[tuple[int, str]] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)


@without_cycles()
def readmitted(rows: Iterable[Stored], since: Mapping[str, int] = MappingProxyType({})) -> Readmission:
    """Read the entries of whole streams, in order of stream and version, and return what was found.

    since: by stream, the position from which on command ids are wanted; otherwise all.
    """
    found = Readmission()
    for stream, group in groupby(rows, itemgetter(1)):
        entries = list(group)
        command_ids: list[tuple[int, str]] = []
        if not accepts(entries, command_ids):
            command_ids.clear()
            _judge(entries, command_ids, found.findings)
        found.streams += 1
        found.command_ids += [x for x in command_ids if x[0] >= since.get(stream, 0)]
    return found


def _judge(rows: list[Stored], command_ids: list[tuple[int, str]], findings: Findings) -> None:
    """Judge a stream by the plain rules, up to the first entry that is not as it must be."""
    stream, before = Stream(), 0
    name = rows[0][1]
    if not is_stream(name):
        findings.add(Finding(rows[0][0], "readable", "raw_insert", f"{name!r} is no stream"))
        return
    for expected, row in enumerate(rows, 1):
        position, _, version, _, state = row
        if version != expected or position <= before:
            findings.add(_out_of_order(row, expected, before))
            return
        before = position
        try:
            entry = from_state(*row)
            is_canonical = to_state(entry) == state and _has_valid_head(entry)
        except LedgerBroken as error:
            findings.add(Finding(position, "readable", "changed_bytes", f"{name}/{version}: {error.what}"))
            return
        except ValueError:  # in what says who, or under which id
            is_canonical = False
        if not is_canonical:
            what = f"{name}/{version}: its bytes are not as this program writes them"
            findings.add(Finding(position, "readable", "changed_bytes", what))
            return
        if entry.command_id is not None:
            command_ids.append((position, entry.command_id))
        refusal = stream.admit(entry)
        if refusal is not None:
            reason = refusal.what if isinstance(refusal, BadLine) else f"{refusal.what} ({refusal.reason})"
            what = f"{name}/{version}: {entry.name} would have been refused: {reason}"
            findings.add(Finding(position, "acceptance", "raw_insert", what))
            return


def _out_of_order(row: Stored, expected: int, before: int) -> Finding:
    position, name, version, _, _ = row
    if position < 1:
        return Finding(position, "versions", "raw_insert", f"{name}/{version}: no entry is ever given such a position")
    if position <= before:
        what = f"{name}/{version} stands before {name}/{expected - 1}, at entry {before}"
        return Finding(position, "versions", "swapped_entries", what)
    if version > expected:
        what = f"{name}/{version} follows version {expected - 1}"
        return Finding(position, "versions", "missing_entry", what)
    return Finding(position, "versions", "changed_version", f"{name}/{version} is there twice")


def _has_valid_head(entry: Entry) -> bool:
    try:
        _ACTOR.validate_python(entry.actor, strict=True)
        _COMMAND_ID.validate_python(entry.command_id, strict=True)
    except ValidationError:
        return False
    return True
