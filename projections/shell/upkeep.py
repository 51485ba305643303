"""Keeping the views in order: rebuild."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.errors import LedgerError
from projections.shell import output
from projections.shell.options import Scheduler, reading
from projections.shell.scope import Scope

if TYPE_CHECKING:
    from projections.views.building import Spread

PARTS = 4  # a worker: a quick one takes up more, and little is lost with one that dies


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
    check_has_views(scope)
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


def check_has_views(scope: Scope) -> None:
    """Raise LedgerError for a stream file: nothing is kept of it."""
    if scope.is_stream_file:
        raise LedgerError(
            scope.db, "a stream file has no views", "import it into a ledger: sla-ledger import --verbatim"
        )
