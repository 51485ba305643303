"""Checkpoints that somebody holds, the ledger itself or others: who signed them, and whether the tree is theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ledger.seal import checkpoints
from ledger.seal.by_position import Walk
from ledger.seal.checkpoints import Checkpoint
from ledger.seal.findings import Finding, Findings
from ledger.seal.notes import SIGNATURE, BadNote, Note, Verifier, silent, verified_by

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


def kept(rows: Sequence[tuple[int, str]], findings: Findings) -> list[Held]:
    """Return the checkpoints that the ledger keeps, each with the size it is kept under.

    Those that cannot be read, or that are kept under another size than their own, are findings.
    """
    found = []
    for number, (size, note) in enumerate(rows, 1):
        what = None
        try:
            one = Held(LEDGER, *checkpoints.read(note.encode(errors="replace"), f"checkpoint {number}"))
            found.append(one)
            if one.checkpoint.size != size:
                what = f"{one.name} is kept under another size, {size}"
        except BadNote as error:
            what = f"checkpoint {number} that is {LEDGER}: {error.what}"
        if what is not None:
            findings.add(Finding(None, "kept_checkpoints", "changed_checkpoint", what))
    return found


def check_signatures(
    held: Sequence[Held], keys: Sequence[Verifier], findings: Findings
) -> tuple[list[str], list[Held]]:
    """Find the checkpoints that none of the keys has signed; return what is to be said beside, and those that count.

    One from outside that no key signed could be anybody's: it says nothing of the entries.

    A note names keys by their ids alone. So what another key signed cannot be checked, and is let pass only up to the
    largest size that a given key signed: its entries are the beginning of those. Where no key is a log's, nothing is
    known of what the ledger keeps.
    """
    sound, others = list[Held](), list[Held]()
    for one in held:
        try:
            (sound if verified_by(one.note, keys) else others).append(one)
        except BadNote as error:
            what = f"{one.name} is not what was signed: {error.where}: {error.what}"
            findings.add(Finding(None, "signatures", "changed_checkpoint", what))
    counted = [one for one in held if one in sound or not one.is_outside]
    up_to, beside = max((one.checkpoint.size for one in sound), default=0), dict[str, Held]()
    for one in sound:
        beside |= dict.fromkeys(_ids(one), one)
    remarks = list[str]()
    if not any(key.kind == SIGNATURE for key in keys):
        remarks.append("none of the keys given is a log's, so who signed the checkpoints in the ledger was not checked")
        others = [one for one in others if one.is_outside]
    for one in others:
        names, known = ", ".join(_ids(one)), next((beside[x] for x in _ids(one) if x in beside), None)
        if known is not None and one.checkpoint.size <= up_to:
            remarks.append(f"{one.name} is signed by {names}, not checked; a given key signed {known.name} beside it")
        else:
            what = f"{one.name} is signed by none of the given keys, but by {names}"
            findings.add(Finding(None, "signatures", "other_key", what))
    remarks += [f"none of the checkpoints is signed by {key}" for key in silent(keys, [one.note for one in sound])]
    return remarks, counted


def _ids(one: Held) -> list[str]:
    return sorted({f"{s.name}+{s.key_id.hex()}" for s in one.note.signatures})


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
                f"{one.name} says that there were {size} entries, the last is {last}: the tail was cut off, some were"
            )
            what += f" taken out and the rest numbered anew, or this is a copy from before{_another(one, held)}"
            findings.add(Finding(last + 1, check, "cut_or_stale", what))
        elif not size and root != one.checkpoint.root:
            what = f"{one.name} has another root than a tree of no entries"
            findings.add(Finding(None, check, "changed_checkpoint", what))
        elif root is None:
            what = f"{one.name} cannot be compared: an entry is missing before"
            findings.add(Finding(None, check, "missing_entry", what))
        elif root != one.checkpoint.root:
            agreed = max((s for s in true if s < size), default=0)
            suspects = (f.position for f in findings.listed if f.position and agreed < f.position <= size)
            found = _differing(one, check, walk, agreed, min(suspects, default=agreed + 1))
            findings.add(replace(found, what=found.what + _another(one, held)))
    _find_two_views(held, findings)
    return max(true, default=0)


def _another(one: Held, held: Sequence[Held]) -> str:
    """Return what to add of a checkpoint that names another log than all that the ledger keeps."""
    origins = {x.checkpoint.origin for x in held if not x.is_outside}
    if not one.is_outside or not origins or one.checkpoint.origin in origins:
        return ""
    return f"; it is of {one.checkpoint.origin}, those here of {', '.join(sorted(origins))}: is it of this ledger?"


def _differing(one: Held, check: str, walk: Walk, agreed: int, first: int) -> Finding:
    """Return what differs behind the last entry that is agreed on. first: the first that may be odd there."""
    size = one.checkpoint.size
    what = f"the history differs from {one.name}"
    if any(agreed < position <= size for position in walk.changed):
        return Finding(None, check, "changed_entry", f"{what}: it has entries that are not as their leaves say")
    since = f"somewhere from entry {agreed + 1} to {size}"
    what += f", {since}: it was rewritten, or went another way from there (a fork), or an entry was put in"
    return Finding(first, check, "rewritten_or_forked", what)


def _find_two_views(held: Sequence[Held], findings: Findings) -> None:
    """Find checkpoints of one size that say different things: the log has shown two histories."""
    by_size: defaultdict[int, dict[bytes, Held]] = defaultdict(dict)
    for one in held:
        by_size[one.checkpoint.size].setdefault(one.checkpoint.root, one)
    for size, views in by_size.items():
        if len(views) > 1:
            what = f"two histories of {size} entries were sealed: {' and '.join(v.name for v in views.values())} differ"
            findings.add(Finding(None, "consistency", "two_views", what))
