"""What the record's tree commits to: of every entry its place, its name, when it was recorded, and its stored bytes."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from ledger.instants import RECORDED_IN


def canonical(position: int, stream: str, version: int, name: str, recorded_at: str, payload: str) -> bytes:
    """Return the canonical JSON that a leaf hash is taken of; payload: the SHA-256 of the stored state, in hex.

    Its keys are sorted and its values are ASCII without escapes, so these are the bytes of RFC 8785 too. With the state
    go in the time, the actor, the command id and the data.
    """
    return (
        f'{{"name":"{name}","payload":"{payload}","position":{position},'
        f'"recorded_at":"{recorded_at}","stream":"{stream}","version":{version}}}'
    ).encode()


def committed(position: int, stream: str, version: int, name: str, state: bytes) -> tuple[int, str, int, str, str, str]:
    """Return what an entry's leaf hash commits to, as `canonical` takes it."""
    return position, stream, version, name, state[RECORDED_IN].decode("ascii", "replace"), sha256(state).hexdigest()


def leaf_bytes(position: int, stream: str, version: int, name: str, state: bytes) -> bytes:
    """Return the canonical JSON that an entry's leaf hash is taken of."""
    return canonical(*committed(position, stream, version, name, state))


def leaf(position: int, stream: str, version: int, name: str, state: bytes) -> bytes:
    """Return an entry's leaf hash, 32 bytes. RFC 6962, 2.1"""
    return sha256(b"\x00" + leaf_bytes(position, stream, version, name, state)).digest()


def leaves(entries: Iterable[tuple[int, str, int, str, bytes, Any]], recorded_at: Iterable[bytes]) -> list[bytes]:
    """Return what `leaf` does of many entries, which is quicker; anything may stand behind the state of each.

    recorded_at: what stands in the state of each at RECORDED_IN.
    """
    return [
        sha256(
            b"\x00"
            + canonical(position, stream, version, name, at.decode("ascii", "replace"), sha256(state).hexdigest())
        ).digest()
        for (position, stream, version, name, state, _), at in zip(entries, recorded_at, strict=True)
    ]
