"""The root of the tree over the first entries of a ledger or a stream file, from the leaf hashes it keeps."""

from __future__ import annotations

from ledger.errors import LedgerBroken
from ledger.seal.merkle import Frontier
from ledger.store.reading import Record


def root_at(record: Record, size: int) -> bytes:
    """Return the root over the first entries, 32 bytes. Raises LedgerBroken when some of them are missing.

    Whether the leaf hashes are those of the entries is not looked at: that is for who verifies the ledger.
    """
    tree = Frontier()
    for leaf in record.leaves(size):
        tree.add(leaf)
    if tree.size != size:
        what = f"{size - tree.size} of the first {size} entries are missing"
        raise LedgerBroken("the tree of entries", what, "restore the ledger from a copy; see sla-ledger verify")
    return tree.root()
