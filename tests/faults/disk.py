"""A disk as it is after a power cut: what was synchronised, and of the rest anything from nothing to all, sectors torn.

A name in a folder is durable once the folder is synchronised, a content once its file is. The shared memory of a
write-ahead log is left out: who comes first makes it anew.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.tracing import Call

SECTOR = 512
_OPENED = re.compile(r"(\d+)<")
_WRITTEN = re.compile(r'\d+<[^>]*>, "((?:[^"\\]|\\.)*)", \d+(?:, (\d+))?', re.DOTALL)
_NAMES = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SYNCED = ("fsync", "fdatasync")


@dataclass(frozen=True)
class Change:
    """Bytes written from an offset on, or without bytes the file cut or grown to that size."""

    offset: int
    content: bytes | None

    def to(self, file: bytearray) -> None:
        """Make the change."""
        if self.content is None:
            del file[self.offset :]
        file.extend(bytes(max(0, self.offset - len(file))))
        if self.content is not None:
            file[self.offset : self.offset + len(self.content)] = self.content

    def torn(self, draw: Random) -> Iterator[Change]:
        """Yield what is left of the change when each sector reaches the disk or does not."""
        if self.content is None:
            return
        begin, end = self.offset, self.offset + len(self.content)
        while begin < end:
            until = min(end, (begin // SECTOR + 1) * SECTOR)
            if draw.random() < 0.5:
                yield Change(begin, self.content[begin - self.offset : until - self.offset])
            begin = until


@dataclass(eq=False)
class File:
    """A file's durable content, and what was changed since it was synchronised."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        """Make everything durable."""
        for change in self.pending:
            change.to(self.durable)
        self.pending.clear()

    def after_cut(self, draw: Random, kept: float | None) -> bytes:
        """The content after a cut; kept: how likely each change survives whole, None for half of them, others torn."""
        content = bytearray(self.durable)
        for change in self.pending:
            fate = draw.random()
            if fate < (0.4 if kept is None else kept):
                change.to(content)
            elif kept is None and fate < 0.7:
                for part in change.torn(draw):
                    part.to(content)
        return bytes(content)


class Disk:
    """One folder, while the calls of a session are made on it."""

    def __init__(self, folder: Path) -> None:
        self.names = {str(path): File(bytearray(path.read_bytes())) for path in folder.iterdir()}
        self._folder = str(folder)
        self._durable = dict(self.names)
        self._pending: list[tuple[str, File | None]] = []
        self._open: dict[str, File] = {}

    def make(self, call: Call) -> None:
        """Make a call that succeeded. Calls on other folders, and on shared memory, change nothing here."""
        if call.result.startswith("-1") or call.path.endswith("-shm"):
            return
        number = call.given.partition("<")[0]
        match call.name:
            case "openat" if call.path.startswith(f"{self._folder}/"):
                found = _OPENED.match(call.result)
                assert found is not None
                if call.path not in self.names:
                    self._name(call.path, File())
                self._open[found[1]] = self.names[call.path]
            case "openat" if found := _OPENED.match(call.result):
                self._open.pop(found[1], None)
            case "pwrite64" if number in self._open:
                written = _WRITTEN.fullmatch(call.given)
                assert written is not None, call
                content = ast.literal_eval(f'b"{written[1]}"')
                self._open[number].pending.append(Change(int(written[2]), content))
            case "ftruncate" if number in self._open:
                self._open[number].pending.append(Change(int(call.given.rpartition(", ")[2]), None))
            case "fsync" | "fdatasync" if call.path == self._folder:
                for name, file in self._pending:
                    _set(self._durable, name, file)
                self._pending.clear()
            case "fsync" | "fdatasync" if number in self._open:
                self._open[number].sync()
            case "unlink":
                self._name(call.path, None)
            case "link":
                old, new = _NAMES.findall(call.given)
                self._name(new, self.names[old])
            case _:
                assert number not in self._open, f"{call} is not known here"

    def after_cut(self, draw: Random) -> dict[str, bytes]:
        """The files, by their names without the folder, that are found after a power cut at this instant."""
        kept = draw.choice([0.0, 1.0, None, None])
        names, stopped = dict(self._durable), set[str]()
        for name, file in self._pending:  # what happens to one name happens in order
            if draw.random() < (0.5 if kept is None else kept) and name not in stopped:
                _set(names, name, file)
            else:
                stopped.add(name)
        return {Path(name).name: file.after_cut(draw, kept) for name, file in names.items()}

    def _name(self, name: str, file: File | None) -> None:
        _set(self.names, name, file)
        self._pending.append((name, file))


def _set(names: dict[str, File], name: str, file: File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file
