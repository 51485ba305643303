"""The customer's side: which checkpoint a witness takes as the next, and what it keeps of the last.

A witness remembers one thing of a log: its public key and the last checkpoint it has seen. The next one has to be
signed by that key and to be a continuation; a smaller one, and one that another history leads to, are refused. What is
read is a checkpoint, or the request that carries the proof with it: the body of C2SP tlog-witness `add-checkpoint`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger.errors import LedgerBroken, LedgerError
from ledger.files import sync
from ledger.seal import checkpoints, hash_lines, merkle
from ledger.seal.checkpoints import Checkpoint
from ledger.seal.notes import SIGNATURE, BadNote, Note, Signer, Verifier, check_line_ends, verifier
from ledger.text import clean

try:
    import fcntl
except ImportError:  # not on this system: a witness is run once at a time there
    fcntl = None  # type: ignore[assignment]

MAX_STATE = 100_000  # of bytes; a checkpoint has some hundreds


@dataclass(frozen=True)
class Request:
    """A checkpoint that a witness is asked to see; with the size that its proof begins at, None for a bare one."""

    checkpoint: Checkpoint
    note: Note
    old: int | None = None
    proof: tuple[bytes, ...] = ()

    def __str__(self) -> str:
        return "" if self.old is None else f"old {self.old}\n{hash_lines.written(self.proof)}\n{self.note}"


@dataclass(frozen=True)
class Seen:
    """What a witness remembers of a log."""

    key: Verifier
    checkpoint: Checkpoint
    note: Note

    def __str__(self) -> str:
        return f"{self.key}\n{self.note}"


def request(data: bytes, where: str) -> Request:
    """Return what a file asks a witness to see: a checkpoint, or an add-checkpoint request. Raises BadNote."""
    check_line_ends(data, where)
    if data.endswith(b"\n"):
        data = data.rstrip(b"\n") + b"\n"  # blank lines at the end are no part of it
    first, _, rest = data.partition(b"\n")
    if any(clean(line) != line for line in data.decode("utf-8", "replace").split("\n")):
        raise BadNote(where, "not a checkpoint: it holds characters that would not be seen on a screen")
    size = first.removeprefix(b"old ")
    if size == first or not size.isdigit():
        return Request(*checkpoints.read(data, where))
    if len(size) > 19 or str(int(size)).encode() != size:
        raise BadNote(where, "not a request to a witness: its first line names no size")
    lines, _, note = (b"\n" + rest).partition(b"\n\n")
    return Request(*checkpoints.read(note, where), int(size), hash_lines.read(lines.split(b"\n")[1:], where))


def accepted(last: Seen | None, asked: Request, key: Verifier | None, where: str) -> Seen:
    """Return what a witness remembers after it has seen a checkpoint.

    last: what it remembered, None the first time, when a key has to be given. Another key than the one remembered takes
    its place with a checkpoint that both have signed. Raises BadNote when the log's key did not sign it, LedgerBroken
    for a rollback and for a fork, LedgerError when there is no proof from what was seen last. Signatures of others,
    which anybody can add, are not kept.
    """
    new = asked.checkpoint
    trusted = last.key if last else key
    if trusted is None:
        todo = "name the key once, as the contract or its owner states it: --vkey NAME+ID+KEY"
        raise BadNote(where, "the first checkpoint of a log whose key is not known yet", todo)
    followed = key or trusted
    if followed.kind != SIGNATURE:
        raise BadNote(where, f"a witness's key, not a log's: {followed}", "name the log's key: --vkey")
    signatures = [one.verified(asked.note) for one in dict.fromkeys((followed, trusted))]
    if followed != trusted and None in signatures:
        todo = (
            "ask for a checkpoint that both keys signed, and why it changed; it is made with seal --key OLD --also NEW"
        )
        raise BadNote(where, f"another key than the one seen before, {trusted}, which did not sign it too", todo)
    if signatures[0] is None:
        raise BadNote(where, f"not signed by the log's key, {trusted}")
    if not new.size and new.root != merkle.EMPTY:
        raise BadNote(where, "a checkpoint of no entries with a root over some")
    if last is not None and new.origin != last.checkpoint.origin:
        raise BadNote(where, f"a checkpoint of {new.origin!r}, not of {last.checkpoint.origin!r}")
    if last is not None:
        _check_continues(last.checkpoint, asked, where)
    return Seen(followed, new, Note(asked.note.text, tuple(x for x in signatures if x is not None)))


def _check_continues(old: Checkpoint, asked: Request, where: str) -> None:
    new = asked.checkpoint
    keep = "keep both checkpoints: together they show it; ask the log's owner, and show them to the other witnesses"
    if new.size < old.size:
        raise LedgerBroken(where, f"a rollback: {old.size} entries were seen before, and now {new.size}", keep)
    if new.size == old.size:
        if new.root != old.root:
            raise LedgerBroken(where, f"a fork: two histories of {new.size} entries, both signed", keep)
        return
    if asked.old != old.size and old.size:
        how = "no proof" if asked.old is None else f"a proof from {asked.old} entries"
        todo = f"ask the log for one from there: sla-ledger witness request --since {old.size}"
        raise LedgerError(where, f"{new.size} entries, {old.size} seen before, and {how} that they continue them", todo)
    if not merkle.is_consistent(old.size, old.root, new.size, new.root, asked.proof):
        what = (
            f"a fork, or a wrong proof: the {new.size} entries are not shown to begin with the {old.size} seen before"
        )
        raise LedgerBroken(where, what, keep)


def seen(path: Path) -> Seen | None:
    """Return what a state file remembers, None when there is none yet. Raises BadNote for another file."""
    if not path.exists():
        return None
    if not path.is_file() or path.stat().st_size > MAX_STATE:
        raise BadNote(str(path), "not the state of a witness", "name another file")
    return remembered(path.read_bytes(), str(path))


def remembered(data: bytes, where: str) -> Seen:
    """Return what the bytes of a state file say: the log's key in the first line, then the checkpoint seen last."""
    key, _, note = data.partition(b"\n")
    found = Seen(verifier(key.decode("utf-8", "replace"), where), *checkpoints.read(note, where))
    if found.key.verified(found.note) is None:
        todo = "restore it from a copy; to begin anew, name another file, and the log's key as you know it"
        raise BadNote(where, "not as it was written: its checkpoint is not signed by the key that it begins with", todo)
    return found


def check(
    path: Path, asked: Request, key: Verifier | None, signer: Signer | None, at: int, where: str
) -> tuple[Seen | None, Seen]:
    """Take a checkpoint as the next and keep it in the state file; return what was kept before, and what is now.

    signer: the witness's own key, which cosigns. at: now, in seconds since 1970. One witness at a time uses the file;
    what `accepted` refuses changes nothing. A link is followed, to one state and one lock.
    """
    path = path.resolve()
    seen(path)  # beside a file that is no state nothing is made
    with _alone(path):
        last = seen(path)
        found = accepted(last, asked, key, where)
        if signer is not None:
            found = Seen(found.key, found.checkpoint, signer.cosign(found.note, at))
        state = str(found).encode()
        if len(state) > MAX_STATE or remembered(state, where) != found:  # or it would begin anew some day
            raise BadNote(where, "a checkpoint that could be written down but not be read again")
        write(path, state)
    return last, found


def write(path: Path, data: bytes) -> None:
    """Put bytes into a file, whole or not at all, and onto the disk."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
