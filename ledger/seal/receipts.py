"""Receipts: a stream's entries with the proof that a checkpoint covers them, in one text of a kilobyte or two an entry.

    sla-ledger receipt 1
    # how it is checked
    stored {"time":...}
    leaf {"name":...}
    proof HASH HASH ...
    (these three again for each further entry)

    the checkpoint, a signed note

`stored` holds the bytes that the ledger keeps; the leaf names their SHA-256. The leaf hash is SHA-256 over a zero byte
and the leaf; the proof is that of RFC 6962 for index position - 1, the nearest hash first. An entry's lines and the
checkpoint make a C2SP tlog-proof: the header `c2sp.org/tlog-proof@v1`, `index`, the hashes a line each, a blank line,
the checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.errors import LedgerBroken
from ledger.seal import checkpoints
from ledger.seal.checkpoints import Checkpoint
from ledger.seal.notes import BadNote, Note, Verifier
from ledger.seal.proven import Proven, read

HEADER = "sla-ledger receipt 1"
HELP = """\
# Check it: sla-ledger witness receipt FILE --vkey KEY. By hand: SHA-256 of what stands after "stored " is the payload
# in the leaf; SHA-256 of a zero byte and the leaf is the leaf hash; with the proof (RFC 6962, index = position - 1) it
# leads to the root in the checkpoint below, which the log's key signed.
"""
MAX_BYTES, MAX_ENTRIES = 16_000_000, 10_000


@dataclass(frozen=True)
class Receipt:
    """Entries of one stream, and the checkpoint that covers them."""

    entries: tuple[Proven, ...]
    checkpoint: Checkpoint
    note: Note

    def __bytes__(self) -> bytes:
        parts = [f"{HEADER}\n{HELP}".encode()]
        for entry in self.entries:
            parts.append(b"stored %b\nleaf %b\nproof %b\n" % (entry.row[4], entry.leaf_bytes, entry.proof_line))
        return b"".join([*parts, b"\n", str(self.note).encode()])


def receipt(data: bytes, where: str) -> Receipt:
    """Return the receipt that a file holds, its proofs and its signature not yet checked.

    Raises BadNote when it is none, LedgerBroken when what is shown is not what its leaf says.
    """
    if len(data) > MAX_BYTES:
        raise BadNote(where, f"a receipt of {len(data)} bytes; {MAX_BYTES} at most")
    text, _, note = data.partition(b"\n\n")
    header, *lines = text.split(b"\n")
    lines = [x for x in lines if not x.startswith(b"#")]
    if header != HEADER.encode() or not lines or len(lines) % 3 or len(lines) > 3 * MAX_ENTRIES:
        raise BadNote(where, "not a receipt")
    found = []
    for i in range(0, len(lines), 3):
        stored, leaf, proof = (
            _after(*x, where) for x in zip((b"stored ", b"leaf ", b"proof "), lines[i:], strict=False)
        )
        found.append(read(leaf, stored, proof, where))
    made = Receipt(tuple(found), *checkpoints.read(note, where))
    if len({(x.name, x.key_id) for x in made.note.signatures}) != len(made.note.signatures):
        raise BadNote(where, "a signature of one key twice")
    if bytes(made) != data:
        raise BadNote(where, "not as a receipt is written: something was changed that the proofs do not need")
    return made


def check(found: Receipt, keys: Sequence[Verifier], where: str) -> list[Verifier]:
    """Return those keys that signed a receipt's checkpoint; every entry of it is covered, all of one stream.

    They are its first ones, in order. Raises BadNote when the first key, the log's, did not sign it, LedgerBroken when
    a proof does not hold, or when an entry is left out, repeated or in another place.
    """
    signed = [key for key in keys if key.verified(found.note) is not None]
    if keys[0] not in signed:
        raise BadNote(where, f"not signed by the log's key, {keys[0]}")
    for entry in found.entries:
        if not entry.is_in(found.checkpoint):
            what = f"entry {entry.row[0]}: its proof does not lead to the root of the checkpoint"
            raise LedgerBroken(where, what, "ask for another receipt; keep this one")
    if len({entry.row[1] for entry in found.entries}) != 1:
        raise BadNote(where, "entries of several streams in one receipt")
    before = 0
    for number, (position, stream, version, *_) in enumerate((x.row for x in found.entries), 1):
        if version != number or position <= before:
            what = f"entry {position}: version {version} of {stream} in place of {number}: one was left out or moved"
            raise LedgerBroken(where, what, "ask for another receipt; keep this one")
        before = position
    return signed


def _after(name: bytes, line: bytes, where: str) -> bytes:
    if not line.startswith(name):
        raise BadNote(where, f"not a receipt: a line that begins with {name.decode()!r} is wanted")
    return line.removeprefix(name)
