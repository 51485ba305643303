"""The keys under which summaries are sealed: one a customer, in a SQLite file beside the ledger, never in it.

Each key is wrapped (RFC 3394) by a key-encryption key that lies in a third file. Destroying a customer's key is what
forgets his summaries, so this file overwrites what it deletes. Who was forgotten when, and by whom, stays in it.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import sqlite3
import stat
from base64 import b32encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ledger import clock
from ledger.errors import LedgerError
from ledger.files import sync
from ledger.instants import stamp
from ledger.text import clean

APPLICATION_ID = 0x534C4B59  # "SLKY"
PSEUDONYMS = ":pseudonyms"  # holds the key of the pseudonyms; no customer is called so
SECRET_BYTES = 32
_SCHEMA = f"""
CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    wrapped BLOB,
    made_at TEXT NOT NULL,
    made_by TEXT NOT NULL,
    made_for TEXT NOT NULL,
    destroyed_at TEXT,
    destroyed_by TEXT,
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL AND destroyed_by IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX one_living_key ON keys (holder) WHERE wrapped IS NOT NULL;
PRAGMA application_id = {APPLICATION_ID};
"""


class KeysUnusable(LedgerError):
    """The keys are there, or should be, and cannot be used."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where keys are kept. `named`: somebody said so, and a file that is not there is missing, not yet to be made."""

    keys: Path
    kek: Path
    named: bool = False

    @property
    def exists(self) -> bool:
        """Whether there is a key file. KeysUnusable when one was promised, by name or by a link, and is gone."""
        if self.keys.exists():
            return True
        if self.named or self.keys.is_symlink():
            todo = "bring it back; a first one is made by: sla-ledger privacy on CUSTOMER"
            raise KeysUnusable(clean(str(self.keys)), "the key file that was named is not here", todo)
        return False


def place_of(address: str, environ: Mapping[str, str]) -> Place:
    """Return where the keys of a ledger are kept: where SLA_LEDGER_KEYS and SLA_LEDGER_KEK say, else beside its file,
    wherever a link to it lies.

    Those of a database are kept in the user's data folder. The key-encryption key lies beside the keys.
    """
    from ledger.store.address import is_database, shown

    named = environ.get("SLA_LEDGER_KEYS")
    if named:
        keys = named
    elif is_database(address):
        data = environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        keys = str(
            Path(data, "sla-ledger", re.sub("[^A-Za-z0-9._]+", "-", shown(address).partition("://")[2]) + ".keys")
        )
    else:
        keys = f"{os.path.realpath(address) if os.path.islink(address) else address}.keys"
    kek = environ.get("SLA_LEDGER_KEK") or f"{keys.removesuffix('.keys')}.kek"
    return Place(Path(keys), Path(kek), bool(named))


@dataclass(frozen=True, slots=True)
class Key:
    """A key that can be used."""

    id: str
    holder: str
    secret: bytes = field(repr=False)
    made_for: str = ""  # the identity of a ledger

    def digest(self, *parts: bytes) -> bytes:
        """Return 32 bytes that nobody can make without the key; the same parts always give the same (RFC 2104)."""
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)  # so that no two pass for one
        return hmac.digest(self.secret, message, "sha256")


@dataclass(frozen=True, slots=True)
class Trail:
    """What became of a key: when and by whom it was made, and destroyed; None while it lives. Instants are RFC 3339."""

    id: str
    holder: str
    made_at: str
    made_by: str
    destroyed_at: str | None
    destroyed_by: str | None


class KeyFile:
    """The keys at a place. Everything raises KeysUnusable when the files are not what they must be."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def make(self, holder: str, by: str, made_for: str = "") -> tuple[Key, bool]:
        """Return the living key of a holder, and whether it was made just now; the files are made when missing.

        made_for: the identity of the ledger where it is to seal, though others have sealed there before.

        Of several that ask at once one makes the key, and all get that one.
        """
        with self._changing(create=True) as connection:
            rows = _living(connection)
            kek = self._kek(create=not rows)
            living = {row[1]: _unwrapped(row, kek, self.place) for row in rows}
            if holder in living:
                return living[holder], False
            key = Key(_random_id(), holder, os.urandom(SECRET_BYTES), made_for)
            connection.execute(
                "INSERT INTO keys (id, holder, wrapped, made_at, made_by, made_for) VALUES (?, ?, ?, ?, ?, ?)",
                (key.id, holder, _wrapped(key, kek), stamp(clock.now()), by, made_for),
            )
            return key, True

    def living(self) -> dict[str, Key]:
        """Return the keys that can be used, by holder; none where there is no key file."""
        if not self.place.exists:
            return {}
        with self._reading() as connection:
            rows = _living(connection)
        kek = self._kek(create=False) if rows else b""
        return {row[1]: _unwrapped(row, kek, self.place) for row in rows}

    def trail(self) -> list[Trail]:
        """Return what became of every key ever made, in order of making; nothing where there is no key file."""
        if not self.place.exists:
            return []
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT id, holder, made_at, made_by, destroyed_at, destroyed_by FROM keys ORDER BY made_at, rowid"
            )
            return [Trail(*row) for row in rows]

    def destroy(self, holder: str, by: str) -> bool:
        """Destroy the living key of a holder, and return whether there was one. What it sealed is gone for ever."""
        with self._changing() as connection:
            done = connection.execute(
                "UPDATE keys SET wrapped = NULL, destroyed_at = ?, destroyed_by = ?"
                " WHERE holder = ? AND wrapped IS NOT NULL",
                (stamp(clock.now()), by, holder),
            )
        return done.rowcount > 0

    @contextlib.contextmanager
    def _changing(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """Yield the key file in a transaction of its own, nobody else writing; all of it is written, or nothing."""
        if create and not self.place.keys.exists():
            _make_private(self.place.keys, _write_schema)
        with self._reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        path = self.place.keys
        _check_private(path)
        try:
            address = f"{path.absolute().as_uri()}?mode=rw"
            with contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=30)) as connection:
                connection.execute("PRAGMA secure_delete = ON")  # no page keeps what it held before
                connection.execute("PRAGMA synchronous = EXTRA")
                connection.execute("PRAGMA trusted_schema = OFF")
                mark = connection.execute("PRAGMA application_id").fetchone()[0]
                if mark != APPLICATION_ID:
                    raise sqlite3.DatabaseError("it is another kind of file")
                yield connection
        except sqlite3.Error as error:
            todo = "make room there, name another place: SLA_LEDGER_KEYS=FILE, or bring back a copy of this one"
            raise KeysUnusable(clean(str(path)), f"the key file cannot be used: {error}", todo) from None

    def _kek(self, create: bool) -> bytes:
        """Return the key-encryption key. It is made with the first key and never again: it could open nothing."""
        path = self.place.kek
        if create and not path.exists():
            _make_private(path, _write_kek)
        try:
            _check_private(path)
            kek = bytes.fromhex(path.read_text(encoding="ascii").strip())
            if len(kek) != SECRET_BYTES:
                raise ValueError(f"{len(kek)} bytes in place of {SECRET_BYTES}")
        except (OSError, ValueError) as error:
            what = f"the key-encryption key cannot be read: {getattr(error, 'strerror', None) or error}"
            todo = "bring back the file that was made with the keys: without it nothing can be sealed or read"
            raise KeysUnusable(clean(str(path)), what, todo) from None
        return kek


def _living(connection: sqlite3.Connection) -> list[tuple[str, str, bytes, str]]:
    return connection.execute("SELECT id, holder, wrapped, made_for FROM keys WHERE wrapped IS NOT NULL").fetchall()


def _wrapped(key: Key, kek: bytes) -> bytes:
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap

    return aes_key_wrap(kek, key.secret)


def _unwrapped(row: tuple[str, str, bytes, str], kek: bytes, place: Place) -> Key:
    from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

    try:
        return Key(row[0], row[1], aes_key_unwrap(kek, row[2]), row[3])
    except (InvalidUnwrap, TypeError):
        todo = "bring back the one that was made with the keys"
        raise KeysUnusable(clean(str(place.kek)), f"this is not the key that wraps {place.keys}", todo) from None


def _random_id() -> str:
    return b32encode(os.urandom(10)).decode().lower()


def _make_private(place: Path, write: Callable[[Path], None]) -> None:
    """Make a file that only its owner can read, whole and on disk; one that was made meanwhile stays as it is.

    KeysUnusable when it cannot be written; nothing is left of it then.
    """
    path = Path(os.path.realpath(place))
    draft = path.with_name(f"{path.name}.{_random_id()}.draft")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            write(draft)
            sync(draft)
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
        sync(path.parent)
    except (OSError, sqlite3.Error) as error:
        what = f"the keys cannot be written: {getattr(error, 'strerror', None) or error}"
        todo = "nothing was made; make room there, or name another place: SLA_LEDGER_KEYS=FILE"
        raise KeysUnusable(clean(str(path)), what, todo) from None


def _write_schema(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")  # a draft is whole, or thrown away
        connection.executescript(_SCHEMA)


def _write_kek(path: Path) -> None:
    path.write_text(f"{os.urandom(SECRET_BYTES).hex()}\n", encoding="ascii")


def _check_private(path: Path) -> None:
    """Raise KeysUnusable for a file that is not there, or that others than its owner may read or write."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        what = f"the keys cannot be read: {error.strerror}"
        todo = "bring the file back, or name where it is: SLA_LEDGER_KEYS=FILE, SLA_LEDGER_KEK=FILE"
        raise KeysUnusable(clean(str(path)), what, todo) from None
    if not stat.S_ISREG(mode):
        raise KeysUnusable(clean(str(path)), "this is no file", "name another place for the keys: SLA_LEDGER_KEYS=FILE")
    if os.name == "posix" and mode & 0o077:
        what = f"others than its owner may use this key file (mode {stat.S_IMODE(mode):04o})"
        raise KeysUnusable(clean(str(path)), what, "take their rights away: chmod 600 FILE")
