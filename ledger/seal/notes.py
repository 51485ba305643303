"""Signed notes: a text and, after a blank line, signatures of it that each name their key.

The format is the C2SP signed-note, v1, which Go's `golang.org/x/mod/sumdb/note` reads too. Keys are Ed25519. A log
signs the text itself (type 0x01); a witness signs the text and when it saw it (type 0x04, tlog-cosignature). Signature
lines of unknown keys or types are carried along and vouch for nothing.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from ledger.errors import LedgerError
from ledger.text import clean

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE, COSIGNATURE = 0x01, 0x04
MAX_BYTES, MAX_SIGNATURES = 1_000_000, 100
_NAME = re.compile(r"[^\s+\x00-\x20\x7f]{1,120}")
_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


class BadNote(LedgerError):
    """A note, a signature or a key is not what it should be."""

    def __init__(self, where: str, what: str, todo: str = "ask whoever gave it to you for the right one") -> None:
        super().__init__(where, what, todo)


@dataclass(frozen=True)
class Signature:
    """One signature line: the key's name and id (4 bytes), and the bytes that its type wants."""

    name: str
    key_id: bytes
    raw: bytes

    def __str__(self) -> str:
        return f"— {self.name} {b64encode(self.key_id + self.raw).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A text, whole lines of it, and its signatures."""

    text: str
    signatures: tuple[Signature, ...] = ()

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    def signed(self, *more: Signature) -> Note:
        """Return the note with more signature lines; one of the same key gives way."""
        ids = {(s.name, s.key_id) for s in more}
        return Note(self.text, (*(s for s in self.signatures if (s.name, s.key_id) not in ids), *more))


def parsed(data: bytes, where: str) -> Note:
    """Return the note that a file holds, its signatures not yet verified. Raises BadNote."""
    if len(data) > MAX_BYTES:
        raise BadNote(where, f"a note of {len(data)} bytes; {MAX_BYTES} at most")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadNote(where, "not a note: it is not UTF-8") from None
    check_line_ends(data, where)
    if any(c < " " and c != "\n" for c in text):
        raise BadNote(where, "not a note: it holds control characters")
    body, blank, tail = text.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise BadNote(where, "not a signed note: no signature lines after a blank line")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise BadNote(where, f"a note with {len(lines)} signatures; {MAX_SIGNATURES} at most")
    return Note(body + "\n", tuple(_signature(line, where) for line in lines))


def check_line_ends(data: bytes, where: str) -> None:
    """Raise BadNote for lines that end in CR LF: a program has changed them on the way, and no signature fits."""
    if b"\r\n" in data:
        todo = "have it sent unchanged, or turn its line ends into LF"
        raise BadNote(where, "its lines end in CR LF, as a mail program or editor leaves them, not in LF", todo)


def _signature(line: str, where: str) -> Signature:
    found = _LINE.fullmatch(line)
    raw = None if found is None else _decoded(found[2])
    if found is None or raw is None or len(raw) < 5:
        raise BadNote(where, "not a signed note: a signature line cannot be read")
    return Signature(found[1], raw[:4], raw[4:])


def _decoded(text: str) -> bytes | None:
    """Return the bytes of standard base64, None when it is none or not the only way to write them."""
    try:
        found = b64decode(text, validate=True)
    except (Error, ValueError):
        return None
    return found if b64encode(found).decode() == text else None


@dataclass(frozen=True)
class Verifier:
    """A public key with its name, as it is handed round in one line: NAME+ID+KEY."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that a signature line names its key by."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64encode(bytes([self.kind]) + self.public).decode()}"

    def verified(self, note: Note) -> Signature | None:
        """Return this key's signature when it is on the note and good, None when there is none.

        Raises BadNote for a signature in this key's name that does not fit the text.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        for signature in note.signatures:
            if (signature.name, signature.key_id) != (self.name, self.key_id):
                continue
            raw = signature.raw
            message = note.text.encode()
            if self.kind == COSIGNATURE:
                raw, message = raw[8:], cosigned(int.from_bytes(raw[:8]), note.text)
            try:
                Ed25519PublicKey.from_public_bytes(self.public).verify(raw, message)
            except (InvalidSignature, ValueError):
                raise BadNote(self.name, "its signature does not fit the text: one of them was changed") from None
            return signature
        return None


def verifier(text: str, where: str) -> Verifier:
    """Return the public key that a line holds. Raises BadNote."""
    name, _, rest = text.strip().partition("+")
    _, _, key = rest.partition("+")
    raw = _decoded(key)
    if _is_name(name) and raw is not None and len(raw) == 33 and raw[0] in (SIGNATURE, COSIGNATURE):
        found = Verifier(name, raw[0], raw[1:])
        if str(found) == text.strip():
            return found
    raise BadNote(where, "not a verifier key: NAME+ID+KEY is wanted, in one line, of an Ed25519 key")


@dataclass(frozen=True)
class Signer:
    """A private key with its name. Its text is a secret: PRIVATE+KEY+NAME+ID+KEY."""

    name: str
    seed: bytes

    @property
    def _key(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def verifier(self, kind: int = SIGNATURE) -> Verifier:
        """Return the public key, of a log or, with COSIGNATURE, of a witness."""
        return Verifier(self.name, kind, self._key.public_key().public_bytes_raw())

    def secret(self) -> str:
        """Return the line that the key file holds."""
        key = b64encode(bytes([SIGNATURE]) + self.seed).decode()
        return f"PRIVATE+KEY+{self.name}+{self.verifier().key_id.hex()}+{key}"

    def sign(self, note: Note) -> Note:
        """Return the note with this log's signature."""
        return note.signed(Signature(self.name, self.verifier().key_id, self._key.sign(note.text.encode())))

    def cosign(self, note: Note, at: int) -> Note:
        """Return the note with this witness's signature, which says when it was seen; at: seconds since 1970."""
        raw = at.to_bytes(8) + self._key.sign(cosigned(at, note.text))
        return note.signed(Signature(self.name, self.verifier(COSIGNATURE).key_id, raw))

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"  # never the seed


def new_signer(name: str) -> Signer:
    """Return a new key. Raises BadNote for a name with blanks, plus signs or characters that nobody sees."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not _is_name(name):
        what = "no name for a key: 1 to 120 characters that all can be seen, no blanks and plus signs"
        raise BadNote(clean(name), what, "choose another")
    return Signer(name, Ed25519PrivateKey.generate().private_bytes_raw())


def signer(text: str, where: str) -> Signer:
    """Return the private key that a key file holds. Raises BadNote, which never quotes it."""
    found = re.fullmatch(r"PRIVATE\+KEY\+([^+]+)\+([0-9a-f]{8})\+(\S+)", text.strip())
    raw = None if found is None else _decoded(found[3])
    if found is not None and _is_name(found[1]) and raw is not None and len(raw) == 33 and raw[0] == SIGNATURE:
        key = Signer(found[1], raw[1:])
        if key.verifier().key_id.hex() == found[2]:
            return key
    raise BadNote(where, "not a private key of this program", "make one: sla-ledger seal --new-key NAME")


def _is_name(name: str) -> bool:
    """Return whether a key may have a name: people have to tell it from others, and to write it on a command line."""
    return bool(_NAME.fullmatch(name)) and name.isprintable() and clean(name) == name


def cosigned(at: int, text: str) -> bytes:
    """Return what a witness signs; at: seconds since 1970. C2SP tlog-cosignature, cosignature/v1"""
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def seen_at(signature: Signature) -> int:
    """Return when a witness signed, in seconds since 1970."""
    return int.from_bytes(signature.raw[:8])


def silent(keys: Iterable[Verifier], notes: Sequence[Note]) -> list[Verifier]:
    """Return those keys that have signed none of some notes. Raises BadNote for a bad signature in the name of any."""
    return [key for key in keys if not any(key.verified(note) for note in notes)]


def verified_by(note: Note, keys: Iterable[Verifier]) -> list[Verifier]:
    """Return those keys whose good signature a note carries. Raises BadNote for a bad one in the name of any."""
    return [key for key in keys if key.verified(note) is not None]
