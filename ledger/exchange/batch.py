"""What an importer makes of a file: facts, rows that cannot become facts, and rows that change nothing."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ledger.entry import Fact, event_bytes
from ledger.errors import NotFound
from ledger.events import Event
from ledger.instants import stamp
from ledger.privacy.sealing import without_summary
from ledger.text import clean

MAX_BYTES = 4_000_000_000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot become a fact: where it stood, why, and the row itself."""

    line: int
    reason: str
    raw: str


@dataclass(slots=True)
class Batch:
    """The outcome of reading one file. Every row is in exactly one of: some fact's `line`, `bad`, `passed_over`.

    `raw` gives the text of a line, for facts that their stream refuses later.
    """

    facts: list[Fact] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    rows: int = 0
    passed_over: int = 0
    raw: Callable[[int], str] = lambda line: ""


def command_id(prefix: str, event: Event, occurrence: int = 0) -> str:
    """Return the id that makes importing the same row twice add nothing: ordered by its prefix, then kind, content.

    prefix: the source's own reference and the time of the row, printable ASCII without blanks. occurrence: counts
    identical rows. What is sealed has no part in it.
    """
    digest = sha256(event_bytes(without_summary(event))).hexdigest()[:16]
    return f"{prefix}/{type(event).__name__}/{digest}/{occurrence}"


def fact_prefix(fact: Fact) -> str:
    """Return the prefix of a fact that names no source: its stream and time."""
    return f"{fact.stream}/{stamp(fact.time)}"


def read_bytes(path: str) -> bytes:
    """Return the content of a file, unpacked when it is gzip; NotFound when it cannot be read."""
    try:
        packed = Path(path).read_bytes()
        if packed[:2] != b"\x1f\x8b":
            return packed
        with gzip.open(path) as file:
            content = file.read(MAX_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NotFound(clean(path), f"cannot be read: {reason}", "check the file's name and content") from None
    return content
