"""Checkpoints that somebody holds, the ledger itself or others: who signed them, and whether the tree is theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.seal import checkpoints
from ledger.seal.by_position import Walk
from ledger.seal.checkpoints import Checkpoint
from ledger.seal.findings import Finding, Findings
from ledger.seal.notes import BadNote, Note, Verifier

LEDGER = "kept in the ledger"
_SIGNATURE = "— ".encode()  # what a line of a note with a signature begins with


@dataclass(frozen=True, slots=True)
class Held:
    """A checkpoint, the note that says it, and where it is held: `LEDGER`, or the name of a file from outside."""

    where: str
    checkpoint: Checkpoint
    note: Note

    @property
    def is_outside(self) -> bool:
        """Whether somebody else than the ledger holds it."""
        return self.where != LEDGER

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return f"the checkpoint of size {self.checkpoint.size} {'in ' if self.is_outside else ''}{self.where}"


def given(data: bytes, where: str) -> list[Held]:
    """Return the checkpoints of a file from outside, one or more, also with blank lines between. Raises BadNote."""
    notes: list[list[bytes]] = [[]]
    for line in data.splitlines(keepends=True):
        ended = bool(notes[-1]) and notes[-1][-1].startswith(_SIGNATURE) and not line.startswith(_SIGNATURE)
        if ended and line == b"\n":
            continue
        if ended:
            notes.append([])
        notes[-1].append(line)
    return [Held(where, *checkpoints.read(b"".join(lines), where)) for lines in notes]


def kept(notes: Sequence[str], findings: Findings) -> list[Held]:
    """Return the checkpoints that the ledger keeps; those that cannot be read are findings."""
    found = []
    for number, note in enumerate(notes, 1):
        try:
            found.append(Held(LEDGER, *checkpoints.read(note.encode(errors="replace"), f"checkpoint {number}")))
        except BadNote as error:
            what = f"checkpoint {number} that is {LEDGER}: {error.what}"
            findings.add(Finding(None, "kept_checkpoints", "changed_checkpoint", what))
    return found


def check_signatures(held: Sequence[Held], keys: Sequence[Verifier], findings: Findings) -> None:
    """Find the checkpoints that none of the keys has signed."""
    for one in held:
        try:
            signed = [key.verified(one.note) for key in keys]
            if not any(signed):
                others = ", ".join(sorted({f"{s.name}+{s.key_id.hex()}" for s in one.note.signatures}))
                what = f"{one.name} is signed by none of the given keys, but by {others}"
                findings.add(Finding(None, "signatures", "other_key", what))
        except BadNote as error:
            what = f"{one.name} is not what was signed: {error.where}: {error.what}"
            findings.add(Finding(None, "signatures", "changed_checkpoint", what))


def check_tree(held: Sequence[Held], walk: Walk, last: int, findings: Findings) -> int:
    """Find the checkpoints that the record is not the tree of; return the largest size that it is the tree of.

    last: position of the last entry. One pass gives the roots of all sizes, so checkpoints that it is the tree of are
    consistent with each other.
    """
    true = [one.checkpoint.size for one in held if walk.roots.get(one.checkpoint.size) == one.checkpoint.root]
    for one in held:
        size = one.checkpoint.size
        root = walk.roots.get(size)
        check = "given_checkpoints" if one.is_outside else "kept_checkpoints"
        if size > last:
            what = (
                f"{one.name} says that there were {size} entries, the last is {last}: the tail was cut off, or this is"
            )
            findings.add(Finding(last + 1, check, "cut_or_stale", f"{what} a copy from before"))
        elif root is None:
            what = f"{one.name} cannot be compared: an entry is missing before"
            findings.add(Finding(None, check, "missing_entry", what))
        elif root != one.checkpoint.root:
            findings.add(_differing(one, check, walk, max((s for s in true if s < size), default=0)))
    _find_two_views(held, findings)
    return max(true, default=0)


def _differing(one: Held, check: str, walk: Walk, agreed: int) -> Finding:
    size = one.checkpoint.size
    what = f"the history differs from {one.name}"
    if any(agreed < position <= size for position in walk.changed):
        return Finding(None, check, "changed_entry", f"{what}: it has entries that are not as their leaves say")
    since = f"somewhere from entry {agreed + 1} to {size}"
    what += f", {since}: it was rewritten, or went another way from there (a fork), or an entry was put in"
    return Finding(agreed + 1, check, "rewritten_or_forked", what)


def _find_two_views(held: Sequence[Held], findings: Findings) -> None:
    """Find checkpoints of one size that say different things: the log has shown two histories."""
    by_size: defaultdict[int, dict[bytes, Held]] = defaultdict(dict)
    for one in held:
        by_size[one.checkpoint.size].setdefault(one.checkpoint.root, one)
    for size, views in by_size.items():
        if len(views) > 1:
            what = f"two histories of {size} entries were sealed: {' and '.join(v.name for v in views.values())} differ"
            findings.add(Finding(None, "consistency", "two_views", what))
