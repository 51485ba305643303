"""The Merkle tree of RFC 6962 over leaf hashes: roots, proofs, and how proofs are checked.

All hashes are 32 bytes of SHA-256. A tree of size n covers leaves 0 to n - 1; position p of the ledger is leaf p - 1.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from hashlib import sha256

EMPTY = sha256(b"").digest()  # the root of no leaves
_AT_ONCE = 256  # leaves of a subtree that is hashed level by level


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf's bytes. RFC 6962, 2.1"""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two others. RFC 6962, 2.1"""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that grows leaf by leaf; `subtrees` are the roots of the perfect ones at its right edge, largest first."""

    def __init__(self, size: int = 0, subtrees: Iterable[bytes] = ()) -> None:
        self.size = size
        self.subtrees = list(subtrees)

    @classmethod
    def over(cls, leaves: Sequence[bytes]) -> Frontier:
        """Return the tree over leaf hashes."""
        found = cls()
        found.extend(leaves)
        return found

    def add(self, leaf: bytes) -> None:
        """Add the next leaf hash."""
        self.graft(leaf, 1)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add the next leaf hashes; for many it is quicker than one by one."""
        at = 0
        while at < len(leaves):
            if self.size % _AT_ONCE or len(leaves) - at < _AT_ONCE:
                self.graft(leaves[at], 1)
                at += 1
                continue
            level = leaves[at : at + _AT_ONCE]
            while len(level) > 1:
                level = [sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=True)]
            self.graft(level[0], _AT_ONCE)
            at += _AT_ONCE

    def graft(self, subtree: bytes, size: int) -> None:
        """Add the root of a perfect subtree over so many leaves; nothing smaller may stand at the edge."""
        whole = self.size // size
        while whole & 1:
            subtree = sha256(b"\x01" + self.subtrees.pop() + subtree).digest()
            whole >>= 1
        self.subtrees.append(subtree)
        self.size += size

    def root(self) -> bytes:
        """Return the root over all leaves added so far."""
        if not self.subtrees:
            return EMPTY
        found = self.subtrees[-1]
        for left in reversed(self.subtrees[:-1]):
            found = node_hash(left, found)
        return found


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes. RFC 6962, 2.1"""
    return Frontier.over(list(leaves)).root()


def inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the proof that a leaf is in the tree over leaf hashes, from the leaf up. RFC 6962, 2.1.1

    Raises ValueError when there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise ValueError(f"no leaf {index} in a tree of {len(leaves)}")
    found = []
    begin, end = 0, len(leaves)
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            found.append(root(leaves[middle:end]))
            end = middle
        else:
            found.append(root(leaves[begin:middle]))
            begin = middle
    return found[::-1]


def inclusions(leaves: Sequence[bytes], wanted: Iterable[int]) -> tuple[bytes, dict[int, list[bytes]]]:
    """Return the root over leaf hashes and the proofs for many of them at once: every node is hashed once.

    Raises ValueError when there is no such leaf.
    """
    found: dict[int, list[bytes]] = {index: [] for index in sorted(wanted)}
    outside = next((index for index in found if not 0 <= index < len(leaves)), None)
    if outside is not None:
        raise ValueError(f"no leaf {outside} in a tree of {len(leaves)}")

    def over(begin: int, end: int, inside: list[int]) -> bytes:
        if not inside:
            return root(leaves[begin:end])
        if end - begin == 1:
            return leaves[begin]
        middle = begin + _split(end - begin)
        cut = bisect_left(inside, middle)
        left, right = over(begin, middle, inside[:cut]), over(middle, end, inside[cut:])
        for index in inside[:cut]:
            found[index].append(right)
        for index in inside[cut:]:
            found[index].append(left)
        return node_hash(left, right)

    return over(0, len(leaves), list(found)), found


def consistency(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """Return the proof that the tree over the first `old` leaves is the beginning of the tree over all. RFC 6962, 2.1.2

    Empty for an old tree of size 0 or of all leaves. Raises ValueError when it would be larger.
    """
    if not 0 <= old <= len(leaves):
        raise ValueError(f"a tree of {len(leaves)} has no beginning of {old}")
    if old in (0, len(leaves)):
        return []
    found = []
    begin, end, whole = 0, len(leaves), True
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            found.append(root(leaves[middle:end]))
            end = middle
        else:
            found.append(root(leaves[begin:middle]))
            begin, whole = middle, False
    if not whole:
        found.append(root(leaves[begin:end]))
    return found[::-1]


def includes(tree: bytes, size: int, leaf: bytes, index: int, proof: Sequence[bytes]) -> bool:
    """Return whether a proof shows that a leaf hash is in the tree with this root and size. RFC 9162, 2.1.3.2"""
    if not 0 <= index < size:
        return False
    found, node, last = leaf, index, size - 1
    for other in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(other, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, other)
        node, last = node >> 1, last >> 1
    return last == 0 and found == tree


def is_consistent(old: int, old_root: bytes, size: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Return whether a proof shows that a tree is the beginning of a larger one. RFC 9162, 2.1.4.2"""
    if not 0 <= old <= size:
        return False
    if old in (0, size):
        return not proof and old_root == (EMPTY if old == 0 else new_root)
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    node, last = old - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    before = after = path[0]
    for other in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            before, after = node_hash(other, before), node_hash(other, after)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            after = node_hash(after, other)
        node, last = node >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root


def _split(count: int) -> int:
    """Return the largest power of two below a count; the count is at least two."""
    return 1 << (count - 1).bit_length() - 1
