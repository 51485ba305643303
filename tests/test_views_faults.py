"""Whatever becomes of the views' file costs a rebuild and a notice: never a lost entry, never a wrong figure."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger.store.sqlite_reading import FileReader
from projections.views import answers, file, opening
from projections.views.place import Unwritable, is_as_left, locked
from projections.views.tables import Damaged
from tests.benchmarks import history
from tests.support import do
from tests.support import entries as read
from tests.test_views import views

YEAR = Path(__file__).resolve().parents[1] / "fixtures" / "streams" / "a-year-of-acme.jsonl"
QUESTIONS = (
    ("compliance", "--json"),
    ("compliance", "--by", "month", "--json"),
    ("compliance", "--customer", "acme", "--from", "2025-03-01", "--json"),
    ("queue", "--json"),
    ("order", "--json"),
    ("order", "--totals", "--json"),
    ("availability", "--year", "2025", "--json"),
    ("--at-entry", "120", "order", "--json"),
)
COMMAND = [sys.executable, "-c", "from cli import app; app(prog_name='sla-ledger')"]


def told(db: Path, *options: str, questions: tuple[tuple[str, ...], ...] = QUESTIONS) -> list[str]:
    return [do(db, *options, *question).stdout for question in questions]


@pytest.fixture(scope="session")
def right() -> list[str]:
    """What is to be answered on the year of acme: a stream file has no views."""
    return told(YEAR)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    db = tmp_path_factory.mktemp("model") / "ledger.db"
    do(db, "import", "--verbatim", str(YEAR))
    return db


@pytest.fixture
def db(model: Path, tmp_path: Path) -> Path:
    """The year of acme in a ledger, without views."""
    return Path(shutil.copy(model, tmp_path / "ledger.db"))


@pytest.fixture
def seen(db: Path) -> Path:
    """The views of that ledger, just built."""
    do(db, "rebuild")
    return beside(db)


def beside(db: Path) -> Path:
    return db.with_name(f"{db.name}.views")


def run(db: Path, *arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--db", str(db), *arguments]
    if "preexec_fn" in how:
        how["env"] = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # a module cut off would stay so
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=YEAR.parents[2], **how)


def by_hand(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def by_sql(statements: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(statements)

    return change


def flipped(seed: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content, draw = bytearray(path.read_bytes()), random.Random(seed)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        by_hand(path, bytes(content))

    return change


def cut(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


HALF_A_CASE = by_sql("DELETE FROM handling WHERE position IN (SELECT position FROM cases LIMIT 1)")
NO_CASE = by_sql(
    "DELETE FROM handling WHERE position IN (SELECT position FROM cases ORDER BY position LIMIT 3);"
    "DELETE FROM cases WHERE position IN (SELECT position FROM cases ORDER BY position LIMIT 3)"
)
DAMAGES: dict[str, Callable[[Path], None]] = {
    "filled with noise": lambda path: by_hand(path, random.Random(1).randbytes(100_000)),
    "a table less": by_sql("DROP TABLE totals"),
    "totals less": by_sql("DELETE FROM totals WHERE item > '2025-06'"),
    "cases less": NO_CASE,
    "half a case less": HALF_A_CASE,
    "without what they are true for": by_sql("DELETE FROM state WHERE name = 'mark'"),
    **{f"cut at {size}": cut(size) for size in (0, 71, 100, 40_961)},
    **{f"flipped {seed}": flipped(seed) for seed in range(5)},
}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE state SET value = '{}' WHERE name = 'grounds'",
        "UPDATE state SET value = 'x' WHERE name = 'clock 0'",
        "UPDATE state SET value = value + 1 WHERE name = 'clocks'",
        "DELETE FROM state WHERE name = 'clock 0'",
    ],
)
def test_verifying_looks_at_what_cases_would_be_judged_on(change: str, db: Path, seen: Path) -> None:
    do(db, "verify", "--views")

    by_sql(change)(seen)

    assert "the views differ from a rebuild:\n  they cannot be read: " in do(db, "verify", "--views", code=1).stdout


@pytest.mark.parametrize("change", [{"zones": {}}, {"by_priority": False}, {"last_time": 0}])
def test_verifying_compares_what_cases_would_be_judged_on(change: dict[str, Any], db: Path, seen: Path) -> None:
    with closing(sqlite3.connect(seen)) as connection, connection:
        state = file.State(connection)
        state.put_grounds(msgspec.structs.replace(state.grounds(), **change))

    assert "  grounds: " in do(db, "verify", "--views", code=1).stdout


def test_verifying_compares_the_clocks_of_the_desks(db: Path, seen: Path) -> None:
    with closing(sqlite3.connect(seen)) as connection, connection:
        state = file.State(connection)
        grounds = state.grounds()
        clock = grounds.clocks[0]
        clock.ends[len(clock.ends) // 2] += 60
        state.put_grounds(grounds)

    assert "  grounds: " in do(db, "verify", "--views", code=1).stdout


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_views_are_made_anew_with_a_notice(
    damage: Callable[[Path], None], db: Path, seen: Path, right: list[str]
) -> None:
    for question, expected in zip(QUESTIONS, right, strict=True):
        damage(seen)

        found = do(db, *question)

        assert found.stdout == expected
        assert "made anew" in found.stderr
    assert do(db, *QUESTIONS[0]).stderr == ""
    assert json.loads(do(db, "--json", "verify", "--views").stdout)["views"]["differences"] == []


def test_deleted_views_are_built_without_a_word(db: Path, seen: Path, right: list[str]) -> None:
    for question, expected in zip(QUESTIONS, right, strict=True):
        seen.unlink()

        found = do(db, *question)

        assert (found.stdout, found.stderr) == (expected, "")


def test_a_change_in_the_same_tick_of_the_clock_would_show(tmp_path: Path) -> None:
    """Views are left with another time than the clock gave them, and would give what is written until its next tick."""
    path = tmp_path / "views"
    with locked(path) as leave:
        path.write_text("as it is left")
        given = path.stat().st_mtime_ns
        leave()

    assert is_as_left(path)
    assert path.stat().st_mtime_ns != given


def test_a_row_of_another_case_is_checked_too(tmp_path: Path) -> None:
    """Who overtook whom is told from the rows of both cases."""
    found = read(map(json.loads, YEAR.read_text().splitlines()))
    with views(tmp_path / "v", found) as connection:
        connection.execute("COMMIT")
        connection.execute("UPDATE cases SET steps = '[[1],[2],[3]]'")

        with pytest.raises(Damaged):
            answers.Answers(connection, 1 << 40)._steps_of(
                connection.execute("SELECT min(position) FROM cases").fetchone()[0]
            )


def test_a_damaged_index_is_told_by_verify(db: Path, seen: Path) -> None:
    with closing(sqlite3.connect(seen)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'cases_by_stream'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(seen.read_bytes())
    content[root * size - 3] ^= 1  # in the last of its keys
    seen.write_bytes(content)

    found = do(db, "--json", "verify", "--views", code=1)

    assert "the file is damaged" in str(json.loads(found.stdout)["views"]["differences"])


# --- another ledger, another file, no place ---


def test_views_of_another_ledger_are_made_anew(db: Path, seen: Path, tmp_path: Path) -> None:
    """Even of one as long, that ends with the very same entry; moved to its place, or written over what was there."""
    lines = YEAR.read_text().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if '"ResponseGiven"' in line)
    lines[number] = lines[number].replace(":00Z", ":07Z", 1)
    stream, other = tmp_path / "other.jsonl", tmp_path / "other.db"
    stream.write_text("".join(lines))
    do(other, "import", "--verbatim", str(stream))
    assert told(stream, questions=QUESTIONS[:1]) != told(db, questions=QUESTIONS[:1])

    shutil.copy(other, db)
    copied = do(db, *QUESTIONS[0])
    shutil.copy(beside(db), tmp_path / "kept")
    do(db, "rebuild")
    os.replace(other, db)
    moved = told(db)

    assert "another ledger" in copied.stderr
    assert copied.stdout == moved[0]
    assert moved == told(stream)


def test_a_ledger_that_was_cut_back_has_its_views_made_anew(db: Path, seen: Path, tmp_path: Path) -> None:
    stream, shorter = tmp_path / "shorter.jsonl", tmp_path / "shorter.db"
    stream.write_text("".join(YEAR.read_text().splitlines(keepends=True)[:100]))
    do(shorter, "import", "--verbatim", str(stream))
    os.replace(shorter, db)

    questions = QUESTIONS[:-1]
    assert told(db, questions=questions) == told(stream, questions=questions)


def obstacle(path: Path, kind: str) -> Path:
    """Put something in the place of the views, and return where views are asked for."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to nowhere":
        path.symlink_to("nowhere/at/all")
    elif kind == "link to itself":
        path.symlink_to(path)
    elif kind == "other database":
        by_sql("CREATE TABLE mine (x); INSERT INTO mine VALUES (42)")(path)
    elif kind == "text":
        path.write_text("mine\n")
    elif kind == "lock that is text":
        path.with_name(f"{path.name}.lock").write_text("mine\n")
    elif kind == "lock that is a folder":
        path.with_name(f"{path.name}.lock").mkdir()
    elif kind == "draft that is text":
        path.with_name(f"{path.name}.draft").write_text("mine\n")
    elif kind == "below a file":
        return YEAR / "views"
    elif kind == "no folder":
        return path.parent / "none" / "views"
    elif kind == "no place for files":
        return Path("/proc/views")
    return path


OBSTACLES = ["folder", "pipe", "link to nowhere", "other database", "text", "lock that is text"]
OBSTACLES += ["lock that is a folder", "draft that is text"]
NO_PLACES = ["link to itself", "below a file", "no folder", "no place for files"]


def content(folder: Path) -> dict[str, bytes | None]:
    return {p.name: p.read_bytes() if p.is_file() else None for p in folder.iterdir()}


@pytest.mark.parametrize("kind", OBSTACLES)
def test_where_something_else_lies_the_entries_are_read_and_it_is_left_alone(
    kind: str, db: Path, right: list[str]
) -> None:
    obstacle(beside(db), kind)
    before = content(db.parent)

    for question, expected in zip(QUESTIONS, right, strict=True):
        found = do(db, *question)

        assert found.stdout == expected
        assert found.stderr.endswith("; reading the entries instead\n")
    do(db, "rebuild", code=1)
    after = content(db.parent)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) <= {f"{beside(db).name}.lock"}


@pytest.mark.parametrize("kind", NO_PLACES)
def test_where_nothing_can_be_kept_the_entries_are_read(kind: str, db: Path, right: list[str]) -> None:
    place = str(obstacle(beside(db), kind))

    found = do(db, "--views", place, *QUESTIONS[4])

    assert found.stdout == right[4]
    assert place in found.stderr
    assert found.stderr.endswith("; reading the entries instead\n")
    do(db, "--views", place, "rebuild", code=1)


@pytest.mark.parametrize(
    "kind", [kind for kind in OBSTACLES if kind not in ("link to nowhere", "lock that is a folder")]
)
def test_a_file_that_is_named_and_is_not_views_is_refused(kind: str, db: Path) -> None:
    place = obstacle(db.parent / "named", kind)
    before = content(db.parent)

    for command in (QUESTIONS[4], ("rebuild",)):
        found = do(db, "--views", str(place), *command, code=1)
        assert "the views cannot be kept here" in found.stderr

    after = content(db.parent)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db.lock", "ledger.db-journal", "ledger.db-wal", "link", "hard"])
def test_the_ledger_is_never_overwritten_with_its_views(name: str, db: Path) -> None:
    (db.parent / "link").symlink_to(db)
    (db.parent / "hard").hardlink_to(db)
    before = content(db.parent)

    for command in (QUESTIONS[0], ("rebuild",), ("verify", "--views")):
        options = ["--views", str(db.parent / name)]
        assert "the ledger's own" in do(db, *options, *command, code=1).stderr

    assert content(db.parent) == before


def test_neither_is_another_ledger_nor_a_stream_file(db: Path, model: Path, tmp_path: Path) -> None:
    stream = Path(shutil.copy(YEAR, tmp_path / "year.jsonl"))
    before = content(tmp_path), model.read_bytes()

    for place in (stream, model, tmp_path / "new.jsonl"):
        for command in (QUESTIONS[0], ("rebuild",)):
            do(db, "--views", str(place), *command, code=1)

    assert (content(tmp_path), model.read_bytes()) == before


def test_an_empty_file_may_become_views_and_a_link_is_followed(db: Path, right: list[str]) -> None:
    target = db.parent / "target"
    target.touch()
    beside(db).symlink_to(target)

    do(db, "rebuild")

    assert beside(db).is_symlink()
    assert target.stat().st_size > 0
    assert told(db) == right


@pytest.mark.parametrize("kilobytes", [4, 200])
def test_a_full_disk_costs_no_answer(kilobytes: int, db: Path, right: list[str]) -> None:
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes << 10, kilobytes << 10))

    as_of = ("--as-of", "2026-02-01T09:00:00Z")
    found = run(db, *as_of, *QUESTIONS[4], preexec_fn=little_room)
    refused = run(db, "rebuild", preexec_fn=little_room)

    assert (found.returncode, found.stdout) == (0, right[4])
    assert "reading the entries instead" in found.stderr
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 3)
    assert not list(db.parent.glob("*.draft*"))


def test_a_disk_that_fills_up_while_catching_up_costs_no_answer(db: Path, seen: Path, tmp_path: Path) -> None:
    fact = ("IncidentReported", "incident:NEW", "--customer", "acme", "--service", "licence", "--channel", "phone")
    do(db, "record", *fact)
    (tmp_path / "all.jsonl").write_text(do(db, "export").stdout)

    as_of = ("--as-of", "2026-03-01T09:00:00Z")
    limit = (4 << 10, 4 << 10)
    found = run(db, *as_of, *QUESTIONS[4], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))

    assert (found.returncode, found.stdout) == (0, do(tmp_path / "all.jsonl", *as_of, *QUESTIONS[4]).stdout)
    assert "reading the entries instead" in found.stderr


# --- killed, and many at once ---

DIES_WHILE_IT_CHANGES = """
import os, signal, sys
from pathlib import Path
from projections.views.file import opened
connection = opened(Path(sys.argv[1]))
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("DELETE FROM handling")
connection.execute("UPDATE cases SET verdict = 'met', stream = stream || '-'")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def dying(db: Path, seen: Path) -> Path:
    """Views whose last change was killed half-way, its journal still there."""
    subprocess.run([sys.executable, "-c", DIES_WHILE_IT_CHANGES, str(seen)], cwd=YEAR.parents[2], check=False)
    assert seen.with_name(f"{seen.name}-journal").stat().st_size > 0
    return seen


@pytest.mark.parametrize("first", [("rebuild",), ("queue",), ("verify",)], ids=lambda first: first[0])
def test_a_change_killed_half_way_is_not_believed(first: tuple[str, ...], db: Path, dying: Path) -> None:
    """What is in its journal belongs to the file it was made for, not to one built since."""
    do(db, "record", "ResponseGiven", "incident:INC-29", "--responder", "human")
    exported = db.with_name("all.jsonl")
    exported.write_text(do(db, "export").stdout)

    do(db, *first)

    assert first != ("rebuild",) or do(db, "queue").stderr == ""
    assert told(db) == told(exported)
    assert json.loads(do(db, "--json", "verify", "--views").stdout)["views"]["differences"] == []
    assert not dying.with_name(f"{dying.name}-journal").exists()


def test_views_deleted_beside_a_journal_are_built_in_peace(db: Path, dying: Path) -> None:
    do(db, "record", "ResponseGiven", "incident:INC-29", "--responder", "human")
    exported = db.with_name("all.jsonl")
    exported.write_text(do(db, "export").stdout)
    dying.unlink()

    assert told(db) == told(exported)


def test_killed_at_any_instant_a_rebuild_starts_over_and_nothing_is_lost(tmp_path: Path) -> None:
    db, draw = tmp_path / "ledger.db", random.Random(7)
    history.make(db, 4_000)
    do(db, "rebuild")
    for turn in range(6):
        command = ["order", "--totals"] if turn % 2 else ["rebuild"]
        if turn % 2:
            history.more(db, 300, seed=turn)
        how = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": YEAR.parents[2]}
        process = subprocess.Popen([*COMMAND, "--db", str(db), *command], **how)  # type: ignore[call-overload]
        try:
            process.wait(0.2 + 0.3 * draw.random())
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()

        assert json.loads(do(db, "order", "--totals", "--json").stdout)["handled"] > 0
        assert json.loads(do(db, "--json", "verify", "--views").stdout)["views"]["differences"] == []
    (tmp_path / "all.jsonl").write_text(do(db, "export").stdout)
    assert told(db) == told(tmp_path / "all.jsonl")
    do(db, "rebuild")
    assert {p.name for p in tmp_path.iterdir()} == {*map(beside(db).name.__add__, ("", ".lock")), db.name, "all.jsonl"}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs a list of the processes: /proc")
@pytest.mark.parametrize(
    "command, how", [("rebuild --jobs 2", signal.SIGKILL), ("queue", signal.SIGTERM), ("verify", signal.SIGKILL)]
)
def test_processes_that_share_a_killed_command_end_with_it(command: str, how: int, large: Path, tmp_path: Path) -> None:
    """They hold what it held, the lock beside the views too: nobody else could ever build them."""
    db = tmp_path / "ledger.db"
    db.write_bytes(large.read_bytes())
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": YEAR.parents[2]}
    program = subprocess.Popen([*COMMAND, "--db", str(db), *command.split()], **quiet)  # type: ignore[call-overload]
    while not (shared := running(program.pid)):
        assert program.poll() is None
    time.sleep(0.05)
    shared |= running(program.pid)
    program.send_signal(how)
    program.wait()

    until = time.monotonic() + 10
    while shared & running() and time.monotonic() < until:
        time.sleep(0.01)
    assert shared & running() == set()
    assert json.loads(run(db, "order", "--totals", "--json", timeout=60).stdout)["handled"] > 0


def running(parent: int | None = None) -> set[int]:
    """The processes that have not ended, those that one has begun or all."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, its_parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z" and parent in (None, int(its_parent)):
                found.add(int(folder.name))
    return found


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that several processes read at a time."""
    path = tmp_path_factory.mktemp("large") / "ledger.db"
    history.make(path, 25_000)
    return path


def test_dozens_of_commands_at_once_lose_nothing(db: Path) -> None:
    report = ("IncidentReported", "--customer", "acme", "--service", "licence", "--channel", "phone")
    jobs: list[tuple[str, ...]] = [("record", *report, f"incident:N-{n}") for n in range(9)]
    jobs += [("record", "ResponseGiven", "incident:INC-29", "--responder", "human")] * 3
    jobs += [question for question in QUESTIONS[1:6] for _ in range(2)] + [("rebuild",)] * 3
    random.Random(3).shuffle(jobs)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda job: run(db, *job), jobs))

    assert [(job, r.stderr) for job, r in zip(jobs, done, strict=True) if r.returncode] == []
    assert {r.stderr for job, r in zip(jobs, done, strict=True) if job in QUESTIONS} == {""}
    rows = [json.loads(line) for line in do(db, "--format", "jsonl", "log").stdout.splitlines()]
    assert [row["position"] for row in rows] == list(range(1, 203 + 12 + 1))
    assert Counter(row["stream"] for row in rows if row["stream"].startswith("incident:N-")) == Counter(
        f"incident:N-{n}" for n in range(9)
    )
    assert json.loads(do(db, "--json", "verify", "--views").stdout)["views"]["differences"] == []


class _Slow(FileReader):
    """A reader that is told of the last entry before others record one more, and catch the views up."""

    def __init__(self, path: Path, meanwhile: Callable[[], None]) -> None:
        super().__init__(path)
        self._meanwhile: Iterator[Callable[[], None]] = iter([meanwhile])

    def last_position(self) -> int:
        last = super().last_position()
        next(self._meanwhile, lambda: None)()
        return last


def test_views_caught_up_by_somebody_else_meanwhile_are_no_reason_to_build_them_anew(db: Path, seen: Path) -> None:
    def meanwhile() -> None:
        do(db, "record", "ResponseGiven", "incident:INC-29", "--responder", "human")
        do(db, "queue")

    said: list[str] = []
    with closing(_Slow(db, meanwhile)) as reader:
        opening.current(seen, reader, said.append, lambda done, of: None).close()

    assert said == []


def test_what_is_asked_sees_one_state_of_the_views(db: Path, seen: Path) -> None:
    """Others may catch them up before the last row is read: they wait until it is."""
    with (
        closing(FileReader(db)) as reader,
        closing(opening.current(seen, reader, print, lambda done, of: None)) as connection,
        closing(sqlite3.connect(seen, timeout=0)) as other,
    ):
        assert connection.in_transaction
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.executescript("BEGIN IMMEDIATE; DELETE FROM totals; COMMIT")


# --- versions, other commands, pipes ---


def test_another_version_of_the_program_makes_them_anew_once(
    db: Path, seen: Path, right: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (file, opening):
        monkeypatch.setattr(module, "made_by", lambda: "another version")

    first, second = do(db, *QUESTIONS[0]), do(db, *QUESTIONS[0])

    assert (first.stdout, second.stdout) == (right[0], right[0])
    assert "another version of the program made them" in first.stderr
    assert second.stderr == ""


def test_verifying_those_of_another_version_says_so(db: Path, seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    do(db, *QUESTIONS[0])
    for module in (file, opening):
        monkeypatch.setattr(module, "made_by", lambda: "another version")

    told = do(db, "verify", "--views", code=1)

    assert told.stdout.endswith(
        f"{seen}: the views differ from a rebuild:\n  they cannot be read: another version of the program made them\n"
    )


def test_versions_that_take_the_file_from_each_other_do_not_go_on_for_ever(
    db: Path, seen: Path, right: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = count()
    for module in (file, opening):
        monkeypatch.setattr(module, "made_by", lambda: f"version {next(versions)}")

    found = do(db, *QUESTIONS[4])

    assert found.stdout == right[4]
    assert found.stderr.endswith("; reading the entries instead\n")
    with closing(FileReader(db)) as reader, pytest.raises(Unwritable):
        opening.current(seen, reader, lambda notice: None, lambda done, of: None)


@pytest.mark.parametrize(
    "command",
    [
        ("claim", "show", "claim:2025"),
        ("audit", "claim:2025"),
        ("explain", "claim:2025"),
        ("readings", "claim:2025"),
        ("settle", "--year", "2025"),
        ("verify",),
        ("export",),
    ],
    ids=lambda command: command[0],
)
def test_decisions_and_audits_have_nothing_to_do_with_views(command: tuple[str, ...], db: Path, seen: Path) -> None:
    do(db, "claim", "decide", "claim:2025")
    with_views = do(db, *command)
    seen.unlink()
    without = do(db, *command)
    assert not seen.exists()
    seen.mkdir()  # whoever opened it would say so

    found = do(db, *command)

    assert found.stderr == without.stderr == with_views.stderr
    assert found.stdout == without.stdout == with_views.stdout
    assert "view" not in found.stderr


def test_in_a_pipe_there_is_data_on_one_side_and_notices_on_the_other(db: Path, right: list[str]) -> None:
    as_of = ("--as-of", "2026-02-01T09:00:00Z")
    environment = os.environ | {"NO_COLOR": "1"}
    built = run(db, *as_of, *QUESTIONS[4], env=environment)
    os.truncate(beside(db), 5000)
    mended = run(db, *as_of, *QUESTIONS[4], env=environment)
    rebuilt = run(db, "rebuild", env=environment)

    assert (built.stdout, built.stderr) == (right[4], "")
    assert mended.stdout == right[4]
    assert mended.stderr.startswith("the views are made anew: ")
    assert len(mended.stderr.splitlines()) == 1
    assert (rebuilt.stdout, rebuilt.stderr) == ("", f"{beside(db)}: the views are true for entry 203\n")
