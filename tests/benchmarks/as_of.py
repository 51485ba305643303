"""What the ledger said then: questions as of earlier entries and times, over the time of a full rebuild."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.benchmarks import answers, measure


def run(small: bool, folder: Path) -> dict[str, Any]:
    """Return for each point the slowest question's seconds over those of a rebuild of the large ledger."""
    count, rounds = measure.entries(small), 1 if small else 2
    path = measure.ledger(folder, count)
    rebuild = min(measure.rebuilt(path).seconds for _ in range(1 if small else 3))
    found = {}
    for option, value, share in answers.points(path, answers.SHARES[1:2] if small else answers.SHARES):
        seconds = {
            name: min(measure.program(path, option, value, *query).seconds for _ in range(rounds))
            for name, query in answers.QUERIES.items()
        }
        slowest = max(seconds, key=lambda name: seconds[name])
        name = f"{option} at {share:.2%} of the entries".replace(".00%", " %").replace("%", " %").replace("  ", " ")
        found[name] = measure.figure(
            seconds[slowest] / rebuild, "<= 0.5", slowest=slowest, seconds=seconds, rebuild_seconds=rebuild
        )
    return found
