"""What a person waits for: each question's time on the wall, over that of importing typer and pydantic."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import answers, history, measure

BASE = (sys.executable, "-c", "import typer; from pydantic import BaseModel")
NEW_ENTRIES = 1000


def run(small: bool, folder: Path) -> dict[str, Any]:
    """Return each question's ratio on the large ledger with its views made, and again after a thousand new entries."""
    count, rounds = measure.entries(small), 2 if small else 7
    path = measure.ledger(folder, count)
    measure.rebuilt(path)
    case = answers.cases_of(path)[1]
    wanted = dict.fromkeys(answers.QUERIES, "<= 1.0") | {"show": "<= 1.6", "explain": "<= 1.6", "--help": "<= 0.7"}
    asked = answers.QUERIES | {"show": ("show", case), "explain": ("explain", case), "--help": ("--help",)}

    def asking(query: tuple[str, ...]) -> Callable[[], float]:
        return lambda: measure.program(path, *query).seconds

    contenders = {"base": lambda: measure.command(*BASE).seconds} | {n: asking(q) for n, q in asked.items()}
    measure.alternating(contenders, 1)  # files into memory, modules compiled
    times = measure.alternating(contenders, rounds)
    base = times["base"].best
    found = {
        name: measure.figure(times[name].best / base, wanted[name], seconds=times[name].best, entries=count)
        for name in asked
    }
    return found | _after_new_entries(path, folder, 1 if small else 3)


def _after_new_entries(path: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Return the ratio of each question when it is the first after new entries; on a copy, which grows with each."""
    copy = folder / "growing.db"
    for ending in ("", ".views"):
        if path.with_name(path.name + ending).exists():
            shutil.copyfile(path.with_name(path.name + ending), copy.with_name(copy.name + ending))
    seed = iter(range(1_000_000))

    def asking(query: tuple[str, ...]) -> Callable[[], float]:
        def seconds() -> float:
            history.more(copy, NEW_ENTRIES, next(seed))
            return measure.program(copy, *query).seconds

        return seconds

    contenders = {"base": lambda: measure.command(*BASE).seconds}
    contenders |= {name: asking(query) for name, query in answers.QUERIES.items()}
    times = measure.alternating(contenders, rounds)
    base = times["base"].best
    for ending in ("", ".views"):
        copy.with_name(copy.name + ending).unlink(missing_ok=True)
    return {
        f"{name}, {NEW_ENTRIES} new": measure.figure(times[name].best / base, "<= 2.0", seconds=times[name].best)
        for name in answers.QUERIES
    }
