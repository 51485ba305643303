"""What must have been done to entries that are not as the leaf hashes kept with them say, as far as it can be told.

A leaf hash commits to six things. Where five of them are as they were, the sixth is found by trying.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.events import EVENTS
from ledger.seal.findings import MOST, Finding, Findings
from ledger.seal.leaves import leaf
from ledger.store.reading import Record, Sealed

NEAR = 10_000  # positions and versions that are tried


def named(record: Record, changed: Sequence[int], sealed_up_to: int) -> Findings:
    """Return what was done to entries that are not as their leaves say: all are counted, the first ones named.

    sealed_up_to: the size of a checkpoint that the entries are the tree of as they are now; up to there it is the
    leaves that were changed.
    """
    some = changed[:MOST]
    leaves = {p: next(record.leaves(p, p - 1)) for p in some}
    entries: dict[int, Sealed] = {row[0]: (*row, leaves[row[0]]) for row in record.at(some)}
    found = [Finding(p, "leaves", *_attack(entries[p], entries, sealed_up_to)) for p in some]
    return Findings(found, {"leaves": len(changed)} if changed else {})


def _attack(entry: Sealed, others: dict[int, Sealed], sealed_up_to: int) -> tuple[str, str]:
    position, stream, version, name, state, kept = entry
    if position <= sealed_up_to:
        return "changed_leaf", "the leaf hash kept with it was changed; the entry is as a checkpoint says"
    for other, (_, *content, moved) in others.items():
        crossed = {leaf(position, *content), leaf(other, stream, version, name, state)}  # type: ignore[arg-type]
        if other != position and crossed == {kept, moved}:
            return "swapped_entries", f"it and entry {other} changed places"
    for was in range(max(1, position - NEAR), position + NEAR):
        if leaf(was, stream, version, name, state) == kept:
            how = "one ahead of it was deleted" if was > position else "one was put in ahead of it"
            return "moved_entry", f"it was recorded as entry {was}: {how}, and the positions were given anew"
    for was_name in EVENTS:
        if leaf(position, stream, version, was_name, state) == kept:
            return "changed_name", f"it was recorded as {was_name}, and now says {name}"
    for was_version in range(1, NEAR):
        if leaf(position, stream, was_version, name, state) == kept:
            return "changed_version", f"it was recorded as version {was_version}, and now says {version}"
    what = "it is not what its leaf hash was made of: bytes, recording time or stream were changed, or it was put in"
    return "changed_entry", what
