"""What an importer makes of a file: facts, rows that cannot become facts, and rows that change nothing."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from ledger import files
from ledger.entry import Fact, event_bytes
from ledger.errors import NotFound
from ledger.events import Event
from ledger.instants import stamp
from ledger.privacy.sealing import without_summary
from ledger.text import clean

MAX_BYTES = 500_000_000  # of a file, and of what is unpacked from it


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
    return id_made_of(prefix, event, digest(event), occurrence)


def digest(event: Event) -> str:
    """Return the part of a command id that stands for an event's content."""
    return sha256(event_bytes(without_summary(event))).hexdigest()[:16]


def id_made_of(prefix: str, event: Event, digest: str, occurrence: int = 0) -> str:
    """Return the command id of an event whose digest is known."""
    return f"{prefix}/{type(event).__name__}/{digest}/{occurrence}"


def fact_prefix(fact: Fact) -> str:
    """Return the prefix of a fact that names no source: its stream and time."""
    return f"{fact.stream}/{stamp(fact.time)}"


def read_bytes(path: str) -> bytes:
    """Return the content of a file, unpacked when it is gzip.

    Raises NotFound when it cannot be read, LedgerError when it takes more than 500,000,000 bytes.
    """
    packed = files.content(path, MAX_BYTES)
    if packed[:2] != b"\x1f\x8b":
        return packed
    try:
        with gzip.open(io.BytesIO(packed)) as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NotFound(clean(path), f"cannot be read: {reason}", "check the file's name and content") from None
    files.check_size(path, content, MAX_BYTES)
    return content
