"""Sealing: a signed checkpoint of a ledger's present size, once its entries are seen to be those of the last one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from ledger.errors import LedgerBroken, LedgerError
from ledger.seal import checkpoints
from ledger.seal.by_stream import EVERY_STREAM, readmitted
from ledger.seal.checkpoints import Checkpoint
from ledger.seal.leaves import leaf
from ledger.seal.merkle import Frontier
from ledger.seal.notes import BadNote, Note, Signer
from ledger.store.reading import Reader, Record, Stored


class NotSealed(LedgerError):
    """There is nothing to sign, or this key may not sign it."""


def kept(record: Record) -> list[tuple[Checkpoint, Note]]:
    """Return the checkpoints that a ledger keeps, by size.

    Raises LedgerBroken for one that cannot be read, or that is kept under another size than its own.
    """
    found = []
    for size, text in record.kept_checkpoints():
        try:
            said, note = checkpoints.read(text.encode(), "a checkpoint that is kept")
        except BadNote as error:
            raise _broken(error.where, error.what) from None
        if said.size != size:
            raise _broken(f"checkpoint of {said.size} entries", f"it is kept under another size, {size}")
        found.append((said, note))
    return found


def sealed(record: Reader, before: Sequence[tuple[Checkpoint, Note]], size: int, keys: Sequence[Signer]) -> Note:
    """Return the checkpoint of the first entries, signed by the keys; the one that is kept for this size, if one is.

    before: what `kept` gave before the size was asked for, as others may record and seal meanwhile. The first one of a
    ledger names the first key as its origin, and all later ones keep that name. Each is signed by a key that signed the
    one before it, so that who trusts one can follow to the next: a new key signs together with an old one first.

    Raises LedgerBroken when the entries are not those of the checkpoints that are kept, NotSealed for an empty ledger,
    or keys that may not sign.
    """
    if not size:
        raise NotSealed("entry 0", "there is no entry to seal", "record something first, or name another ledger: --db")
    root = _checked_root(record, size, [said for said, _ in before])
    if not before:
        return _signed(Checkpoint(keys[0].name, size, root), keys)
    last, note = before[-1]
    signed = [key for key in keys if _has_signed(key, note)]
    if not signed:
        names = ", ".join(dict.fromkeys(s.name for s in note.signatures))
        todo = "use the key that did; to go over to a new one, let both sign: --key OLD --also NEW"
        raise NotSealed(f"key {keys[0].name}", f"it did not sign the last checkpoint; {names} did", todo)
    if last.size < size:
        return _signed(Checkpoint(last.origin, size, root), keys)
    if len(signed) < len(keys):
        what = f"the {size} entries are sealed already, and a checkpoint that is kept gets no further signature"
        raise NotSealed("--also", what, "try again when there is another entry")
    return note


def _signed(said: Checkpoint, keys: Sequence[Signer]) -> Note:
    note = said.note()
    for key in keys:
        note = key.sign(note)
    return note


def _has_signed(key: Signer, note: Note) -> bool:
    try:
        return key.verifier().verified(note) is not None
    except BadNote as error:
        raise _broken("a checkpoint that is kept", error.what) from None


def _checked_root(record: Reader, size: int, before: Sequence[Checkpoint]) -> bytes:
    """Return the root over the first entries, in which every earlier checkpoint is seen to be right.

    The entries since the last of these are compared with their leaf hashes, and their streams judge them once more. Of
    those before, only the leaf hashes are looked at.
    """
    if (first := record.first_position()) < 1:
        raise _broken(f"entry {first}", "no entry is ever given such a position")
    tree, last = Frontier(), 0
    for said in before:
        if said.size > size:
            raise _broken(f"checkpoint of {said.size} entries", f"the ledger has only {size}")
        for hashed in record.leaves(said.size, last):
            tree.add(hashed)
        if (tree.size, tree.root()) != (said.size, said.root):
            raise _broken(f"checkpoint of {said.size} entries", "the entries are no longer those that were sealed")
        last = said.size
    for position, (row, hashed) in enumerate(
        zip(record.rows(size, last), record.leaves(size, last), strict=False), last + 1
    ):
        if row[0] != position or leaf(*row) != hashed:
            raise _broken(f"entry {position}", "it is missing, or not what its leaf hash was made of")
        tree.add(hashed)
    if tree.size != size:
        raise _broken(f"entry {tree.size + 1}", "it is missing")
    _check_accepted(record, size, last)
    return tree.root()


def _check_accepted(record: Reader, size: int, last: int) -> None:
    """Raise LedgerBroken when a stream would not accept one of the entries in `(last, size]`."""
    ranges = [(stream, f"{stream} ") for stream in record.streams_after(last, size)] if last else [EVERY_STREAM]
    rows = chain.from_iterable(record.rows_by_stream(*names, size) for names in ranges)
    found = 0

    def counted() -> Iterator[Stored]:
        nonlocal found
        for row in rows:
            found += row[0] > last
            yield row

    for finding in readmitted(counted()).findings.ordered():
        raise _broken(f"entry {finding.position}", finding.what)
    if found != size - last:
        raise _broken("the index of streams", f"of the entries since {last} it has {found}, not {size - last}")


def _broken(where: str, what: str) -> LedgerBroken:
    return LedgerBroken(
        where, what, "nothing was signed; find out more: sla-ledger verify; restore the ledger from a copy"
    )
