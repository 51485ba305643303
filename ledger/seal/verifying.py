"""`verify`: a record read again whole, by position and by stream, and compared with the checkpoints that are held."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import chain, pairwise
from typing import Any

from ledger.errors import LedgerBroken, StorageFailed
from ledger.seal import held as holding
from ledger.seal.attacks import named
from ledger.seal.by_position import BLOCK, Part, Progress, Walk, read_part
from ledger.seal.by_stream import EVERY_STREAM, Readmission, readmitted
from ledger.seal.findings import Finding, Findings
from ledger.seal.held import Held
from ledger.seal.notes import Verifier
from ledger.seal.verdict import Unreadable, Verdict
from ledger.store.address import reader_at
from ledger.store.mapper import from_state
from ledger.store.reading import Record
from ledger.store.sqlite_reading import FileReader

FEW = 20_000  # entries that one process reads before another has begun
MOST = 4  # processes that share them
CHECKING = 0.15  # what SQLite takes to look at the whole file, to reading all entries


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

    Raises LedgerBroken when the store cannot give what is in it; Unreadable where an entry can be named.
    """
    findings = Findings()
    kept = holding.kept(record.kept_checkpoints(), findings)
    last = record.last_position()  # after the checkpoints: others may record and seal meanwhile
    held = [*kept, *given]
    sizes = [one.checkpoint.size for one in held if one.checkpoint.size <= last]
    try:
        walk, doubts = _read_again(record, address, last, sizes, progress)
        if not doubts.listed:
            _find_odd_command_ids(record, last, walk, findings)
    except LedgerBroken as error:
        raise _unreadable(record, last) or error from None
    findings.add_all(doubts)
    if address is not None:
        _find_gaps(walk, findings)
    vouched, counted = holding.check_signatures(held, keys, findings) if keys else ([], held)
    findings.add_all(named(record, walk.changed, holding.check_tree(counted, walk, last, findings)))
    return Verdict(last, address is None, walk, kept, given, keys, findings, vouched)


def _read_again(
    record: Record, address: str | None, last: int, sizes: Sequence[int], progress: Progress
) -> tuple[Walk, Findings]:
    """Read all entries by position, and whole streams of those that are not beyond doubt then."""
    walk, findings = Walk(), Findings()
    for part, doubts in _parts(record, address if last > FEW else None, last, sizes, progress):
        walk.join(part)
        findings.add_all(doubts)
    if walk.is_ambiguous or record.first_position() < 1:
        return walk, readmitted(record.rows_by_stream(*EVERY_STREAM, last)).findings
    left = {stream: position for stream, position in walk.earlier.items() if stream not in walk.doubtful}
    again = _judged(record, left, last)
    walk.identify(again.command_ids)
    findings.add_all(again.findings)
    return walk, findings


def _parts(
    record: Record, address: str | None, last: int, sizes: Sequence[int], progress: Progress
) -> Iterator[tuple[Part, Findings]]:
    """Yield the parts of a record in order: the last is read here, the others meanwhile by other processes."""
    from ledger.processes import CAN_FORK, pool

    if address is None or not CAN_FORK:
        _check_file(record)
        yield _part(record, (0, last), last, sizes, progress)
        return
    *others, mine = _spans(last, max(2, min(os.cpu_count() or 1, MOST)))
    with pool(len(others)) as processes:
        sound = processes.submit(_check_file_at, address)
        begun = [processes.submit(_part_at, address, span, last, sizes) for span in reversed(others)]
        after = mine[0]  # the others are as far in their parts
        found = _part(record, mine, last, sizes, lambda at: progress((at - after) * last // (last - after)))
        sound.result()
        for one in reversed(begun):
            yield one.result()
        yield found


def _part_at(address: str, span: tuple[int, int], last: int, sizes: Sequence[int]) -> tuple[Part, Findings]:
    with closing(reader_at(address)) as reader:
        return _part(reader, span, last, sizes, lambda done: None)


def _part(
    record: Record, span: tuple[int, int], last: int, sizes: Sequence[int], progress: Progress
) -> tuple[Part, Findings]:
    """Return what is found in the entries of a span, and in whole streams that begin there and are not beyond doubt."""
    after, until = span
    part = read_part(record.sealed(until, after), after, sizes, progress)
    again = _judged(record, part.doubtful, last)
    part.identify(again.command_ids)
    return part, again.findings


def _judged(record: Record, since: Mapping[str, int], last: int) -> Readmission:
    """Judge whole streams; since: by stream, the position from which on its command ids are wanted."""
    rows = (record.rows_by_stream(stream, f"{stream} ", last) for stream in sorted(since))
    return readmitted(chain.from_iterable(rows), since)


def _spans(last: int, parts: int) -> list[tuple[int, int]]:
    """Return the parts that positions are read in, `(after, until]`; the first process looks at the file before."""
    share = (1 + CHECKING) / parts
    cuts = [round(last * (share * number - CHECKING)) // BLOCK * BLOCK for number in range(1, parts)]
    return list(pairwise([0, *cuts, last]))


def _check_file(record: Record) -> None:
    if isinstance(record, FileReader):
        record.check_file()


def _check_file_at(address: str) -> None:
    with closing(reader_at(address)) as reader:
        _check_file(reader)


def _unreadable(record: Record, last: int) -> Unreadable | None:
    """Return an error that names the first entry that the store cannot give, None when each can be had."""
    before = 0
    with suppress(StorageFailed):
        try:
            for row in record.sealed(last):
                before = row[0]
        except LedgerBroken:
            return _first_broken(lambda up_to: record.sealed(up_to, before), before, last)
        try:
            deque(record.command_ids(last), 0)
        except LedgerBroken:
            return _first_broken(record.command_ids, 0, last)
    return None


def _first_broken(read: Callable[[int], Iterable[Any]], low: int, high: int) -> Unreadable | None:
    """Return an error that names the first entry without which all can be read. low: before it; high: not before it."""
    what, middle = None, high
    while low < middle:
        try:
            deque(read(middle), 0)
            low = middle
        except LedgerBroken as error:
            high, what = middle, error.what
        middle = (low + high) // 2
    return None if what is None else Unreadable(Finding(high, "readable", "changed_bytes", what))


def _find_gaps(walk: Walk, findings: Findings) -> None:
    for begin, end in walk.gaps:
        what = f"entry {begin} is missing" if end - begin == 1 else f"entries {begin} to {end - 1} are missing"
        findings.add(Finding(begin, "positions", "missing_entry", f"{what}: entry {end} follows entry {begin - 1}"))


def _find_odd_command_ids(record: Record, last: int, walk: Walk, findings: Findings) -> None:
    """Find command ids that are there twice, or that are not those of the entries they are kept with."""
    before, kept_with = "", 0
    for position, command_id in record.command_ids(last):
        if command_id == before:
            what = f"its command id is that of another entry: {command_id}"
            findings.add(Finding(position, "command_ids", "raw_insert", what))
        before = command_id
        kept_with += hash((position, command_id))
    if kept_with == walk.identified:
        return
    kept = dict(record.command_ids(last))
    for row in record.rows(last):
        if from_state(*row).command_id != kept.get(row[0]):
            what = f"it is kept under another command id than its own: {kept.get(row[0])}"
            findings.add(Finding(row[0], "command_ids", "raw_insert", what))
