"""Evidence bundles: the entries that one decision rests on, with all that a stranger needs to check and make it again.

A bundle has one form: its files follow from what is in it, and what is not as it would be written is refused.
`handed/README.md` says what each file holds and how it is checked by hand.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from tzdata import IANA_VERSION

from ledger.entry import Entry
from ledger.errors import LedgerBroken
from ledger.events import CreditGranted, CreditRefused, CreditRevised, TermsPosted
from ledger.seal import hash_lines, merkle
from ledger.seal.checkpoints import Checkpoint
from ledger.seal.notes import BadNote, Note, Verifier, silent
from ledger.seal.proven import Proven, Rows, leaves_of, proven
from ledger.store.mapper import from_state
from ledger.terms import built_in_document
from ledger.text import canonical_json

FORMAT = 1
DECISIONS = (CreditGranted, CreditRefused, CreditRevised)
BUILT_IN = "terms-built-in.toml"
HANDED = ("README.md", "check.go", "check_inclusion.py")


@dataclass(frozen=True)
class Earlier:
    """An earlier checkpoint, and the proof that the log of the last one continues it."""

    checkpoint: Checkpoint
    note: Note
    proof: tuple[bytes, ...]

    @property
    def name(self) -> str:
        """The file it stands in."""
        return f"earlier-{self.checkpoint.size}.txt"


@dataclass(frozen=True)
class Bundle:
    """What a bundle says. `decision` is the position of the entry that records the decision in force.

    `bases` are proofs, by size, that the log continues the one whose root a decision in it names. The log's key is the
    first of `keys`. `handed` are the texts that another version of the program handed out.
    """

    claim: str
    decision: int
    entries: tuple[Proven, ...]
    checkpoint: Checkpoint
    note: Note
    keys: tuple[Verifier, ...]
    earlier: tuple[Earlier, ...] = ()
    bases: tuple[tuple[int, tuple[bytes, ...]], ...] = ()
    program: str = field(default_factory=lambda: program())
    zone_data: str = IANA_VERSION
    handed: Mapping[str, bytes] | None = None

    @cached_property
    def said(self) -> list[Entry]:
        """The entries, read; LedgerBroken for one that cannot be."""
        return [from_state(*x.row) for x in self.entries]

    def decided(self) -> dict[str, Any] | None:
        """Return the decision that its entry records, None when there is no such entry of the claim."""
        event = next((x.event for x in self.said if x.position == self.decision and x.stream == self.claim), None)
        return event.decision if isinstance(event, DECISIONS) else None

    def roots(self) -> list[tuple[int, str]]:
        """Return the sizes and roots that decisions in the bundle name as their basis, in order of recording."""
        decisions = [x.event.decision for x in self.said if isinstance(x.event, DECISIONS)]
        bases = [x["basis"] for x in decisions if isinstance(x.get("basis"), dict)]
        named = [(x.get("entries"), x.get("root")) for x in bases]
        return [(size, root) for size, root in named if type(size) is int and isinstance(root, str)]

    def root_at(self, size: int) -> str | None:
        """Return the root over the first entries of the log in standard base64; None where the bundle proves none."""
        for decided_on, root in self.roots():
            if decided_on == size:
                return root
        known = [self.checkpoint, *(x.checkpoint for x in self.earlier)]
        return next((b64encode(x.root).decode() for x in known if x.size == size), None)

    def files(self) -> dict[str, bytes]:
        """Return the files of the bundle by name."""
        found = {
            "manifest.json": _pretty(self._manifest()),
            "entries.jsonl": _lines([x.row[4] for x in self.entries]),
            "leaves.jsonl": _lines([x.leaf_bytes for x in self.entries]),
            "proofs.txt": _lines([x.proof_line for x in self.entries]),
            "checkpoint.txt": str(self.note).encode(),
            "vkeys.txt": _lines([str(key).encode() for key in self.keys]),
            "decision.json": f"{canonical_json(self.decided())}\n".encode(),
            **{f"basis-{size}.txt": hash_lines.written(proof).encode() for size, proof in self.bases},
            **{x.name: f"{hash_lines.written(x.proof)}\n{x.note}".encode() for x in self.earlier},
            **(self._handed() if self.handed is None else self.handed),
        }
        posted = [x.event for x in self.said if isinstance(x.event, TermsPosted)]
        found |= {f"terms-{n}.toml": event.document.encode() for n, event in enumerate(posted, 1)}
        return found | {"SHA256SUMS": sums(found)}

    def _manifest(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "claim": self.claim,
            "decision_entry": self.decision,
            "entries": len(self.entries),
            "origin": self.checkpoint.origin,
            "size": self.checkpoint.size,
            "root": b64encode(self.checkpoint.root).decode(),
            "program": self.program,
            "zone_data": self.zone_data,
        }

    def _handed(self) -> dict[str, bytes]:
        found = {name: (files("ledger") / "seal" / "handed" / name).read_bytes() for name in HANDED}
        for name, value in (
            ("CLAIM", self.claim),
            ("DECISION", self.decision),
            ("ORIGIN", self.checkpoint.origin),
            ("SIZE", self.checkpoint.size),
            ("PROGRAM", self.program),
            ("ZONE_DATA", self.zone_data),
        ):
            found["README.md"] = found["README.md"].replace(f"@{name}@".encode(), str(value).encode())
        if not any(isinstance(x.event, TermsPosted) for x in self.said):  # then the program's own hold
            found[BUILT_IN] = built_in_document().encode()
        return found


def bundled(
    rows: Rows,
    claim: str,
    decision: int,
    positions: Sequence[int],
    notes: Sequence[tuple[Checkpoint, Note]],
    keys: Sequence[Verifier],
    where: str,
) -> Bundle:
    """Return the bundle of a decision: the entries at some positions, proven by the largest of some checkpoints.

    keys: the log's first; signatures of others are left out. Raises BadNote for a checkpoint that the log's key did not
    sign and for a key that signed none, LedgerError when none covers the decision, LedgerBroken when the ledger does
    not lead to one of them.
    """
    by_size: dict[int, tuple[Checkpoint, Note]] = {}
    for checkpoint, note in notes:
        kept = _signed(note, keys, where)
        before = by_size.setdefault(checkpoint.size, (checkpoint, kept))
        if before[1].text != note.text:
            what = f"two checkpoints of {checkpoint.size} entries that differ: a fork, both signed by the log's key"
            raise LedgerBroken(where, what, "keep both, and look at all of the ledger: sla-ledger verify")
        by_size[checkpoint.size] = checkpoint, _signed(before[1].signed(*kept.signatures), keys, where)
    if missing := silent(keys, [note for _, note in by_size.values()]):
        todo = "give the checkpoint that it cosigned (--checkpoint), or do not name it"
        raise BadNote(where, f"{missing[0]} has signed none of the checkpoints", todo)
    last, note = by_size[max(by_size)]
    leaves = leaves_of(rows, last, where)
    found = proven(rows, leaves, last, positions, where)
    earlier = []
    for size in sorted(by_size)[:-1]:
        checkpoint, old = by_size[size]
        if merkle.root(leaves[:size]) != checkpoint.root:
            what = f"the first {size} entries do not lead to the root of the checkpoint of {size}: history was changed"
            raise LedgerBroken(where, what, "keep it, and look at all of the ledger: sla-ledger verify")
        earlier.append(Earlier(checkpoint, old, tuple(merkle.consistency(leaves, size))))
    made = Bundle(claim, decision, tuple(found), last, note, tuple(keys), tuple(earlier))
    sizes = sorted({size for size, _ in made.roots() if 0 <= size <= last.size})
    return replace(made, bases=tuple((size, tuple(merkle.consistency(leaves, size))) for size in sizes))


def _signed(note: Note, keys: Sequence[Verifier], where: str) -> Note:
    """Return a note with the signatures of these keys alone, the log's first."""
    found = [key.verified(note) for key in keys]
    if found[0] is None:
        raise BadNote(where, f"a checkpoint that is not signed by the log's key, {keys[0]}")
    return Note(note.text, tuple(x for x in found if x is not None))


def program() -> str:
    """Return the name and version of this program, as its bundles state them."""
    return f"sla-ledger {version('sla-ledger')}"


def sums(found: Mapping[str, bytes]) -> bytes:
    """Return what `sha256sum` prints of some files, in order of their names."""
    return _lines([f"{sha256(found[name]).hexdigest()}  {name}".encode() for name in sorted(found)])


def _lines(found: Sequence[bytes]) -> bytes:
    return b"".join(x + b"\n" for x in found)


def _pretty(value: Any) -> bytes:
    return f"{json.dumps(value, indent=2, ensure_ascii=False)}\n".encode()
