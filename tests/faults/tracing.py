"""The system calls of a session, watched by strace, and one of them made to fail."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests.faults import need
from tests.faults.processes import Session

WRITING = (
    "openat,creat,write,pwrite64,writev,pwritev,fsync,fdatasync,sync_file_range,ftruncate,truncate,fallocate"
    ",link,linkat,unlink,unlinkat,rename,renameat,renameat2,mkdir,symlink,fchmod,chmod"
)
FAULTS = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "kill": "signal=KILL"}
_LINE = re.compile(r"(?P<name>\w+)\((?P<given>.*)\) += (?P<result>.*)")
_PLACE = re.compile(r"^\d+<(?P<fd>[^>]*)>|^(?:AT_FDCWD<[^>]*>, )?\"(?P<name>[^\"]*)\"")


@dataclass(frozen=True)
class Call:
    """A system call: the nth of its name in a session, on the file at a path."""

    name: str
    nth: int
    path: str
    given: str
    result: str

    def __str__(self) -> str:
        return f"{self.name} {self.nth} on {self.path}"


def watch(session: Session, db: Path, log: Path, *options: str) -> int:
    """Let a session that waits go on, its calls on a ledger and its output traced by strace; its exit status."""
    draft = db.with_name(f".{db.name}.{session.pid}.draft")
    beside = [f"{path}{end}" for path in (db, draft) for end in ("", "-journal", "-wal", "-shm", ".lock", ".views")]
    calls = ["-e", f"trace={WRITING}", "-e", "signal=none", "-y"]
    for path in (*beside, f"{db}.views-journal", f"{db}.views.lock", db.parent, session.out, session.err):
        calls += ["-P", str(path)]
    watching = [need("strace"), "-o", str(log), *calls, *options, "-p", str(session.pid)]
    with subprocess.Popen(watching, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        for said in strace.stderr:
            if said.endswith("attached\n"):
                break
        session.go()
        strace.stderr.read()
    return session.wait()


def calls_of(log: Path) -> Iterator[Call]:
    """Yield the calls that a log holds, in their order."""
    counts: Counter[str] = Counter()
    for line in log.read_text("latin-1").splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        counts[found["name"]] += 1
        place = _PLACE.match(found["given"])
        path = (place["fd"] or place["name"] or "") if place else ""
        yield Call(found["name"], counts[found["name"]], path, found["given"], found["result"])


def one_of_each_run(calls: Iterator[Call]) -> list[Call]:
    """The calls without those that repeat the one before: the same on the same file, as many bytes."""
    return [next(run) for _, run in groupby(calls, lambda call: (call.name, call.path, call.result))]


def failing(session: Session, db: Path, log: Path, call: Call, fault: str) -> int:
    """Let a session go on whose one call fails, and return its exit status."""
    status = watch(session, db, log, "-e", f"inject={call.name}:{FAULTS[fault]}:when={call.nth}")
    lines = log.read_text("latin-1").splitlines()
    if fault == "kill":  # the call that it dies in is not always written down
        reached = sum(line.startswith(f"{call.name}(") for line in lines) >= call.nth - 1
        assert reached, f"{call} was not reached, but {lines}"
        return status
    hits = [line for line in lines if line.endswith("(INJECTED)")]
    assert [hit.partition("(")[0] for hit in hits] == [call.name], f"{call} was not reached, but {hits}"
    assert Path(call.path).suffix in hits[0], f"{call} was not reached, but {hits}"
    return status
