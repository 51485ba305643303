"""Entries shown to somebody without the ledger: what is stored, and the proof that a checkpoint covers it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.errors import LedgerBroken, LedgerError
from ledger.seal import hash_lines, merkle
from ledger.seal.checkpoints import Checkpoint
from ledger.seal.leaves import leaf, leaf_bytes
from ledger.store.reading import Stored

MAX_STATE, MAX_LEAF = 4_000_000, 1_000  # bytes
_LEAF = re.compile(
    rb'\{"name":"([A-Za-z]{1,60})","payload":"[0-9a-f]{64}","position":([1-9][0-9]{0,17}),'
    rb'"recorded_at":"[^"\\]{20}","stream":"([\x21\x23-\x5b\x5d-\x7e]{1,200})","version":([1-9][0-9]{0,17})\}'
)


class Rows(Protocol):
    """What proofs are made from."""

    def at(self, positions: Iterable[int]) -> list[Stored]:
        """Return the entries at these positions."""

    def leaves(self, up_to: int, after: int = 0) -> Iterator[bytes]:
        """Yield the leaf hashes of the entries in `(after, up_to]`, in order of position."""


@dataclass(frozen=True)
class Proven:
    """An entry as it is stored, and the hashes that lead from its leaf to a root."""

    row: Stored
    proof: tuple[bytes, ...]

    @property
    def leaf_bytes(self) -> bytes:
        """The canonical JSON that its leaf hash is taken of."""
        return leaf_bytes(*self.row)

    @property
    def proof_line(self) -> bytes:
        """The proof as one line: hashes in base64, a blank between two."""
        return b" ".join(b64encode(x) for x in self.proof)

    def is_in(self, checkpoint: Checkpoint) -> bool:
        """Return whether the proof leads to a checkpoint's root."""
        return merkle.includes(checkpoint.root, checkpoint.size, leaf(*self.row), self.row[0] - 1, self.proof)


def proven(
    rows: Rows, leaves: Sequence[bytes], checkpoint: Checkpoint, positions: Iterable[int], where: str
) -> list[Proven]:
    """Return the entries at these positions, in ascending order, with proofs that lead to a checkpoint's root.

    leaves: all that the checkpoint covers. Raises LedgerError when it does not cover the entries, LedgerBroken when the
    leaves do not lead to its root, or when an entry is not what its leaf hash was taken of.
    """
    wanted = sorted(set(positions))
    if wanted and wanted[-1] > checkpoint.size:
        what = f"entry {wanted[-1]} came after the checkpoint of {checkpoint.size} entries"
        raise LedgerError(where, what, "seal the ledger first: sla-ledger seal --key FILE")
    found, proofs = merkle.inclusions(leaves, [p - 1 for p in wanted])
    if found != checkpoint.root:
        raise _other_root(checkpoint, where)
    stored = rows.at(wanted)
    for row in stored:
        if leaf(*row) != leaves[row[0] - 1]:
            what = "it is not what its leaf hash was taken of: it was changed after it was recorded"
            raise LedgerBroken(f"entry {row[0]}", what, "look at all of the ledger: sla-ledger verify")
    return [Proven(row, tuple(proofs[row[0] - 1])) for row in stored]


def leaves_of(rows: Rows, checkpoint: Checkpoint, where: str) -> list[bytes]:
    """Return the leaf hashes that a checkpoint covers; LedgerBroken when the ledger has not that many."""
    found = list(rows.leaves(checkpoint.size))
    if len(found) != checkpoint.size:
        what = f"the checkpoint covers {checkpoint.size} entries, and the ledger has {len(found)}: its end was cut off"
        raise LedgerBroken(where, what, "look at all of the ledger: sla-ledger verify")
    return found


def consistency(leaves: Sequence[bytes], checkpoint: Checkpoint, old: int, where: str) -> tuple[bytes, ...]:
    """Return the proof that the first `old` entries are the beginning of what a checkpoint covers.

    Raises LedgerBroken when the leaves do not lead to its root, LedgerError when it covers fewer entries.
    """
    if old > checkpoint.size:
        what = f"the checkpoint covers {checkpoint.size} entries, not {old}"
        raise LedgerError(where, what, "seal the ledger first: sla-ledger seal --key FILE")
    if merkle.root(leaves) != checkpoint.root:
        raise _other_root(checkpoint, where)
    return tuple(merkle.consistency(leaves, old))


def read(leaf_line: bytes, state: bytes, proof_line: bytes, where: str) -> Proven:
    """Return the entry that three lines hold, its proof not yet checked.

    Raises LedgerBroken when the leaf is none, or not that of the stored bytes.
    """
    if len(leaf_line) > MAX_LEAF or len(state) > MAX_STATE:
        raise _bad(where, "longer than an entry can be")
    found = _LEAF.fullmatch(leaf_line)
    if found is None:
        raise _bad(where, "its leaf cannot be read")
    name, position, stream, version = found.groups()
    row = (int(position), stream.decode(), int(version), name.decode(), state)
    if leaf_bytes(*row) != leaf_line:
        raise _bad(where, f"entry {row[0]}: its leaf is not that of the bytes that are shown: one of them was changed")
    return Proven(row, hash_lines.read(proof_line.split(b" ") if proof_line else (), where))


def _other_root(checkpoint: Checkpoint, where: str) -> LedgerBroken:
    what = f"the first {checkpoint.size} entries do not lead to the root of the checkpoint: the history was changed"
    return LedgerBroken(where, what, "look at all of the ledger: sla-ledger verify --checkpoint FILE")


def _bad(where: str, what: str) -> LedgerBroken:
    return LedgerBroken(where, what, "ask whoever gave it to you for the one that was made")
