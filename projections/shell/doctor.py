"""What is wrong with the installation or the ledger, and what to do about it: a row a check."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ledger.errors import LedgerError
from ledger.store.address import is_database, shown
from projections.shell import diagnosis, output
from projections.shell.diagnosis import Row, tried
from projections.shell.options import READING_OPTIONS, with_options
from projections.shell.record_checks import of_ledger, of_stream_file
from projections.shell.scope import Scope


def looking(command: Any) -> Any:
    """Give a command the options that say which ledger and which views to look at."""
    return with_options(command, {name: READING_OPTIONS[name] for name in ("db", "views", "format", "json")})


@looking
def doctor(
    scope: Scope,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", envvar="SLA_LEDGER_KEY", help="the key that signs checkpoints (default: that of `seal`)"
        ),
    ] = None,
) -> None:
    """What is wrong with the installation or the ledger, a row a check: ok, warning or wrong, and what to do.

    Quick: it reads the times of entries, not what they say; whether they are as they were recorded, `verify` tells.
    Exit status 1 when something is wrong; warnings alone leave it 0.

    \b
    Examples:
      sla-ledger doctor
      sla-ledger doctor --key ~/keys/ledger.key --json
    """
    found = list(_rows(scope, _key_file(key)))
    output.rows(scope, [asdict(row) for row in found], ("check", "status", "found", "todo"))
    bad = list(dict.fromkeys(row.check for row in found if row.status == "wrong"))
    if bad:
        raise LedgerError(shown(scope.db), f"wrong: {', '.join(bad)}", "do what stands beside them, then ask again")


def _key_file(named: str | None) -> Path | None:
    """Return the key file to look at: the one that is named, else the one that `seal` takes, if there is one."""
    from projections.shell.custody import default_key

    if named:
        return Path(named)
    with suppress(RuntimeError):  # who has no home has no key there
        return default_key() if os.path.exists(default_key()) else None
    return None


def _rows(scope: Scope, key: Path | None) -> Iterator[Row]:
    """Yield every check that applies; one that cannot be made is a row too."""
    path = None if scope.is_stream_file or is_database(scope.db) else Path(scope.db)
    yield from tried("versions", diagnosis.of_program)
    yield from tried("sqlite", lambda: [diagnosis.of_sqlite()])
    if path is not None and os.path.isfile(path):
        yield from tried("files", lambda: diagnosis.of_files(path))
        yield from tried("journal mode", lambda: diagnosis.of_journal(path))
        yield from tried("free space", lambda: diagnosis.of_disk(path))
        yield from tried("permissions", lambda: diagnosis.of_permissions(path))
        yield from tried("guards", lambda: [diagnosis.of_guards(path)])
    elif is_database(scope.db):
        yield from tried("server", lambda: diagnosis.of_server(scope.db))
    if key is not None:
        yield from tried("key", lambda: diagnosis.of_key(key, path))
    if not scope.is_stream_file:
        yield from tried("summary keys", lambda: diagnosis.of_summary_keys((scope.keys.keys, scope.keys.kek)))
    yield from tried("ledger", lambda: of_stream_file(scope) if scope.is_stream_file else of_ledger(scope, key))
