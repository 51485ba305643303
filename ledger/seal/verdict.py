"""What reading a record again has shown: each check with its outcome, and what no reading can show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ledger.errors import RESTORE, LedgerBroken, damaged
from ledger.seal.by_position import Walk
from ledger.seal.findings import Finding, Findings
from ledger.seal.held import Held
from ledger.seal.notes import SIGNATURE, Verifier

Outcome = Literal["holds", "broken", "said", "not_checked"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: of how many, with which outcome, and how many of them are broken.

    said: nothing is broken, but a reader should know.
    """

    name: str
    what: str
    count: int
    outcome: Outcome
    broken: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the check in its fixed shape."""
        return {
            "check": self.name,
            "what": self.what,
            "count": self.count,
            "outcome": self.outcome,
            "broken": self.broken,
        }


class Unreadable(LedgerBroken):
    """The store cannot give an entry: where that is so, nothing can be said of the record but that it is broken."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"entry {finding.position}", f"{finding.title}: {finding.what}", RESTORE)
        self.finding = finding

    def as_json(self) -> dict[str, Any]:
        """Return what is known in a verdict's fixed shape."""
        first = self.finding.as_json()
        unknown = {"checks": [], "remarks": [], "unknown": ["anything else: an entry cannot be read"]}
        return {"entries": None, "result": "broken", "first_bad": first, "findings": [first], **unknown}


@dataclass(slots=True)
class Verdict:
    """All that was read again, and what it shows.

    last: position of the last entry. is_file: a stream file, which keeps no leaf hashes and no checkpoints. altered:
    names of tables and triggers that are not as they were made; None when nobody looked.
    vouched: what is to be said of signatures that no given key made.
    """

    last: int
    is_file: bool
    walk: Walk
    kept: Sequence[Held]
    given: Sequence[Held]
    keys: Sequence[Verifier]
    findings: Findings = field(default_factory=Findings)
    vouched: Sequence[str] = ()
    altered: Sequence[str] | None = None

    @property
    def first_bad(self) -> Finding | None:
        """The finding with the first position; one without a position only when there is no other."""
        return next(iter(self.findings.ordered()), None)

    def as_json(self) -> dict[str, Any]:
        """Return the verdict in its fixed shape."""
        first = self.first_bad
        return {
            "entries": self.walk.entries,
            "result": "intact" if first is None else "broken",
            "first_bad": None if first is None else first.as_json(),
            "checks": [c.as_json() for c in self.checks()],
            "findings": [f.as_json() for f in self.findings.ordered()],
            "remarks": list(self.remarks()),
            "unknown": list(self.unknown()),
        }

    def lines(self) -> Iterator[str]:
        """Yield the verdict as a person reads it."""
        yield f"{self.walk.entries} entries"
        for check in self.checks():
            broken = f", {check.broken} broken" if check.broken else ""
            yield f"{check.outcome.replace('_', ' '):12} {check.what} ({check.count}{broken})"
        for finding in self.findings.ordered():
            at = "" if finding.position is None else f"entry {finding.position}: "
            yield f"{at}{finding.title}: {finding.what}"
        yield from self.remarks()
        yield "what this cannot know:"
        yield from (f"- {line}" for line in self.unknown())

    def error(self, where: str) -> LedgerBroken | None:
        """Return the error that says what is broken first, None when nothing is."""
        first = self.first_bad
        if first is None:
            return None
        if first.attack == "other_key":
            todo = "if whoever keeps the ledger has a new key, let them hand it to you, and name it too (--vkey)"
            return LedgerBroken(where, f"{first.title}: {first.what}", todo)
        if first.position is None:
            return damaged(where, f"{first.title}: {first.what}")
        what = "; ".join(f.what for f in self.findings.ordered() if f.position == first.position)
        return damaged(f"entry {first.position}", f"{first.title}: {what}")

    def checks(self) -> Iterator[Check]:
        """Yield each check, in a fixed order."""
        entries, held = self.walk.entries, len(self.kept) + len(self.given)
        yield self._check("readable", "each entry can be read, in bytes as this program writes them", entries)
        none = "positions: the lines of the file that add nothing have none" if self.is_file and self.walk.gaps else ""
        yield self._check("positions", "none is missing: positions run from 1 without a gap", entries, none)
        yield self._check("versions", "the versions of each stream run from 1 without a gap", self.walk.streams)
        none = "leaf hashes: a stream file keeps none" if self.is_file else ""
        yield self._check("leaves", "each entry is what the leaf hash kept with it was made of", entries, none)
        yield self._check("acceptance", "each entry was acceptable to its stream when it was recorded", entries)
        yield self._check("command_ids", "no command id is there twice", self.walk.command_ids)
        yield self._recording_times()
        yield self._guards()
        none = (
            f"checkpoints {'of a stream file: it keeps none' if self.is_file else 'in the ledger: it keeps none yet'}"
        )
        tree = "the tree over the entries is that of each checkpoint"
        yield self._check("kept_checkpoints", f"{tree} kept in the ledger", len(self.kept), "" if self.kept else none)
        none = "" if self.given else "checkpoints held outside: none was given"
        yield self._check("given_checkpoints", f"{tree} held outside", len(self.given), none)
        none = "" if held > 1 else "consistency between checkpoints: there are no two"
        yield self._check("consistency", "the checkpoints are consistent with each other", held, none)
        checks = bool(self.given) or any(key.kind == SIGNATURE for key in self.keys)
        none = "" if self.keys and held and checks else "signatures: no key of the log was given, or nothing to verify"
        yield self._check("signatures", "each checkpoint is signed by a given key", held, none)

    def _check(self, name: str, what: str, count: int, not_checked: str = "") -> Check:
        broken = self.findings.counts.get(name, 0)
        if not_checked and not broken:
            return Check(name, not_checked, 0, "not_checked")
        return Check(name, what, count, "broken" if broken else "holds", broken)

    def _recording_times(self) -> Check:
        walk = self.walk
        if not walk.backwards:
            return Check("recording_times", "recording times never run backwards", walk.entries, "holds")
        what = f"recording times run backwards: a clock was set back, first before entry {walk.first_backwards}"
        return Check("recording_times", what, walk.backwards, "said")

    def _guards(self) -> Check:
        if self.altered is None:
            return Check("guards", "tables and triggers: a stream file has none", 0, "not_checked")
        if not self.altered:
            return Check("guards", "tables and triggers are as they were made", 0, "holds")
        what = (
            f"somebody has had the ledger open with another program: not as they were made: {', '.join(self.altered)}"
        )
        return Check("guards", what, len(self.altered), "said")

    def remarks(self) -> Iterator[str]:
        """Yield what a reader should know although nothing is broken."""
        yield from self.vouched
        known = {(one.checkpoint.size, one.checkpoint.root) for one in self.kept}
        for one in self.given:
            if not self.is_file and (one.checkpoint.size, one.checkpoint.root) not in known:
                yield f"the ledger does not keep {one.name}: it was deleted there, or this is a copy without it"
        origins = sorted({one.checkpoint.origin for one in (*self.kept, *self.given)})
        if len(origins) > 1:
            yield f"the checkpoints are of logs with different names: {', '.join(origins)}"

    def unknown(self) -> Iterator[str]:
        """Yield what cannot be known from what was read."""
        yield "whether what was recorded is true, and what was never recorded"
        outside = max((one.checkpoint.size for one in self.given), default=0)
        if not self.given:
            yield (
                "whether the history was rewritten with new leaf hashes, its tail cut off, an old copy or other branch"
                " put in its place, or entries put in past the program: a checkpoint held elsewhere tells that"
                " (--checkpoint FILE)"
            )
        elif outside < self.last:
            since = f"entries {outside + 1} to {self.last}" if outside + 1 < self.last else f"entry {self.last}"
            yield f"whether {since} were rewritten, cut off or put in: no checkpoint held outside covers them"
        yield "whether others were shown another history: compare checkpoints with them, or let a witness cosign"
        if not self.keys:
            yield "who signed the checkpoints: none was checked against a key known from outside (--vkey KEY)"
