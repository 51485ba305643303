"""Reading everything again: verify."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.clock import EPOCH
from ledger.errors import LedgerError
from ledger.instants import seconds, stamp
from ledger.store.address import is_database, shown
from projections.shell import output
from projections.shell.options import READING_OPTIONS, period_of, with_options
from projections.shell.outside import Checkpoints, VKeys, checkpoints_of, keys_of
from projections.shell.scope import Scope
from projections.shell.upkeep import check_has_views

if TYPE_CHECKING:
    from ledger.seal.held import Held
    from ledger.seal.notes import Verifier
    from ledger.seal.verdict import Verdict
    from projections.downtime import Downtime
    from projections.views.uptime import Kept

_NO_VIEWS_FILE: dict[str, Any] = {name: option for name, option in READING_OPTIONS.items() if name != "views"}


def verifying(command: Any) -> Any:
    """Give a command the options that concern reading; --views after its name is a question of its own."""
    return with_options(command, _NO_VIEWS_FILE)


@verifying
def verify(
    scope: Scope,
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="an evidence bundle, or what --db names")] = None,
    checkpoint: Checkpoints = None,
    vkey: VKeys = None,
    views: Annotated[bool, typer.Option("--views", help="compare the views with a rebuild")] = False,
) -> None:
    """Read every entry again, and say what was checked and what cannot be known.

    Each entry is read, compared with its leaf hash and judged by its stream once more; the tree over all of them is
    compared with the checkpoints in the ledger and with those given. Of an evidence bundle all is checked, and the
    decision is made again. Nothing is written. Exit status 4 when something is broken, 1 when only the views are,
    when the decision in a bundle comes out otherwise, or when another version made it, whose texts cannot be checked.

    \b
    Examples:
      sla-ledger verify
      sla-ledger verify --checkpoint kept-elsewhere.txt --vkey ledger.vkey
      sla-ledger --db history.jsonl verify --checkpoint kept-elsewhere.txt
      sla-ledger verify claim-2025.zip --vkey ledger.vkey
      sla-ledger verify --views
    """
    from ledger.seal.verdict import Unreadable

    scope = scope if file is None else replace(scope, db=file)
    if scope.is_bundle:
        from projections.shell.evidence_bundle import verify_bundle

        verify_bundle(scope, checkpoint or (), vkey or ())
        return
    try:
        verdict = _verdict(scope, checkpoints_of(checkpoint or ()), keys_of(vkey or ()))
    except Unreadable as unreadable:
        if output.form(scope) != "table":
            output.thing(scope, unreadable.as_json() | {"views": None}, [])
        raise
    found, lines = verdict.as_json(), list(verdict.lines())
    error = verdict.error(shown(scope.db))
    found["views"] = None
    differences: list[str] = []
    if views and error is None:
        check_has_views(scope)
        differences = _compared(scope)
        found["views"] = {"file": str(scope.views_path), "differences": differences}
        equal = "the views differ from a rebuild:" if differences else "equal to a rebuild"
        lines += [f"{scope.views_path}: {equal}", *(f"  {d}" for d in differences)]
    output.thing(scope, found, lines)
    if error is not None:
        raise error
    if differences:
        raise LedgerError(str(scope.views_path), "the views are not what the entries give", "sla-ledger rebuild")


def _verdict(scope: Scope, held: list[Held], keys: list[Verifier]) -> Verdict:
    from ledger.seal.verifying import verified

    with closing(scope.record()) as record, output.progress("reading every entry", record.last_position()) as done:
        verdict = verified(record, held, keys, done, None if scope.is_stream_file else scope.db)
    verdict.altered = None if scope.is_stream_file else _altered(scope.db)
    return verdict


def _altered(address: str) -> list[str]:
    """Return the tables and triggers of a ledger that are not as they were made."""
    if is_database(address):
        from ledger.store.server import asked

        return list(asked(address).asleep)
    from ledger.store.sqlite import altered

    return altered(Path(address))


def _compared(scope: Scope) -> list[str]:
    """Return where the views differ from views built from nothing for the same entry."""
    from projections.views import opening
    from projections.views.file import opened
    from projections.views.place import check
    from projections.views.tables import Damaged

    path = scope.views_path
    check(path)
    if not path.exists():
        raise LedgerError(str(path), "there are no views here", "build them: sla-ledger rebuild")
    with closing(scope.reader()) as reader, tempfile.TemporaryDirectory() as folder:
        copy, rebuilt = Path(folder, "kept"), Path(folder, "rebuilt")
        try:
            with closing(opened(path)) as kept, closing(sqlite3.connect(copy)) as other:
                kept.backup(other)  # others may catch up meanwhile
            with closing(opened(copy)) as kept:
                position = opening.true_for(kept, reader)
        except (Damaged, sqlite3.DatabaseError) as error:
            return [f"they cannot be read: {error}"]
        with output.progress("building views to compare with") as done:
            opening.build(rebuilt, reader, position, done, scope.db, os.cpu_count() or 1)
        return [*opening.differences(copy, rebuilt), *_availability(copy, scope, position)]


def _availability(copy: Path, scope: Scope, position: int) -> list[str]:
    """Return where kept years of availability differ from what the plain rules find at the edges of their validity."""
    from projections.availability import findings
    from projections.downtime import Downtime
    from projections.views import uptime
    from projections.views.file import opened
    from projections.views.tables import Damaged, encode

    then, found = Scope(scope.db, at_entry=position), list[str]()
    history = then.history(*uptime.KINDS)
    try:
        with closing(opened(copy)) as views:
            for year, at in uptime.edges(views):
                judgement = then.judgement(history, EPOCH + timedelta(seconds=at))
                downtime = Downtime(judgement)
                anew = [f.as_json() for f in findings(downtime, period_of(judgement, year, None, None))]
                kept = uptime.kept(views, year, None, None, at) or []
                said = (x for pair in zip(kept, anew, strict=False) for x in _said_again(*pair, downtime))
                if len(kept) != len(anew) or any(encode(one) != encode(other) for one, other in said):
                    found.append(f"availability {year}, at {stamp(judgement.as_of)}: not what is judged anew")
    except (Damaged, sqlite3.DatabaseError) as error:
        found.append(f"availability cannot be read: {error}")
    return found


def _said_again(kept: Kept, anew: dict[str, Any], downtime: Downtime) -> Iterator[tuple[Any, Any]]:
    """Yield what a row says, where it holds, and what is judged on its basis, each with what is judged anew."""
    from projections.views.basis import decode

    basis = decode(kept.basis)
    if kept.finding is not None:
        yield kept.finding, anew
    if basis is not None and basis.since <= seconds(downtime.judgement.as_of) < basis.until:
        yield basis.judged(downtime, kept.customer, kept.service).as_json(), anew
