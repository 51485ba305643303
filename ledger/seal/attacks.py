"""What must have been done to entries that are not as the leaf hashes kept with them say, as far as it can be told.

A leaf hash commits to six things. Where five of them are as they were, the sixth is found by trying.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ledger.events import EVENTS
from ledger.seal.findings import MOST, Finding, Findings
from ledger.seal.leaves import canonical, committed
from ledger.seal.merkle import leaf_hash
from ledger.store.reading import Record

NEAR = 10_000  # positions and versions that are tried


class _Commitment(NamedTuple):
    """What a leaf hash commits to. A state may be large: it is hashed once."""

    position: int
    stream: str
    version: int
    name: str
    recorded_at: str
    payload: str

    def leaf(self) -> bytes:
        return leaf_hash(canonical(*self))


def named(record: Record, changed: Sequence[int], sealed_up_to: int) -> Findings:
    """Return what was done to entries that are not as their leaves say: all are counted, the first ones named.

    sealed_up_to: the size of a checkpoint that the entries are the tree of as they are now; up to there it is the
    leaves that were changed.
    """
    some = changed[:MOST]
    entries = [(_Commitment(*committed(*row)), next(record.leaves(row[0], row[0] - 1))) for row in record.at(some)]
    found = [Finding(now.position, "leaves", *_attack(now, kept, entries, sealed_up_to)) for now, kept in entries]
    return Findings(found, {"leaves": len(changed)} if changed else {})


def _attack(
    now: _Commitment, kept: bytes, others: Iterable[tuple[_Commitment, bytes]], sealed_up_to: int
) -> tuple[str, str]:
    position = now.position
    if position <= sealed_up_to:
        return "changed_leaf", "the leaf hash kept with it was changed; the entry is as a checkpoint says"
    for other, moved in others:
        crossed = {other._replace(position=position).leaf(), now._replace(position=other.position).leaf()}
        if other.position != position and crossed == {kept, moved}:
            return "swapped_entries", f"it and entry {other.position} changed places"
    for was in range(max(1, position - NEAR), position + NEAR):
        if now._replace(position=was).leaf() == kept:
            how = "one ahead of it was deleted" if was > position else "one was put in ahead of it"
            return "moved_entry", f"it was recorded as entry {was}: {how}, and the positions were given anew"
    for name in EVENTS:
        if now._replace(name=name).leaf() == kept:
            return "changed_name", f"it was recorded as {name}, and now says {now.name}"
    for version in range(1, NEAR):
        if now._replace(version=version).leaf() == kept:
            return "changed_version", f"it was recorded as version {version}, and now says {now.version}"
    what = "it is not what its leaf hash was made of: bytes, recording time or stream were changed, or it was put in"
    return "changed_entry", what
