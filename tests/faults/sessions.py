"""What runs in processes of their own, to be killed, failed and cut off from power: each ends with its exit status.

`python -m tests.faults.sessions` forks one for every line it reads, so that hundreds of them start in no time.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast

from eventsourcing.sqlite import SQLiteConnection

import cli
from ledger import clock
from ledger import events as e
from ledger.book import Ledger
from ledger.entry import Fact
from ledger.errors import Conflict, LedgerError
from ledger.instants import instant
from ledger.store import sqlite
from ledger.store.address import is_database

NOON = instant("2026-03-02T12:00:00Z")
Found = TypeVar("Found")
GO = signal.SIGUSR1  # what a session waits for when it is to be watched from its first call
_WITH_ITS_PARENT = (1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no session is left behind when the tests are ended
_ANYBODY = (0x59616D61, -1)  # PR_SET_PTRACER: who watches it need not be its parent


def pair(name: str, number: int) -> tuple[Fact, Fact]:
    """Two facts that belong in the ledger together or not at all."""
    stream, id_ = f"incident:{name}-{number}", f"{name}/{number}"
    opened = e.IncidentReported(customer="acme", service="licence", channel="phone")
    return (
        Fact(stream, NOON, opened, None, f"{id_}/a"),
        Fact(stream, NOON + timedelta(minutes=5), e.ResponseGiven(responder="human"), None, f"{id_}/b"),
    )


def command(*arguments: str) -> None:
    """Run a command of the program as it is installed."""
    cli.app(list(arguments), prog_name="sla-ledger")


def write(db: str, name: str, acks: str, count: int = 2**62) -> None:
    """Record pair after pair, go on where the acknowledged ones end, and append each number to `acks` once it is in.

    A server that is away is waited for; a file is always there, and no error is in place.
    """
    first = len(Path(acks).read_bytes().splitlines()) if Path(acks).exists() else 0
    handle = os.open(acks, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with closing(patiently(db, lambda: Ledger(db))) as ledger:
        for number in itertools.islice(itertools.count(first), count):
            facts = pair(name, number)
            patiently(db, lambda facts=facts: ledger.record(*facts))  # type: ignore[misc]
            os.write(handle, b"%d\n" % number)


def patiently(db: str, does: Callable[[], Found]) -> Found:
    """What a function returns, once the server of a database lets it."""
    while True:
        try:
            return does()
        except LedgerError as error:
            if not is_database(db):
                raise
            print(error, file=sys.stderr, flush=True)
            time.sleep(0.05)


def note(db: str, name: str, acks: str, count: int) -> None:
    """Judge facts of one stream that all share, then commit them: who came second looks again."""
    conflicts, times = 0, []
    with closing(Ledger(db)) as ledger:
        for number in range(count):
            fact = Fact("incident:INC-1", NOON, e.ResponseGiven(responder="human"), None, f"{name}/{number}")
            begun = time.monotonic()
            while True:
                with suppress(Conflict):
                    outcome = ledger.judge([fact])
                    time.sleep(0.003)  # in which the others come
                    ledger.commit(outcome)
                    break
                conflicts += 1
            times.append(time.monotonic() - begun)
    Path(acks).write_text(json.dumps({"conflicts": conflicts, "slowest": max(times)}))


def crowd(db: str, name: str, acks: str, seconds: float) -> None:
    """Record pairs for some seconds beside others who do the same, and write down how many and the slowest of them."""
    times: list[float] = []
    begun = time.monotonic()
    with closing(Ledger(db)) as ledger:
        while (now := time.monotonic()) < begun + seconds:
            ledger.record(*pair(name, len(times)))
            times.append(time.monotonic() - now)
    Path(acks).write_text(json.dumps({"done": len(times), "slowest": max(times)}))


def half(db: str) -> None:
    """Write more than fits into memory in one transaction, and be killed before its end."""
    with (
        closing(Ledger(db)) as ledger,
        cast(sqlite.EntryRecorder, ledger.store).datastore.transaction(commit=True) as c,
    ):
        c.execute("PRAGMA cache_size = 2")
        last = ledger.last_position()
        for position in range(last + 1, last + 500):
            row = (position, f"incident:HALF-{position}", 1, "IncidentCancelled", b"x" * 500, None, b"x" * 32)
            c.execute("INSERT INTO stored_events VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        os.kill(os.getpid(), signal.SIGKILL)


def hang(db: str) -> None:
    """Begin a transaction, say so, and never end it."""
    with closing(Ledger(db)) as ledger, cast(sqlite.EntryRecorder, ledger.store).datastore.transaction(commit=True):
        print("begun", flush=True)
        signal.pause()


SESSIONS: dict[str, Callable[..., None]] = {f.__name__: f for f in (command, write, note, crowd, half, hang)}


def journal(mode: str) -> None:
    """Open ledgers in this journal mode, whatever the version of SQLite would have."""
    sqlite.has_wal_fix = lambda version: mode == "WAL"


def synchronous(level: str) -> None:
    """Synchronise less than the ledger does, to see that the loss is seen."""
    made = sqlite._LedgerPool._create_connection

    def weakened(self: sqlite._LedgerPool) -> SQLiteConnection:
        connection = made(self)
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA synchronous = {level}")
        return connection

    sqlite._LedgerPool._create_connection = weakened  # type: ignore[method-assign]


def folder_sync(wanted: bool) -> None:
    """Leave out making a new name in a folder durable, to see that the loss is seen."""
    if not wanted:
        sqlite.sync = lambda path: None  # type: ignore[attr-defined]


def lock_file(wanted: bool) -> None:
    """Leave turns to SQLite's own lock, to see that some wait long."""
    if not wanted:
        sqlite.fcntl = None  # type: ignore[assignment, attr-defined]


def largest_file(size: int) -> None:
    """Let no file grow beyond a number of bytes: a disk that is full for this process."""
    sys.dont_write_bytecode = True  # a module cut off would stay so
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def most_pages(beyond: int) -> None:
    """Let a ledger grow by so many pages and no more."""
    made = sqlite._LedgerPool._create_connection

    def limited(self: sqlite._LedgerPool) -> SQLiteConnection:
        connection = made(self)
        cursor = connection.cursor()
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {int(cursor.fetchone()[0]) + beyond}")
        return connection

    sqlite._LedgerPool._create_connection = limited  # type: ignore[method-assign]


def clock_back(seed: int) -> None:
    """Have a clock that jumps back by hours at random, and never stands before NOON."""
    draw = Random(seed)
    clock.now = lambda: NOON + timedelta(hours=1, seconds=draw.randrange(10_000_000))


SETTINGS: dict[str, Callable[..., None]] = {
    f.__name__: f for f in (journal, synchronous, folder_sync, lock_file, largest_file, most_pages, clock_back)
}


def _run(asked: dict[str, Any], ready: int) -> None:
    """Run a session as what it is forked for, once it has said that it is ready: never returns."""
    status = 70
    try:
        for number, path in ((1, asked["out"]), (2, asked["err"])):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
        for name, value in asked["settings"].items():
            SETTINGS[name](value)
        with suppress(OSError, AttributeError):
            for option in (_ANYBODY, _WITH_ITS_PARENT):
                ctypes.CDLL(None).prctl(*option, 0, 0, 0)
        os.write(ready, b"!")
        os.close(ready)
        if asked["wait"]:
            signal.sigwait({GO})
        SESSIONS[asked["do"]](*asked["with"])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _begun(asked: dict[str, Any]) -> int:
    """Fork a session and return its number when it is ready."""
    wait, ready = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(wait)
        _run(asked, ready)
    os.close(ready)
    os.read(wait, 1)
    os.close(wait)
    return pid


def main() -> None:
    """Fork a session for each request and say its number; wait for the one that is named."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {GO})
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked and "do" not in asked:
            answer = os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])
        else:
            answer = _begun(asked)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
