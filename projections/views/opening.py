"""The views of a ledger, ready to be asked: caught up, or built from nothing where that is needed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import LedgerBroken
from ledger.store.reading import Reader
from projections.views.file import State, TooMuch, fits, locked, made_by, mark, opened
from projections.views.tables import COMPARED, KNOWN, Damaged

if TYPE_CHECKING:
    from projections.views.building import Spread

Notice = Callable[[str], None]
Progress = Callable[[int, int], None]


class Unwritable(Exception):
    """Nothing can be kept at the place for the views."""


def current(
    path: Path, reader: Reader, say: Notice, progress: Progress, address: str | None = None, jobs: int = 1
) -> sqlite3.Connection:
    """Return a connection to views that are true for the ledger's last entry.

    address, jobs: of the ledger, and how many processes may read it there, where the views have to be built.

    Raises Unwritable where they can be neither read nor written; then entries have to be read instead.
    """
    last = reader.last_position()
    try:
        if path.exists():
            connection = opened(path)
            if fits(connection, reader, last) == last:
                return connection
            from projections.views.catching_up import catch_up

            with _changing(path, connection):
                position = fits(connection, reader, last)
                if position < last:
                    catch_up(connection, reader, position, last)
            return connection
    except TooMuch:
        pass
    except Damaged as error:
        say(f"the views are made anew: {error}")
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "readonly" in str(error)):
            raise Unwritable(str(error)) from error
        say(f"the views are made anew: {error}")
    rebuild(path, reader, progress, address, jobs, anew=False)
    return opened(path)


def add(path: Path, reader: Reader, position: int, write: Callable[[sqlite3.Connection], None]) -> None:
    """Add to views that are there and true for a position, in a transaction of their own."""
    if path.exists():
        with contextlib.closing(opened(path)) as connection, _changing(path, connection):
            if fits(connection, reader, reader.last_position()) == position:
                write(connection)


@contextlib.contextmanager
def _changing(path: Path, connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction that changes the views, or nothing."""
    with locked(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


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
    with locked(path):
        last = reader.last_position()
        if not anew and _is_current(path, reader, last):
            return last
        draft = path.with_name(f"{path.name}.draft")
        try:
            draft.unlink(missing_ok=True)
            build(draft, reader, last, progress, address, jobs, elsewhere)
            os.replace(draft, path)
        except sqlite3.OperationalError as error:
            if any(sign in str(error) for sign in ("readonly", "unable to open", "full", "disk I/O")):
                raise Unwritable(str(error)) from error
            raise
        finally:
            draft.unlink(missing_ok=True)
    return last


def _is_current(path: Path, reader: Reader, last: int) -> bool:
    if not path.exists():
        return False
    try:
        with contextlib.closing(opened(path)) as connection:
            return fits(connection, reader, last) == last
    except (Damaged, sqlite3.DatabaseError):
        return False


def true_for(connection: sqlite3.Connection, reader: Reader) -> int:
    """Return the position that views are true for; Damaged when they are those of another ledger or program."""
    return fits(connection, reader, reader.last_position())


def differences(one: Path, other: Path, most: int = 20) -> list[str]:
    """Return the first rows in which two views differ, table by table."""
    found = []
    with contextlib.closing(opened(one)) as connection, contextlib.closing(opened(other)) as rebuilt:
        kept, anew = State(connection), State(rebuilt)
        found = [f"{n}: {kept.get(n)} kept, {anew.get(n)} rebuilt" for n in KNOWN if kept.get(n) != anew.get(n)]
        connection.execute("ATTACH ? AS other", (str(other),))
        for table in COMPARED:
            for a, b, where in (("main", "other", "kept"), ("other", "main", "rebuilt")):
                statement = f"SELECT * FROM {a}.{table} EXCEPT SELECT * FROM {b}.{table} LIMIT ?"
                rows = connection.execute(statement, (most,))
                found += [f"{table}, only as {where}: {row}" for row in rows]
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
    from projections.views.catching_up import grounds_of, years_around

    try:
        grounds = grounds_of(reader, last, years_around(reader, last))
        others = building.others(reader, last)
    except LedgerBroken:
        building.find_damage(reader, last)
        raise
    with contextlib.closing(building.connected(draft)) as connection:
        try:
            totals, read, sums = building.fill(
                connection, draft, reader, grounds, last, progress, address, jobs, elsewhere
            )
        except LedgerBroken:
            building.find_damage(reader, last)
            raise
        if read + others != last:
            building.find_damage(reader, last)
        connection.execute("BEGIN")
        building.write_totals(connection, totals)
        latest = connection.execute("SELECT coalesce(max(last_time), 0) FROM cases").fetchone()[0]
        State(connection).put_grounds(grounds)
        State(connection).put(
            made_by=made_by(),
            position=last,
            mark=mark(reader.at([last])[0]) if last else "",
            is_movable=int(grounds.is_movable),
            last_time=max(latest, grounds.last_time),
            **sums,
        )
        connection.execute("COMMIT")
    with draft.open("rb") as file:
        os.fsync(file.fileno())
