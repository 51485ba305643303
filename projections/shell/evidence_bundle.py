"""The evidence bundle of a claim: made of a ledger, and checked by whoever is handed one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tzdata import IANA_VERSION

from ledger.errors import LedgerBroken, LedgerError, NotFound
from ledger.seal import checkpoints as sealed
from ledger.seal import opening, packing
from ledger.seal.bundle import Bundle, bundled, program
from ledger.seal.notes import COSIGNATURE, BadNote, Verifier, silent
from ledger.text import clean
from projections import claims
from projections.audit import audit
from projections.concerning import Concern, asked, concern
from projections.history import History
from projections.shell import output
from projections.shell.custody import default_key, of_the_ledger
from projections.shell.options import stream_id
from projections.shell.outside import Checkpoints, VKeys, checkpoints_of, deliver, keys_of
from projections.shell.plain_explanations import concerned
from projections.shell.roots import root_of
from projections.shell.scope import Scope

if TYPE_CHECKING:
    from ledger.seal.checkpoints import Checkpoint
    from ledger.seal.held import Held
    from ledger.seal.notes import Note
    from ledger.store.reading import Record

UNKNOWN = (
    "whether the key is the log's: compare it with your contract, or give it: --vkey",
    "whether the ledger holds anything else about the matter: a proof shows what is there, not what is not",
    "whether what was recorded is true",
)


@of_the_ledger
def bundle(
    scope: Scope,
    claim: Annotated[str, typer.Argument(metavar="CLAIM", help="like claim:2025 or 2025")],
    out: Annotated[str, typer.Option("-o", metavar="FILE.zip", help="a new file; - writes to standard output")],
    checkpoint: Checkpoints = None,
    vkey: VKeys = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="FILE", envvar="SLA_LEDGER_KEY", help="the log's key file, when no public key is named"),
    ] = None,
) -> None:
    """All that an outsider needs to check a decision and make it again: entries, proofs, terms, checkpoints, keys.

    It shows the ledger as it was at its largest checkpoint, of those that are kept and those given: seal it first. What
    others hold is given with --checkpoint; signatures of witnesses are taken along when their keys are named. No case
    of another customer is in it. The same ledger, claim and checkpoints give the same bytes.

    \b
    Examples:
      sla-ledger bundle claim:2025 -o claim-2025.zip
      sla-ledger bundle claim:2025 -o claim-2025.zip --checkpoint cosigned --vkey log.vkey --vkey witness.vkey
    """
    if not out.endswith(".zip") and out != "-":
        raise typer.BadParameter(f"{clean(out)}: a name that ends in .zip", param_hint="-o")
    stream, keys = stream_id(claim, "claim"), _keys(vkey or (), key)
    with closing(scope.record()) as record:
        given = [(x.checkpoint, x.note) for x in checkpoints_of(checkpoint or ())]
        held = [*given, *_kept(record, keys[0])]
        size = max((x[0].size for x in held), default=0)
        known = concerned(scope, scope.history(streams=[stream]), stream)
        decision = _decision(scope, known, stream)
        if decision > size:
            what = f"the decision is entry {decision}, and no checkpoint by this key covers it"
            raise LedgerError(
                stream, what, "seal the ledger first: sla-ledger seal, or give a checkpoint: --checkpoint"
            )
        history = known.at_entry(min(size, known.last_position))
        positions = _positions(history, concern(history, stream), stream)
        first = min(x[0].size for x in held if x[0].size >= decision)
        notes = [x for n, x in enumerate(held) if n < len(given) or x[0].size in (first, size)]
        made = bundled(record, stream, decision, positions, notes, keys, clean(scope.db))
    data = packing.packed(made.files())
    opening.checked(data, f"the bundle of {stream}")  # what would be refused is not handed out
    deliver(data, out)
    last = made.checkpoint
    output.note(
        f"{out}: {len(made.entries)} entries of the {last.size} that {last.origin} had, the decision is {decision}"
    )


def _keys(texts: Sequence[str], key: str | None) -> list[Verifier]:
    """Return the log's public key, that of the key file unless one is named, and then those of witnesses."""
    from ledger.seal import keys

    named = keys_of(texts)
    logs = [x for x in named if x.kind != COSIGNATURE]
    if len(logs) > 1:
        raise typer.BadParameter("a log has one key; name one", param_hint="--vkey")
    if not logs:
        logs = [keys.read(Path(key) if key else default_key()).verifier()]
    return [*logs, *(x for x in named if x.kind == COSIGNATURE)]


def _decision(scope: Scope, history: History, stream: str) -> int:
    """Return the position of the decision in force; NotFound for a claim that is not decided."""
    state = claims.claim(scope.judgement(history), stream)
    if state.decision is None:
        raise NotFound(stream, "has not been decided", f"decide it: sla-ledger claim decide {stream}")
    return state.decision.position


def _positions(history: History, needed: Concern, stream: str) -> list[int]:
    if needed.foreign:
        what = f"it rests on, or names, what is not {needed.customer}'s, and would give it away"
        todo = "name the customer's own cases in a request, and correct it before it is decided"
        raise LedgerError(stream, f"{what}: {', '.join(needed.foreign)}", todo)
    return [x.position for x in history.of_streams(needed.streams).entries]


def _kept(record: Record, key: Verifier) -> list[tuple[Checkpoint, Note]]:
    """Return the checkpoints that a ledger keeps and that a key signed."""
    found = [sealed.read(note.encode(), "a checkpoint that is kept") for note in record.checkpoints()]
    return [x for x in found if key.verified(x[1]) is not None]


def verify_bundle(scope: Scope, checkpoints: Sequence[str], vkeys: Sequence[str]) -> None:
    """Check all of an evidence bundle and print what it shows; exit status 1 when the decision comes out otherwise.

    Raises what `bundle_verdict` does, and LedgerError once all is printed when another version made the bundle: its
    README, programs and built-in terms are not what this one can compare them with.
    """
    found, lines = bundle_verdict(scope, checkpoints, vkeys)
    output.thing(scope, found, lines)
    if found["not_checked"]:
        made = scope.bundle()
        what = f"made by {clean(made.program)}, this is {program()}: not checked were {', '.join(found['not_checked'])}"
        raise LedgerError(clean(scope.db), what, "verify it with that version too; rely on none of them, and run none")
    if found["differences"]:
        raise typer.Exit(1)


def bundle_verdict(scope: Scope, checkpoints: Sequence[str], vkeys: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return what an evidence bundle shows, as JSON and as lines, once all of it has been checked.

    Raises LedgerBroken that names what is wrong, or when a checkpoint that is given tells another history; BadNote when
    the log's key is none of those given.
    """
    made, keys = scope.bundle(), keys_of(vkeys)
    log, where = made.keys[0], clean(scope.db)
    if keys and log not in keys:
        raise BadNote(where, f"signed by {log}, which is none of the keys given", "ask the log's owner whose key it is")
    compared = [_compared(made, one, where) for one in checkpoints_of(checkpoints)]
    judgement = scope.judgement()
    found = audit(judgement, made.claim, partial(root_of, scope, judgement.history))
    result = {
        "bundle": scope.db,
        "claim": made.claim,
        "decision_entry": made.decision,
        "entries": len(made.entries),
        "origin": made.checkpoint.origin,
        "size": made.checkpoint.size,
        "signed_by": [str(key) for key in made.keys if key.verified(made.note) is not None],
        "not_signed_by": [str(key) for key in silent(keys, [made.note])],
        "earlier": [x.checkpoint.size for x in made.earlier],
        "given_checkpoints": compared,
        "result": found["result"],
        "differences": found["differences"],
        "made_by": made.program,
        "zone_data": made.zone_data,
        "not_checked": sorted(made.handed or ()),
        "unknown": list(UNKNOWN[bool(keys) :]),
    }
    return result, _told(result, made, compared)


def check_pair(scope: Scope, customer: str | None, service: str | None) -> None:
    """Raise LedgerError for a customer and service of which a bundle does not hold everything."""
    pairs = concern(scope.history(), scope.bundle().claim).pairs
    if (customer, service) not in pairs:
        asked = " or ".join(f"--customer {c} --service {s}" for c, s in sorted(pairs))
        what = f"it holds what concerns {scope.bundle().claim}: too little for the availability of others"
        raise LedgerError(clean(scope.db), what, f"ask with {asked}")


def check_entry(scope: Scope, position: int) -> None:
    """Raise LedgerError for an entry at which a claim in a bundle still asked for something else than it holds."""
    made = scope.bundle()
    history = History(made.said, made.checkpoint.size)
    pairs = concern(history, made.claim).pairs
    for stream in history.streams("claim"):
        if (pair := asked(history, stream, position)) and pair not in pairs:
            what = f"at entry {position}, {stream} asked for {' '.join(pair)}, of which a bundle holds too little"
            raise LedgerError(clean(scope.db), what, "name an entry after its correction: --at-entry")


def _compared(made: Bundle, one: Held, where: str) -> dict[str, Any]:
    checkpoint = one.checkpoint
    if made.keys[0].verified(one.note) is None:
        raise BadNote(one.where, f"not signed by the log's key, {made.keys[0]}")
    known = [made.checkpoint, *(x.checkpoint for x in made.earlier)]
    same = next((x for x in known if x.size == checkpoint.size), None)
    if same is not None and same != checkpoint:
        what = f"a fork: {one.where} tells another history of {checkpoint.size} entries, signed by the same key"
        raise LedgerBroken(where, what, "keep both, and ask the log's owner")
    return {"file": one.where, "size": checkpoint.size, "is_consistent": None if same is None else True}


def _told(found: dict[str, Any], made: Bundle, compared: Sequence[dict[str, Any]]) -> list[str]:
    earlier = f", and continues those of {', '.join(map(str, found['earlier']))}" if found["earlier"] else ""
    lines = [
        f"{made.claim}: entry {made.decision} of {found['origin']}: {found['result']}",
        f"{found['entries']} of {found['size']} entries: each is as its leaf says, in the tree, accepted by its stream",
        f"the checkpoint of {found['size']} entries is signed by {', '.join(found['signed_by'])}{earlier}",
    ]
    lines += [f"not signed by {key}" for key in found["not_signed_by"]]
    for x in compared:
        told = "consistent with it" if x["is_consistent"] else "not compared: ask for a bundle made with it"
        lines.append(f"{x['file']}, of {x['size']} entries: {told}")
    if made.program != program() or made.zone_data != IANA_VERSION:
        lines.append(f"made by {made.program} with zone data {made.zone_data}; this is {program()} with {IANA_VERSION}")
    if made.handed is not None:
        lines.append(f"NOT CHECKED, of another version, not to be run: {', '.join(found['not_checked'])}")
    return [*lines, *(f"not known: {x}" for x in found["unknown"])]
