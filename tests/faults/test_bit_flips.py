"""One bit of a ledger's file is flipped: verify names the damage, or every entry and every answer is as it was."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import cast

from typer.testing import CliRunner

from cli import app
from ledger.book import Ledger, create
from ledger.store.sqlite import EntryRecorder
from ledger.store.sqlite_reading import FileReader
from tests.faults import times
from tests.faults.sessions import pair

PAIRS = 25
HEADER, PAGE = 100, 4096  # bytes that say what file it is, and those of the page they begin
QUESTIONS = (("export",), ("compliance", "--json"), ("--as-of", "2026-03-02T13:00:00Z", "queue", "--json"))


def told(db: Path) -> list[object]:
    """All that can be asked of a ledger: by position, by stream, by command id; its leaves, and answers."""
    answers: list[object] = []
    for question in QUESTIONS:
        done = CliRunner().invoke(app, ["--db", str(db), *question])
        answers.append((done.exit_code, done.stdout))
    with closing(FileReader(db)) as reader:
        answers += [list(reader.rows(2**62)), list(reader.leaves(2**62)), list(reader.rows_by_stream("a", "z", 2**62))]
    with closing(Ledger(db, "ro")) as ledger:
        ids = [f.command_id for n in range(PAIRS) for f in pair("W", n) if f.command_id]
        answers.append(cast(EntryRecorder, ledger.store).positions_of(ids))
    for beside in db.parent.glob(f"{db.name}.*"):
        beside.unlink()
    return answers


def flipped(folder: Path, bits: Callable[[int], Iterable[int]]) -> Counter[int]:
    """How often verify ended with which status, one bit flipped at a time; bits: which, of a file of so many bytes.

    The status is 1 only where the file is no ledger any more to anybody, and 0 only where nothing is changed.
    """
    whole, db, met = folder / "whole.db", folder / "ledger.db", Counter[int]()
    create(whole, facts=[fact for n in range(PAIRS) for fact in pair("W", n)])
    before, content = told(whole), whole.read_bytes()
    for bit in bits(len(content)):
        shutil.copy(whole, db)
        with db.open("r+b") as file:
            file.seek(bit // 8)
            file.write(bytes([content[bit // 8] ^ 1 << bit % 8]))
        done = CliRunner().invoke(app, ["--db", str(db), "verify"])
        said = f"bit {bit % 8} of byte {bit // 8}: {done.exit_code} {done.stderr} {done.exception}"
        assert done.exit_code in ((0, 1, 4) if bit // 8 < HEADER else (0, 4)), said
        assert done.exit_code == 0 or len(done.stderr.splitlines()) >= 3, said
        if done.exit_code == 0:
            assert told(db) == before, said
        met[done.exit_code] += 1
    return met


def test_a_damaged_schema_is_named(folder: Path) -> None:
    """It lies in the first page; what SQLite says of it may itself be damaged text."""
    draw = Random(12)

    met = flipped(folder, lambda size: [draw.randrange(PAGE * 8) for _ in range(times(120, 5_000))])

    assert met[4] > met.total() * 0.2, met
    assert met[0] > 0, met


def test_no_flipped_bit_goes_unnoticed(folder: Path) -> None:
    """Wherever it lies: in an entry, in its leaf hash, in an index, in what SQLite needs to find them."""
    draw = Random(9)

    met = flipped(folder, lambda size: [draw.randrange(size * 8) for _ in range(times(300, 20_000))])

    assert met[4] > met.total() * 0.3, met
    assert met[0] > 0, met
