"""Starting sessions, killing them, waiting for them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.sessions import GO

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Session:
    """A process that does something to a ledger."""

    pid: int
    nursery: Nursery
    out: Path
    err: Path
    status: int | None = None

    def go(self) -> None:
        """Let a session begin that waits."""
        os.kill(self.pid, GO)

    def kill(self) -> None:
        """End it at this instant, without a chance to tidy up."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status, once it has ended; below zero the signal that ended it."""
        if self.status is None:
            with contextlib.closing(os.fdopen(os.pidfd_open(self.pid), "rb", 0)) as ended:
                select.select([ended], [], [])
            self.status = self.nursery.ask({"wait": self.pid})
        return self.status


@dataclass
class Nursery:
    """Forks sessions from a process that has everything loaded."""

    folder: Path
    numbers: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._turn = threading.Lock()
        program = [sys.executable, "-m", "tests.faults.sessions"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SLA_LEDGER")}
        self._process = subprocess.Popen(
            program, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, do: str, *given: Any, wait: bool = False, **settings: Any) -> Session:
        """Start a session; wait: it begins when told to go."""
        number = next(self.numbers)
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        asked = {"do": do, "with": list(map(_plain, given)), "wait": wait, "settings": settings}
        pid = self.ask({**asked, "out": str(out), "err": str(err)})
        return Session(pid, self, out, err)

    def command(self, db: Path | str, *arguments: str, wait: bool = False, **settings: Any) -> Session:
        """Start a command of the program on a ledger."""
        return self.start("command", "--db", str(db), *arguments, wait=wait, **settings)

    def ask(self, asked: dict[str, Any]) -> int:
        """The answer of the process that forks."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            self._process.stdin.write(f"{json.dumps(asked)}\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the process that forks."""
        self._process.communicate()


def _plain(given: Any) -> Any:
    return str(given) if isinstance(given, Path) else given
