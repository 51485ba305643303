"""Power cut at random instants: the calls of a session are made again on a disk that loses what was not synchronised.

What was acknowledged is there, what was not is there whole or not at all. Where the ledger would synchronise less than
it does, the same cuts are seen to lose.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ledger.book import create
from ledger.errors import LedgerError
from tests.faults import times, tracing
from tests.faults.disk import Change, Disk, File
from tests.faults.processes import Nursery, Session
from tests.faults.sessions import pair
from tests.faults.sound import check, entries_of

PAIRS = 25
WHOLE = ("-s", "70000")  # every byte that is written is traced
RESPONSE = ("record", "ResponseGiven", "incident:W-0", "--responder", "human", "--at", "2026-03-02T12:05:00Z")
Cut = tuple[int, dict[str, bytes]]  # how much was acknowledged by then, and the files that are left


def traced(session: Session, db: Path, acks: Path, *options: str) -> list[tracing.Call]:
    """The calls of a session, with all the bytes it wrote."""
    log = db.parent.with_name("trace")
    assert tracing.watch(session, db, log, "-P", str(acks), *WHOLE, *options) == 0
    return list(tracing.calls_of(log))


def cuts(disk: Disk, calls: list[tracing.Call], acks: Path, count: int, seed: int) -> Iterator[Cut]:
    """Yield what is left after so many power cuts, each at an instant of its own."""
    draw, acked, made = Random(seed), 0, 0
    for instant in sorted(draw.randrange(len(calls) + 1) for _ in range(count)):
        for call in calls[made:instant]:
            disk.make(call)
            acked += call.name == "write" and call.path == str(acks) and call.result != "0"
        made = instant
        yield acked, disk.after_cut(draw)


def laid_out(files: dict[str, bytes], place: Path) -> Path:
    """The files in a folder where nothing else is; the ledger among them."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)
    return place / "ledger.db"


def losses_of_writing(nursery: Nursery, folder: Path, count: int, **settings: Any) -> list[str]:
    """What goes wrong in so many cuts while pairs are recorded."""
    (folder / "live").mkdir()
    db, acks = folder / "live" / "ledger.db", folder / "acks"
    create(db)
    disk = Disk(db.parent)
    calls = traced(nursery.start("write", db, "W", acks, PAIRS, wait=True, **settings), db, acks)
    assert len(acks.read_text().splitlines()) == PAIRS
    wrong = []
    for number, (acked, files) in enumerate(cuts(disk, calls, acks, count, seed=1)):
        after = laid_out(files, folder / "after")
        try:
            there = check(after, {f"W/{n}" for n in range(acked)}, {f"W/{n}" for n in range(acked + 1)})
            if number % 50 == 0:
                nursery.start("write", after, "W", folder / "none", 1, **settings).wait()
                (folder / "none").unlink()
                check(after, there | {"W/0"}, there | {"W/0"})
        except (AssertionError, LedgerError, sqlite3.DatabaseError) as error:
            wrong.append(f"cut {number}, {acked} acknowledged: {error}")
    assert disk.names[str(db)].pending == [] or settings["journal"] == "WAL" or "synchronous" in settings
    return wrong


@pytest.mark.parametrize("journal", ["TRUNCATE", "WAL"])
def test_what_is_acknowledged_survives_a_power_cut(journal: str, nursery: Nursery, folder: Path) -> None:
    assert losses_of_writing(nursery, folder, times(2_000, 50_000), journal=journal) == []


@pytest.mark.parametrize("journal, level", [("TRUNCATE", "OFF"), ("WAL", "OFF"), ("WAL", "NORMAL")])
def test_the_loss_is_seen_when_less_is_synchronised(journal: str, level: str, nursery: Nursery, folder: Path) -> None:
    wrong = losses_of_writing(nursery, folder, 100, journal=journal, synchronous=level)

    assert len(wrong) > 20


def losses_of_making(nursery: Nursery, folder: Path, count: int, **settings: Any) -> list[str]:
    """What goes wrong in so many cuts while a ledger is made."""
    (folder / "live").mkdir()
    db = folder / "live" / "ledger.db"
    disk = Disk(db.parent)
    session = nursery.command(db, "init", wait=True, **settings)
    calls = traced(session, db, session.err)
    wrong = []
    for number, (acked, files) in enumerate(cuts(disk, calls, session.err, count, seed=2)):
        after = laid_out(files, folder / "after")
        try:
            assert after.exists() or not acked
            assert not after.exists() or [e.name for e in entries_of(after)] == ["TermsPosted"]
        except (AssertionError, LedgerError, sqlite3.DatabaseError) as error:
            wrong.append(f"cut {number}, {acked} acknowledged: {error}")
    return wrong


def test_a_ledger_is_there_whole_or_not_at_all_after_a_power_cut(nursery: Nursery, folder: Path) -> None:
    assert losses_of_making(nursery, folder, times(300, 10_000), journal="TRUNCATE") == []


def test_the_loss_is_seen_when_the_new_name_is_not_synchronised(nursery: Nursery, folder: Path) -> None:
    assert losses_of_making(nursery, folder, 300, journal="TRUNCATE", folder_sync=False) != []


@pytest.mark.parametrize("folder_sync", [True, False])
def test_what_is_read_back_after_an_error_survives_a_power_cut_too(
    folder_sync: bool, nursery: Nursery, folder: Path
) -> None:
    """The journal's end, which commits, fails to be synchronised: found by its command id, it is synchronised again.

    Where that is left out, the loss is seen.
    """

    def begin() -> tuple[Path, Disk, Session]:
        shutil.rmtree(folder / "live", ignore_errors=True)
        (folder / "live").mkdir()
        db = folder / "live" / "ledger.db"
        create(db, facts=pair("W", 0))
        disk, command = Disk(db.parent), ("--json", *RESPONSE, "--command-id", "row/1")
        return db, disk, nursery.command(db, *command, wait=True, journal="TRUNCATE", folder_sync=folder_sync)

    db, _, session = begin()
    whole = traced(session, db, session.out)
    end = [n for n, call in enumerate(whole) if call.name == "ftruncate" and call.path.endswith("-journal")][-1]
    db, disk, session = begin()
    calls = traced(session, db, session.out, "-e", f"inject=fdatasync:error=EIO:when={whole[end + 1].nth}")

    kept = set()
    for acked, files in cuts(disk, calls, session.out, 300, seed=3):
        if acked:
            kept.add(len(entries_of(laid_out(files, folder / "after"))))
    assert kept == ({3} if folder_sync else {2, 3})


def test_the_disk_loses_and_tears_what_is_not_synchronised() -> None:
    file, draw = File(bytearray(b"a" * 2048)), Random(4)
    file.pending.append(Change(512, b"b" * 1024))
    seen = {file.after_cut(draw, None) for _ in range(200)}
    file.sync()

    torn = {
        b"a" * 512 + one + other + b"a" * 512 for one in (b"a" * 512, b"b" * 512) for other in (b"a" * 512, b"b" * 512)
    }
    assert seen == torn
    assert file.after_cut(draw, None) == b"a" * 512 + b"b" * 1024 + b"a" * 512
