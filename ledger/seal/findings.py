"""What `verify` finds: each check with its outcome, and what is wrong with which entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["holds", "broken", "said", "not_checked"]
MOST = 20  # findings that are listed; all are counted


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: with the entry at a position, which check says so, and what it looks like.

    position: None where no entry can be named. attack: what must have been done to the record, as far as it can be told.
    """

    position: int | None
    check: str
    attack: str
    what: str

    def as_json(self) -> dict[str, Any]:
        """Return the finding in its fixed shape."""
        return {"position": self.position, "check": self.check, "attack": self.attack, "what": self.what}


@dataclass(slots=True)
class Findings:
    """The first findings of each check, and how many there are of each."""

    listed: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        """Count a finding, and list it if it is among the first of its check."""
        count = self.counts[finding.check] = self.counts.get(finding.check, 0) + 1
        if count <= MOST:
            self.listed.append(finding)

    def add_all(self, other: Findings) -> None:
        """Take over what another pass found."""
        self.listed += other.listed
        for check, count in other.counts.items():
            self.counts[check] = self.counts.get(check, 0) + count

    def first(self) -> Finding | None:
        """Return the finding with the first position; one without a position only when there is no other."""
        return min(self.listed, key=lambda f: (f.position is None, f.position or 0), default=None)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: of how many, with which outcome; said: nothing is broken, but a reader should know."""

    name: str
    what: str
    count: int
    outcome: Outcome

    def as_json(self) -> dict[str, Any]:
        """Return the check in its fixed shape."""
        return {"check": self.name, "what": self.what, "count": self.count, "outcome": self.outcome}
