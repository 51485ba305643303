"""No variable of the environment redirects a ledger or changes what is stored in it or read from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from tests.support import do

LIBRARY = {
    "PERSISTENCE_MODULE": "eventsourcing.popo",
    "FACTORY_TOPIC": "eventsourcing.popo:POPOFactory",
    "INFRASTRUCTURE_FACTORY": "eventsourcing.popo:POPOFactory",
    "APPLICATION_RECORDER_TOPIC": "eventsourcing.popo:POPOApplicationRecorder",
    "AGGREGATE_RECORDER_TOPIC": "eventsourcing.popo:POPOAggregateRecorder",
    "PROCESS_RECORDER_TOPIC": "this:d",
    "TRACKING_RECORDER_TOPIC": "this:d",
    "MAPPER_TOPIC": "eventsourcing.persistence:Mapper",
    "TRANSCODER_TOPIC": "this:d",
    "COMPRESSOR_TOPIC": "zlib",
    "CIPHER_TOPIC": "eventsourcing.cryptography:AESCipher",
    "CIPHER_KEY": "MDEyMzQ1Njc4OWFiY2RlZg==",
    "ORIGINATOR_ID_TYPE": "uuid",
    "IS_SNAPSHOTTING_ENABLED": "y",
    "SNAPSHOT_EVERY": "1",
    "CREATE_TABLE": "yes",
    "AGGREGATE_CACHE_MAXSIZE": "1",
    "AGGREGATE_CACHE_FASTFORWARD": "n",
    "DEEPCOPY_FROM_AGGREGATE_CACHE": "n",
    "SQLITE_DBNAME": "elsewhere.db",
    "SQLITE_LOCK_TIMEOUT": "0",
    "SQLITE_JOURNAL_MODE": "OFF",
    "SQLITE_TMPDIR": "/nowhere",
    "POSTGRES_DBNAME": "elsewhere",
    "POSTGRES_HOST": "203.0.113.1",
    "POSTGRES_PORT": "1",
    "POSTGRES_USER": "nobody",
    "POSTGRES_PASSWORD": "secret",
    "POSTGRES_SCHEMA": "elsewhere",
    "POSTGRES_ENABLE_DB_FUNCTIONS": "y",
    "POSTGRES_GET_PASSWORD_TOPIC": "this:d",
    "POSTGRES_IDLE_IN_TRANSACTION_SESSION_TIMEOUT": "0",
    "EVENTSOURCING_DISABLE_REDEFINITION_CHECK": "y",
}
OTHERS = {
    "LEDGER_ADDRESS": "elsewhere.db",
    "LEDGER_MODE": "rw",
    "TZ": "Pacific/Apia",
    "PYTHONTZPATH": "/nowhere",
    "PYTHONUTF8": "0",
    "LC_ALL": "C",
    "PYTHONHASHSEED": "1",
    "COLUMNS": "many",
    "LINES": "-1",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "XDG_CACHE_HOME": "/nowhere",
}
EVERY = {**LIBRARY, **OTHERS}
HISTORY = (
    ("agreement:acme", "AgreementSigned", "--customer", "acme", "--desk", "oslo", "--services", '{"service":"licence",'
     '"monthly_fee":{"amount":"100.00","currency":"NOK"}}'),
    ("incident:INC-1", "IncidentReported", "--customer", "acme", "--service", "licence", "--channel", "phone"),
    ("incident:INC-1", "ResponseGiven", "--responder", "human"),
)  # fmt: skip
QUESTIONS = ("log", "compliance", "queue", "order", "availability --year 2026", "verify", "show incident:INC-1")


def recorded(folder: Path) -> tuple[list[tuple[object, ...]], list[str], list[str]]:
    """A short history recorded and asked: the rows as they are stored, the answers, and the files that were made."""
    import sqlite3
    from contextlib import closing

    folder.mkdir()
    db = folder / "ledger.db"
    do(db, "init")
    for stream, name, *fields in HISTORY:
        do(db, "record", name, stream, *fields, "--actor", "desk", "--command-id", f"{stream}/{name}")
    answers = [do(db, "--as-of", "2026-02-01T10:00:00Z", "--json", *q.split()).stdout for q in QUESTIONS]
    with closing(sqlite3.connect(db)) as connection:
        rows = connection.execute("SELECT rowid, * FROM stored_events ORDER BY rowid").fetchall()
    return rows, answers, sorted(os.listdir(folder))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> object:
    return recorded(tmp_path_factory.mktemp("plain") / "one")


@pytest.mark.parametrize("name", EVERY)
def test_a_variable_changes_nothing(name: str, plain: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for prefix in ("", "LEDGER_", "APPLICATION_", "SLA_LEDGER_"):
        monkeypatch.setenv(prefix + name, EVERY[name])

    assert recorded(tmp_path / "one") == plain
    assert os.listdir(tmp_path) == ["one"]


def test_all_of_them_together_change_nothing(plain: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for prefix in ("", "LEDGER_", "LEDGER_LEDGER_"):
        for name, value in EVERY.items():
            monkeypatch.setenv(prefix + name, value)

    assert recorded(tmp_path / "one") == plain
    assert os.listdir(tmp_path) == ["one"]


@pytest.mark.parametrize("name", ["SLA_LEDGER_DB", "SLA_LEDGER_VIEWS"])
@pytest.mark.parametrize("value", ["\x1b[2J", "\u202e", "x" * 5000, "/dev/zero", "/", "postgresql://[", "a\nb"])
def test_a_variable_of_its_own_is_looked_at_like_an_option(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(tmp_path / "ledger.db", "init")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)

    done = CliRunner().invoke(app, ["compliance"])

    assert done.exit_code in (0, 1), done.stderr
    assert "fault of this program" not in done.stderr
    assert not {"\x1b", "\u202e"} & {*done.stderr}
