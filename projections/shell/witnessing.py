"""The witness: whoever keeps a log's last checkpoint, and is asked to see the next; and receipts."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from ledger.errors import LedgerError, NotFound
from ledger.instants import seconds
from ledger.text import clean
from projections.shell import output
from projections.shell.custody import of_the_ledger
from projections.shell.outside import Checkpoints, VKeys, checkpoints_of, deliver, given, keys_of
from projections.shell.scope import Scope

if TYPE_CHECKING:
    from ledger.seal.checkpoints import Checkpoint
    from ledger.seal.notes import Note

witness = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Keep a log's checkpoints outside of it, and see that each continues the last.",
)
State = Annotated[str, typer.Option(metavar="FILE", help="what was seen last: made the first time, one a log")]
KeyFile = Annotated[str | None, typer.Option(metavar="FILE", help="the witness's own key, to cosign with")]


@witness.command("new-key")
def new_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="like witness.example.com/acme")],
    key: Annotated[str, typer.Option(metavar="FILE", help="where to put it")],
) -> None:
    """Make a witness's key, and print what its cosignatures are verified with.

    \b
    Example:
      sla-ledger witness new-key acme.example/witness --key witness.key > witness.vkey
    """
    from ledger.seal import keys
    from ledger.seal.notes import COSIGNATURE

    made = keys.make(Path(key), name)
    output.write(str(made.verifier(COSIGNATURE)))
    output.note(f"{key}: a new key, a secret; printed is what others verify its cosignatures with")


@witness.command()
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="a checkpoint, or what witness request printed; - reads")],
    state: State,
    vkey: VKeys = None,
    key: KeyFile = None,
) -> None:
    """See that a checkpoint continues the one seen last, keep it, and print it, cosigned when there is a key.

    The log's public key is named the first time and kept; a new key is named with a checkpoint that both keys signed. A
    checkpoint that has grown needs the proof that
    `witness request` prints. Exit status 4 for a rollback or a fork, 1 for anything else that is refused; what is
    refused changes nothing.

    \b
    Examples:
      sla-ledger witness check checkpoint --state acme.state --vkey example.com/ledger+1f2e3d4c+AbCd...
      sla-ledger witness check request --state acme.state --key witness.key > cosigned
    """
    from ledger.seal import keys
    from ledger.seal import witness as seeing

    asked, where = seeing.request(given(file), clean(file)), clean(file)
    logs = keys_of(vkey or ())
    if len(logs) > 1:
        raise typer.BadParameter("a log has one key; name one", param_hint="--vkey")
    signer = None if key is None else keys.read(Path(key))
    now = seconds(clock.now())
    before, kept = seeing.check(Path(state), asked, logs[0] if logs else None, signer, now, where)
    deliver(str(kept.note).encode(), None)
    size = kept.checkpoint.size
    told = "the first one seen" if before is None else f"it continues the {before.checkpoint.size} seen before"
    output.note(f"{kept.checkpoint.origin}: {size} entries; {told}")


@witness.command()
@of_the_ledger
def request(
    scope: Scope,
    since: Annotated[int, typer.Option(metavar="SIZE", min=0, help="how many entries the witness has seen")],
    checkpoint: Checkpoints = None,
) -> None:
    """What the log sends a witness: its last checkpoint, and the proof that it continues what the witness has seen.

    The form is the body of `add-checkpoint` of C2SP tlog-witness, which other witnesses take too.

    \b
    Example:
      sla-ledger witness request --since 120 > request
    """
    from ledger.seal import proven
    from ledger.seal.witness import Request

    with closing(scope.record()) as record:
        last, note = last_checkpoint(record.checkpoints(), checkpoint or (), scope.db)
        leaves = proven.leaves_of(record, last, clean(scope.db))
        proof = proven.consistency(leaves, last, since, clean(scope.db))
    deliver(str(Request(last, note, since, proof)).encode(), None)


@witness.command("receipt")
def check_receipt(
    file: Annotated[str, typer.Argument(metavar="FILE", help="what sla-ledger receipt has made; - reads")],
    vkey: VKeys = None,
) -> None:
    """See that a receipt's entries are in the log, by the log's public key; then print them.

    \b
    Example:
      sla-ledger witness receipt INC-1.receipt --vkey example.com/ledger+1f2e3d4c+AbCd...
    """
    from ledger.seal import receipts

    keys, where = keys_of(vkey or ()), clean(file)
    if not keys:
        raise typer.BadParameter("name the log's public key", param_hint="--vkey")
    found = receipts.receipt(given(file), where)
    signed = receipts.check(found, keys, where)
    for entry in found.entries:
        position, stream, version, name, stored = entry.row
        output.write(clean(f"{position}  {stream}/{version}  {name}  {stored.decode('utf-8', 'replace')}"))
    said, last = found.checkpoint, found.entries[-1].row
    output.note(
        f"{said.origin}: these entries are among its first {said.size}, signed by {', '.join(map(str, signed))}; "
        f"none of {last[1]} is left out up to version {last[2]}, and there may be later ones"
    )


@of_the_ledger
def receipt(
    scope: Scope,
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="like incident:INC-1")],
    out: Annotated[str | None, typer.Option("-o", metavar="FILE", help="a new file (default: standard output)")] = None,
    checkpoint: Checkpoints = None,
) -> None:
    """A stream's entries with the proof that a checkpoint covers them, for whoever wants to hold it against us.

    The last checkpoint is taken, or the largest one given. The receipt says how it is checked by hand.

    \b
    Example:
      sla-ledger receipt incident:INC-1 -o INC-1.receipt
    """
    from ledger.seal import proven, receipts
    from ledger.seal.receipts import MAX_ENTRIES, Receipt

    with closing(scope.record()) as record:
        last, note = last_checkpoint(record.checkpoints(), checkpoint or (), scope.db)
        entries = scope.history(streams=[stream]).recorded(stream)
        if not entries:
            raise NotFound(clean(stream), "no such stream is known", "see all entries: sla-ledger log")
        positions = [x.position for x in entries if x.position <= last.size]
        if not positions:
            raise LedgerError(clean(stream), f"no entry of it is among the first {last.size}", "seal the ledger first")
        if len(positions) > MAX_ENTRIES:
            what = f"{len(positions)} of its entries are sealed; a receipt holds {MAX_ENTRIES} at most"
            raise LedgerError(clean(stream), what, "give an earlier checkpoint: --checkpoint, or export the ledger")
        leaves = proven.leaves_of(record, last, clean(scope.db))
        found = Receipt(tuple(proven.proven(record, leaves, last, positions, clean(scope.db))), last, note)
    data = bytes(found)
    receipts.receipt(data, f"the receipt of {clean(stream)}")  # what would be refused is not handed out
    deliver(data, out)


def last_checkpoint(kept: list[str], paths: Iterable[str], db: str) -> tuple[Checkpoint, Note]:
    """Return the largest of the checkpoints given, or the last that the ledger keeps; LedgerError without any."""
    from ledger.seal import checkpoints

    given_ones = [(x.checkpoint, x.note) for x in checkpoints_of(paths)]
    held = given_ones or [checkpoints.read(note.encode(), "a checkpoint kept") for note in kept[-1:]]
    if not held:
        raise LedgerError(clean(db), "it has no checkpoint yet", "make one: sla-ledger seal, or give one: --checkpoint")
    return max(held, key=lambda x: x[0].size)
