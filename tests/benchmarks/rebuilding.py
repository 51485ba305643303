"""Making the views anew: entries a second beside a bare scan and the stock runner, peak memory, and growth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.benchmarks import answers, measure, stock


def run(small: bool, folder: Path) -> dict[str, Any]:
    """Return the figures of a rebuild of the large ledger, its answers checked on a small one."""
    compared = answers.check(small, folder)
    count = measure.entries(small)
    path, tenth = measure.ledger(folder, count), measure.ledger(folder, max(count // 10, 2000))
    runs: list[measure.Run] = []

    def rebuild() -> float:
        runs.append(measure.rebuilt(path))
        return runs[-1].seconds

    events, saved = _saved_events(small, folder)
    contenders = {
        "rebuild": rebuild,
        "tenth": lambda: measure.rebuilt(tenth).seconds,
        "runner": lambda: stock.projected(saved, events),
    }
    try:
        stock.bare_scan(path, count)
        contenders["scan"] = lambda: stock.bare_scan(path, count)
    except measure.NotThere:
        pass
    times = measure.alternating(contenders, 2 if small else 3)
    best, start = times["rebuild"].best, measure.command(measure.PROGRAM, "--help").seconds
    theirs = events / times["runner"].best
    per_entry = best / count, times["tenth"].best / answers.last_position(tenth)
    found = {
        "seconds": measure.figure(best, entries=count, median=times["rebuild"].median, start_up=start),
        "entries/s": measure.figure(count / best, answers_compared=compared),
        "peak memory, MB": measure.figure(max(run.peak_bytes for run in runs) / measure.MEGABYTE),
        "time an entry, to that at a tenth of the entries": measure.figure(per_entry[0] / per_entry[1]),
        "speed, to the stock runner's": measure.figure(
            count / best / theirs, ">= 25", stock_events_per_second=round(theirs), stock_events=events
        ),
    }
    if "scan" in times:
        found["speed, to a bare scan's"] = measure.figure(times["scan"].best / best, ">= 0.35", at_least=0.2)
    return found


def _saved_events(small: bool, folder: Path) -> tuple[int, Path]:
    """Save a shorter history for the stock runner, which does the same work for each event; return how long, where."""
    events = stock.case_events(600 if small else 20_000)
    path = folder / "runner.db"
    path.unlink(missing_ok=True)
    stock.saves(path, events, 500)
    return len(events), path
