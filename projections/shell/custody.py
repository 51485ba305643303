"""Keeping the record safe from whoever keeps it: checkpoints and their keys."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.store.address import is_of_ledger, shown
from projections.shell import output
from projections.shell.options import WRITING_OPTIONS, with_options
from projections.shell.scope import Scope

if TYPE_CHECKING:
    from ledger.seal.notes import Signer
    from ledger.store.reading import Reader

_LEDGER_ALONE: dict[str, Any] = {"db": WRITING_OPTIONS["db"]}


def of_the_ledger(command: Any) -> Any:
    """Give a command the option --db; what it prints has one form."""
    return with_options(command, _LEDGER_ALONE)


@of_the_ledger
def seal(
    scope: Scope,
    new_key: Annotated[
        str | None, typer.Option("--new-key", metavar="NAME", help="make a key; NAME like example.com/ledger")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="FILE", envvar="SLA_LEDGER_KEY", help="default: ~/.config/sla-ledger/seal.key"),
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="a key that signs too, to go over to it; repeatable")
    ] = None,
    every: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="only if N entries came since the last checkpoint")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="read everything again first, as verify does")] = False,
) -> None:
    """Sign a checkpoint: how many entries the ledger has, and the root of the tree over them.

    It is kept in the ledger and printed, to be given to others: who holds one can tell later whether an entry it
    covers was changed, removed or moved. A checkpoint that nobody else holds proves nothing. Each is signed by a key
    that signed the one before it; for a new key, let the old one and the new one sign one together.
    Checkpoints do not travel in an export.

    Looked at before anything is signed: that positions begin at 1 and have no gap, that all leaf hashes lead to the
    root of each checkpoint that is kept, that every entry since the last one is what its leaf hash was made of, and
    that the streams of those would accept what they hold. Entries that an earlier checkpoint covers are not read again,
    so one that was changed since is signed over, and its leaf hash with it, until `verify` names it: that is the whole
    look, and --verify takes it first. Exit status 4 when something is broken; then nothing is signed.

    \b
    Examples:
      sla-ledger seal --new-key example.com/ledger > vkey
      sla-ledger seal --verify > checkpoint
      sla-ledger seal > checkpoint
      sla-ledger seal --every 1000 >> checkpoints
      sla-ledger seal --key old.key --also new.key
    """
    if new_key is not None:
        if also or every or verify:
            raise typer.BadParameter("a key is made alone, nothing is sealed", param_hint="--new-key")
        _make_key(Path(key) if key else default_key(for_writing=True), new_key, scope.db)
        return
    from ledger.seal import keys

    files = [Path(key) if key else default_key(), *map(Path, also or ())]
    note = _sealed(scope, [keys.read(file) for file in files], every, verify)
    if note is not None:
        typer.echo(note.encode(), nl=False)  # the very bytes, whatever the terminal's encoding


def _make_key(path: Path, name: str, address: str) -> None:
    from ledger.seal import keys

    if is_of_ledger(path, address):
        todo = "name another file: --key FILE; best in another folder"
        raise keys.BadKey(path, "this name is kept for a file of the ledger's own", todo)
    key = keys.make(path, name)
    output.write(str(key.verifier()))
    output.note(f"{path}: a new key; printed is what others verify its signatures with, and may have")
    output.note("the file is a secret: keep it from those who can write the ledger, and a copy of it in a safe place")


def _sealed(scope: Scope, signers: list[Signer], every: int | None, verify: bool) -> str | None:
    """Return the checkpoint that is kept for as many entries as there are, or more; None when it is not time yet."""
    from ledger.seal import sealing

    address = scope.path
    with closing(scope.reader()) as reader:
        if verify:
            _check_all(reader, address)
        before = sealing.kept(reader)
        size = reader.last_position()
        if every is not None and (new := size - (before[-1][0].size if before else 0)) < every:
            output.note(f"{shown(address)}: {new} entries since the last checkpoint, fewer than {every}; none made")
            return None
        note = str(sealing.sealed(reader, before, size, signers))
    from ledger.book import Ledger

    with closing(Ledger(address)) as ledger:
        return ledger.keep_checkpoint(size, note)


def _check_all(reader: Reader, address: str) -> None:
    """Raise LedgerBroken when a ledger is not what it should be, as far as it can be told from within."""
    from ledger.seal.verifying import verified

    with output.progress("reading everything again") as done:
        error = verified(reader, [], [], done, address).error(shown(address))
    if error is not None:
        raise error


def default_key(*, for_writing: bool = False) -> Path:
    """Return where the key is kept unless a file is named; its folder is made when a key is to be put there."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "sla-ledger")
    if for_writing:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / "seal.key"
