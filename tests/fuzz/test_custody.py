"""What owners and outsiders hand each other takes any bytes: it is what it says, or is refused in its own words."""

# ruff: noqa: PT017  reading and refusing are both right, and each has to keep its own promise

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LedgerError
from ledger.seal import checkpoints, merkle, notes, opening, packing, proven, receipts, witness
from ledger.seal.receipts import Receipt
from ledger.seal.witness import Request, Seen
from tests.bundles import KEYS, LOG, WITNESS, bundle, decided, sealed
from tests.fuzz.test_parsers import changed
from tests.hostile import fuzzed, unsafe_in


@lru_cache(maxsize=1)
def honest() -> dict[str, bytes]:
    """One of each, as the program makes them."""
    record = decided()
    size = record.count()
    said, note = sealed(record, size)
    leaves = list(record.leaves(size))
    positions = [row[0] for row in record.rows(size) if row[1] == "outage:O-1"]
    found = proven.proven(record, leaves, said, positions, "x")
    return {
        "checkpoint": str(note).encode(),
        "request": str(Request(said, note, 3, tuple(merkle.consistency(leaves, 3)))).encode(),
        "state": str(Seen(KEYS[0], said, note)).encode(),
        "receipt": bytes(Receipt(tuple(found), said, note)),
        "verifier": str(KEYS[1]).encode(),
        "signer": WITNESS.secret().encode(),
        "bundle": packing.packed(bundle().files()),
    }


PARSERS: dict[str, Callable[[bytes], Any]] = {
    "checkpoint": lambda raw: checkpoints.read(raw, "file"),
    "request": lambda raw: witness.request(raw, "file"),
    "state": lambda raw: witness.remembered(raw, "file"),
    "receipt": lambda raw: receipts.check(receipts.receipt(raw, "file"), KEYS, "file"),
    "verifier": lambda raw: notes.verifier(raw.decode("utf-8", "replace"), "file"),
    "signer": lambda raw: notes.signer(raw.decode("utf-8", "replace"), "file"),
    "bundle": lambda raw: opening.checked(raw, "file"),
}


@pytest.mark.parametrize("kind", PARSERS)
def test_what_the_program_makes_is_read(kind: str) -> None:
    assert PARSERS[kind](honest()[kind])


@pytest.mark.parametrize("kind", PARSERS)
@fuzzed(2)
@given(data=st.data())
def test_any_bytes_are_what_they_say_or_refused(kind: str, data: st.DataObject) -> None:
    raw = data.draw(st.binary(max_size=300) | changed(lambda: [honest()[kind]]))
    try:
        PARSERS[kind](raw)
    except LedgerError as error:
        assert error.exit_status in (1, 4)
        assert not unsafe_in(str(error))
        assert LOG.secret().rpartition("+")[0] not in str(error)
    else:
        assert kind not in SAME or SAME[kind](raw) == SAME[kind](honest()[kind])


def _shown(raw: bytes) -> Any:
    found = receipts.receipt(raw, "file")
    return found.entries, found.checkpoint


SAME: dict[str, Callable[[bytes], Any]] = {"receipt": _shown, "bundle": bytes}  # what passes shows the same
