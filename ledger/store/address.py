"""Where a ledger is: a SQLite file, or a database of a PostgreSQL server."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ledger.errors import LedgerError
from ledger.text import clean

if TYPE_CHECKING:
    from ledger.store.reading import Reader
    from ledger.store.recorder import Store

SCHEMES = ("postgresql://", "postgres://")
HOST = r"(?:\[[0-9A-Fa-f:.]*\]|[^][:/?@,]*)(?::[0-9]*)?"
FORM = re.compile(
    rf"(?P<scheme>postgres(?:ql)?://)(?:(?P<user>[^:/?@]*)(?::[^/?@]*)?@)?"
    rf"(?P<place>{HOST}(?:,{HOST})*(?:/[^?@]*)?)(?:\?(?P<query>[^@]*))?"
)
_KEPT = ("", ".views", ".keys", ".kek")
_BESIDE = ("", "-journal", "-wal", "-shm", ".lock")
SHOWN = ("host", "hostaddr", "port", "user", "dbname", "service", "sslmode")


def is_database(address: str) -> bool:
    """Return whether an address names a database of a PostgreSQL server."""
    return address.startswith(SCHEMES)


def is_of_ledger(path: Path, address: str) -> bool:
    """Return whether a path is the place of a ledger's file, or of one that the program or SQLite keeps beside it."""
    if is_database(address):
        return False
    place, *named = (os.path.join(os.path.realpath(x.parent), x.name) for x in (path, Path(address)))
    kept = (f"{ledger}{ending}" for ledger in (*named, os.path.realpath(address)) for ending in _KEPT)
    return place in {f"{file}{ending}" for file in kept for ending in _BESIDE}


def is_well_formed(address: str) -> bool:
    """Return whether an address of a database can be told from the password in it."""
    return FORM.fullmatch(address) is not None


def shown(address: str) -> str:
    """Return an address as it may be printed: without its password, and of a malformed one nothing but the scheme."""
    if not is_database(address):
        return clean(address)
    form = FORM.fullmatch(address)
    if form is None:
        return f"{address.partition('://')[0]}://..."
    user = f"{form['user']}@" if form["user"] else ""
    query = "&".join(x for x in (form["query"] or "").split("&") if unquote(x.partition("=")[0]) in SHOWN)
    return clean(f"{form['scheme']}{user}{form['place']}{'?' if query else ''}{query}")


def reader_at(address: str) -> Reader:
    """Return what reads the rows at an address, to be closed after use; raises what the store's check raises."""
    if is_database(address):
        with _driver(address):
            from ledger.store.postgres_reading import DatabaseReader
        return DatabaseReader(address)
    from ledger.store.sqlite_reading import FileReader

    return FileReader(Path(address))


def store_at(address: str) -> Store:
    """Return the store of an address; LedgerError when what PostgreSQL needs is not installed."""
    if is_database(address):
        with _driver(address):
            from ledger.store import postgres  # its libraries load longer than a command without them takes
        return postgres
    from ledger.store import sqlite

    return sqlite


@contextlib.contextmanager
def _driver(address: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        what = f"PostgreSQL's driver is not installed ({clean(str(error))})"
        raise LedgerError(shown(address), what, "install it: pip install 'sla-ledger[postgres]'") from None
