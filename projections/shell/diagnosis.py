"""What doctor finds around a ledger: the installation, the ledger's files and disk or its server, and the key."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
import zoneinfo
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ledger import clock
from ledger.errors import LedgerError
from ledger.files import other_than_file
from ledger.seal import keys
from ledger.store.sqlite_reading import is_interrupted, is_wal

LIBRARIES = ("eventsourcing", "pydantic", "msgspec", "typer", "rich", "cryptography")
LEAST_FREE, ENOUGH_FREE = 16 << 20, 256 << 20  # bytes
OVER_A_NETWORK = frozenset(
    (
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "glusterfs",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "rclone",
        "s3fs",
        "smb3",
        "smbfs",
        "sshfs",
    )
)
IN_MEMORY = frozenset(("ramfs", "tmpfs"))
_BESIDE = (".lock", "-journal", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Row:
    """One check: its name, `ok`, `warning` or `wrong`, what was found, and what to do about it."""

    check: str
    status: str
    found: str
    todo: str | None = None


def ok(check: str, found: str) -> Row:
    """Return a row that asks for nothing."""
    return Row(check, "ok", found)


def warning(check: str, found: str, todo: str) -> Row:
    """Return a row that somebody should look at."""
    return Row(check, "warning", found, todo)


def wrong(check: str, found: str, todo: str) -> Row:
    """Return a row that has to be put right."""
    return Row(check, "wrong", found, todo)


def tried(check: str, rows: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    """Yield the rows of a check; whatever stops it becomes one."""
    try:
        yield from rows()
    except LedgerError as error:
        yield wrong(check, f"{error.where}: {error.what}", error.todo)
    except OSError as error:
        yield wrong(check, f"{error.filename or check}: {error.strerror}", "check its name, and who may read it")
    except Exception as error:
        todo = "look at the file or the server; if nothing is amiss there, report this"
        yield wrong(check, f"cannot be looked at: {type(error).__name__}: {error}", todo)


def of_program() -> Iterator[Row]:
    """Yield the versions of the program, of Python and of the libraries whose work figures and files rest on."""
    again = "install the program again: pip install sla-ledger"
    for name in ("sla-ledger", *LIBRARIES):
        try:
            yield ok(name, version(name))
        except PackageNotFoundError:
            yield wrong(name, "not installed", again)
    yield ok("python", sys.version.partition(" ")[0])


def of_sqlite() -> Row:
    """Return the version of SQLite, and in which mode this program writes with it."""
    from ledger.store.sqlite import has_wal_fix

    if has_wal_fix(sqlite3.sqlite_version_info):
        return ok("sqlite", f"{sqlite3.sqlite_version}; ledgers are written in WAL mode, synchronous FULL")
    mode = "without the fix of WAL mode (3.51.3, 3.50.7, 3.44.6); ledgers are written in TRUNCATE mode"
    return ok("sqlite", f"{sqlite3.sqlite_version}, {mode}, synchronous EXTRA")


def of_zone_data(decided_in: int | None) -> Row:
    """Return which zone data local time is reckoned with. decided_in: the year of the last decision, None for none."""
    from tzdata import IANA_VERSION

    from ledger import zones

    found, todo = f"{IANA_VERSION}, of the tzdata package", "take newer zone data: pip install --upgrade tzdata"
    if zoneinfo.TZPATH or zones.ZoneInfo is not zoneinfo.ZoneInfo:
        return wrong("zone data", f"read from {', '.join(zoneinfo.TZPATH)}", "install the program again")
    if decided_in is not None and int(IANA_VERSION[:4]) < decided_in - 1:
        return warning("zone data", f"{found}; the last decision is of {decided_in}", todo)
    return ok("zone data", found)


def of_journal(path: Path) -> Iterator[Row]:
    """Yield the journal mode that a ledger's file is in, and whether a writer was stopped in the middle."""
    from ledger.store.sqlite import has_wal_fix

    wal = is_wal(path)
    if wal and not has_wal_fix(sqlite3.sqlite_version_info):
        todo = "stop all that use the ledger, then record one fact here: that ends WAL mode; or use a newer SQLite"
        yield wrong("journal mode", f"WAL, which SQLite {sqlite3.sqlite_version} can damage", todo)
    else:
        yield ok("journal mode", "WAL" if wal else "a rollback journal")
    if is_interrupted(path) and not _is_written(path):
        yield warning(
            "interrupted",
            "a writer was stopped in the middle; whoever opens the ledger next undoes what it left half-done",
            "nothing that was acknowledged is lost; look why it was stopped, then: sla-ledger verify",
        )


def of_files(path: Path) -> Iterator[Row]:
    """Yield what lies in the place of a file that is kept beside a ledger, and is none."""
    for ending in _BESIDE:
        beside = path.with_name(path.name + ending)
        if beside.exists() and (kind := other_than_file(beside)):
            yield wrong("files", f"{beside}: it is {kind}", "move it away: a file of the ledger's own has this name")


def _is_written(path: Path) -> bool:
    """Return whether a writer has its turn just now."""
    try:
        import fcntl

        with path.with_name(f"{path.name}.lock").open("rb") as turn:
            fcntl.flock(turn, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False


def of_disk(path: Path) -> Iterator[Row]:
    """Yield the room that is left for a ledger, and the kind of file system it lies on."""
    size, free = path.stat().st_size, shutil.disk_usage(path.absolute().parent).free
    found = f"{_megabytes(free)} free, the ledger has {_megabytes(size)}"
    todo = "make room: a writer that finds none stops; views and a copy beside the ledger each need about its size"
    if free < max(LEAST_FREE, size // 10):
        yield wrong("free space", found, todo)
    elif free < max(ENOUGH_FREE, 2 * size):
        yield warning("free space", found, todo)
    else:
        yield ok("free space", found)
    kind = file_system(path)
    if kind.removeprefix("fuse.") in OVER_A_NETWORK:
        todo = "move the ledger to a disk of this machine, or use PostgreSQL: locks and syncs may not hold here"
        yield wrong("file system", kind, todo)
    elif kind in IN_MEMORY:
        yield warning("file system", f"{kind}: gone when the machine stops", "keep the ledger on a disk")
    else:
        yield ok("file system", kind or "cannot be told on this machine")


def file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the kind of file system that a path lies on, as Linux names it; empty where that is not told."""
    found, depth, place = "", -1, Path(os.path.realpath(path))
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        folder = Path(fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        if (place == folder or folder in place.parents) and len(folder.parts) >= depth:
            found, depth = after.split(" ")[0], len(folder.parts)
    return found


def of_permissions(path: Path) -> Iterator[Row]:
    """Yield who may write a ledger, what lies beside it, and its folder."""
    if os.name != "posix":
        yield ok("permissions", "not looked at on this system")
        return
    for ending in ("", *_BESIDE):
        beside = path.with_name(path.name + ending)
        if beside.exists():
            yield _who_writes(beside, f"chmod o-w,g-w '{beside}'")
    folder = path.absolute().parent
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and mode & stat.S_ISVTX:
        todo = "move the ledger into a folder of its own"
        yield warning("permissions", f"{folder}: {stat.filemode(mode)}, a folder that all share", todo)
    else:
        yield _who_writes(folder, f"chmod o-w,g-w '{folder}'; who may write there can put another ledger in its place")


def _who_writes(path: Path, todo: str) -> Row:
    mode = path.stat().st_mode
    found = f"{path}: {stat.filemode(mode)}"
    if mode & stat.S_IWOTH:
        return wrong("permissions", f"{found}, everybody may write", todo)
    if mode & stat.S_IWGRP:
        return warning("permissions", f"{found}, a group may write", todo)
    return ok("permissions", found)


def of_summary_keys(files: Iterable[Path]) -> Iterator[Row]:
    """Yield who may read the files that open sealed summaries, those that are there."""
    for file in files:
        if os.name == "posix" and file.exists():
            mode = file.stat().st_mode
            found, todo = f"{file}: {stat.filemode(mode)}", f"chmod 600 '{file}'"
            open_to_others = stat.S_IMODE(mode) & 0o077
            yield (
                wrong("summary keys", f"{found}, others may use it", todo)
                if open_to_others
                else ok("summary keys", found)
            )


def of_key(key: Path, ledger: Path | None) -> Iterator[Row]:
    """Yield what is to be said of a key file: whether it holds a key that nobody else may use, and where it lies."""
    try:
        yield ok("key", f"{key}: {keys.read(key).verifier()}")
    except LedgerError as error:
        yield wrong("key", f"{key}: {error.what}", error.todo)
    if ledger is not None and os.path.realpath(key.absolute().parent) == os.path.realpath(ledger.absolute().parent):
        todo = "move it elsewhere: whoever takes the folder should not get both"
        yield warning("key", f"{key}: in the same folder as the ledger", todo)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def of_guards(path: Path) -> Row:
    """Return whether a ledger's tables and triggers are as they were made."""
    from ledger.store.sqlite import altered

    changed = altered(path)
    if changed:
        todo = "somebody has had the file open with another program: sla-ledger verify, and restore a copy"
        return wrong("guards", f"not as they were made: {', '.join(changed)}", todo)
    return ok("guards", "tables and triggers are as they were made")


def of_server(address: str) -> Iterator[Row]:
    """Yield how a PostgreSQL server keeps the ledger, and what this login may do to it."""
    from ledger.store.server import asked

    server = asked(address)
    sums = "with" if server.has_checksums else "without"
    yield ok("server", f"PostgreSQL {server.version}, {sums} checksums of its pages")
    if server.syncs and server.writes_whole_pages:
        yield ok("durability", f"fsync is on; synchronous_commit is {server.synchronous_commit}, and on for each entry")
    else:
        todo = "set fsync = on and full_page_writes = on: without, a power cut loses or damages what was acknowledged"
        yield wrong("durability", "fsync or full_page_writes is off", todo)
    if server.may_change:
        todo = "work as a login that has sla_ledger_writer alone; keep this one for upkeep"
        yield wrong("rights", f"{server.login} may {', '.join(server.may_change)}", todo)
    else:
        yield ok("rights", f"{server.login} may {'append' if server.may else 'read'}")
    if server.asleep:
        todo = "somebody has switched them off: sla-ledger verify, then ALTER TABLE ... ENABLE ALWAYS TRIGGER ..."
        yield wrong("guards", f"do not fire, {', '.join(server.asleep)}", todo)
    else:
        yield ok("guards", "all triggers fire, for every role")
    if server.other_functions:
        todo = "drop them: with POSTGRES_ENABLE_DB_FUNCTIONS a reader can miss entries, and this program never uses it"
        yield wrong("functions", f"not of this program: {', '.join(server.other_functions)}", todo)
    yield _clocks(server.ahead_by_seconds)


def _clocks(ahead: int) -> Row:
    found = f"the server's is {abs(ahead)} s {'ahead of' if ahead >= 0 else 'behind'} this machine's"
    if abs(ahead) > clock.CLOCK_TOLERANCE.total_seconds():
        return wrong("clock", found, "set both by the same time server: recording times come from this machine")
    if abs(ahead) > 5:
        return warning("clock", found, "set both by the same time server")
    return ok("clock", found)
