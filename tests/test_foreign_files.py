"""Files that somebody else made, named as a ledger, as views or to be read: refused in time, and never written to."""

from __future__ import annotations

import gc
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import app
from ledger.errors import LedgerBroken
from ledger.store.reading import FORMAT
from ledger.store.sqlite_reading import APPLICATION_ID, TABLE, check_is_ledger
from projections.views.place import APPLICATION_ID as VIEWS_ID
from tests.support import do

ROOT = Path(__file__).resolve().parents[1]
STORY = ROOT / "fixtures" / "streams" / "chat-apart.jsonl"
SECONDS = 20
COMMANDS = (
    "log",
    "show incident:INC-1",
    "compliance",
    "compliance --by month",
    "queue",
    "order",
    "availability --year 2026",
    "settle --year 2026",
    "commitments",
    "explain incident:INC-1",
    "verify",
    "verify --views",
    "terms list",
    "export",
)
Attack = Callable[[sqlite3.Connection], object]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A sound ledger, with views."""
    path = tmp_path / "ledger.db"
    do(path, "import", "--verbatim", str(STORY))
    do(path, "rebuild")
    return path


def asked(db: Path | str, *arguments: str) -> Result:
    """The outcome of a reading command, which is never a fault and does not take long."""
    began = time.monotonic()
    done = CliRunner().invoke(app, ["--db", str(db), "--as-of", "2026-06-01T00:00:00Z", *arguments])
    assert time.monotonic() - began < SECONDS
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "fault of this program" not in done.stderr, done.stderr
    return done


def replaced_by(*statements: str) -> Attack:
    """An attack that puts something else in the place of the table of entries."""
    return lambda connection: [connection.execute(s) for s in ("ALTER TABLE stored_events RENAME TO kept", *statements)]


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
ROW = "rowid INTEGER PRIMARY KEY, originator_id TEXT NOT NULL, originator_version INTEGER NOT NULL, topic TEXT NOT NULL"
SCHEMAS: dict[str, Attack] = {
    "a view": replaced_by("CREATE VIEW stored_events AS SELECT * FROM kept"),
    "an endless view": replaced_by(
        f"CREATE VIEW stored_events AS {ENDLESS} i AS rowid, 'incident:INC-' || i AS originator_id,"
        " 1 AS originator_version, 'IncidentReported' AS topic, zeroblob(10) AS state, NULL AS command_id FROM n"
    ),
    "generated columns": replaced_by(
        f"CREATE TABLE stored_events ({ROW}, state BLOB AS (zeroblob(1000000000)), command_id TEXT)",
        "INSERT INTO stored_events VALUES (1, 'incident:INC-1', 1, 'IncidentReported', NULL)",
    ),
    "a virtual table": replaced_by("CREATE VIRTUAL TABLE stored_events USING fts5(originator_id, topic, state)"),
    "a view of checkpoints": lambda c: [
        c.execute("DROP TABLE checkpoints"),
        c.execute(f"CREATE VIEW checkpoints AS {ENDLESS} i AS size, 'x' AS note FROM n"),
    ],
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_entries_are_rows_of_a_table_and_nothing_that_is_computed(name: str, ledger: Path) -> None:
    _attack(ledger, SCHEMAS[name])
    before = ledger.read_bytes()

    for command in COMMANDS:
        done = asked(ledger, *command.split())

        assert done.exit_code == 4, (command, done.stderr)
        assert done.stderr.splitlines()[1] == "its entries or checkpoints are computed, not kept in a table"
    assert ledger.read_bytes() == before


OTHER_TABLES: dict[str, Attack] = {
    "no table": replaced_by(),
    "other types": replaced_by(
        "CREATE TABLE stored_events (rowid, originator_id, originator_version, topic, state, command_id)",
        "INSERT INTO stored_events VALUES ('a', x'ff', 'b', 7, 'text', NULL)",
    ),
}


@pytest.mark.parametrize("name", OTHER_TABLES)
def test_another_table_in_the_place_of_the_entries_is_damage(name: str, ledger: Path) -> None:
    _attack(ledger, OTHER_TABLES[name])
    before = ledger.read_bytes()

    assert [asked(ledger, *command.split()).exit_code for command in COMMANDS] == [4] * len(COMMANDS)
    assert ledger.read_bytes() == before


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs a list of the open files: /proc/self/fd")
def test_a_file_that_is_refused_does_not_stay_open(ledger: Path) -> None:
    _attack(ledger, SCHEMAS["a view"])
    gc.collect()
    gc.disable()  # a connection refers to itself
    try:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            with pytest.raises(LedgerBroken):
                check_is_ledger(ledger)

        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        gc.enable()


def test_a_schema_that_cannot_be_parsed_is_damage(ledger: Path) -> None:
    def nonsense(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = 'CREATE TABLE nonsense (' WHERE name = 'stored_events'")

    _attack(ledger, nonsense)

    for command in COMMANDS:
        assert asked(ledger, *command.split()).exit_code == 4


VALUES: dict[str, str] = {
    "a module for a topic": "UPDATE stored_events SET topic = 'os:system' WHERE rowid = 3",
    "a module that says something when it is imported": "UPDATE stored_events SET topic = 'this:d' WHERE rowid = 3",
    "a terminal's orders for a topic": "UPDATE stored_events SET topic = char(27) || '[2J' WHERE rowid = 3",
    "a terminal's orders for a stream": "UPDATE stored_events SET originator_id = 'incident:' || char(27) || 'c'"
    " WHERE rowid = 3",
    "text for bytes": "UPDATE stored_events SET state = CAST(state AS TEXT) WHERE rowid = 3",
    "bytes for text": "UPDATE stored_events SET originator_id = x'ff00', topic = x'fe' WHERE rowid = 3",
    "text that is no UTF-8": "UPDATE stored_events SET topic = CAST(x'ff' AS TEXT) WHERE rowid = 3",
    "a number for a stream": "UPDATE stored_events SET originator_id = 7 WHERE rowid = 3",
    "text for a version": "UPDATE stored_events SET originator_version = 'one' WHERE rowid = 3",
    "a fraction for a version": "UPDATE stored_events SET originator_version = 1.5 WHERE rowid = 3",
    "a number for a state": "UPDATE stored_events SET state = 5 WHERE rowid = 3",
    "nothing for a state": "UPDATE stored_events SET state = zeroblob(0) WHERE rowid = 3",
    "a huge state": "UPDATE stored_events SET state = zeroblob(70000000) WHERE rowid = 3",
    "deep JSON": """UPDATE stored_events SET state = CAST('{"time":"2026-05-11T07:00:00Z","recordedtime":'
        || '"2026-05-11T07:00:05Z","data":' || replace(hex(zeroblob(1000000)), '00', '[') AS BLOB) WHERE rowid = 3""",
    "an actor that is an object": """UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT),
        '"desk.oslo"', '{"a":1}') AS BLOB) WHERE rowid = 3""",
    "an actor that steers": """UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT),
        '"desk.oslo"', '"\\u001b[2J"') AS BLOB) WHERE rowid = 3""",
    "a command id that is a list": """UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT),
        ',"data"', ',"commandid":[1],"data"') AS BLOB) WHERE rowid = 3""",
    "a time as a list": """UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT),
        '{"time":"2026-05-11T07:00:00Z"', '{"time":["26-05-11T07:00:00Z"]') AS BLOB) WHERE rowid = 3""",
    "a position before the first": "UPDATE stored_events SET rowid = -1 WHERE rowid = 3",
    "position nought": "UPDATE stored_events SET rowid = 0 WHERE rowid = 3",
    "the last position there can be": "UPDATE stored_events SET rowid = 9223372036854775807 WHERE rowid = 9",
    "a version before the first": "UPDATE stored_events SET originator_version = -1 WHERE rowid = 3",
}


@pytest.mark.parametrize("name", VALUES)
def test_a_row_that_is_no_entry_is_named_and_nothing_is_imported_or_written(name: str, ledger: Path) -> None:
    _attack(ledger, lambda connection: connection.execute(VALUES[name]), lax=True)
    before, codes = ledger.read_bytes(), {}

    for command in COMMANDS:
        done = asked(ledger, *command.split())
        codes[command] = done.exit_code

        assert done.exit_code in (0, 1, 4), (command, done.stderr)
        assert "\x1b" not in done.stdout + done.stderr
    assert codes["verify"] == 4, codes
    assert {codes["log"], codes["export"]} == {4}, codes
    assert "this" not in sys.modules
    assert ledger.read_bytes() == before


def test_triggers_and_tables_beside_the_entries_change_nothing_that_is_read(ledger: Path) -> None:
    plain = {command: asked(ledger, *command.split()).stdout for command in COMMANDS}

    def beside(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE noise (x)")
        connection.execute("CREATE TRIGGER t AFTER INSERT ON noise BEGIN DELETE FROM noise; END")
        connection.execute(f"CREATE VIEW endless AS {ENDLESS} i FROM n")

    _attack(ledger, beside)

    after = {command: asked(ledger, *command.split()).stdout for command in COMMANDS}
    assert [c for c in COMMANDS if after[c] != plain[c]] == ["verify", "verify --views"]  # which tell of them


VIEWS: dict[str, Attack] = {
    "an endless view": lambda c: [
        c.execute("ALTER TABLE cases RENAME TO kept"),
        c.execute(f"CREATE VIEW cases AS {ENDLESS} i AS position, 1 AS stream FROM n"),
    ],
    "an endless state": lambda c: [
        c.execute("ALTER TABLE state RENAME TO kept"),
        c.execute(f"CREATE VIEW state AS {ENDLESS} 'made_by' AS name, i AS value, 0 AS seal FROM n"),
    ],
    "a trigger": lambda c: c.execute(
        f"CREATE TRIGGER t BEFORE INSERT ON state BEGIN INSERT INTO state {ENDLESS} i, i, i FROM n; END"
    ),
    "one more column": lambda c: c.execute("ALTER TABLE cases ADD COLUMN more TEXT AS (hex(zeroblob(1000000)))"),
    "values of other types": lambda c: c.execute(
        "UPDATE cases SET stream = CAST(stream AS BLOB), customer = 7, because = 1.5"
    ),
    "huge values": lambda c: c.execute("UPDATE state SET value = zeroblob(70000000) WHERE name = 'made_by'"),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_that_another_hand_changed_are_made_anew(name: str, ledger: Path) -> None:
    views = Path(f"{ledger}.views")
    commands = ("compliance", "queue", "order --totals", "availability --year 2026", "verify --views")
    plain = {command: asked(ledger, *command.split()).stdout for command in commands}
    with closing(sqlite3.connect(views, isolation_level=None)) as connection:
        VIEWS[name](connection)
    attacked = views.read_bytes()

    for command in commands:
        views.write_bytes(attacked)
        found = views.stat()
        left = f"sla-ledger views {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
        Path(f"{views}.lock").write_bytes(left.ljust(127).encode() + b"\n")

        done = asked(ledger, *command.split())

        assert (done.exit_code, done.stdout) == (0, plain[command]) or command == "verify --views", done.stderr


@pytest.mark.parametrize("which", ["another program's database", "views", "text", "half a header", "a later format"])
def test_another_file_is_no_ledger_and_sqlite_never_opens_it(which: str, tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    with closing(sqlite3.connect(path)) as connection:
        marks = {"views": (VIEWS_ID, 1), "a later format": (APPLICATION_ID, FORMAT + 1)}
        found, made_by = marks.get(which, (0, 0))
        connection.execute(f"PRAGMA application_id = {found}")
        connection.execute(f"PRAGMA user_version = {made_by}")
        connection.execute("CREATE TABLE stored_events (x)")
        connection.commit()
    path.write_bytes({"text": b"just text", "half a header": path.read_bytes()[:60]}.get(which, path.read_bytes()))
    journal = path.with_name("file.db-journal")
    journal.write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\0" * 2000)  # as a killed writer leaves one
    before = (path.read_bytes(), journal.read_bytes(), sorted(os.listdir(tmp_path)))

    for command in COMMANDS:
        assert asked(path, *command.split()).exit_code == 1

    assert (path.read_bytes(), journal.read_bytes(), sorted(os.listdir(tmp_path))) == before


def test_a_journal_that_would_have_another_file_deleted_is_refused(ledger: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep me", encoding="utf-8")
    name = str(precious).encode()
    journal = ledger.with_name("ledger.db-journal")
    page = (1_073_741_824 // 4096 + 1).to_bytes(4, "big")
    tail = (
        page + name + len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big") + b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
    )
    head = (
        b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
        + b"\0" * 4
        + b"\0" * 4
        + (9).to_bytes(4, "big")
        + b"\0\0\2\0"
        + b"\0\0\x10\0"
    )
    journal.write_bytes(head.ljust(512, b"\0") + tail)
    before = ledger.read_bytes()

    for command in COMMANDS:
        done = asked(ledger, *command.split())

        assert done.exit_code == 1
        assert done.stderr.splitlines()[1] == "this journal was not left by a writer of this ledger"
    assert (precious.read_text(encoding="utf-8"), ledger.read_bytes()) == ("keep me", before)


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """What is no file that can be read: by kind, and where."""
    found = {kind: tmp_path / kind for kind in ("pipe", "folder", "loop", "dangling", "socket", "empty", "a" * 300)}
    os.mkfifo(found["pipe"])
    found["folder"].mkdir()
    found["loop"].symlink_to(found["loop"])
    found["dangling"].symlink_to(tmp_path / "nowhere")
    found["empty"].touch()
    found |= {"zero": Path("/dev/zero"), "null": Path("/dev/null"), "process": Path("/proc/self/mem")}
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(found["socket"]))
        yield found


KINDS = ("pipe", "folder", "loop", "dangling", "socket", "empty", "a" * 300, "zero", "null", "process")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_no_ledger_and_keeps_nobody_waiting(kind: str, odd: dict[str, Path]) -> None:
    for command in COMMANDS:
        done = asked(odd[kind], *command.split())

        assert done.exit_code == 1, done.stderr
        assert len(done.stderr.splitlines()) == 3, done.stderr
    with_suffix = odd["pipe"].with_name(f"{kind[:9]}.jsonl")
    with_suffix.symlink_to(odd[kind])
    assert asked(with_suffix, "log").exit_code == (0 if kind == "empty" else 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "command",
    [
        "import",
        "import --from servicenow --zone Europe/Oslo",
        "import --from upptime",
        "import --from upptime --heads FILE",
        "import --verbatim",
        "terms post",
    ],
)
def test_what_is_no_file_is_not_brought_in(command: str, kind: str, odd: dict[str, Path], ledger: Path) -> None:
    if kind == "empty" and command in ("import", "import --verbatim"):
        return  # nothing in it: nothing to refuse
    name, *options = command.split()
    history = ledger.with_name("status.csv")
    history.write_text("committed_at,site,status,commit\n", encoding="utf-8")
    options = [str(odd[kind]) if x == "FILE" else x for x in options]
    file = str(history) if "--heads" in command else str(odd[kind])
    db = ledger if "--verbatim" not in command else ledger.with_name("copy.db")

    done = asked(db, name, *options, file)

    assert done.exit_code == 1, done.stderr
    assert len(done.stderr.splitlines()) == 3, done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_holds_no_views(kind: str, odd: dict[str, Path], ledger: Path) -> None:
    for command in ("compliance", "queue", "rebuild", "verify --views"):
        done = asked(ledger, "--views", str(odd[kind]), *command.split())

        assert done.exit_code in (0, 1), done.stderr
    for device in ("zero", "null", "process"):
        assert not Path(f"{odd[device]}.lock").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_what_may_not_be_read_is_said_so(ledger: Path) -> None:
    history = ledger.with_name("history.jsonl")
    history.write_bytes(STORY.read_bytes())
    for file in (ledger, history):
        file.chmod(0)

        assert "Permission denied" in asked(file, "log").stderr
        file.chmod(0o600)


def test_the_installed_command_prints_no_traceback_either(ledger: Path, odd: dict[str, Path]) -> None:
    damaged = ledger.with_name("damaged.db")
    damaged.write_bytes(ledger.read_bytes())
    _attack(damaged, lambda connection: connection.execute(VALUES["a module for a topic"]), lax=True)
    for db, command, code in ((damaged, "log", 4), (damaged, "export", 4), (odd["pipe"], "log", 1), (ledger, "log", 0)):
        arguments = [sys.executable, "-P", "-m", "cli", "--db", str(db), *command.split()]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}

        done = subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=60, check=False)

        assert done.returncode == code
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        assert len(done.stderr.splitlines()) == (3 if code else 0)


def _attack(path: Path, attack: Attack, *, lax: bool = False) -> None:
    """Change a ledger past its own protection; lax: with values of types that its table would refuse."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for name in ("never_updated", "never_deleted", "never_replaced", "never_a_gap"):
            connection.execute(f"DROP TRIGGER {name}")
        if lax:
            _redefine(connection, TABLE.replace(" STRICT", "").replace(" NOT NULL", "").replace(" TEXT", "").replace(
                " INTEGER NOT", " NOT").replace("version INTEGER", "version").replace(" BLOB", ""))  # fmt: skip
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        attack(connection)
        if lax:
            _redefine(connection, TABLE)


def _redefine(connection: sqlite3.Connection, sql: str) -> None:
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'stored_events'", (sql,))
