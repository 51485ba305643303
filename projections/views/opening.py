"""The views of a ledger, ready to be asked: caught up, or built from nothing where that is needed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ledger.errors import LedgerBroken
from ledger.files import sync
from ledger.store.reading import Reader
from projections.views.file import State, TooMuch, fits, made_by, mark, opened
from projections.views.place import Unwritable, check, is_as_left, locked
from projections.views.tables import AMISS, COMPARED, KNOWN, Damaged

if TYPE_CHECKING:
    from projections.views.building import Spread

Notice = Callable[[str], None]
Progress = Callable[[int, int], None]

CHANGED = "the file is not as this program left it"


def current(
    path: Path, reader: Reader, say: Notice, progress: Progress, address: str | None = None, jobs: int = 1
) -> sqlite3.Connection:
    """Return a connection to views that are true for the ledger's last entry, and stay so until it is closed.

    address, jobs: of the ledger, and how many processes may read it there, where the views have to be built.

    Raises Unwritable where they can be neither read nor written; then entries have to be read instead.
    """
    check(path)
    last = reader.last_position()
    try:
        if path.exists():
            found = _as_of_last(path, reader, last) or _caught_up(path, reader, last)
            if found is not None:
                return found
    except TooMuch:
        pass
    except (Damaged, sqlite3.DatabaseError) as error:
        if isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "readonly" in str(error)):
            raise Unwritable(path, str(error)) from error
        say(f"the views are made anew: {error}")
    rebuild(path, reader, progress, address, jobs, anew=False)
    try:
        connection = _as_of_last(path, reader, last)
    except (Damaged, sqlite3.DatabaseError) as error:
        raise Unwritable(path, f"they do not stay as they were built: {error}") from error
    if connection is None:
        raise Unwritable(path, "they do not stay as they were built")
    return connection


def add(path: Path, reader: Reader, position: int, write: Callable[[sqlite3.Connection], None]) -> None:
    """Add to views that are there, as they were left and true for a position, in a transaction of their own."""
    check(path)
    if not path.exists():
        return
    with locked(path) as leave:
        with contextlib.closing(opened(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            if fits(connection, reader) != position or not is_as_left(path):
                return
            write(connection)
            connection.execute("COMMIT")
        leave()


def _as_of_last(path: Path, reader: Reader, last: int) -> sqlite3.Connection | None:
    """Return a connection that sees one state of the views to its end; None when there is something to do first."""
    connection = opened(path)
    try:
        connection.execute("BEGIN")
        if fits(connection, reader) >= last and is_as_left(path):
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def _caught_up(path: Path, reader: Reader, last: int) -> sqlite3.Connection | None:
    """Bring the views up to the ledger and return what `_as_of_last` does; Damaged when another hand changed them.

    The file is opened when it is our turn: the one that was there before may have been replaced.
    """
    from projections.views.catching_up import catch_up

    with locked(path) as leave:
        check(path)
        with contextlib.closing(opened(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            position = fits(connection, reader)
            if not is_as_left(path):
                raise Damaged(CHANGED)
            if position < last:
                catch_up(connection, reader, position, last)
            connection.execute("COMMIT")
        leave()
    return _as_of_last(path, reader, last)


def rebuild(
    path: Path,
    reader: Reader,
    progress: Progress,
    address: str | None = None,
    jobs: int = 1,
    elsewhere: Spread | None = None,
    *,
    anew: bool = True,
) -> int:
    """Build the views from nothing beside them, put them in their place, and return the position they are true for.

    anew: even if somebody else has just done so. What a killed build left behind is thrown away.
    """
    check(path)
    with locked(path) as leave:
        last = reader.last_position()
        if not anew and _is_current(path, reader, last):
            return last
        draft = path.with_name(f"{path.name}.draft")
        check(draft)
        try:
            draft.unlink(missing_ok=True)
            build(draft, reader, last, progress, address, jobs, elsewhere)
            check(path)
            path.with_name(f"{path.name}-journal").unlink(missing_ok=True)  # it would be rolled back into the new file
            os.replace(draft, path)
            leave()
        except (OSError, sqlite3.OperationalError) as error:
            raise Unwritable(path, str(error)) from error
        finally:
            draft.unlink(missing_ok=True)
    return last


def _is_current(path: Path, reader: Reader, last: int) -> bool:
    if not path.exists():
        return False
    try:
        connection = _as_of_last(path, reader, last)
    except (Damaged, sqlite3.DatabaseError):
        return False
    if connection is not None:
        connection.close()
    return connection is not None


def true_for(connection: sqlite3.Connection, reader: Reader) -> int:
    """Return the position that views are true for; Damaged when they are those of another ledger or program."""
    return fits(connection, reader)


def differences(one: Path, other: Path, most: int = 20) -> list[str]:
    """Return the first rows in which two views differ, table by table."""
    found = []
    with contextlib.closing(opened(one)) as connection, contextlib.closing(opened(other)) as rebuilt:
        try:
            sound = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
            found += [f"the file is damaged: {line}" for line in sound if line != "ok"]
            kept, anew = State(connection).all(), State(rebuilt).all()
            found += [f"{n}: {kept.get(n)} kept, {anew[n]} rebuilt" for n in KNOWN if kept.get(n) != anew[n]]
            if not State(connection).grounds().agrees_with(State(rebuilt).grounds()):
                found.append("grounds: cases would be judged on others than the entries give")
            connection.execute("ATTACH ? AS other", (str(other),))
            for table in COMPARED:
                for a, b, where in (("main", "other", "kept"), ("other", "main", "rebuilt")):
                    statement = f"SELECT * FROM {a}.{table} EXCEPT SELECT * FROM {b}.{table} LIMIT ?"
                    rows = connection.execute(statement, (most,))
                    found += [f"{table}, only as {where}: {row}" for row in rows]
        except (Damaged, sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            found.append(f"they cannot be read: {error}")
    return found[:most]


def build(
    draft: Path,
    reader: Reader,
    last: int,
    progress: Progress,
    address: str | None = None,
    jobs: int = 1,
    elsewhere: Spread | None = None,
) -> None:
    """Build views that are true for a position into a file that is not there yet."""
    from projections.views import building
    from projections.views.parts import connected

    try:
        found = building.fill(draft, reader, last, progress, address, jobs, elsewhere)
    except (LedgerBroken, *AMISS):
        building.find_damage(reader, last)
        raise
    if found.read != last:
        building.find_damage(reader, last)
    with contextlib.closing(connected(draft)) as connection:
        connection.execute("BEGIN")
        building.write_totals(connection, found.cases.totals)
        State(connection).put_grounds(found.grounds)
        State(connection).put(
            made_by=made_by(),
            ledger=reader.identity(),
            position=last,
            mark=mark(reader.at([last])[0]) if last else "",
            is_movable=int(found.grounds.is_movable),
            last_time=max(found.cases.latest, found.grounds.last_time),
            **found.sums,
        )
        connection.execute("COMMIT")
    sync(draft)
