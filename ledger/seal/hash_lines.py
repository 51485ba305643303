"""Hashes of a proof as text: standard base64, a hash a line, as C2SP's formats have them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence

from ledger.seal.notes import BadNote

MOST = 63  # of a proof: what tlog-witness allows, and what any tree needs


def read(lines: Sequence[bytes], where: str) -> tuple[bytes, ...]:
    """Return the hashes of a proof, of which each line is one. Raises BadNote."""
    if len(lines) > MOST:
        raise BadNote(where, f"a proof of {len(lines)} hashes; {MOST} at most")
    found = []
    for line in lines:
        try:
            raw = b64decode(line, validate=True)
        except ValueError:
            raw = b""
        if len(raw) != 32 or b64encode(raw) != line:
            raise BadNote(where, "not a proof: a line of it is not a hash in base64")
        found.append(raw)
    return tuple(found)


def written(proof: Sequence[bytes]) -> str:
    """Return the hashes of a proof, a line each."""
    return "".join(f"{b64encode(x).decode()}\n" for x in proof)
