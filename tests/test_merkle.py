"""The tree, its proofs, notes and checkpoints, against other people's programs and published examples."""

from __future__ import annotations

import contextlib
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree
from pymerkle import verify_consistency as consistency_holds
from pymerkle import verify_inclusion as inclusion_holds

from ledger.seal import checkpoints, merkle, notes

MOST = 70


def _both(size: int) -> tuple[list[bytes], InmemoryTree]:
    data = [b"entry %d" % i for i in range(size)]
    other = InmemoryTree(algorithm="sha256")
    for entry in data:
        other.append_entry(entry)
    return [merkle.leaf_hash(x) for x in data], other


@pytest.mark.parametrize("size", range(1, MOST))
def test_roots_and_proofs_equal_those_of_another_program(size: int) -> None:
    leaves, other = _both(size)
    assert merkle.root(leaves) == other.get_root()
    for index in range(size):
        path = other.prove_inclusion(index + 1).path
        assert merkle.inclusion(leaves, index) == path[1:]
        inclusion_holds(leaves[index], other.get_root(), other.prove_inclusion(index + 1))
        assert merkle.includes(merkle.root(leaves), size, leaves[index], index, merkle.inclusion(leaves, index))
    for old in range(1, size + 1):
        consistency_holds(other.get_root(old), other.get_root(), other.prove_consistency(old, size))
        proof = merkle.consistency(leaves, old)
        assert merkle.is_consistent(old, merkle.root(leaves[:old]), size, merkle.root(leaves), proof)


def test_the_published_roots_of_rfc_6962_example_leaves() -> None:
    data = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    leaves = [merkle.leaf_hash(bytes.fromhex(x)) for x in data]
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root(leaves[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.root(leaves).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(st.integers(1, 200), st.data())
def test_no_other_leaf_place_or_root_is_proved(size: int, data: st.DataObject) -> None:
    leaves = [sha256(b"%d" % i).digest() for i in range(size)]
    index = data.draw(st.integers(0, size - 1))
    proof, tree = merkle.inclusion(leaves, index), merkle.root(leaves)
    assert merkle.includes(tree, size, leaves[index], index, proof)
    bad = bytes(32)
    assert not merkle.includes(tree, size, bad, index, proof)
    assert not merkle.includes(bad, size, leaves[index], index, proof)
    assert not merkle.includes(tree, size, leaves[index], index, [*proof, bad])
    assert not merkle.includes(tree, size, leaves[index], size, proof)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not merkle.includes(tree, size, leaves[index], index, [*proof[:at], bad, *proof[at + 1 :]])
        assert not merkle.includes(tree, size, leaves[index], index, proof[:-1])
        assert not merkle.includes(tree, size, leaves[index], index ^ 1, proof) or index ^ 1 == index


@given(st.integers(1, 200), st.data())
def test_no_other_beginning_is_proved(size: int, data: st.DataObject) -> None:
    leaves = [sha256(b"%d" % i).digest() for i in range(size)]
    old = data.draw(st.integers(0, size))
    proof, tree = merkle.consistency(leaves, old), merkle.root(leaves)
    before = merkle.root(leaves[:old])
    bad = bytes(32)
    assert merkle.is_consistent(old, before, size, tree, proof)
    assert not merkle.is_consistent(old, bad, size, tree, proof)
    assert not merkle.is_consistent(old, before, size, tree, [*proof, bad])
    assert not merkle.is_consistent(size + 1, before, size, tree, proof)
    if old:
        assert not merkle.is_consistent(old, before, size, bad, proof)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not merkle.is_consistent(old, before, size, tree, [*proof[:at], bad, *proof[at + 1 :]])
        assert not merkle.is_consistent(old, before, size, tree, proof[:-1])


def test_what_is_no_leaf_and_no_beginning_is_refused() -> None:
    for index in (-1, 3):
        with pytest.raises(ValueError, match="no leaf"):
            merkle.inclusion([b"1", b"2", b"3"], index)
    with pytest.raises(ValueError, match="no beginning"):
        merkle.consistency([b"1"], 2)


# Notes

EXAMPLE_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"  # as the format's authors publish it
EXAMPLE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_the_published_example_verifies_and_a_changed_letter_does_not() -> None:
    key = notes.verifier(EXAMPLE_KEY, "key")
    assert key.verified(notes.parsed(EXAMPLE.encode(), "note")) is not None
    assert str(notes.parsed(EXAMPLE.encode(), "note")) == EXAMPLE
    with pytest.raises(notes.BadNote, match="does not fit"):
        key.verified(notes.parsed(EXAMPLE.replace("answer", "Answer").encode(), "note"))


def test_a_checkpoint_is_signed_cosigned_and_read_back() -> None:
    log, witness = notes.new_signer("example.com/ledger"), notes.new_signer("customer.example/witness")
    said = checkpoints.Checkpoint("example.com/ledger", 3, sha256(b"root").digest())
    note = witness.cosign(log.sign(said.note()), 1_790_000_000)
    found, read = checkpoints.read(str(note).encode(), "file")
    assert (found, read) == (said, note)
    both = [log.verifier(), witness.verifier(notes.COSIGNATURE)]
    assert notes.verified_by(read, both) == both
    cosignature = both[1].verified(read)
    assert cosignature is not None
    assert notes.seen_at(cosignature) == 1_790_000_000
    assert notes.verified_by(read, [notes.new_signer("example.com/ledger").verifier()]) == []
    assert notes.signer(log.secret(), "key") == log
    assert notes.verifier(str(log.verifier()), "key") == log.verifier()
    assert "seed" not in repr(log)
    assert len(log.sign(note).signatures) == 2


@given(st.data())
def test_no_changed_checkpoint_passes(data: st.DataObject) -> None:
    log = notes.Signer("example.com/ledger", bytes(range(32)))
    good = str(log.sign(checkpoints.Checkpoint("example.com/ledger", 3, sha256(b"root").digest()).note())).encode()
    at = data.draw(st.integers(0, len(good) - 1))
    changed = good[:at] + bytes([data.draw(st.integers(0, 255).filter(lambda b: b != good[at]))]) + good[at + 1 :]
    with contextlib.suppress(notes.BadNote):  # either it is refused, or this key does not vouch for it
        _, note = checkpoints.read(changed, "file")
        assert log.verifier().verified(note) is None


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for parse in (checkpoints.read, lambda d, w: notes.verifier(d.decode("latin-1"), w)):
        with pytest.raises(notes.BadNote):
            parse(data, "file")
