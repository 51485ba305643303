"""Measuring: contenders in alternating rounds, commands as a person runs them, and figures with what is wanted."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import history

PROGRAM = str(Path(sys.executable).with_name("sla-ledger"))
ENTRIES: int | None = None  # what the command line asked for
MEGABYTE = 1_000_000

_LAUNCHER = """
import json, os, sys, time
to = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC), os.open(sys.argv[2], os.O_WRONLY | os.O_TRUNC)
moves = [(os.POSIX_SPAWN_DUP2, to[0], 1), (os.POSIX_SPAWN_DUP2, to[1], 2)]
begin = time.perf_counter()
child = os.posix_spawn(sys.argv[3], sys.argv[3:], os.environ, file_actions=moves)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - begin
peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([seconds, peak, os.waitstatus_to_exitcode(status)]))
"""


class WrongResult(Exception):
    """What was to be measured gave a wrong answer."""


class NotThere(Exception):
    """What was to be measured is not part of this program, or not installed."""


@dataclass(frozen=True, slots=True)
class Run:
    """A command that ran: its time on the wall, its peak memory, and what it printed."""

    seconds: float
    peak_bytes: int
    stdout: bytes


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of several rounds."""

    best: float
    median: float


def entries(small: bool) -> int:
    """Return how many entries the large ledger has."""
    return ENTRIES or (10_000 if small else 1_000_000)


def ledger(folder: Path, count: int, name: str = "ledger") -> Path:
    """Return a made-up ledger of that many entries in a folder; it is made when it is not there yet."""
    path = folder / f"{name}-{count}.db"
    if not path.exists():
        history.make(path, count)
    return path


def figure(value: float | str, wanted: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a figure; wanted: like `>= 25` or `<= 1.0`; more: what else goes into the file."""
    found = {"value": value, "wanted": wanted, **more}
    return {name: float(f"{x:.4g}") if isinstance(x, float) else x for name, x in found.items()}


def verdict(found: Mapping[str, Any]) -> str:
    """Return `yes` when a figure is as wanted, `no` when it is not, nothing when there is nothing to say."""
    value, wanted = found.get("value"), found.get("wanted")
    if not wanted or isinstance(value, str) or value is None:
        return ""
    sign, limit = wanted.split()
    return "yes" if (value >= float(limit) if sign == ">=" else value <= float(limit)) else "no"


def timed(call: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def alternating(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Times]:
    """Return the seconds of each contender; all have their turn in every round, each says itself how long it took."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            found[name].append(contender())
    return {name: Times(min(seconds), statistics.median(seconds)) for name, seconds in found.items()}


def command(*arguments: str) -> Run:
    """Run a command to its end, started by a small process of its own so that its peak memory is its own.

    Raises WrongResult when it fails.
    """
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, out.name, err.name, *arguments]
        done = subprocess.run(launcher, capture_output=True, text=True, check=True)
        seconds, peak, status = json.loads(done.stdout)
        if status:
            said = err.read().decode(errors="replace")[-2000:]
            raise WrongResult(f"{' '.join(arguments[:1])} {' '.join(arguments[1:])}: exit status {status}\n{said}")
        return Run(seconds, peak, out.read())


def program(path: Path, *arguments: str) -> Run:
    """Run the installed program on a ledger."""
    return command(PROGRAM, "--db", str(path), *arguments)


def rebuilt(path: Path) -> Run:
    """Return the run that made a ledger's views anew from nothing; NotThere when the program has none."""
    views = path.with_name(path.name + ".views")
    views.unlink(missing_ok=True)
    if subprocess.run([PROGRAM, "rebuild", "--help"], capture_output=True, check=False).returncode:
        raise NotThere("this program has no command rebuild")
    return program(path, "rebuild")
