"""Files that were cut off or altered on their way: all that a file says comes in, or nothing does."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from cli import app
from ledger.book import create
from ledger.entry import to_line
from ledger.errors import LedgerError
from ledger.store import stream_file
from tests.faults import times
from tests.faults.sound import entries_of

STREAM = Path(__file__).resolve().parents[2] / "fixtures" / "streams" / "overtaken-while-paused.jsonl"
Damage = Callable[[bytes], Iterator[bytes]]
HEADER = "number,incident_state,caller_id,opened_at,sys_updated_at,contact_type,location,priority\n"


def prefixes(content: bytes) -> Iterator[bytes]:
    """Every beginning of a file, the whole of it last; every fifth one in the short form, and all around line ends."""
    for size in range(len(content) + 1):
        if size % times(5, 1) == 0 or b"\n" in content[max(0, size - 2) : size + 2] or size == len(content):
            yield content[:size]


def alterations(content: bytes) -> Iterator[bytes]:
    """The file with one bit, one byte or one piece of it altered, at random."""
    draw = Random(8)
    for _ in range(times(200, 20_000)):
        altered, at = bytearray(content), draw.randrange(len(content))
        match draw.randrange(5):
            case 0 | 1:
                altered[at] ^= 1 << draw.randrange(8)
            case 2:
                altered[at] = draw.choice(b'\0\n\r"\\{}[],:0 \xff')
            case 3:
                del altered[at : at + draw.randrange(1, 40)]
            case 4:
                altered[at:at] = altered[at : at + draw.randrange(1, 400)]
        yield bytes(altered)


def said_by(file: Path) -> list[str] | None:
    """The entries that a file says, in its order and each once; None when one of its lines makes no sense."""
    try:
        return [to_line(entry) for entry in stream_file.read(str(file))]
    except LedgerError:
        return None


def comes_in(file: Path, db: Path, *options: str) -> int:
    """The exit status of an import; all that was said to be added is there, and nothing when it was refused."""
    before = len(entries_of(db)) if db.exists() else 0
    done = CliRunner().invoke(app, ["--db", str(db), "--json", "import", *options, str(file)])
    after = len(entries_of(db)) if db.exists() else 0
    assert done.exit_code in (0, 1), (done.exception, done.stderr)
    if done.exit_code == 1:
        assert after == before
        assert len(done.stderr.splitlines()) >= 3
    elif "--verbatim" not in options:
        assert json.loads(done.stdout)["added"] == after - before
    return done.exit_code


@pytest.mark.parametrize("damage", [prefixes, alterations])
def test_a_damaged_stream_file_comes_in_with_every_line_or_not_at_all(damage: Damage, folder: Path) -> None:
    empty, db, file = folder / "empty.db", folder / "ledger.db", folder / "damaged.jsonl"
    create(empty)
    outcomes = set()
    for content in damage(STREAM.read_bytes()):
        file.write_bytes(content)
        shutil.copy(empty, db)
        status, lines = comes_in(file, db), sum(bool(line.strip()) for line in content.split(b"\n"))
        assert len(entries_of(db)) == (lines if status == 0 else 0)
        outcomes.add((status, lines))

    assert {status for status, _ in outcomes} == {0, 1}
    assert damage is alterations or len([lines for status, lines in outcomes if status == 0]) > 5


@pytest.mark.parametrize("damage", [prefixes, alterations])
def test_a_damaged_export_is_copied_as_what_it_says_or_not_at_all(damage: Damage, folder: Path) -> None:
    db, file, outcomes = folder / "ledger.db", folder / "damaged.jsonl", set()
    for content in damage(STREAM.read_bytes()):
        file.write_bytes(content)
        status, said = comes_in(file, db, "--verbatim"), said_by(file)
        if status == 0:
            assert [to_line(entry) for entry in entries_of(db)] == said
        outcomes.add((status, db.exists()))
        db.unlink(missing_ok=True)

    assert outcomes == {(0, True), (1, False)}


def test_a_packed_file_comes_in_whole_or_not_at_all(folder: Path) -> None:
    """Its end holds a check sum: no beginning of it but the whole, and no alteration that matters, is accepted."""
    rows = [f"INC{n},New,Caller 1,1/3/2016 10:00,1/3/2016 10:00,Phone,Location 143,3 - Moderate\n" for n in range(3)]
    packed, db, file = (
        gzip.compress("".join([HEADER, *rows]).encode(), mtime=0),
        folder / "ledger.db",
        folder / "log.gz",
    )
    create(db)
    counts = []
    for size in range(len(packed)):
        file.write_bytes(packed[:size])
        with contextlib.suppress(SystemExit):
            counts.append(comes_in(file, db, "--from", "servicenow", "--zone", "UTC"))
    assert entries_of(db) == []
    assert set(counts) == {1}
    file.write_bytes(packed)
    assert comes_in(file, db, "--from", "servicenow", "--zone", "UTC") == 0
    assert len(entries_of(db)) > 0
