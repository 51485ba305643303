"""`seal`: a signed checkpoint that is kept and printed, and everything it refuses to sign."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from ledger.book import create
from ledger.seal import checkpoints, keys, merkle, notes
from ledger.seal.leaves import leaf
from ledger.store.address import reader_at
from ledger.store.reading import EVERYTHING
from ledger.store.sqlite_reading import FileReader
from ledger.store.stream_file import read
from ledger.store.stream_record import StreamRecord
from tests.support import do, empty_index

STREAMS = Path(__file__).resolve().parents[1] / "fixtures" / "streams"
YEAR = STREAMS / "a-year-of-acme.jsonl"
NAME = "example.com/ledger"


pytestmark = pytest.mark.usefixtures("no_key")


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The file of a new key."""
    return new_key(tmp_path / "seal.key")


@pytest.fixture(params=["file", "server"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger of ten entries."""
    address = str(tmp_path / "ledger.db") if request.param == "file" else request.getfixturevalue("emptied")
    create(address, read(str(YEAR))[:10])
    return str(address)


def new_key(path: Path, name: str = NAME) -> str:
    keys.make(path, name)
    return str(path)


def report(ledger: str, *numbers: int) -> None:
    """Record a case for each number."""
    for number in numbers:
        case = ("--customer=acme", "--service=licence", "--channel=phone")
        do(ledger, "record", "IncidentReported", f"incident:SEAL-{number}", *case)


def kept(ledger: str) -> list[str]:
    with contextlib.closing(reader_at(ledger)) as reader:
        return reader.checkpoints()


def past_all_triggers(ledger: str, statement: str) -> None:
    """Run a statement as somebody who owns the file or the database."""
    if "://" in ledger:
        statement = statement.replace("stored_events", "ledger_events").replace("rowid", "notification_id")
        with psycopg.connect(ledger) as connection:
            for table in ("ledger_events", "checkpoints"):
                connection.execute(f"ALTER TABLE sla_ledger.{table} DISABLE TRIGGER USER".encode())
            statement = statement.replace("X'", "'\\x").replace("CAST(state AS TEXT)", "convert_from(state, 'UTF8')")
            statement = statement.replace("CAST(replace(", "convert_to(replace(").replace(" AS BLOB)", ", 'UTF8')")
            connection.execute(f"SET search_path = sla_ledger; {statement}".encode())
        return
    with contextlib.closing(sqlite3.connect(ledger)) as file, file:
        for (name,) in file.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            file.execute(f"DROP TRIGGER {name}")
        file.execute(statement)


def test_a_new_key_is_a_file_of_its_owner_alone_and_its_public_half_is_printed(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        done = do(tmp_path / "none.db", "seal", "--new-key", NAME)
    finally:
        os.umask(old)
    path = tmp_path / "config" / "sla-ledger" / "seal.key"

    key = keys.read(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert done.stdout == f"{key.verifier()}\n"
    assert key.name == NAME
    assert path.read_text() == f"{key.secret()}\n"
    assert "is a secret" in done.stderr
    assert key.secret().split("+", 4)[4] not in done.stdout + done.stderr
    assert not (tmp_path / "none.db").exists()


def test_a_checkpoint_is_printed_as_it_is_kept_and_says_what_the_entries_are(ledger: str, key: str) -> None:
    printed = do(ledger, "seal", "--key", key).stdout

    said, note = checkpoints.read(printed.encode(), "printed")
    leaves = list(StreamRecord(read(str(YEAR))[:10]).leaves(EVERYTHING))
    assert said == checkpoints.Checkpoint(NAME, 10, merkle.root(leaves))
    assert keys.read(Path(key)).verifier().verified(note) is not None
    assert kept(ledger) == [printed]


def test_what_is_sealed_already_is_printed_again(ledger: str, key: str) -> None:
    first = do(ledger, "seal", "--key", key).stdout

    assert do(ledger, "seal", "--key", key).stdout == first
    report(ledger, 1)
    second = do(ledger, "seal", "--key", key).stdout

    assert kept(ledger) == [first, second]
    assert second.splitlines()[:2] == [NAME, "11"]


def test_every_so_many_entries_and_not_before(ledger: str, key: str) -> None:
    options = ("seal", "--key", key, "--every")
    too_early = do(ledger, *options, "11")
    first = do(ledger, *options, "10")
    nothing_new = do(ledger, *options, "1")
    report(ledger, 1, 2)
    again_too_early = do(ledger, *options, "3")
    second = do(ledger, *options, "2")

    assert [x.stdout for x in (too_early, nothing_new, again_too_early)] == ["", "", ""]
    assert again_too_early.stderr.endswith(": 2 entries since the last checkpoint, fewer than 3; none made\n")
    assert kept(ledger) == [first.stdout, second.stdout]


def test_the_key_is_taken_from_the_environment_or_from_its_place(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = str(tmp_path / "ledger.db")
    create(ledger, read(str(YEAR))[:10])
    missing = do(ledger, "seal", code=1).stderr.splitlines()
    assert missing == [str(tmp_path / "config" / "sla-ledger" / "seal.key"), "there is no key here"] + missing[2:]

    monkeypatch.setenv("SLA_LEDGER_KEY", key)
    assert kept(ledger) == [] != [do(ledger, "seal").stdout] == kept(ledger)


def test_nothing_is_signed_where_the_streams_cannot_be_found(key: str, tmp_path: Path) -> None:
    db = tmp_path / "ledger.db"
    do(db, "init")
    report(str(db), 1, 2)
    empty_index(db)

    done = do(db, "seal", "--key", key, code=4)

    assert done.stdout == ""
    assert "nothing was signed" in done.stderr


def test_a_new_key_takes_over_once_both_have_signed(ledger: str, key: str, tmp_path: Path) -> None:
    new = new_key(tmp_path / "new.key", "example.com/ledger-2027")
    do(ledger, "seal", "--key", key)
    report(ledger, 1)
    alone = do(ledger, "seal", "--key", new, code=1).stderr.splitlines()

    together = do(ledger, "seal", "--key", key, "--also", new).stdout
    report(ledger, 2)
    by_the_new_one = do(ledger, "seal", "--key", new).stdout
    report(ledger, 3)
    by_the_old_one = do(ledger, "seal", "--key", key, code=1).stderr.splitlines()

    assert alone[1] == f"it did not sign the last checkpoint; {NAME} did"
    assert "--key OLD --also NEW" in alone[2]
    vkeys = [keys.read(Path(path)).verifier() for path in (key, new)]
    for printed, signers in ((together, vkeys), (by_the_new_one, vkeys[1:])):
        said, note = checkpoints.read(printed.encode(), "printed")
        assert said.origin == NAME
        assert notes.verified_by(note, vkeys) == signers
    assert by_the_old_one[1] == "it did not sign the last checkpoint; example.com/ledger-2027 did"
    assert len(kept(ledger)) == 3


def test_no_other_key_signs_whatever_its_name(ledger: str, key: str, tmp_path: Path) -> None:
    first = do(ledger, "seal", "--key", key).stdout
    for name in (NAME, "example.com/other"):
        other = new_key(tmp_path / f"{len(name)}.key", name)
        for more in ((), ("--also", other)):
            refused = do(ledger, "seal", "--key", other, *more, code=1).stderr.splitlines()
            assert refused[:2] == [f"key {name}", f"it did not sign the last checkpoint; {NAME} did"]
        refused = do(ledger, "seal", "--key", key, "--also", other, code=1).stderr.splitlines()
        assert refused[1].startswith("the 10 entries are sealed already")
    assert kept(ledger) == [first]


NO_LEAF = "SET leaf = X'" + "00" * 32 + "' WHERE rowid"
OTHER = "SET state = CAST(replace(CAST(state AS TEXT), 'phone', 'email') AS BLOB) WHERE rowid"
INSERT = "INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state, leaf) SELECT"
ROW = "originator_id, 99, topic, state, leaf FROM stored_events WHERE rowid"
UNFIT = "it is missing, or not what its leaf hash was made of"
DAMAGE = {
    "another leaf": (f"UPDATE stored_events {NO_LEAF} = 3", "no longer those"),
    "a cut tail": ("DELETE FROM stored_events WHERE rowid > 8", "the ledger has only 8"),
    "a missing entry": ("DELETE FROM stored_events WHERE rowid = 4", "no longer those"),
    "a leaf of a new entry": (f"UPDATE stored_events {NO_LEAF} = 12", UNFIT),
    "a new entry": (f"UPDATE stored_events {OTHER} = 12", UNFIT),
    "a missing new entry": ("DELETE FROM stored_events WHERE rowid = 11", "it is missing"),
    "an entry before the first": (f"{INSERT} 0, {ROW} = 1", "no entry is ever given such a position"),
    "an entry below all": (f"{INSERT} -3, {ROW} = 1", "no entry is ever given such a position"),
    "another checkpoint": ("UPDATE checkpoints SET note = replace(note, '10', '11')", "under another size, 10"),
    "another size": ("UPDATE checkpoints SET size = 99999999", "it is kept under another size, 99999999"),
    "a size below all": ("UPDATE checkpoints SET size = -1", "it is kept under another size, -1"),
    "another root": ("UPDATE checkpoints SET note = replace(note, 'ROOT', 'AAAA')", "no longer those"),
    "another signature": ("UPDATE checkpoints SET note = replace(note, 'SIGNED', 'AAAA')", "signature does not fit"),
    "no checkpoint": ("UPDATE checkpoints SET note = 'none'", "not a signed note"),
}  # fmt: skip


@pytest.mark.parametrize("statement, what", DAMAGE.values(), ids=DAMAGE)
def test_a_ledger_that_is_not_what_was_sealed_is_not_sealed_again(
    ledger: str, key: str, statement: str, what: str
) -> None:
    do(ledger, "seal", "--key", key)
    report(ledger, 1, 2)
    past_all_triggers(
        ledger, statement.replace("SIGNED", kept(ledger)[0][-11:-7]).replace("ROOT", kept(ledger)[0].split("\n")[2][:4])
    )
    before = kept(ledger)

    done = do(ledger, "seal", "--key", key, code=4)

    assert done.stdout == ""
    assert what in done.stderr.splitlines()[1]
    assert done.stderr.splitlines()[2].startswith("nothing was signed")
    assert kept(ledger) == before


def test_what_a_stream_would_refuse_is_not_sealed(ledger: str, key: str) -> None:
    """Put in with a leaf hash of its own, as whoever knows the program would."""
    do(ledger, "seal", "--key", key)
    report(ledger, 1)
    before = kept(ledger)
    with contextlib.closing(reader_at(ledger)) as reader:
        [(_, stream, _, name, state)] = reader.at([11])
    made = leaf(12, stream, 2, name, state).hex()
    values = f"12, originator_id, 2, topic, state, X'{made}'"
    past_all_triggers(ledger, f"{INSERT} {values} FROM stored_events WHERE rowid = 11")

    where, what, _ = do(ledger, "seal", "--key", key, code=4).stderr.splitlines()

    assert where == "entry 12"
    assert what.startswith("incident:SEAL-1/2: IncidentReported would have been refused: ")
    assert kept(ledger) == before


def test_what_was_sealed_before_is_read_again_when_it_is_asked_for(ledger: str, key: str) -> None:
    do(ledger, "seal", "--verify", "--key", key)
    past_all_triggers(ledger, "UPDATE stored_events SET topic = 'IncidentCancelled' WHERE rowid = 3")
    report(ledger, 1)
    before = kept(ledger)

    refused = do(ledger, "seal", "--verify", "--key", key, code=4)

    assert refused.stdout == ""
    assert refused.stderr.splitlines()[0] == "entry 3"
    assert kept(ledger) == before
    assert do(ledger, "seal", "--key", key).stdout.splitlines()[1] == "11"  # which looks at leaf hashes alone there


def test_others_may_record_and_seal_meanwhile(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = str(tmp_path / "ledger.db")
    create(ledger, read(str(YEAR))[:10])
    last_position = FileReader.last_position
    theirs = []

    def just_before(reader: FileReader) -> int:
        monkeypatch.undo()
        found = last_position(reader)
        report(ledger, 1)
        theirs.append(do(ledger, "seal", "--key", key).stdout)
        return found

    monkeypatch.setattr(FileReader, "last_position", just_before)
    mine = do(ledger, "seal", "--key", key).stdout

    assert [mine] == theirs == kept(ledger)
    assert mine.splitlines()[1] == "11"


def test_nothing_and_no_ledger_are_not_sealed(tmp_path: Path, key: str) -> None:
    create(tmp_path / "empty.db")

    empty = do(tmp_path / "empty.db", "seal", "--key", key, code=1).stderr.splitlines()
    missing = do(tmp_path / "missing.db", "seal", "--key", key, code=1).stderr.splitlines()
    stream_file = do(YEAR, "seal", "--key", key, code=1).stderr.splitlines()

    assert empty[1] == "there is no entry to seal"
    assert missing[1] == "there is no ledger here"
    assert stream_file[1] == "a stream file is only read, never written"


def instead(path: Path, make: Callable[..., object], *arguments: int) -> None:
    """Put something else in the place of a file."""
    path.unlink()
    make(path, *arguments)


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "for the group": (lambda p: p.chmod(0o640), "others may read or change this key: its mode is 0640, not 0600"),
    "for all": (lambda p: p.chmod(0o604), "its mode is 0604"),
    "to write": (lambda p: p.chmod(0o622), "its mode is 0622"),
    "to run": (lambda p: p.chmod(0o700), "its mode is 0700"),
    "a folder": (lambda p: instead(p, Path.mkdir), "cannot be read: Is a directory"),
    "a pipe": (lambda p: instead(p, os.mkfifo, 0o600), "this is no key file"),
    "too long": (lambda p: p.write_text(p.read_text() + "\n" * 5000), "this is no key file"),
    "empty": (lambda p: p.write_text(""), "not a private key of this program"),
    "no text": (lambda p: p.write_bytes(b"\xff\x00"), "not a private key of this program"),
    "changed": (lambda p: p.write_text(p.read_text().replace("ledger", "ledgee")), "not a private key"),
    "not there": (lambda p: p.unlink(), "there is no key here"),
}


@pytest.mark.parametrize("change, what", UNUSABLE.values(), ids=UNUSABLE)
def test_a_key_that_is_none_or_not_secret_signs_nothing(
    tmp_path: Path, key: str, change: Callable[[Path], object], what: str
) -> None:
    create(tmp_path / "ledger.db", read(str(YEAR))[:10])
    secret = Path(key).read_text().strip().split("+", 4)[4]
    change(Path(key))

    done = do(tmp_path / "ledger.db", "seal", "--key", key, code=1)

    where, said, todo = done.stderr.splitlines()
    assert where == key
    assert what in said
    assert todo
    assert secret not in done.stderr
    assert kept(str(tmp_path / "ledger.db")) == []


def test_a_key_that_only_its_owner_may_read_is_good(tmp_path: Path, key: str) -> None:
    create(tmp_path / "ledger.db", read(str(YEAR))[:10])
    Path(key).chmod(0o400)

    assert do(tmp_path / "ledger.db", "seal", "--key", key).stdout


def test_a_key_file_is_never_overwritten(tmp_path: Path, key: str) -> None:
    before = Path(key).read_text()
    (tmp_path / "link.key").symlink_to(tmp_path / "nowhere.key")

    for path in (key, str(tmp_path / "link.key"), str(tmp_path)):
        refused = do("ledger.db", "seal", "--new-key", NAME, "--key", path, code=1).stderr.splitlines()
        assert refused[:2] == [path, "there is something here already"]
    refused = do(
        "ledger.db", "seal", "--new-key", NAME, "--key", str(tmp_path / "no" / "k"), code=1
    ).stderr.splitlines()

    assert refused[1] == "cannot be made: No such file or directory"
    assert Path(key).read_text() == before
    assert not (tmp_path / "nowhere.key").exists()


INVISIBLE = [
    "a\u200bb",
    "\u202eb",
    "\u2066b",
    "b\ufeff",
    "a\xa0b",
    "a\xadb",
    "\u3164",
    "\U000e0061",
    "\ue000",
    "\u0378",
]


@pytest.mark.parametrize("name", ["", "two words", "a+b", "x" * 121, "line\nbreak", *INVISIBLE])
def test_a_name_that_no_note_can_carry_makes_no_key(tmp_path: Path, name: str) -> None:
    path = tmp_path / "key"

    assert do("ledger.db", "seal", "--new-key", name, "--key", str(path), code=1).stderr.count("\n") == 3
    assert not path.exists()


def test_what_makes_no_sense_together_is_said(tmp_path: Path, key: str) -> None:
    for wrong in (
        ("--new-key", NAME, "--also", key),
        ("--new-key", NAME, "--verify"),
        ("--new-key", NAME, "--every", "5"),
        ("--every", "0"),
    ):
        assert "Error" in do(tmp_path / "ledger.db", "seal", *wrong, code=2).stderr
