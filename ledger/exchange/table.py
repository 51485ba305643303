"""A CSV file as importers see it: the columns they need, records that know their line, and ids for their facts."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from operator import itemgetter
from typing import TypeVar

from ledger.errors import BadLine
from ledger.events import Event
from ledger.exchange.batch import BadRow, Batch, command_id, read_bytes
from ledger.privacy.pseudonyms import Pseudonyms
from ledger.text import clean, identifier
from ledger.values import REFERENCE

PROGRESS_EVERY = 1000
Progress = Callable[[int], None]
_Row = TypeVar("_Row")
_REFERENCE = re.compile(rf"(?=.{{1,120}}$){REFERENCE}")


class Table:
    """A CSV file, packed or not, whose first line names at least the columns in `needed`.

    Those in `wanted` come after them, empty where the file has no such column.
    Raises BadLine when a column is missing or stands twice, NotFound when the file cannot be read.
    """

    def __init__(self, path: str, needed: Sequence[str], wanted: Sequence[str] = ()) -> None:
        text = read_bytes(path).decode("utf-8-sig", errors="replace")
        self._lines = list(io.StringIO(text, newline=""))
        self._ends: dict[int, int] = {}  # the last line of records that run over several
        header, self._body = _header(self._lines)
        for column in needed:
            if header.count(column) != 1:
                wrong = "stands twice" if column in header else "missing"
                raise BadLine(
                    f"{clean(path)}, line 1", f"column {column}: {wrong}", "check that this is the right kind of file"
                )
        self._width = len(header)
        columns = [*map(header.index, needed), *(header.index(c) if c in header else len(header) for c in wanted)]
        self._cells = itemgetter(*columns)

    def rows(
        self, batch: Batch, parse: Callable[[int, tuple[str, ...]], _Row], progress: Progress | None
    ) -> Iterator[_Row]:
        """Yield what `parse` makes of each record, given its line and its needed cells, without blanks around them.

        Counts all records in `batch.rows`, and puts those in `batch.bad` that do not have the header's number of
        columns or for which `parse` raises ValueError. `progress` is told now and then how many records were read.
        """
        for line, cells in self._records():
            batch.rows += 1
            if progress and batch.rows % PROGRESS_EVERY == 0:
                progress(batch.rows)
            try:
                row = parse(line, self._needed(cells))
            except ValueError as error:
                batch.bad.append(BadRow(line, str(error), self.raw(line)))
                continue
            yield row
        if progress:
            progress(batch.rows)

    def raw(self, line: int) -> str:
        """Return the text of the record that begins on a line, without its line end."""
        return "".join(self._lines[line - 1 : self._ends.get(line, line)]).rstrip("\r\n")

    def _needed(self, cells: list[str] | None) -> tuple[str, ...]:
        if cells is None:
            raise ValueError("columns: the quotes do not match")
        if len(cells) != self._width:
            raise ValueError(f"columns: {len(cells)} instead of {self._width}")
        return tuple(map(str.strip, self._cells([*cells, ""])))

    def _records(self) -> Iterator[tuple[int, list[str] | None]]:
        """Yield the line on which each record begins and its cells; blank lines are no records.

        A quote that is never closed swallows the records after it. So where quotes do not match, or a record over
        several lines does not fit the header, the first line alone gives None, and the next begins a new record.
        """
        begins = self._body
        while begins < len(self._lines):
            begins = yield from self._records_from(begins)

    def _records_from(self, first: int) -> Generator[tuple[int, list[str] | None], None, int]:
        """Yield records up to one that cannot be read, and return the index of the line after that."""
        reader = csv.reader(map(self._lines.__getitem__, range(first, len(self._lines))), strict=True)
        begins = first
        while begins < len(self._lines):
            cells = _next(reader)
            ends = first + reader.line_num
            if cells is None or (ends > begins + 1 and len(cells) != self._width):
                yield begins + 1, None
                return begins + 1
            if ends > begins + 1:
                self._ends[begins + 1] = ends
            if cells:
                yield begins + 1, cells
            begins = ends
        return begins


class CommandIds:
    """The command ids of one file's facts: the same facts in the same order have the same ids."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def next(self, prefix: str, event: Event) -> str:
        """Return the id of an event, numbered when the file gave the same prefix and event before."""
        first = command_id(prefix, event)
        self._seen[first] += 1
        occurrence = self._seen[first] - 1
        return command_id(prefix, event, occurrence) if occurrence else first


def is_reference(text: str) -> bool:
    """Return whether a text can stand behind the colon of a stream id as it is."""
    return _REFERENCE.fullmatch(text) is not None


def named(column: str, label: str, pseudonyms: Pseudonyms | None = None, persons: Collection[str] = ()) -> str:
    """Return the identifier made of a cell; ValueError, naming the column, when it gives none.

    With pseudonyms, one stands for what looks like a person: an address, a number, or what is among `persons`.
    """
    if "\ufffd" in label:
        raise ValueError(f"{column}: {shown(label)} holds bytes that are not UTF-8")
    try:
        return identifier(label if pseudonyms is None else pseudonyms.label(label, persons))
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from None


def shown(text: str) -> str:
    """Return a cell as a reason quotes it: short, and safe for a terminal."""
    return repr(clean(text)[:60])


def _header(lines: list[str]) -> tuple[list[str], int]:
    """Return the cells of the first record and the number of lines it takes."""
    reader = csv.reader(lines, strict=True)
    return [cell.strip() for cell in _next(reader) or []], reader.line_num


def _next(reader: Iterator[list[str]]) -> list[str] | None:
    """Return the next record, [] for a blank line or the end, None when the reader gives up on it."""
    try:
        return next(reader, [])
    except csv.Error:
        return None
