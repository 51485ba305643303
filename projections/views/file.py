"""The views' file: opened for one question, caught up with the ledger first, made anew when it does not fit."""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
from tzdata import IANA_VERSION

from ledger.store.reading import Reader, Stored
from ledger.store.sqlite_reading import distrust, kept_if_sound
from projections.grounds import Clock, Grounds
from projections.views.tables import FORMAT, INDEXES, SCHEMA, Damaged, encode, unsealed, write

WAIT_SECONDS = 60


class TooMuch(Exception):
    """It is quicker to build the views from nothing, or nothing less would do."""


class State:
    """What a file is true for, by name; every value is sealed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> Any:
        """Return a value; Damaged when it is not there."""
        row = self._connection.execute("SELECT name, value, seal FROM state WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise Damaged(f"{name} is missing")
        return unsealed(row)[1]

    def all(self) -> dict[str, Any]:
        """Return all values; Damaged when a seal does not fit."""
        rows = self._connection.execute("SELECT name, value, seal FROM state ORDER BY name").fetchall()
        return dict(map(unsealed, rows))

    def put(self, **values: Any) -> None:
        """Write values."""
        write(self._connection, "state", values.items(), or_replace=True)

    def grounds(self) -> Grounds:
        """Return the grounds that the cases were judged on, whole."""
        found = self.grounds_without_clocks()
        found.clocks = [self.clock(i) for i in range(self.get("clocks"))]
        return found

    def grounds_without_clocks(self) -> Grounds:
        """Return the grounds that the cases were judged on, but for the clocks."""
        return msgspec.json.decode(self.get("grounds"), type=Grounds)

    def clock(self, index: int) -> Clock:
        """Return one of the clocks."""
        return msgspec.json.decode(self.get(f"clock {index}"), type=Clock)

    def put_grounds(self, grounds: Grounds) -> None:
        """Write the grounds that the cases were judged on."""
        clocks = {f"clock {i}": encode(clock).decode() for i, clock in enumerate(grounds.clocks)}
        rest = encode(msgspec.structs.replace(grounds, clocks=[])).decode()
        self.put(grounds=rest, clocks=len(clocks), **clocks)


def mark(entry: Stored) -> str:
    """Return what tells one entry from any other: all that is stored of it."""
    position, stream, version, name, state = entry
    return f"{position} {stream} {version} {name} {bytes(state).decode()}"


@cache
def made_by() -> str:
    """Return what made the findings, the rules word for word and the zone data: others make them anew."""
    found, here = 0, Path(__file__).resolve().parent
    for folder in (here, here.parent, here.parents[1] / "ledger"):
        for source in sorted(folder.glob("*.py")):
            found = crc32(source.read_bytes(), found)
    return f"{FORMAT} {found:08x} {IANA_VERSION}"


def opened(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """Return a connection to a views file that is there; Damaged when it holds other tables than it should."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=WAIT_SECONDS, isolation_level=None
    )
    with kept_if_sound(connection):
        connection.execute("PRAGMA synchronous = NORMAL")
        distrust(connection)
        made = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
        if sorted(sql for (sql,) in made) != sorted((*SCHEMA, *INDEXES)):
            raise Damaged("they are not in the tables that this program makes")
    return connection


def fits(connection: sqlite3.Connection, reader: Reader) -> int:
    """Return the position that the views are true for; Damaged when they are those of another ledger or program."""
    state = State(connection)
    if state.get("made_by") != made_by():
        raise Damaged("another version of the program made them")
    if state.get("ledger") != reader.identity():
        raise Damaged("they are those of another ledger")
    position = int(state.get("position"))
    last = reader.last_position()  # read after the views are: others may record and catch up meanwhile
    if position > last:
        raise Damaged(f"they are true for entry {position}, and the ledger ends with {last}")
    if position and [mark(e) for e in reader.at([position])] != [state.get("mark")]:
        raise Damaged(f"they are those of another ledger: entry {position} is not the one they know")
    return position
