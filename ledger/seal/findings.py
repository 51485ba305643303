"""What is wrong with a record, and with which of its entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MOST = 20  # findings of a check that are listed; all are counted
CHECKS = (  # the most telling first
    "positions",
    "leaves",
    "versions",
    "readable",
    "acceptance",
    "command_ids",
    "given_checkpoints",
    "kept_checkpoints",
    "consistency",
    "signatures",
    "recording_times",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: with the entry at a position, which check says so, and what it looks like.

    position: None where no entry can be named. attack: what must have been done, as far as it can be told.
    """

    position: int | None
    check: str
    attack: str
    what: str

    @property
    def title(self) -> str:
        """What it looks like, for people."""
        return self.attack.replace("_", " ")

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
        self.counts[finding.check] = self.counts.get(finding.check, 0) + 1
        self._list([finding])

    def add_all(self, other: Findings) -> None:
        """Take over what another pass found."""
        for check, count in other.counts.items():
            self.counts[check] = self.counts.get(check, 0) + count
        self._list(other.listed)

    def _list(self, findings: list[Finding]) -> None:
        self.listed += findings
        if len(self.listed) > MOST * MOST:
            self.listed = self.ordered()

    def ordered(self) -> list[Finding]:
        """Return the first of each check by position, those without last; where two meet, the most telling first."""
        of_check = dict.fromkeys(CHECKS, 0)
        found = []
        for finding in sorted(self.listed, key=lambda f: (f.position is None, f.position or 0, CHECKS.index(f.check))):
            of_check[finding.check] += 1
            if of_check[finding.check] <= MOST:
                found.append(finding)
        return found
