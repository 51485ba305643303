"""A stream file read as a ledger: judged like any other, kept in memory, nothing stored."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ledger import files
from ledger.clock import EPOCH
from ledger.entry import MAX_LINE, Entry, from_line
from ledger.errors import BadLine, NotFound
from ledger.streams.acceptance import Refusal, Streams
from ledger.text import clean


def lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line of a file; `-` is standard input. Empty lines are passed over."""
    name = "standard input" if path == "-" else path
    for number, raw in raw_lines(path):
        yield number, decoded(raw, name, number)


def raw_lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each line that is not empty, without its end.

    Raises NotFound for a file that is not there, BadLine for a line of more than 16,000,000 bytes.
    """
    name = "standard input" if path == "-" else path
    try:
        if path != "-":
            with files.opened(path) as file:
                yield from _numbered(file, name)
        elif sys.stdin is None:
            raise NotFound(name, "cannot be read: it is closed", "name a file, or pipe one in")
        else:
            yield from _numbered(sys.stdin.buffer, name)
    except OSError as error:
        raise NotFound(clean(name), f"cannot be read: {error.strerror}", "check the file's name") from None


def decoded(raw: bytes, name: str, number: int) -> str:
    """Return the text of a line, or raise BadLine when it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadLine(f"{clean(name)}, line {number}", "not UTF-8") from None


def read(path: str) -> list[Entry]:
    """Return the entries of a stream file; positions are line numbers. Raises BadLine with file, line and field."""
    name = "standard input" if path == "-" else path
    return entries_of(lines(path), name)


def entries_of(numbered: Iterable[tuple[int, str]], name: str) -> list[Entry]:
    """Return the entries that lines make; `name` is the file they stand in.

    A line without `recordedtime` was recorded when it happened, never before the line ahead of it; a line whose
    command id came before adds nothing. Raises BadLine for a line that cannot be read or that its stream refuses.
    """
    streams, found = Streams(), list[Entry]()
    recorded_at, known = EPOCH, set[str]()
    for number, text in numbered:
        line = from_line(text, name, number)
        where = f"{clean(name)}, line {number}"
        if line.sequence is not None and line.sequence != number:
            raise BadLine(where, f"sequence: {line.sequence} contradicts the line number {number}")
        recorded_at = line.recorded_at or max(recorded_at, line.fact.time)
        if line.fact.command_id is not None and line.fact.command_id in known:
            continue
        entry = line.entry(number, streams[line.fact.stream].version + 1, recorded_at)
        entry = streams.canonical(entry)
        refusal = streams.admit(entry)
        if refusal is not None:
            reason = f" ({refusal.reason})" if isinstance(refusal, Refusal) else ""
            what = f"{entry.stream} refuses {entry.name}: {refusal.what}{reason}"
            todo = refusal.todo if "show" not in refusal.todo else f"look at the lines of {entry.stream} around it"
            raise BadLine(where, what, todo)
        if entry.command_id is not None:
            known.add(entry.command_id)
        found.append(entry)
    return found


def _numbered(file: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    for number, raw in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
        if len(raw) > MAX_LINE:
            raise BadLine(f"{clean(name)}, line {number}", f"longer than {MAX_LINE:,} bytes")
        if raw.strip():
            yield number, raw.rstrip(b"\r\n")
