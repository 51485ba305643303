"""Each system call that writes fails once, with an error of the disk, a full disk, or the end of the process.

After each fault the ledger is sound, what was acknowledged is there, what was not is there whole or not at all. What is
said is three lines and true. The same command again ends with exactly one.
"""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger.book import Ledger, create, judged
from ledger.entry import to_line
from ledger.streams.acceptance import Streams
from tests.faults import times, tracing
from tests.faults.processes import Nursery, Session
from tests.faults.sessions import NOON, pair
from tests.faults.sound import check, check_file, entries_of

AT = ("--at", "2026-03-02T12:05:00Z")
RECORD = ("--json", "record", "ResponseGiven", "incident:W-0", "--responder", "human", *AT, "--command-id", "row/1")
JOURNALS = ["TRUNCATE", "WAL"]


@dataclass(frozen=True)
class Sweep:
    """A session each of whose calls is made to fail, on a ledger made anew each time.

    prepare makes the ledger in a folder; begin starts the session, which waits; look is told of the ledger, the exit
    status and what was said.
    """

    folder: Path
    prepare: Callable[[Path], Path]
    begin: Callable[[Path], Session]
    look: Callable[[Path, int, str], None]
    every: int = 1  # of so many calls one fails

    def run(self) -> Counter[str]:
        """How often which fault led to which exit status."""
        log = self.folder / "trace"
        for name in ("first", "whole"):  # the first loads what it needs, in more calls than those that come after it
            db = self.prepare(new(self.folder / name))
            assert tracing.watch(self.begin(db), db, log) == 0
        calls = tracing.one_of_each_run(tracing.calls_of(log))[:: self.every]
        assert len(calls) > 5
        with ThreadPoolExecutor(4) as pool:
            cases = [(call, fault) for call in calls for fault in tracing.FAULTS]
            return Counter(pool.map(lambda case: self.fail(*case), cases))

    def fail(self, call: tracing.Call, fault: str) -> str:
        """Have one call fail, and return the fault and the exit status it led to."""
        folder = new(self.folder / f"{call.name}-{call.nth}-{fault}")
        db = self.prepare(folder)
        session = self.begin(db)
        status = tracing.failing(session, db, folder / "trace", call, fault)
        said = session.err.read_text()
        try:
            assert status in (0, 1, -signal.SIGKILL)
            assert (status == -signal.SIGKILL) == (fault == "kill")
            assert status != 1 or len(said.splitlines()) == 3
            self.look(db, status, said)
        except AssertionError as error:
            error.add_note(f"{fault} at {call}: status {status}: {said}")
            raise
        shutil.rmtree(folder)
        return f"{fault} {status}"


def new(place: Path) -> Path:
    """A folder, made."""
    place.mkdir()
    return place


def ledger_in(place: Path) -> Path:
    """A ledger with one pair in it."""
    db = place / "ledger.db"
    create(db, facts=pair("W", 0))
    return db


@pytest.mark.parametrize("journal", JOURNALS)
def test_recording_survives_the_failure_of_any_call(journal: str, nursery: Nursery, folder: Path) -> None:
    def begin(db: Path) -> Session:
        return nursery.command(db, *RECORD, wait=True, journal=journal)

    def look(db: Path, status: int, said: str) -> None:
        check_file(db)
        after = [e.command_id for e in entries_of(db)][2:]
        assert after in ([], ["row/1"])
        assert after or status != 0
        assert not (after and "nothing was added" in said)
        assert nursery.command(db, *RECORD, journal=journal).wait() == 0
        assert [e.command_id for e in entries_of(db)][2:] == ["row/1"]

    met = Sweep(folder, ledger_in, begin, look).run()

    assert min(met["EIO 1"], met["ENOSPC 1"], met["kill -9"]) > 3, met


def test_a_ledger_is_made_whole_or_not_at_all(nursery: Nursery, folder: Path) -> None:
    """Where SQLite may keep a write-ahead log, too: what is in the log of a draft would be lost."""

    def begin(db: Path) -> Session:
        return nursery.command(db, "init", wait=True, journal="WAL")

    def look(db: Path, status: int, said: str) -> None:
        assert db.exists() or status != 0
        if not db.exists():
            assert nursery.command(db, "init", journal="WAL").wait() == 0
        check_file(db)
        assert [e.name for e in entries_of(db)] == ["TermsPosted"]
        left = {p.name.removeprefix("ledger.db") for p in db.parent.iterdir() if p.name != "trace"}
        assert status != 1 or left <= {""}, left

    met = Sweep(folder, lambda place: place / "ledger.db", begin, look, times(2, 1)).run()

    assert min(met["EIO 1"], met["ENOSPC 1"], met["kill -9"]) > 3, met


def test_an_import_adds_all_or_nothing(nursery: Nursery, folder: Path) -> None:
    lines = folder / "two.jsonl"
    lines.write_text("".join(f"{to_line(e)}\n" for e in judged(pair("I", 1), Streams(), 0, {}, NOON).added))

    def begin(db: Path) -> Session:
        return nursery.command(db, "import", str(lines), wait=True)

    def look(db: Path, status: int, said: str) -> None:
        there = check(db, {"W/0"} | ({"I/1"} if status == 0 else set()), {"W/0", "I/1"})
        assert not ("I/1" in there and "nothing was added" in said)
        assert nursery.command(db, "import", str(lines)).wait() == 0
        check(db, {"W/0", "I/1"}, {"W/0", "I/1"})

    met = Sweep(folder, ledger_in, begin, look, times(3, 1)).run()

    assert min(met["EIO 1"], met["ENOSPC 1"], met["kill -9"]) > 3, met


def test_undoing_what_a_killed_writer_left_can_fail_too(nursery: Nursery, folder: Path) -> None:
    def prepare(place: Path) -> Path:
        db = ledger_in(place)
        assert nursery.start("half", db).wait() == -signal.SIGKILL
        return db

    def begin(db: Path) -> Session:
        return nursery.command(db, "--json", "log", wait=True)

    def look(db: Path, status: int, said: str) -> None:
        check(db, {"W/0"}, {"W/0"})

    met = Sweep(folder, prepare, begin, look).run()

    assert min(met["EIO 1"], met["ENOSPC 1"], met["kill -9"]) > 3, met


def test_views_that_cannot_be_brought_up_to_the_ledger_cost_no_answer(nursery: Nursery, folder: Path) -> None:
    """Whichever call fails while they catch up; after that they are what a rebuild would make of them."""
    question = ("--as-of", "2026-03-02T13:00:00Z", "order", "--json")
    answers: set[str] = set()

    def prepare(place: Path) -> Path:
        db = ledger_in(place)
        assert nursery.command(db, "rebuild", "--jobs", "1").wait() == 0
        with closing(Ledger(db)) as ledger:
            ledger.record(*pair("W", 1))
        return db

    def begin(db: Path) -> Session:
        return nursery.command(db, *question, wait=True)

    def look(db: Path, status: int, said: str) -> None:
        again = nursery.command(db, *question)
        assert again.wait() == 0
        answers.add(again.out.read_text())
        assert nursery.command(db, "verify", "--views").wait() == 0
        check(db, {"W/0", "W/1"}, {"W/0", "W/1"})

    met = Sweep(folder, prepare, begin, look, times(6, 1)).run()

    assert len(answers) == 1
    assert min(met["EIO 0"], met["ENOSPC 0"], met["kill -9"]) > 1, met


@pytest.mark.parametrize("does", ["record", "import"])
def test_an_error_after_the_commit_is_no_failure(does: str, nursery: Nursery, folder: Path) -> None:
    """It is looked up by command id before anything is said."""
    lines, log = folder / "two.jsonl", folder / "trace"
    lines.write_text("".join(f"{to_line(e)}\n" for e in judged(pair("I", 1), Streams(), 0, {}, NOON).added))
    command = RECORD if does == "record" else ("import", str(lines))

    def begin(db: Path) -> Session:
        return nursery.command(db, *command, wait=True, journal="TRUNCATE")

    db = ledger_in(new(folder / "whole"))
    tracing.watch(begin(db), db, log)
    calls = list(tracing.calls_of(log))
    committed = [n for n, call in enumerate(calls) if call.name == "ftruncate" and call.path.endswith("-journal")][-1]
    db = ledger_in(new(folder / "faulty"))
    session = begin(db)
    status = tracing.failing(session, db, log, calls[committed + 1], "EIO")

    assert calls[committed + 1].name == "fdatasync"
    assert (status, session.err.read_text()) == (0, "")
    assert [e.command_id for e in entries_of(db)][2:] == (["row/1"] if does == "record" else ["I/1/a", "I/1/b"])
