"""Checkpoints: what a log says of itself at one size, in a note that its key has signed. C2SP tlog-checkpoint"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass

from ledger.seal.notes import BadNote, Note, parsed


@dataclass(frozen=True)
class Checkpoint:
    """The log's name, how many entries it had, and the root over them (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def note(self) -> Note:
        """Return the note that says so, not yet signed."""
        return Note(f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n")


def read(data: bytes, where: str) -> tuple[Checkpoint, Note]:
    """Return the checkpoint that a file holds and the note around it, not yet verified. Raises BadNote.

    Lines after the root are allowed and mean nothing here.
    """
    note = parsed(data, where)
    return of(note, where), note


def of(note: Note, where: str) -> Checkpoint:
    """Return the checkpoint that a note says. Raises BadNote."""
    origin, size, root, *more = note.text[:-1].split("\n") if note.text.count("\n") >= 3 else ["", "", ""]
    if not origin or not re.fullmatch(r"0|[1-9][0-9]{0,18}", size) or not re.fullmatch(r"[A-Za-z0-9+/]{43}=", root):
        raise BadNote(where, "a note, but not a checkpoint: origin, size and root are wanted, a line each")
    raw = b64decode(root)
    if b64encode(raw).decode() != root or not all(more):
        raise BadNote(where, "a note, but not a checkpoint: its root or a line after it cannot be read")
    return Checkpoint(origin, int(size), raw)
