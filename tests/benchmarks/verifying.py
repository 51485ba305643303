"""Reading everything again: `verify` of the large ledger beside bare SHA-256 over the same stored bytes."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.benchmarks import answers, measure

STATES = "SELECT state FROM stored_events ORDER BY rowid"


def run(small: bool, folder: Path) -> dict[str, Any]:
    """Return how quick `verify` is, its verdicts checked first."""
    path = measure.ledger(folder, measure.entries(small))
    count, runs = answers.last_position(path), list[measure.Run]()
    _check(measure.ledger(folder, 2000), folder)

    def verify() -> float:
        runs.append(measure.program(path, "--json", "verify"))
        if json.loads(runs[-1].stdout)["result"] != "intact":
            raise measure.WrongResult("verify: a ledger that nobody touched is not intact")
        return runs[-1].seconds

    contenders = {"verify": verify, "bare": lambda: _bare(path, count), "in memory": lambda: _in_memory(path)}
    times = measure.alternating(contenders, 2 if small else 3)
    best = times["verify"].best
    return {
        "seconds": measure.figure(best, entries=count, median=times["verify"].median),
        "entries/s": measure.figure(count / best),
        "peak memory of one process, MB": measure.figure(max(r.peak_bytes for r in runs) / measure.MEGABYTE),
        "speed, to bare SHA-256 of each state as it is read": measure.figure(
            times["bare"].best / best, ">= 0.2", bare_seconds=times["bare"].best
        ),
        "speed, to bare SHA-256 of each state in memory": measure.figure(times["in memory"].best / best),
    }


def _check(path: Path, folder: Path) -> None:
    """Raise WrongResult when one changed byte in a copy of a ledger is not found where it is."""
    copy, position = folder / "changed.db", answers.last_position(path) // 2
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("DROP TRIGGER never_updated")
        changed = "CAST(replace(CAST(state AS TEXT), ':', ';') AS BLOB)"
        connection.execute(f"UPDATE stored_events SET state = {changed} WHERE rowid = {position}")  # noqa: S608
    command = [measure.PROGRAM, "--db", str(copy), "--json", "verify"]
    done = subprocess.run(command, capture_output=True, check=False)
    found = json.loads(done.stdout or "{}").get("first_bad") or {}
    if (done.returncode, found.get("position")) != (4, position):
        raise measure.WrongResult(f"verify: entry {position} was changed, and it says {found}")


def _bare(path: Path, count: int) -> float:
    def read() -> None:
        with closing(sqlite3.connect(path)) as connection:
            if sum(len(sha256(state).digest()) for (state,) in connection.execute(STATES)) != 32 * count:
                raise measure.WrongResult("another number of states than entries")

    return measure.timed(read)


def _in_memory(path: Path) -> float:
    with closing(sqlite3.connect(path)) as connection:
        states = [state for (state,) in connection.execute(STATES)]

    def read() -> None:
        for state in states:
            sha256(state).digest()

    return measure.timed(read)
