"""What verify tells of a record that somebody changed past the program, and what it says that it cannot know."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.book import Ledger, create
from ledger.seal import checkpoints, merkle, verifying
from ledger.seal.checkpoints import Checkpoint
from ledger.seal.leaves import leaf
from ledger.seal.notes import COSIGNATURE, Signer
from ledger.store.address import reader_at
from ledger.store.reading import Stored
from ledger.store.sqlite_reading import FileReader
from ledger.store.stream_file import read
from projections.views.tables import write
from tests.benchmarks import history
from tests.support import do

YEAR = str(Path(__file__).resolve().parents[1] / "fixtures" / "streams" / "a-year-of-acme.jsonl")
KEY, OTHER = Signer("ledger.example/log", bytes(range(32))), Signer("other.example/log", bytes(32))
HALF, ALL = 100, 203
NEEDS_ONE_OUTSIDE = "a checkpoint held elsewhere tells that"

Attack = Callable[[sqlite3.Connection], None]


def root(address: Path | str, size: int) -> bytes:
    """The root over the first entries of a ledger."""
    with contextlib.closing(reader_at(str(address))) as reader:
        return merkle.root(reader.leaves(size))


def sealed(address: Path | str, size: int, key: Signer = KEY) -> str:
    """A signed checkpoint of the first entries of a ledger."""
    return str(key.sign(Checkpoint(key.name, size, root(address, size)).note()))


def keep(address: Path | str, *sizes: int) -> None:
    """Keep checkpoints of these sizes in a ledger."""
    with contextlib.closing(Ledger(address)) as ledger:
        for size in sizes:
            ledger.keep_checkpoint(size, sealed(address, size))


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A ledger of a year, sealed half-way and at its end."""
    path = tmp_path / "ledger.db"
    create(path, read(YEAR))
    keep(path, HALF, ALL)
    return path


@pytest.fixture
def outside(db: Path, tmp_path: Path) -> list[str]:
    """Options that name the last checkpoint as it was kept elsewhere, and the key that signed it."""
    (tmp_path / "checkpoint").write_text(sealed(db, ALL))
    (tmp_path / "vkey").write_text(str(KEY.verifier()) + "\n")
    return ["--checkpoint", str(tmp_path / "checkpoint"), "--vkey", str(tmp_path / "vkey")]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A ledger's file with its triggers gone."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        yield connection


def verified(db: Path | str, *options: str, code: int = 0) -> dict[str, Any]:
    """What verify says of a ledger, and that it says it on standard error too when something is broken."""
    done = do(db, "--json", "verify", *options, code=code)
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["result"] == "intact") == (code == 0)
    if code:
        first = found["first_bad"]
        where, what, todo = done.stderr.splitlines()
        assert what.startswith(f"{first['attack'].replace('_', ' ')}: {first['what']}")
        assert first["position"] is None or where == f"entry {first['position']}"
    return found


def outcome(found: dict[str, Any], check: str) -> str:
    """How one of the checks came out."""
    [one] = [c["outcome"] for c in found["checks"] if c["check"] == check]
    return str(one)


def first(found: dict[str, Any]) -> tuple[int | None, str]:
    """Position and attack of the first finding."""
    return found["first_bad"]["position"], found["first_bad"]["attack"]


def row(connection: sqlite3.Connection, position: int) -> Stored:
    """An entry as it is stored."""
    found = connection.execute("SELECT * FROM stored_events WHERE rowid = ?", (position,)).fetchone()
    return found[:5]  # type: ignore[no-any-return]


def seal_anew(connection: sqlite3.Connection, since: int = 1) -> None:
    """Compute the leaf hashes anew, as one who knows the program would."""
    for (position,) in connection.execute("SELECT rowid FROM stored_events WHERE rowid >= ?", (since,)).fetchall():
        made = leaf(*row(connection, position))
        connection.execute("UPDATE stored_events SET leaf = ? WHERE rowid = ?", (made, position))


def forget_checkpoints(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM checkpoints")


def move_up(connection: sqlite3.Connection, since: int, by: int) -> None:
    """Give the entries from a position on other positions."""
    connection.execute("UPDATE stored_events SET rowid = -rowid WHERE rowid >= ?", (since,))
    connection.execute("UPDATE stored_events SET rowid = ? - rowid WHERE rowid < 0", (by,))


def find(connection: sqlite3.Connection, name: str, after: int = HALF) -> int:
    """The first entry of a name after a position."""
    found: int = connection.execute(
        "SELECT min(rowid) FROM stored_events WHERE topic = ? AND rowid > ?", (name, after)
    ).fetchone()[0]
    return found


# Attacks that the ledger itself tells


def change_byte(connection: sqlite3.Connection) -> None:
    state = row(connection, 120)[4]
    earlier = state.replace(b"2025-", b"2024-", 1)
    connection.execute("UPDATE stored_events SET state = ? WHERE rowid = 120", (earlier,))


def change_name(connection: sqlite3.Connection) -> None:
    at = find(connection, "IncidentResolved")
    connection.execute("UPDATE stored_events SET topic = 'TroubleshootingStarted' WHERE rowid = ?", (at,))


def change_version(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE stored_events SET originator_version = originator_version + 5 WHERE rowid = 120")


def delete_middle(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM stored_events WHERE rowid = 120")


def delete_and_renumber(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM stored_events WHERE rowid = 120")
    move_up(connection, 121, -1)


def swap(connection: sqlite3.Connection) -> None:
    for was, now in ((120, -1), (150, 120), (-1, 150)):
        connection.execute("UPDATE stored_events SET rowid = ? WHERE rowid = ?", (now, was))


def swap_without_leaves(connection: sqlite3.Connection) -> None:
    leaves = dict(connection.execute("SELECT rowid, leaf FROM stored_events").fetchall())
    swap(connection)
    for position in (120, 150):
        connection.execute("UPDATE stored_events SET leaf = ? WHERE rowid = ?", (leaves[position], position))


def insert_without_a_leaf_of_its_own(connection: sqlite3.Connection) -> None:
    _, stream, _, name, state = row(connection, ALL)
    added = (ALL + 1, "incident:RAW", 1, name, state, None, bytes(32))
    connection.execute("INSERT INTO stored_events VALUES (?, ?, ?, ?, ?, ?, ?)", added)


TOLD: dict[Attack, tuple[int | None, str]] = {
    change_byte: (120, "changed_entry"),
    change_name: (None, "changed_name"),
    change_version: (120, "changed_version"),
    delete_middle: (120, "missing_entry"),
    delete_and_renumber: (120, "moved_entry"),
    swap: (120, "swapped_entries"),
    swap_without_leaves: (120, "swapped_entries"),
    insert_without_a_leaf_of_its_own: (ALL + 1, "changed_entry"),
}


@pytest.mark.parametrize("attack", TOLD, ids=lambda attack: attack.__name__)
def test_what_was_changed_is_named_with_its_position(db: Path, attack: Attack) -> None:
    with opened(db) as connection:
        attack(connection)
    position, name = TOLD[attack]

    found = verified(db, code=4)

    assert first(found)[1] == name
    assert position in (None, first(found)[0])


def test_what_lies_before_a_gap_is_compared_with_checkpoints(db: Path) -> None:
    with opened(db) as connection:
        delete_middle(connection)

    found = verified(db, code=4)

    [told] = [f["what"] for f in found["findings"] if f["check"] == "kept_checkpoints"]
    assert "size 203" in told
    assert "cannot be compared" in told


# Attacks that only a checkpoint held outside tells


def cut_tail(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM stored_events WHERE rowid > 180")
    connection.execute("DELETE FROM checkpoints WHERE size > 180")


def rewrite(connection: sqlite3.Connection) -> None:
    change_byte(connection)
    seal_anew(connection)
    forget_checkpoints(connection)


def fork(connection: sqlite3.Connection) -> None:
    """Cut the tail and let another grow, as long as the first."""
    stored = connection.execute("SELECT * FROM stored_events WHERE rowid > 180").fetchall()
    cut_tail(connection)
    for position, _, _, _, _, _, _ in stored:
        at = f'{{"time":"2026-01-0{1 + position % 9}T00:00:00Z","recordedtime":"2026-02-01T00:00:00Z",'
        state = f'{at}"data":{{"scope":"all"}}}}'.encode()
        new = (position, f"backup:B-{position}", 1, "BackupTaken", state)
        connection.execute("INSERT INTO stored_events VALUES (?, ?, ?, ?, ?, ?, ?)", (*new, None, leaf(*new)))


def insert_in_the_middle(connection: sqlite3.Connection) -> None:
    """Put an entry in past the program, with a leaf of its own, and move up what follows."""
    state = row(connection, 120)[4]
    recorded = state[47:67].decode()
    move_up(connection, 120, 1)
    new = (
        120,
        "backup:RAW",
        1,
        "BackupTaken",
        f'{{"time":"{recorded}","recordedtime":"{recorded}","data":{{"scope":"all"}}}}'.encode(),
    )
    connection.execute("INSERT INTO stored_events VALUES (?, ?, ?, ?, ?, ?, ?)", (*new, None, bytes(32)))
    seal_anew(connection)
    forget_checkpoints(connection)


HIDDEN: dict[Attack, tuple[int, str]] = {
    cut_tail: (181, "cut_or_stale"),
    rewrite: (1, "rewritten_or_forked"),
    fork: (HALF + 1, "rewritten_or_forked"),
    insert_in_the_middle: (1, "rewritten_or_forked"),
}


@pytest.mark.parametrize("attack", HIDDEN, ids=lambda attack: attack.__name__)
def test_what_a_checkpoint_held_outside_tells_is_not_known_without_it(
    db: Path, outside: list[str], attack: Attack
) -> None:
    with opened(db) as connection:
        attack(connection)

    alone, compared = verified(db), verified(db, *outside, code=4)

    assert any(NEEDS_ONE_OUTSIDE in line for line in alone["unknown"])
    assert outcome(alone, "given_checkpoints") == "not_checked"
    assert outcome(alone, "guards") == "said"  # the triggers are gone, which is no proof of anything else
    assert first(compared) == HIDDEN[attack]
    assert outcome(compared, "given_checkpoints") == "broken"
    assert not any(NEEDS_ONE_OUTSIDE in line for line in compared["unknown"])


def test_a_stale_copy_is_told_by_a_later_checkpoint(db: Path, outside: list[str], tmp_path: Path) -> None:
    stale = tmp_path / "stale.db"
    create(stale, read(YEAR)[:150])
    keep(stale, HALF)

    assert any(NEEDS_ONE_OUTSIDE in line for line in verified(stale)["unknown"])
    assert first(verified(stale, *outside, code=4)) == (151, "cut_or_stale")


def test_two_views_are_told_by_the_checkpoints_of_both(db: Path, tmp_path: Path) -> None:
    other, checkpoint = tmp_path / "other.db", tmp_path / "other-checkpoint"
    create(other, read(YEAR))
    with opened(other) as connection:
        rewrite(connection)
    checkpoint.write_text(sealed(other, ALL))

    found = verified(db, "--checkpoint", str(checkpoint), "--vkey", str(KEY.verifier()), code=4)

    assert {f["attack"] for f in found["findings"]} == {"two_views", "rewritten_or_forked"}
    assert outcome(found, "consistency") == "broken"
    assert verified(db)["result"] == verified(other)["result"] == "intact"


def test_the_ledgers_own_checkpoints_tell_a_rewritten_history_too(db: Path) -> None:
    with opened(db) as connection:
        change_byte(connection)
        seal_anew(connection)

    found = verified(db, code=4)

    assert first(found) == (HALF + 1, "rewritten_or_forked")
    assert "from entry 101 to 203" in found["first_bad"]["what"]


def test_an_entry_that_is_known_to_be_bad_comes_before_those_that_only_may_be(db: Path) -> None:
    with opened(db) as connection:
        connection.execute("UPDATE stored_events SET topic = 'Nonsense' WHERE rowid = 150")
        seal_anew(connection)

    found = verified(db, code=4)

    assert first(found) == (150, "changed_bytes")
    assert {f["attack"] for f in found["findings"]} >= {"rewritten_or_forked"}


# Leaves, checkpoints and keys


def test_a_changed_leaf_is_told_from_a_changed_entry(db: Path) -> None:
    with opened(db) as connection:
        connection.execute("UPDATE stored_events SET leaf = ? WHERE rowid = 120", (bytes(32),))

    assert first(verified(db, code=4)) == (120, "changed_leaf")


@pytest.mark.parametrize("change", [("\n203\n", "\n202\n"), ("ledger.example/log\n", ""), ("\n\n", "\n")])
def test_a_changed_checkpoint_in_the_ledger_is_told(db: Path, change: tuple[str, str]) -> None:
    note = sealed(db, ALL).replace(*change, 1)
    with opened(db) as connection:
        connection.execute("UPDATE checkpoints SET note = ? WHERE size = 203", (note,))

    found = verified(db, "--vkey", str(KEY.verifier()), code=4)

    assert "changed_checkpoint" in {f["attack"] for f in found["findings"]}


def test_a_checkpoint_of_another_key_is_told_where_the_key_is_known(db: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text(sealed(db, HALF, OTHER))
    given = ("--checkpoint", str(tmp_path / "checkpoint"))

    alone = verified(db, *given)
    found = verified(db, *given, "--vkey", str(KEY.verifier()), code=4)

    assert outcome(alone, "signatures") == "not_checked"
    assert any("--vkey" in line for line in alone["unknown"])
    assert first(found) == (None, "other_key")
    said = do(db, "verify", *given, "--vkey", str(KEY.verifier()), code=4)
    assert "a new key" in said.stderr.splitlines()[-1]
    both = verified(db, *given, "--vkey", str(KEY.verifier()), "--vkey", str(OTHER.verifier()))
    assert outcome(both, "signatures") == "holds"


@pytest.mark.parametrize("size", [HALF, ALL, ALL + 9])
def test_a_checkpoint_that_no_given_key_signed_accuses_no_entry(db: Path, tmp_path: Path, size: int) -> None:
    note = str(OTHER.sign(checkpoints.Checkpoint("other.example/log", size, bytes(32)).note()))
    (tmp_path / "checkpoint").write_text(note)
    given = ("--checkpoint", str(tmp_path / "checkpoint"))

    found = verified(db, *given, "--vkey", str(KEY.verifier()), code=4)
    assert [(f["position"], f["attack"]) for f in found["findings"]] == [(None, "other_key")]
    accused = verified(db, *given, code=4)
    assert accused["first_bad"]["what"].endswith(
        f"it is of other.example/log, those here of {KEY.name}: is it of this ledger?"
    )


def test_a_checkpoint_of_no_entries_has_one_root(db: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text(str(KEY.sign(checkpoints.Checkpoint(KEY.name, 0, bytes(32)).note())))

    found = verified(db, "--checkpoint", str(tmp_path / "checkpoint"), code=4)

    assert first(found) == (None, "changed_checkpoint")
    assert found["first_bad"]["what"].endswith("has another root than a tree of no entries")


def test_after_a_change_of_keys_the_new_one_is_enough(db: Path) -> None:
    """Up to the last checkpoint that it signed: an id beside its signature anybody can add, and go on from there."""
    new = Signer("example.com/new", bytes(range(3, 35)))
    both = str(new.sign(checkpoints.read(sealed(db, 150).encode(), "x")[1]))
    with opened(db) as connection:
        connection.execute("DELETE FROM checkpoints WHERE size = ?", (ALL,))
    with contextlib.closing(Ledger(db)) as ledger:
        ledger.keep_checkpoint(150, both)

    found = verified(db, "--vkey", str(new.verifier()))
    remark = found["remarks"][0]
    assert f"the checkpoint of size {HALF} kept in the ledger is signed by {KEY.name}+" in remark
    assert "a given key signed the checkpoint of size 150" in remark
    keep(db, ALL)
    assert first(verified(db, "--vkey", str(new.verifier()), code=4)) == (None, "other_key")


def test_a_witness_alone_says_nothing_of_the_ledger(db: Path, tmp_path: Path) -> None:
    seen = Signer("acme.example/witness", bytes(range(4, 36)))
    key = str(seen.verifier(COSIGNATURE))

    found = verified(db, "--vkey", key)
    assert outcome(found, "signatures") == "not_checked"
    assert ["none of the keys given is a log's" in x for x in found["remarks"]] == [True, False]
    assert found["remarks"][1] == f"none of the checkpoints is signed by {key}"
    note = checkpoints.read(sealed(db, ALL).encode(), "x")[1]
    (tmp_path / "cosigned").write_text(str(seen.cosign(note, 1_780_000_000)))
    assert outcome(verified(db, "--vkey", key, "--checkpoint", str(tmp_path / "cosigned")), "signatures") == "holds"
    (tmp_path / "cosigned").write_text(str(note))
    verified(db, "--vkey", key, "--checkpoint", str(tmp_path / "cosigned"), code=4)


def test_a_checkpoint_that_was_deleted_in_the_ledger_is_missed(db: Path, outside: list[str]) -> None:
    with opened(db) as connection:
        connection.execute("DELETE FROM checkpoints WHERE size = 203")

    found = verified(db, *outside)

    assert ["it was deleted there" in remark for remark in found["remarks"]] == [True]
    assert verified(db, "--vkey", str(KEY.verifier()))["remarks"] == []


def test_a_file_may_hold_checkpoints_in_a_row(db: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("".join(sealed(db, size) for size in (1, 64, 150)))

    found = verified(db, "--checkpoint", str(tmp_path / "checkpoints"), "--vkey", str(KEY.verifier()))

    assert {c["check"]: c["count"] for c in found["checks"]}["given_checkpoints"] == 3


def test_a_checkpoint_that_is_none_is_refused(db: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text("nothing of the kind\n")

    assert "not a signed note" in do(db, "verify", "--checkpoint", str(tmp_path / "checkpoint"), code=1).stderr
    assert "not a verifier key" in do(db, "verify", "--vkey", "nothing", code=1).stderr


# Entries that should not be there


def insert(db: Path, *added: tuple[str, int, str, str, str | None]) -> None:
    """Put entries in past the program, each with a right leaf."""
    with contextlib.closing(sqlite3.connect(db)) as connection, connection:
        for number, (stream, version, name, state, command_id) in enumerate(added, ALL + 1):
            entry = (number, stream, version, name, state.encode())
            connection.execute(
                "INSERT INTO stored_events VALUES (?, ?, ?, ?, ?, ?, ?)", (*entry, command_id, leaf(*entry))
            )


def at(time: str, recorded: str, rest: str) -> str:
    return f'{{"time":"{time}","recordedtime":"{recorded}",{rest}}}'


NOON, LATER = "2026-02-01T12:00:00Z", "2026-02-01T12:06:00Z"


REPORT = '"customer":"acme","service":"licence","channel":"web"'
SWAPPED = '"service":"licence","customer":"acme","channel":"web"'


@pytest.mark.parametrize(
    ("name", "state", "said"),
    [
        ("ResponseGiven", at(NOON, NOON, '"data":{"responder":"human"}'), "not opened"),
        ("BackupTaken", at(NOON, NOON, '"data":{"scope":"all"}'), "not of this kind"),
        ("Unheard", at(NOON, NOON, '"data":{}'), "no event of this program"),
        ("IncidentReported", at(LATER, NOON, f'"data":{{{REPORT}}}'), "in the future"),
        ("IncidentReported", at(NOON, NOON, f'"data":{{{SWAPPED}}}'), "as this program"),
        ("IncidentReported", at(NOON, NOON, f'"data":{{{REPORT.replace("acme", "a b")}}}'), "customer"),
        ("IncidentReported", at(NOON, NOON, f'"actor":"a b","data":{{{REPORT}}}'), "no identifier"),
        ("IncidentReported", at(f"{NOON[:-1]}+00:00", NOON, f'"data":{{{REPORT}}}'), "as this program"),
    ],
)
def test_an_entry_that_should_have_been_refused_is_named(db: Path, name: str, state: str, said: str) -> None:
    insert(db, ("incident:RAW", 1, name, state, None))

    found = verified(db, code=4)

    assert found["first_bad"]["position"] == ALL + 1
    assert said in found["first_bad"]["what"]


def test_a_stream_that_is_none_is_named(db: Path) -> None:
    insert(db, ('x","version":1}', 1, "BackupTaken", at(NOON, NOON, '"data":{"scope":"all"}'), None))

    assert first(verified(db, code=4)) == (ALL + 1, "raw_insert")


def test_a_command_id_is_told_when_it_comes_twice_or_is_kept_wrongly(db: Path) -> None:
    state = at(NOON, NOON, '"commandid":"once","data":{"scope":"all"}')
    insert(db, ("backup:RAW-1", 1, "BackupTaken", state, "once"), ("backup:RAW-2", 1, "BackupTaken", state, None))

    found = verified(db, code=4)

    assert (first(found), found["first_bad"]["check"]) == ((ALL + 2, "raw_insert"), "command_ids")


def test_a_clock_that_was_set_back_is_said_and_nothing_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    do(path, "init", now="2026-02-01T12:00:00Z")
    for number, now in enumerate(("2026-02-01T13:00:00Z", "2026-02-01T12:30:00Z")):
        do(path, "record", "BackupTaken", f"backup:B-{number}", "--scope", "all", now=now)

    found = verified(path)

    assert outcome(found, "recording_times") == "said"
    assert "entry 3" in next(c["what"] for c in found["checks"] if c["check"] == "recording_times")


def test_text_that_is_none_is_damage_with_a_position(db: Path) -> None:
    with opened(db) as connection:
        connection.execute("UPDATE stored_events SET topic = CAST(x'ff41' AS TEXT) WHERE rowid = 120")

    assert do(db, "verify", code=4).stderr.splitlines()[0] == "entry 120"


def test_an_entry_before_the_first_is_told(db: Path) -> None:
    with opened(db) as connection:
        entry = (-5, "backup:RAW", 1, "BackupTaken", at(NOON, NOON, '"data":{"scope":"all"}').encode())
        connection.execute("INSERT INTO stored_events VALUES (?, ?, ?, ?, ?, ?, ?)", (*entry, None, leaf(*entry)))

    assert first(verified(db, code=4)) == (-5, "raw_insert")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "CAST(state AS TEXT)"),
        ("leaf", "NULL"),
        ("topic", "CAST(topic AS BLOB)"),
        ("originator_version", "CAST(originator_version AS BLOB)"),
        ("command_id", "CAST('row:1' AS BLOB)"),
        ("command_id", "CAST(x'49fe' AS TEXT)"),
    ],
)
def test_values_of_another_type_are_damage_with_a_position(db: Path, column: str, value: str) -> None:
    with opened(db) as connection:
        connection.execute("CREATE TABLE other AS SELECT rowid, * FROM stored_events")
        connection.execute(f"UPDATE other SET {column} = {value} WHERE rowid = 120")  # noqa: S608
        connection.execute("DROP TABLE stored_events")
        connection.execute("ALTER TABLE other RENAME TO stored_events")

    assert first(verified(db, code=4)) == (120, "changed_bytes")
    assert do(db, "verify", code=4).stderr.splitlines()[0] == "entry 120"


def test_what_cannot_be_read_is_found_without_looking_at_each_entry(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(db) as connection:
        connection.execute("UPDATE stored_events SET topic = CAST(x'ff41' AS TEXT) WHERE rowid = 120")
    begun, queries = FileReader._begun, list[str]()

    def counted(reader: FileReader, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        queries.append(statement)
        return begun(reader, statement, values)

    monkeypatch.setattr(FileReader, "_begun", counted)

    assert first(verified(db, code=4)) == (120, "changed_bytes")
    assert len(queries) < 40


def test_a_table_that_is_gone_is_damage(db: Path) -> None:
    with opened(db) as connection:
        connection.execute("DROP TABLE checkpoints")

    assert "no such table: checkpoints" in do(db, "verify", code=4).stderr


# What is not there, other stores, and a large ledger


def test_a_stream_file_is_compared_with_checkpoints_of_the_ledger(db: Path, outside: list[str], tmp_path: Path) -> None:
    exported, cut = tmp_path / "exported.jsonl", tmp_path / "cut.jsonl"
    exported.write_text(do(db, "export").stdout)
    cut.write_text("".join(exported.read_text().splitlines(keepends=True)[:150]))

    found = verified(exported, *outside)

    assert outcome(found, "given_checkpoints") == outcome(found, "signatures") == "holds"
    assert outcome(found, "leaves") == outcome(found, "kept_checkpoints") == "not_checked"
    assert first(verified(cut, *outside, code=4)) == (151, "cut_or_stale")


def test_a_database_is_verified_alike(emptied: str, db: Path, outside: list[str]) -> None:
    import psycopg

    create(emptied, read(YEAR))
    keep(emptied, HALF, ALL)
    intact = verified(emptied, *outside)
    with psycopg.connect(emptied) as connection:
        connection.execute("ALTER TABLE sla_ledger.ledger_events DISABLE TRIGGER ALL")
        connection.execute("UPDATE sla_ledger.ledger_events SET topic = 'ResponseGiven' WHERE notification_id = 120")

    found = verified(emptied, *outside, code=4)

    assert intact == verified(db, *outside)
    assert first(found) == (120, "changed_name")
    with psycopg.connect(emptied) as connection:
        connection.execute("DROP TABLE sla_ledger.checkpoints")
    assert "does not exist" in do(emptied, "verify", code=4).stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER originator_version TYPE text USING originator_version::text", "entry 1\n"),
        ("ALTER state TYPE text USING convert_from(state, 'UTF8')", "entry 1\n"),
        ("ALTER command_id TYPE bytea USING convert_to(command_id, 'UTF8')", "entry 11\n"),
        ("ALTER notification_id TYPE numeric", "entry 1\n"),
        ("ALTER notification_id TYPE text", "does not exist"),
        ("DROP leaf", "does not exist"),
    ],
)
def test_a_table_of_other_types_is_damage_in_a_database_too(emptied: str, change: str, said: str) -> None:
    import psycopg

    create(emptied, read(YEAR)[:10])
    do(emptied, "record", "BackupTaken", "backup:B-1", "--scope", "all", "--command-id", "night/1")
    with psycopg.connect(emptied) as connection:
        connection.execute(f"ALTER TABLE sla_ledger.ledger_events {change}".encode())

    assert said in do(emptied, "verify", code=4).stderr


def test_entries_that_a_database_computes_are_damage(emptied: str) -> None:
    import psycopg

    create(emptied, read(YEAR)[:10])
    with psycopg.connect(emptied) as connection:
        connection.execute("ALTER TABLE sla_ledger.ledger_events RENAME TO others")
        connection.execute("CREATE VIEW sla_ledger.ledger_events AS SELECT * FROM sla_ledger.others")

    assert "computed" in do(emptied, "verify", code=4).stderr


def test_two_processes_find_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    history.make(path, 3000)
    with opened(path) as connection:
        connection.execute("UPDATE stored_events SET topic = 'IncidentResolved' WHERE rowid = 2000")
        connection.execute("UPDATE stored_events SET originator_version = 77 WHERE rowid = 1000")

    alone = verified(path, code=4)
    monkeypatch.setattr("ledger.seal.verifying.FEW", 100)

    assert verified(path, code=4) == alone
    assert alone["first_bad"]["position"] == 1000


@pytest.mark.parametrize(
    ("column", "old", "new"),
    [(6, '"counted_seconds":', '"counted_seconds":1'), (7, '"agreed":[', '"agreed":[0,')],
    ids=["finding", "basis"],
)
def test_availability_that_is_kept_is_judged_anew_where_it_holds(db: Path, column: int, old: str, new: str) -> None:
    """A year that is over, and one that goes on; what is falsified is told though its row's seal is right."""
    for year in ("2025", "2026"):
        do(db, "availability", "--year", year)
    kept = json.loads(do(db, "--json", "verify", "--views").stdout)["views"]["differences"]
    with contextlib.closing(sqlite3.connect(f"{db}.views")) as views, views:
        found = views.execute("SELECT * FROM availability WHERE year = 2025 LIMIT 1").fetchone()
        wrong = found[column].replace(old, new, 1)
        falsified = tuple(wrong if x == found[column] else x for x in found[:-1])
        write(views, "availability", [falsified], or_replace=True)

    differences = json.loads(do(db, "--json", "verify", "--views", code=1).stdout)["views"]["differences"]

    assert kept == []
    assert len(differences) > 0
    assert all(d.startswith("availability 2025, at ") for d in differences)


def test_verifying_writes_nothing(db: Path, outside: list[str]) -> None:
    before, there = db.read_bytes(), sorted(x.name for x in db.parent.iterdir())

    for _ in range(2):
        found = verified(db, *outside)

    assert (db.read_bytes(), sorted(x.name for x in db.parent.iterdir())) == (before, there)
    assert {c["outcome"] for c in found["checks"]} == {"holds"}
    assert found["unknown"]


@pytest.mark.parametrize("size", [99999999, -1, 202])
def test_a_checkpoint_that_is_kept_under_another_size_is_told(db: Path, size: int) -> None:
    with opened(db) as connection:
        connection.execute("UPDATE checkpoints SET size = ? WHERE size = ?", (size, ALL))

    found = verified(db, code=4)["findings"]

    said = f"the checkpoint of size {ALL} kept in the ledger is kept under another size, {size}"
    assert [(x["check"], x["attack"], x["what"]) for x in found] == [("kept_checkpoints", "changed_checkpoint", said)]


def test_others_may_record_and_seal_while_it_begins(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last_position = FileReader.last_position

    def just_before(reader: FileReader) -> int:
        monkeypatch.undo()
        found = last_position(reader)
        case = ("--customer=acme", "--service=licence", "--channel=phone")
        do(db, "record", "IncidentReported", "incident:MEANWHILE", *case)
        keep(db, ALL + 1)
        return found

    monkeypatch.setattr(FileReader, "last_position", just_before)

    with contextlib.closing(FileReader(db)) as reader:
        verdict = verifying.verified(reader, [], [], lambda done: None, str(db))

    assert verdict.error("the ledger") is None
    assert verdict.last == ALL
