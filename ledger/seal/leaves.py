"""What the record's tree commits to: of every entry its place, its name, when it was recorded, and its stored bytes."""

from __future__ import annotations

from hashlib import sha256

from ledger import instants

RECORDED_AT = slice(instants.RECORDED_AT[0] - 1, sum(instants.RECORDED_AT) - 1)


def leaf_bytes(position: int, stream: str, version: int, name: str, state: bytes) -> bytes:
    """Return the canonical JSON that an entry's leaf hash is taken of.

    Its keys are sorted and its values are ASCII without escapes, so these are the bytes of RFC 8785 too. The stored
    state goes in by its SHA-256, and with it the time, the actor, the command id and the data.
    """
    return (
        f'{{"name":"{name}","payload":"{sha256(state).hexdigest()}","position":{position},'
        f'"recorded_at":"{state[RECORDED_AT].decode("ascii", "replace")}","stream":"{stream}","version":{version}}}'
    ).encode()


def leaf(position: int, stream: str, version: int, name: str, state: bytes) -> bytes:
    """Return an entry's leaf hash, 32 bytes. RFC 6962, 2.1"""
    return sha256(b"\x00" + leaf_bytes(position, stream, version, name, state)).digest()
