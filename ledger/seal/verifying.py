"""`verify`: a record read again whole, by position and by stream, and compared with the checkpoints that are held."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import pairwise

from ledger.errors import LedgerBroken, StorageFailed
from ledger.seal import held as holding
from ledger.seal.attacks import named
from ledger.seal.by_position import Progress, Walk, walked
from ledger.seal.by_stream import EVERY_STREAM, Readmission, readmitted
from ledger.seal.findings import TODO, Finding, Findings
from ledger.seal.held import Held
from ledger.seal.notes import Verifier
from ledger.seal.verdict import Verdict
from ledger.store.address import reader_at
from ledger.store.mapper import from_state
from ledger.store.reading import Record
from ledger.store.sqlite_reading import FileReader

FEW = 20_000  # entries that one process reads before another has begun
PARTS, MOST = 6, 4  # of the streams; processes that share them


def verified(
    record: Record,
    given: Sequence[Held],
    keys: Sequence[Verifier],
    progress: Progress,
    address: str | None = None,
) -> Verdict:
    """Read a record again and return the verdict; nothing is written.

    given: checkpoints from outside. keys: of those whose signatures count. address: of a ledger, for a second process
    to read it by; None for a stream file, which keeps no leaf hashes and no checkpoints.

    Raises LedgerBroken when the store cannot give what is in it.
    """
    findings = Findings()
    kept = holding.kept(record.kept_checkpoints(), findings)
    last = record.last_position()  # after the checkpoints: others may record and seal meanwhile
    held = [*kept, *given]
    sizes = [one.checkpoint.size for one in held if one.checkpoint.size <= last]
    try:
        with _beside(record, address if last > FEW else None, last) as readmission:
            walk = walked(record.sealed(last), sizes, progress)
            again = readmission()
    except LedgerBroken as error:
        raise _first_unreadable(record, last) or error from None
    findings.add_all(again.findings)
    if address is not None:
        _find_gaps(walk, findings)
    if again.entries != walk.entries:
        what = f"there are {again.entries} entries by stream, and {walk.entries} by position"
        findings.add(Finding(None, "versions", "damaged_index", what))
    findings.add_all(named(record, walk.changed, holding.check_tree(held, walk, last, findings)))
    if not again.findings.listed:
        _find_odd_command_ids(record, last, again, findings)
    vouched = holding.check_signatures(held, keys, findings) if keys else ()
    return Verdict(last, address is None, walk, again, kept, given, keys, findings, vouched)


@contextmanager
def _beside(record: Record, address: str | None, last: int) -> Iterator[Callable[[], Readmission]]:
    """Yield what tells how all streams were read again: by other processes meanwhile, the rest by this one."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    if address is None or "fork" not in multiprocessing.get_all_start_methods():
        _check_file(record)
        yield lambda: readmitted(record.rows_by_stream(*EVERY_STREAM, last))
        return
    with closing(reader_at(address)) as reader:
        parts = list(pairwise([EVERY_STREAM[0], *reader.bounds(*EVERY_STREAM, PARTS), EVERY_STREAM[1]]))
    others = max(1, min(os.cpu_count() or 1, MOST) - 1)
    with ProcessPoolExecutor(others, multiprocessing.get_context("fork")) as pool:
        sound = pool.submit(_check_file_at, address)
        begun = [pool.submit(_readmitted_at, address, last, part) for part in parts]

        def all_of_them() -> Readmission:
            found = Readmission()
            for part, theirs in zip(reversed(parts), reversed(begun), strict=True):
                mine = theirs.cancel()
                found += readmitted(record.rows_by_stream(*part, last)) if mine else theirs.result()
            sound.result()
            return found

        yield all_of_them


def _check_file(record: Record) -> None:
    if isinstance(record, FileReader):
        record.check_file()


def _check_file_at(address: str) -> None:
    with closing(reader_at(address)) as reader:
        _check_file(reader)


def _readmitted_at(address: str, last: int, part: tuple[str, str]) -> Readmission:
    with closing(reader_at(address)) as reader:
        return readmitted(reader.rows_by_stream(*part, last))


def _first_unreadable(record: Record, last: int) -> LedgerBroken | None:
    """Return an error that names the first entry that the store cannot give, None when each alone can be had."""
    with suppress(StorageFailed):
        for position in range(1, last + 1):
            try:
                record.at([position])
            except LedgerBroken as error:
                return LedgerBroken(f"entry {position}", f"changed bytes: {error.what}", TODO)
    return None


def _find_gaps(walk: Walk, findings: Findings) -> None:
    for begin, end in walk.gaps:
        what = f"entry {begin} is missing" if end - begin == 1 else f"entries {begin} to {end - 1} are missing"
        findings.add(Finding(begin, "positions", "missing_entry", f"{what}: entry {end} follows entry {begin - 1}"))


def _find_odd_command_ids(record: Record, last: int, again: Readmission, findings: Findings) -> None:
    """Find command ids that are there twice, or that are not those of the entries they are kept with."""
    before, identified = "", 0
    for position, command_id in record.command_ids(last):
        if command_id == before:
            what = f"its command id is that of another entry: {command_id}"
            findings.add(Finding(position, "command_ids", "raw_insert", what))
        before = command_id
        identified += hash((position, command_id))
    if identified == again.identified:
        return
    kept = dict(record.command_ids(last))
    for row in record.rows(last):
        if from_state(*row).command_id != kept.get(row[0]):
            what = f"it is kept under another command id than its own: {kept.get(row[0])}"
            findings.add(Finding(row[0], "command_ids", "raw_insert", what))
