"""The key file is private, whole at every instant, and of one mind however many ask it at once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from ledger.privacy.keys import PSEUDONYMS, KeyFile, KeysUnusable, Place, place_of
from ledger.privacy.sealing import SEALED
from tests.support import do, log

ROOT = Path(__file__).resolve().parents[1]
SAID = "Kari Nordmann has no sound"
REPORT = ["record", "IncidentReported", "--customer=acme", "--service=licence", "--channel=phone"]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A ledger with one sealed summary."""
    do(tmp_path / "ledger.db", "init")
    do(tmp_path / "ledger.db", "privacy", "on", "acme")
    do(tmp_path / "ledger.db", *REPORT, "incident:1", "--summary", SAID)
    return tmp_path / "ledger.db"


def keys_of(folder: Path) -> KeyFile:
    return KeyFile(Place(folder / "ledger.db.keys", folder / "ledger.db.kek"))


def test_keys_and_what_wraps_them_are_two_private_files(db: Path) -> None:
    files = [db.with_name("ledger.db.keys"), db.with_name("ledger.db.kek")]

    assert [oct(f.stat().st_mode)[-3:] for f in files] == ["600", "600"]
    secret = keys_of(db.parent).living()["acme"].secret
    assert len(secret) == 32
    assert not any(secret in f.read_bytes() or secret.hex().encode() in f.read_bytes() for f in (db, *files))
    assert sorted(f.name for f in db.parent.iterdir() if "draft" in f.name or "key" in f.name) == ["ledger.db.keys"]


def test_a_key_is_made_once_a_holder_and_again_only_when_it_was_destroyed(tmp_path: Path) -> None:
    keys = keys_of(tmp_path)

    first, again, other = keys.make("acme", "ops"), keys.make("acme", "ops"), keys.make("beta", "ops")
    assert keys.destroy("acme", "officer")
    assert not keys.destroy("acme", "officer")
    anew = keys.make("acme", "ops")

    assert [is_new for _, is_new in (first, again, other, anew)] == [True, False, True, True]
    assert again[0] == first[0]
    assert len({k.id for k, _ in (first, other, anew)}) == len({k.secret for k, _ in (first, other, anew)}) == 3
    assert [(t.holder, t.destroyed_by) for t in keys.trail()] == [("acme", "officer"), ("beta", None), ("acme", None)]


@pytest.mark.parametrize(
    "environ, place",
    [
        ({}, Place(Path("x.db.keys"), Path("x.db.kek"))),
        ({"SLA_LEDGER_KEYS": "/safe/a.keys"}, Place(Path("/safe/a.keys"), Path("/safe/a.kek"), named=True)),
        ({"SLA_LEDGER_KEYS": "/safe/a"}, Place(Path("/safe/a"), Path("/safe/a.kek"), named=True)),
        ({"SLA_LEDGER_KEK": "/card/kek"}, Place(Path("x.db.keys"), Path("/card/kek"))),
    ],
)
def test_keys_lie_beside_the_ledger_or_where_the_environment_says(environ: dict[str, str], place: Place) -> None:
    assert place_of("x.db", environ) == place


def test_the_place_of_a_database_s_keys_tells_no_password() -> None:
    place = place_of("postgresql://me:secret@db.example/support", {"XDG_DATA_HOME": "/data"})

    assert place.keys == Path("/data/sla-ledger/me-db.example-support.keys")


# What is missing, or not as it should be


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
@pytest.mark.parametrize("end", ["keys", "kek"])
def test_a_key_file_that_others_may_read_is_not_used(db: Path, end: str, mode: int) -> None:
    db.with_name(f"ledger.db.{end}").chmod(mode)

    refused = do(db, *REPORT, "incident:2", "--summary", SAID, code=1)
    shown = do(db, "show", "incident:1")

    assert f"others than its owner may use this key file (mode {mode:04o})" in refused.stderr
    assert "chmod 600" in refused.stderr
    assert SEALED in shown.stdout
    assert "sealed summaries stay sealed" in shown.stderr
    assert SAID.encode() not in db.read_bytes()
    do(db, *REPORT, "incident:3")  # what has no summary needs no key


def test_without_what_wraps_the_keys_nothing_opens_and_nothing_enters_in_plain(db: Path) -> None:
    kek = db.with_name("ledger.db.kek")
    right = kek.read_text()

    for wrong in (None, "", "00" * 32, "zz", right[:-5]):
        kek.unlink(missing_ok=True)
        if wrong is not None:
            kek.write_text(wrong)
            kek.chmod(0o600)
        refused = do(db, *REPORT, "incident:2", "--summary", SAID, code=1)
        assert "ledger.db.kek" in refused.stderr
        assert log(db, "incident:1")[0]["data"]["summary"] == SEALED
        advice = do(db, "privacy", "on", "beta", code=1).stderr  # a second one would not wrap the first keys
        assert "bring " in advice
        assert "privacy on" not in advice

    kek.write_text(right)
    assert log(db, "incident:1")[0]["data"]["summary"] == SAID
    kek.unlink()
    do(db, "forget", "acme", "--yes")  # to destroy a key nothing has to open it


def test_a_key_file_that_was_promised_and_is_gone_refuses_summaries(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = db.with_name("ledger.db.keys")
    keys.rename(tmp_path / "card.keys")
    keys.symlink_to(tmp_path / "card.keys")
    assert log(db, "incident:1")[0]["data"]["summary"] == SAID
    (tmp_path / "card.keys").rename(tmp_path / "away")

    by_link = do(db, *REPORT, "incident:2", "--summary", SAID, code=1)
    monkeypatch.setenv("SLA_LEDGER_KEYS", str(tmp_path / "nowhere.keys"))
    by_name = do(db, *REPORT, "incident:2", "--summary", SAID, code=1)

    assert all("the key file that was named is not here" in x.stderr for x in (by_link, by_name))
    assert SAID.encode() not in db.read_bytes()


@pytest.mark.parametrize("content", [b"", b"not a database", b"x" * 5000])
def test_another_file_at_the_place_is_left_alone(tmp_path: Path, content: bytes) -> None:
    do(tmp_path / "ledger.db", "init")
    there = tmp_path / "ledger.db.keys"
    there.write_bytes(content)
    there.chmod(0o600)

    done = do(tmp_path / "ledger.db", "privacy", "on", "acme", code=1)

    assert "the key file cannot be used" in done.stderr
    assert there.read_bytes() == content


def test_another_database_at_the_place_is_left_alone(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db.chmod(0o600)
    before = db.read_bytes()
    monkeypatch.setenv("SLA_LEDGER_KEYS", str(db))

    do(db, "privacy", "on", "acme", code=1)

    assert db.read_bytes() == before


def test_keys_that_another_hand_wrote_open_nothing(db: Path) -> None:
    with sqlite3.connect(db.with_name("ledger.db.keys")) as connection:
        connection.execute("ALTER TABLE keys RENAME TO old")
        connection.execute("CREATE VIEW keys AS SELECT id, holder, 'text' AS wrapped, made_at, 1 AS made_by,"
                           " NULL AS destroyed_at, NULL AS destroyed_by FROM old")  # fmt: skip
    connection.close()

    shown = do(db, "show", "incident:1")

    assert SEALED in shown.stdout
    assert "sealed summaries stay sealed" in shown.stderr
    assert do(db, *REPORT, "incident:2", "--summary", SAID, code=1)
    do(db, "forget", "acme", "--yes", code=1)


def test_a_folder_or_nothing_at_all_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.db.keys").mkdir()
    with pytest.raises(KeysUnusable, match="this is no file"):
        keys_of(tmp_path).living()
    with pytest.raises(KeysUnusable, match="cannot be read"):
        KeyFile(Place(tmp_path / "none", tmp_path / "none.kek")).destroy("acme", "ops")


def test_the_rejects_of_an_import_do_not_overwrite_the_keys(db: Path, tmp_path: Path) -> None:
    (tmp_path / "facts.jsonl").write_text("bad\n")

    for end in ("keys", "kek"):
        do(db, "import", str(tmp_path / "facts.jsonl"), "--rejects", f"{db}.{end}", code=1)

    assert log(db, "incident:1")[0]["data"]["summary"] == SAID


def limited(folder: Path, kilobytes: int) -> subprocess.CompletedProcess[str]:
    """The outcome of asking for a key where no file may grow beyond this."""
    code = (
        "import resource, sys; size = int(sys.argv.pop(1)); resource.setrlimit(resource.RLIMIT_FSIZE, (size, size));"
        "sys.argv[0] = 'sla-ledger'; from cli import app; app()"
    )
    asked = ["--db", str(folder / "ledger.db"), "privacy", "on", "acme"]
    command = [sys.executable, "-B", "-c", code, str(kilobytes << 10), *asked]  # a module cut off would stay so
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kilobytes", [0, 10, 16])
def test_where_there_is_no_room_nothing_is_made(tmp_path: Path, kilobytes: int) -> None:
    do(tmp_path / "ledger.db", "init")
    before = sorted(p.name for p in tmp_path.iterdir())

    done = limited(tmp_path, kilobytes)

    assert (done.returncode, len(done.stderr.splitlines())) == (1, 3), done.stderr
    assert "make room there" in done.stderr
    assert [p.name for p in tmp_path.iterdir() if "draft" in p.name] == []
    assert kilobytes == 16 or sorted(p.name for p in tmp_path.iterdir()) == before
    do(tmp_path / "ledger.db", "privacy", "on", "acme")
    assert len(keys_of(tmp_path).trail()) == 1


# At once, and killed in between


def _make(folder: str) -> tuple[str, bool]:
    key, is_new = keys_of(Path(folder)).make("acme", "ops")
    return key.secret.hex(), is_new


def test_of_those_who_make_a_key_at_once_one_makes_it_and_all_get_it(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        list(pool.map(abs, range(4)))  # all are up
        for number in range(10):
            folder = tmp_path / str(number)
            folder.mkdir()
            made = list(pool.map(_make, [str(folder)] * 8))

            assert len({secret for secret, _ in made}) == 1
            assert sum(is_new for _, is_new in made) == 1
            assert sorted(p.name for p in folder.iterdir()) == ["ledger.db.kek", "ledger.db.keys"]


KILLED = """
import os, signal, sys
from pathlib import Path
from ledger.privacy import keys

def die(*given):
    os.kill(os.getpid(), signal.SIGKILL)

class Connection(keys.sqlite3.Connection):
    def execute(self, statement, *rest):
        if statement.startswith(sys.argv[2]):
            die()
        return super().execute(statement, *rest)

    def close(self):
        if sys.argv[2] == "close":
            die()
        super().close()

connect = keys.sqlite3.connect
keys.sqlite3.connect = lambda *a, **k: connect(*a, factory=Connection, **k)
if hasattr(keys, sys.argv[2]):
    setattr(keys, sys.argv[2], die)
folder = Path(sys.argv[1])
file = keys.KeyFile(keys.Place(folder / "ledger.db.keys", folder / "ledger.db.kek"))
{"make": lambda: file.make("acme", "ops"), "destroy": lambda: file.destroy("acme", "ops")}[sys.argv[3]]()
"""


def killed(folder: Path, at: str, doing: str) -> None:
    """Let a process die at a step of making or destroying a key."""
    command = [sys.executable, "-c", KILLED, str(folder), at, doing]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("at", ["_write_schema", "sync", "BEGIN", "_write_kek", "_wrapped", "INSERT", "COMMIT"])
def test_whoever_is_killed_while_making_a_key_leaves_nothing_half_made(tmp_path: Path, at: str) -> None:
    killed(tmp_path, at, "make")

    key, is_new = keys_of(tmp_path).make("acme", "ops")

    assert is_new
    assert keys_of(tmp_path).living() == {"acme": key}
    assert len(keys_of(tmp_path).trail()) == 1


@pytest.mark.parametrize("at, is_gone", [("UPDATE", False), ("COMMIT", False), ("close", True)])
def test_whoever_is_killed_while_forgetting_has_forgotten_or_has_not(tmp_path: Path, at: str, is_gone: bool) -> None:
    key, _ = keys_of(tmp_path).make("acme", "ops")
    with sqlite3.connect(tmp_path / "ledger.db.keys") as connection:
        wrapped = connection.execute("SELECT wrapped FROM keys").fetchone()[0]
    connection.close()

    killed(tmp_path, at, "destroy")

    assert keys_of(tmp_path).living() == ({} if is_gone else {"acme": key})
    assert [t.destroyed_at is not None for t in keys_of(tmp_path).trail()] == [is_gone]
    keys_of(tmp_path).destroy("acme", "ops")
    assert not any(wrapped in p.read_bytes() for p in tmp_path.iterdir())


def test_destroyed_keys_leave_no_byte_behind(tmp_path: Path) -> None:
    keys = keys_of(tmp_path)
    secrets = [keys.make(f"customer-{n}", "ops")[0].secret for n in range(60)]
    with keys._reading() as connection:
        wrapped = [row[0] for row in connection.execute("SELECT wrapped FROM keys")]
    assert all(w in keys.place.keys.read_bytes() for w in wrapped)

    for number in range(60):
        keys.destroy(f"customer-{number}", "officer")

    left = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert len(wrapped) == len(keys.trail()) == 60
    assert not any(w[i : i + 8] in left for w in wrapped + secrets for i in range(0, len(w), 8))


def test_nobody_waits_at_a_pipe_in_place_of_the_keys(db: Path) -> None:
    keys = db.with_name("ledger.db.keys")
    keys.unlink()
    os.mkfifo(keys)

    shown = do(db, "show", "incident:1")

    assert SEALED in shown.stdout
    assert "this is no file" in shown.stderr


def test_the_key_of_pseudonyms_is_no_customer(db: Path) -> None:
    keys_of(db.parent).make(PSEUDONYMS, "ops")

    found = json.loads(do(db, "--json", "privacy", "list").stdout)

    assert [row["customer"] for row in found] == ["acme"]
    do(db, "forget", PSEUDONYMS, "--yes", code=2)
