"""Keeping the ledger and its views in order: rebuild, verify."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.errors import LedgerError
from projections.shell import output
from projections.shell.outside import Checkpoints, VKeys
from projections.shell.scope import READING_OPTIONS, Scheduler, Scope, reading, with_options

if TYPE_CHECKING:
    from projections.views.building import Spread

PARTS = 4  # a worker: a quick one takes up more, and little is lost with one that dies
_NO_VIEWS_FILE: dict[str, Any] = {name: option for name, option in READING_OPTIONS.items() if name != "views"}


def verifying(command: Any) -> Any:
    """Give a command the options that concern reading; --views after its name is a question of its own."""
    return with_options(command, _NO_VIEWS_FILE)


@reading
def rebuild(
    scope: Scope,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="processes that share the work; 0: one a core (default)")
    ] = None,
    scheduler: Scheduler = None,
) -> None:
    """Build the views from nothing: all findings that reports show, judged anew from the entries.

    \b
    Examples:
      sla-ledger rebuild
      sla-ledger rebuild --scheduler tcp://10.0.0.5:8786
    """
    _check(scope)
    if jobs is not None and scheduler is not None:
        raise typer.BadParameter("give --jobs or --scheduler, not both", param_hint="--scheduler")
    with closing(scope.reader()) as reader:
        position = scope.rebuild(reader, jobs or 0, None if scheduler is None else _over(scheduler, scope))
    output.note(f"{scope.views_path}: the views are true for entry {position}")


def _over(scheduler: str, scope: Scope) -> Spread:
    """Return what has the cases judged by the workers of a scheduler; LedgerError when it is out of reach."""
    from projections.shell import cluster
    from projections.views.spreading import spreading

    parts = max(2, PARTS * cluster.workers(scheduler))
    return spreading(partial(cluster.spread, scheduler), scope.elsewhere, parts)


@verifying
def verify(
    scope: Scope,
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="another ledger than --db, or a bundle")] = None,
    views: Annotated[bool, typer.Option("--views", help="compare the views with a rebuild")] = False,
    checkpoint: Checkpoints = None,
    vkey: VKeys = None,
) -> None:
    """Read every entry again: each can be read, none is missing. With --views, compare the views with a rebuild too.

    Exit status 4 when the ledger is damaged, 1 when only the views are.

    \b
    Example:
      sla-ledger verify --views
    """
    scope = scope if file is None else replace(scope, db=file)
    if scope.is_bundle:
        from projections.shell.evidence_bundle import verify_bundle

        verify_bundle(scope, checkpoint or (), vkey or ())
        return
    found: dict[str, Any] = {"entries": sum(1 for _ in scope.entries()), "views": None}
    lines = [f"{found['entries']} entries: each can be read, none is missing"]
    if views:
        _check(scope)
        differences = _compared(scope)
        found["views"] = {"file": str(scope.views_path), "differences": differences}
        equal = "equal to a rebuild" if not differences else f"{len(differences)} rows differ from a rebuild:"
        lines += [f"{scope.views_path}: {equal}", *(f"  {d}" for d in differences)]
    output.thing(scope, found, lines)
    if views and differences:
        raise LedgerError(str(scope.views_path), "the views are not what the entries give", "sla-ledger rebuild")


def _check(scope: Scope) -> None:
    if scope.is_stream_file:
        raise LedgerError(
            scope.db, "a stream file has no views", "import it into a ledger: sla-ledger import --verbatim"
        )


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
            opening.build(rebuilt, reader, position, done)
        return opening.differences(copy, rebuilt)
