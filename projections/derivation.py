"""A step of a derivation: what holds, in a sentence, and the clauses, readings and entries it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from ledger.entry import Entry


class Step(msgspec.Struct):
    """One step of a derivation: what holds, in a sentence, and what it rests on. `parts` are the figures below it."""

    step: str
    says: str
    value: Any = None
    clauses: list[str] = []
    readings: dict[str, Any] = {}
    because: list[int] = []
    parts: list[dict[str, Any]] = []
    lines: list[str] = []

    def as_json(self) -> dict[str, Any]:
        """Return the step in its fixed shape."""
        return {
            "step": self.step,
            "says": self.says,
            "value": self.value,
            "clauses": self.clauses,
            "readings": self.readings,
            "because": self.because,
            "parts": self.parts,
        }

    def text(self) -> list[str]:
        """Return the step as lines for a person."""
        rests = [*self.clauses, *(f"{k}={_reading(v)}" for k, v in self.readings.items())]
        if self.because:
            rests.append(f"{'entry' if len(self.because) == 1 else 'entries'} {ranges(self.because)}")
        return [
            f"- {self.says}",
            *(f"    {line}" for line in self.lines),
            *([f"    [{'; '.join(rests)}]"] if rests else []),
        ]


def ranges(positions: list[int]) -> str:
    """Return positions as a short text: 1, 4-6, 9."""
    found: list[list[int]] = []
    for p in sorted(set(positions)):
        if found and found[-1][1] == p - 1:
            found[-1][1] = p
        else:
            found.append([p, p])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def span_of(seconds: int) -> str:
    """Return seconds as hours, minutes and seconds: 8 h, 3 h 30 min, 10 s."""
    hours, rest = divmod(abs(seconds), 3600)
    minutes, left = divmod(rest, 60)
    parts = [f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (left, "s")) if n]
    return ("-" if seconds < 0 else "") + (" ".join(parts) or "0 s")


def _reading(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)


def at(entry: Entry) -> list[int]:
    """Return the positions an entry rests on, ascending."""
    return sorted(entry.positions)
