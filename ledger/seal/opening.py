"""Opening a bundle: nothing in it is believed before it has been checked, and nothing of it is written or imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ledger.errors import LedgerBroken, LedgerError
from ledger.seal import checkpoints, hash_lines, merkle, packing
from ledger.seal.bundle import BUILT_IN, FORMAT, HANDED, Bundle, Earlier, program, sums
from ledger.seal.checkpoints import Checkpoint
from ledger.seal.notes import BadNote, Note, Verifier, silent, verifier
from ledger.seal.packing import bad
from ledger.seal.proven import read
from ledger.store.mapper import to_state
from ledger.streams.acceptance import Streams
from ledger.text import strict_json

NAMES = re.compile(
    r"README\.md|SHA256SUMS|manifest\.json|entries\.jsonl|leaves\.jsonl|proofs\.txt|checkpoint\.txt|decision\.json"
    r"|basis-(0|[1-9][0-9]{0,18})\.txt|vkeys\.txt|check\.go|check_inclusion\.py|terms-(built-in|[1-9][0-9]{0,3})\.toml|earlier-(0|[1-9][0-9]{0,18})\.txt"
)
MAX_ENTRIES, MAX_KEYS, MAX_MANIFEST = 100_000, 20, 100_000
_MANIFEST = {"format": int, "claim": str, "decision_entry": int, "program": str, "zone_data": str}


def opened(path: str) -> Bundle:
    """Return the bundle in a file, every part of which has been checked. See `checked`."""
    return checked(packing.read(path), path)


def checked(data: bytes, where: str) -> Bundle:
    """Return what an archive holds when all of it fits together, by the keys that it names itself.

    Raises LedgerBroken that names the file or entry at fault: a changed file, an entry that is not what its leaf says
    or not in the tree, a signature that is missing, unknown or does not fit, a checkpoint that the last one does not
    continue, an entry that its stream would have refused or that is missing in the middle of it, a part that does not
    follow from the others.
    """
    found = packing.unpacked(data, where, NAMES)
    try:
        _check_sums(found, where)
        bundle = _parsed(found, where)
        _check_entries(bundle, where)
        _check_checkpoints(bundle, where)
        _check_follows(bundle, found, where)
    except LedgerBroken:
        raise
    except LedgerError as error:  # of a note, a key or a line: here it is the bundle that is broken
        raise bad(where, f"{error.where.removeprefix(f'{where}: ')}: {error.what}") from None
    return bundle


def _check_sums(found: Mapping[str, bytes], where: str) -> None:
    listed = found.get("SHA256SUMS", b"").splitlines(keepends=True)
    rest = {name: data for name, data in found.items() if name != "SHA256SUMS"}
    for line in sums(rest).splitlines(keepends=True):
        if line not in listed:
            raise bad(where, f"{line[66:-1].decode()}: it is not the file that SHA256SUMS lists")
    if found.get("SHA256SUMS") != sums(rest):
        raise bad(where, "SHA256SUMS: it lists something that is not there, or is not in order")


def _parsed(found: Mapping[str, bytes], where: str) -> Bundle:
    missing = next((x for x in ("manifest.json", "entries.jsonl", "vkeys.txt", *HANDED) if x not in found), None)
    if missing:
        raise bad(where, f"{missing}: it is missing")
    manifest = _manifest(found["manifest.json"], where)
    entries, leaves, proofs = (_lines(found, x, where) for x in ("entries.jsonl", "leaves.jsonl", "proofs.txt"))
    if not len(entries) == len(leaves) == len(proofs) <= MAX_ENTRIES:
        raise bad(where, "entries.jsonl, leaves.jsonl and proofs.txt have not the same number of lines, or too many")
    keys = _lines(found, "vkeys.txt", where)
    if not 1 <= len(keys) <= MAX_KEYS:
        raise bad(where, f"vkeys.txt: from 1 to {MAX_KEYS} keys are wanted")
    checkpoint, note = checkpoints.read(found.get("checkpoint.txt", b""), "checkpoint.txt")
    return Bundle(
        manifest["claim"],
        manifest["decision_entry"],
        tuple(read(*x, f"{where}: line {n}") for n, x in enumerate(zip(leaves, entries, proofs, strict=True), 1)),
        checkpoint,
        note,
        tuple(verifier(key.decode("utf-8", "replace"), "vkeys.txt") for key in keys),
        tuple(_earlier(found[name], name) for name in sorted(found, key=_size) if name.startswith("earlier-")),
        tuple(
            (int(name[6:-4]), hash_lines.read(found[name].splitlines(), name))
            for name in sorted(found, key=_size)
            if name.startswith("basis-")
        ),
        manifest["program"],
        manifest["zone_data"],
        None
        if manifest["program"] == program()
        else {name: found[name] for name in (*HANDED, BUILT_IN) if name in found},
    )


def _manifest(data: bytes, where: str) -> dict[str, Any]:
    try:
        found = strict_json(data[:MAX_MANIFEST].decode())
    except (ValueError, RecursionError) as error:
        raise bad(where, f"manifest.json: not strict JSON: {error}") from None
    if not isinstance(found, dict) or any(type(found.get(k)) is not kind for k, kind in _MANIFEST.items()):
        raise bad(where, "manifest.json: it does not say what it should")
    if found["format"] != FORMAT:
        raise bad(where, f"manifest.json: a bundle of format {found['format']}, not {FORMAT}")
    return found


def _lines(found: Mapping[str, bytes], name: str, where: str) -> list[bytes]:
    data = found.get(name, b"")
    if not data.endswith(b"\n"):
        raise bad(where, f"{name}: it is missing, empty or cut off")
    return data[:-1].split(b"\n")


def _earlier(data: bytes, name: str) -> Earlier:
    lines, _, note = (b"\n" + data).partition(b"\n\n")
    return Earlier(*checkpoints.read(note, name), hash_lines.read(lines.split(b"\n")[1:], name))


def _size(name: str) -> tuple[int, str]:
    return len(name), name


def _check_entries(bundle: Bundle, where: str) -> None:
    """Check each entry's place in the tree, and that the streams would have accepted them one after the other."""
    before, streams = 0, Streams()
    for proven, entry in zip(bundle.entries, bundle.said, strict=True):
        position, stream, version, _, state = proven.row
        if position <= before:
            raise bad(where, f"entry {position}: it stands after entry {before}")
        before = position
        if not proven.is_in(bundle.checkpoint):
            raise bad(where, f"entry {position}: its proof does not lead to the root of the checkpoint")
        if version != streams[stream].version + 1:
            raise bad(
                where, f"entry {position}: version {streams[stream].version + 1} of {stream} is missing before it"
            )
        if to_state(streams.canonical(entry)) != state:
            raise bad(where, f"entry {position}: not in the one form in which entries are stored")
        refusal = streams.admit(entry)
        if refusal is not None:
            raise bad(where, f"entry {position}: {stream} would have refused it: {refusal.what}")


def _check_checkpoints(bundle: Bundle, where: str) -> None:
    """Check every signature, and that the log of the last checkpoint continues those of the others."""
    last = bundle.checkpoint
    _check_signed(last, bundle.note, bundle.keys, f"{where}: checkpoint.txt")
    if missing := silent(bundle.keys, [bundle.note, *(x.note for x in bundle.earlier)]):
        raise bad(where, f"vkeys.txt: {missing[0]} has signed none of the checkpoints")
    for x in bundle.earlier:
        _check_signed(x.checkpoint, x.note, bundle.keys, f"{where}: {x.name}")
        if x.checkpoint.origin != last.origin:
            raise bad(where, f"{x.name}: of the log {x.checkpoint.origin!r}, not of {last.origin!r}")
        if not _continues(last, x.checkpoint.size, x.checkpoint.root, x.proof):
            raise bad(where, f"{x.name}: the log of the last checkpoint does not continue it")
    if bundle.decided() is None:
        raise bad(where, f"entry {bundle.decision}: no decision on {bundle.claim} is in the bundle")
    proofs = dict(bundle.bases)
    for size, root in bundle.roots():
        [raw] = hash_lines.read([root.encode()], f"{where}: the root of a decision")
        if size not in proofs or not _continues(last, size, raw, proofs.pop(size)):
            raise bad(
                where, f"basis-{size}.txt: the log does not continue the one of {size} entries that was decided on"
            )
    if proofs:
        raise bad(where, f"basis-{min(proofs)}.txt: no decision in the bundle was made on {min(proofs)} entries")


def _continues(last: Checkpoint, size: int, root: bytes, proof: tuple[bytes, ...]) -> bool:
    return merkle.is_consistent(size, root, last.size, last.root, proof)


def _check_signed(said: Checkpoint, note: Note, keys: tuple[Verifier, ...], where: str) -> None:
    """Check that the log's key signed first, and that every other signature is good and of a key that is named."""
    if note.text != said.note().text:
        raise BadNote(where, "lines after the root, which nobody here can read")
    signed = [key for key in keys if key.verified(note) is not None]
    ids = [(x.name, x.key_id) for x in note.signatures]
    if ids[:1] != [(keys[0].name, keys[0].key_id)]:
        raise BadNote(where, f"not signed first by the log's key, {keys[0]}")
    if sorted(ids) != sorted((key.name, key.key_id) for key in signed):
        raise BadNote(where, "a signature by a key that vkeys.txt does not name, or twice by the same")


def _check_follows(bundle: Bundle, found: Mapping[str, bytes], where: str) -> None:
    """Check that every file is what follows from the rest."""
    made = bundle.files()
    for name in sorted({*made, *found} - {"SHA256SUMS"}):  # which fits what was found
        if made.get(name) != found.get(name):
            raise bad(where, f"{name}: it does not belong here, or is not what follows from the other files")
