"""A verified copy of a ledger, while others go on recording."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import Annotated, Any

import typer

from ledger.errors import LedgerError
from ledger.store.address import is_database, is_of_ledger, shown
from ledger.text import clean
from projections.shell import output
from projections.shell.options import writing
from projections.shell.scope import Scope


@writing
def backup(scope: Scope, to: Annotated[str, typer.Argument(metavar="TO", help="a file that is not there yet")]) -> None:
    """Copy the ledger, while others go on recording, and verify the copy entry by entry before it is put in place.

    The copy is a ledger in one file, of a ledger in PostgreSQL too: the same entries, leaf hashes and checkpoints, for
    its owner's eyes alone. Keys are not in it. What is at TO already is never overwritten; a copy that fails leaves
    nothing there. Exit status 4 when it is the ledger itself that is damaged.

    \b
    Examples:
      sla-ledger backup /mnt/safe/ledger-2026-11-25.db
      sla-ledger --db /mnt/safe/ledger-2026-11-25.db verify
    """
    from ledger.backup import copy

    if scope.is_stream_file:
        kind = "bundle" if scope.is_bundle else "stream file"
        raise LedgerError(clean(scope.db), f"a {kind} is a plain file", "copy it like any other")
    if is_database(to) or to == "-" or to.endswith((".jsonl", ".zip")):
        raise LedgerError(shown(to), "a copy is a ledger in a file", "name a file, like ledger-copy.db")
    if not os.path.lexists(to) and is_of_ledger(Path(to), scope.db):
        raise LedgerError(clean(to), "this name is kept for a file of the ledger's own", "choose another name")
    with output.progress("reading the copy again") as done:
        made = copy(scope.db, Path(to), done)
    root = b64encode(made.root).decode()
    found: dict[str, Any] = {
        "backup": to,
        "entries": made.entries,
        "root": root,
        "checkpoint": max(made.checkpoints, default=None),
        "checkpoints": len(made.checkpoints),
        "bytes": Path(to).stat().st_size,
    }
    sealed = f"the last of {found['entries'] and found['checkpoint']} entries" if made.checkpoints else "none"
    lines = [f"{to}: {made.entries} entries, each as the ledger keeps it", f"root: {root}"]
    output.thing(scope, found, [*lines, f"checkpoints: {found['checkpoints']}, {sealed}"])
    output.note("keys are not in it: keep a copy of each key file elsewhere, apart from the copies of the ledger")
