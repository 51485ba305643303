"""A ledger in PostgreSQL is the same ledger: the same entries, the same bytes of every answer, the same refusals."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger.book import Ledger, create
from ledger.errors import LedgerError, NoLedger
from ledger.store.address import reader_at, shown
from ledger.store.stream_file import read
from tests.postgres_server import ESCAPED, PASSWORD, Server, name_of
from tests.support import do

STREAMS = Path(__file__).resolve().parents[1] / "fixtures" / "streams"
STORIES = sorted(path.stem for path in STREAMS.glob("*.jsonl"))
REPORT = ["record", "IncidentReported", "incident:INC-1", "--customer=acme", "--service=licence", "--channel=phone"]
FACT = (
    '{"specversion":"1.0","type":"IncidentReported","subject":"incident:INC-7","time":"2025-06-02T08:00:00Z",'
    '"data":{"customer":"acme","service":"licence","channel":"web"}}'
)
LATER = "2027-01-01T09:00:00Z"


def questions(story: str) -> Iterator[list[str]]:
    """The reading commands that have something to say about a story; about the longest one, all of them."""
    log = json.loads(do(STREAMS / f"{story}.jsonl", "--json", "log").stdout)
    streams = sorted({row["stream"] for row in log})
    yield from (["export"], ["log"], ["compliance"], ["order"])
    if story == "a-year-of-acme":
        yield from (["compliance", "--by", "month"], ["queue"], ["order", "--totals"], ["commitments"])
        yield ["settle", "--year", "2025"]
        yield from (["terms", "show"], ["--at-entry", "20", "log"], ["--known-at", "2025-03-01T00:00:00Z", "log"])
        yield from (["reconcile", s] for s in streams if s.startswith("outage:"))
    years = sorted({row["time"][:4] for row in log if row["stream"].startswith("outage:")} - {"2024"})
    yield from (["availability", "--year", year] for year in years)
    yield from (["show", stream] for stream in streams[:2])
    for claim in (s for s in streams if s.startswith("claim:")):
        yield from (["claim", "assess", claim], ["explain", claim], ["readings", claim])


@pytest.mark.parametrize("story", STORIES)
def test_every_answer_is_the_same_to_the_byte(emptied: str, tmp_path: Path, story: str) -> None:
    ledgers = (tmp_path / "ledger.db", emptied)
    for ledger in ledgers:
        create(ledger, read(str(STREAMS / f"{story}.jsonl")))

    for question in questions(story):
        in_file, in_server = (do(ledger, "--json", *question, now=LATER).stdout for ledger in ledgers)
        assert in_file == in_server, question
        assert in_file


HISTORY = """
init
record AgreementSigned agreement:acme --customer acme --desk oslo --services {"service":"licence","monthly_fee":{"amount":"1000.00","currency":"NOK"}} --at 2024-12-01T09:00:00Z
record OutageReported outage:O-1 --services licence --customers all --degree unavailable --noticed-by staff --at 2025-03-03T08:00:00Z
record EvidenceRecorded outage:O-1 --source event_monitoring --from 2025-03-03T08:00:00Z --until 2025-03-10T08:00:00Z --at 2025-03-10T09:00:00Z
record ServiceRestored outage:O-1 --at 2025-03-10T08:00:00Z
record TimeframeDetermined outage:O-1 --from 2025-03-03T08:00:00Z --until 2025-03-10T08:00:00Z --evidence 2 --reason known --at 2025-03-11T09:00:00Z
record OutageAttributed outage:O-1 --cause failure --reason disk --at 2025-03-11T09:00:00Z
import STORY
record ResponseGiven incident:INC-7 --responder human --at 2025-06-02T09:00:00Z --command-id row/1
record ResponseGiven incident:INC-7 --responder human --at 2025-06-02T09:00:00Z --command-id row/1
claim submit claim:C-9 --customer acme --service licence --from 2025-01-01 --until 2026-01-01 --at 2026-01-05T09:00:00Z
claim decide claim:C-9 --decided-by finance.lead --at 2026-01-06T09:00:00Z
claim dispute claim:C-9 --by acme --reason fee --at 2026-01-07T09:00:00Z
claim uphold claim:C-9 --decided-by finance.lead --reason fee --at 2026-01-08T09:00:00Z
claim issue claim:C-9 --reference CN-1 --at 2026-01-09T09:00:00Z
audit claim:C-9
log
"""  # noqa: E501


def test_every_writing_command_writes_the_same_to_the_byte(database: str, tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    facts.write_text(FACT)

    for command in HISTORY.replace("STORY", str(facts)).strip().splitlines():
        in_file, in_server = (do(db, "--json", *command.split(" ")).stdout for db in (tmp_path / "ledger.db", database))
        assert in_file == in_server, command

    exported = do(database, "export").stdout
    assert exported == do(tmp_path / "ledger.db", "export").stdout
    assert exported.count("\n") == 14


def test_an_export_makes_an_exact_copy_in_the_other_store_and_back(database: str, tmp_path: Path) -> None:
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    do(tmp_path / "file.db", "import", "--verbatim", str(STREAMS / "a-year-of-acme.jsonl"))
    first.write_text(do(tmp_path / "file.db", "export").stdout)

    do(database, "import", "--verbatim", str(first))
    second.write_text(do(database, "export").stdout)
    do(tmp_path / "back.db", "import", "--verbatim", str(second))

    assert first.read_text() == second.read_text() == do(tmp_path / "back.db", "export").stdout
    with contextlib.closing(Ledger(tmp_path / "file.db")) as file, contextlib.closing(Ledger(database)) as server:
        assert list(file.store.rows(2**62)) == list(server.store.rows(2**62))


def test_the_views_of_a_database_are_kept_in_the_cache_and_equal_a_rebuild(emptied: str, tmp_path: Path) -> None:
    create(emptied, read(str(STREAMS / "a-year-of-acme.jsonl")))

    first = do(emptied, "--json", "compliance", now=LATER).stdout
    do(emptied, *REPORT[:2], "incident:INC-99", *REPORT[3:], now=LATER)
    caught_up = json.loads(do(emptied, "--json", "verify", "--views", now=LATER).stdout)
    do(emptied, "rebuild", now=LATER)

    assert caught_up["views"]["differences"] == []
    [kept] = tmp_path.glob("cache/sla-ledger/*.views")
    assert name_of(emptied) in kept.name
    assert len(json.loads(do(emptied, "--json", "compliance", now=LATER).stdout)) == len(json.loads(first)) + 1


def test_both_stores_read_by_position_and_by_stream_alike(database: str, tmp_path: Path) -> None:
    """Streams are in the order of their bytes, capitals first, whatever the database's language is."""
    story = read(str(STREAMS / "a-year-of-acme.jsonl"))
    for db in (tmp_path / "ledger.db", database):
        create(db, story)
        for reference in ("b", "B", "a", "INC-04a", "-"[:0] + "INC-04.1"):
            do(db, *REPORT[:2], f"incident:{reference}", *REPORT[3:])
    with (
        contextlib.closing(reader_at(str(tmp_path / "ledger.db"))) as file,
        contextlib.closing(reader_at(database)) as server,
    ):
        last = server.last_position()
        every = list(server.rows(last))
        incidents = [r for r in every[:-1] if "incident:" <= r[1] < "incident;"]
        for reader in (file, server):
            assert (reader.last_position(), reader.count()) == (last, last)
            assert [row[0] for row in reader.rows(last - 2, after=3)] == list(range(4, last - 1))
            by_stream = list(reader.rows_by_stream("incident:", "incident;", last - 1))
            assert by_stream == sorted(incidents, key=lambda row: (row[1].encode(), row[2]))
            for after, up_to in ((0, last), (last - 5, last), (last - 5, last - 4), (last, last)):
                found = reader.streams_after(after, up_to)
                assert sorted(found) == sorted({row[1] for row in reader.rows(up_to, after=after)})
            assert [row[0] for row in reader.at([last, 1, 3])] == [last, 1, 3]
        assert list(file.rows(last)) == every
        assert file.bounds("incident:", "incident;", 4) == server.bounds("incident:", "incident;", 4)
        one, other = server.rows_by_stream("incident:", "incident;", last), server.rows(last)
        assert [(next(one)[1], next(other)[0]) for _ in range(2)] == [("incident:B", 1), ("incident:INC-01", 2)]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_an_address_of_a_socket_or_of_a_host_reaches_it(server: Server, scheme: str) -> None:
    owner = server.new_login(options="CREATEROLE")
    name = server.new_database(owner)

    made = do(server.tcp(name, owner).replace("postgresql", scheme), "init")

    assert do(server.address(name), "export").stdout.count("\n") == 1
    assert made.stderr == f"{scheme}://{owner}@127.0.0.1:{server.port}/{name}: a new ledger, terms " + (
        "easymeeting-2020-09-23 posted\n"
    )


def test_what_is_no_ledger_is_said_in_three_lines(server: Server, database: str) -> None:
    name = name_of(database)
    missing = do(database, "log", code=1).stderr.splitlines()
    server.run("CREATE TABLE invoices (id int)", name)
    foreign = do(database, *REPORT, code=1).stderr.splitlines()
    do(database, "init")
    server.run("COMMENT ON TABLE sla_ledger.ledger_events IS 'sla-ledger format 3'", name)
    later = do(database, "log", code=1).stderr.splitlines()
    server.run("COMMENT ON TABLE sla_ledger.ledger_events IS NULL", name)
    unmarked = do(database, "log", code=1).stderr.splitlines()

    assert missing == [database, "there is no ledger here", f"create one: sla-ledger --db '{database}' init"]
    assert foreign[:2] == unmarked[:2] == [database, "this database is not a ledger"]
    assert later[1:] == ["this ledger has format 3, not 2", "use a newer release"]


def test_a_second_ledger_in_a_database_is_refused_and_nothing_half_made_remains(database: str) -> None:
    twice = read(str(STREAMS / "friday-afternoon.jsonl"))[:1] * 2
    with pytest.raises(LedgerError):
        create(database, twice)
    with pytest.raises(NoLedger):
        Ledger(database)

    do(database, "init")
    again = do(database, "init", code=1).stderr.splitlines()

    assert again[1] == "there is something here already"
    assert do(database, "export").stdout.count("\n") == 1


BAD = {
    "no server": ("postgresql://u:PASS@127.0.0.1:1/ledger", "Connection refused", "check that the server runs there"),
    "wrong password": ("postgresql://postgres:PASS@127.0.0.1:PORT/postgres", "password authentication failed", "user"),
    "no database": ("postgresql://LOGIN:PASS@127.0.0.1:PORT/none", '"none" does not exist', "createdb"),
    "two ats": ("postgresql://u:PASS@word@host/ledger", "no address of a database", "%40"),
    "a slash": ("postgresql://u:PASS/word@host/ledger", "no address of a database", "%40"),
    "no host": ("postgresql://u:PASS/ledger", "no address of a database", "%40"),
    "unknown parameter": ("postgresql://u@host/ledger?pasword=PASS", "a parameter in it is unknown", "write it like"),
    "in the query": ("postgresql://127.0.0.1:1/ledger?user=u&password=PASS", "Connection refused", "check"),
    "hidden in the query": ("postgresql://127.0.0.1:1/ledger?user=u&passwor%64=PASS", "Connection refused", "check"),
    "an old spelling": ("postgres://u:PASS@127.0.0.1:1/ledger", "Connection refused", "check"),
}


@pytest.mark.parametrize("address, what, todo", BAD.values(), ids=BAD)
def test_what_cannot_be_reached_is_said_without_the_password(
    server: Server, address: str, what: str, todo: str
) -> None:
    login = server.new_login() if "LOGIN" in address else ""
    secret = ESCAPED if login else "seCret"
    given = address.replace("PASS", secret).replace("PORT", str(server.port)).replace("LOGIN", login)

    for command in (["log"], ["init"], REPORT):
        lines = do(given, *command, code=1).stderr.splitlines()
        assert lines[0] == shown(given)
        assert what in lines[1]
        assert todo in lines[2]
        assert not any(part in line for line in lines for part in ("seCret", ESCAPED, PASSWORD))


@pytest.mark.parametrize(
    "address, printed",
    [
        ("ledger.db", "ledger.db"),
        ("postgresql:///db?host=/run/pg&password=x", "postgresql:///db?host=/run/pg"),
        (
            "postgresql://u:x@h:1,[::1]:2/db?sslmode=require&sslpassword=x",
            "postgresql://u@h:1,[::1]:2/db?sslmode=require",
        ),
        ("postgresql://:x@h/db", "postgresql://h/db"),
        ("postgresql://u:x@", "postgresql://u@"),
        ("postgresql://u:x@h:y/db", "postgresql://..."),
        ("postgresql://u:x@y@h/db", "postgresql://..."),
        ("postgresql://h/db?password=x@y", "postgresql://..."),
        ("postgres://u:x?y@h/db", "postgres://..."),
    ],
)
def test_an_address_is_printed_without_its_password(address: str, printed: str) -> None:
    assert shown(address) == printed


TAMPERING = {
    "update": ("UPDATE sla_ledger.ledger_events SET state = ''", "entries are never changed"),
    "update of nothing": ("UPDATE sla_ledger.ledger_events SET state = '' WHERE false", "entries are never changed"),
    "delete": ("DELETE FROM sla_ledger.ledger_events", "entries are never deleted"),
    "truncate": ("TRUNCATE sla_ledger.ledger_events", "entries are never deleted"),
    "as a replica": ("SET session_replication_role = replica; DELETE FROM sla_ledger.ledger_events", "never deleted"),
    "upsert": ("INSERT INTO sla_ledger.ledger_events TABLE sla_ledger.ledger_events ON CONFLICT (notification_id)"
               " DO UPDATE SET state = ''", "entries are never changed"),
    "merge": ("MERGE INTO sla_ledger.ledger_events t USING sla_ledger.ledger_events s"
              " ON t.notification_id = s.notification_id WHEN MATCHED THEN DELETE", "entries are never deleted"),
    "a gap": ("INSERT INTO sla_ledger.ledger_events VALUES (3, 'a:b', 1, 'X', '', NULL, sha256(''))",
              "positions have no gap"),
    "position 0": ("INSERT INTO sla_ledger.ledger_events VALUES (0, 'a:b', 1, 'X', '', NULL, sha256(''))",
              "positions have no gap"),
    "a position twice": ("INSERT INTO sla_ledger.ledger_events VALUES (1, 'a:b', 1, 'X', '', NULL, sha256(''))",
              "duplicate key"),
    "no leaf": ("INSERT INTO sla_ledger.ledger_events VALUES (2, 'a:b', 1, 'X', '')", "not-null"),
    "a leaf that is none": ("INSERT INTO sla_ledger.ledger_events VALUES (2, 'a:b', 1, 'X', '', NULL, '')", "check"),
    "no stream": ("INSERT INTO sla_ledger.ledger_events VALUES (2, NULL, 1, 'X', '', NULL, sha256(''))", "not-null"),
}  # fmt: skip


@pytest.mark.parametrize("statement, message", TAMPERING.values(), ids=TAMPERING)
def test_no_statement_changes_what_is_written(emptied: str, statement: str, message: str) -> None:
    """Not even the owner's, or the superuser's."""
    do(emptied, "init")
    before = do(emptied, "export").stdout

    with psycopg.connect(emptied) as connection, pytest.raises(psycopg.Error, match=message):
        connection.execute(statement)

    assert do(emptied, "export").stdout == before


def test_the_columns_compare_bytes(emptied: str) -> None:
    do(emptied, "init")

    with psycopg.connect(emptied) as connection:
        found = connection.execute(
            "SELECT attname, collname FROM pg_attribute a JOIN pg_collation c ON c.oid = attcollation"
            " WHERE attrelid = 'sla_ledger.ledger_events'::regclass"
        ).fetchall()

    assert dict(found) == {"originator_id": "C", "topic": "C", "command_id": "C"}


def test_a_writer_appends_and_an_auditor_only_reads(server: Server, tmp_path: Path) -> None:
    name = server.new_database()
    do(server.address(name), "init")
    writer, auditor = server.new_login("sla_ledger_writer"), server.new_login("sla_ledger_auditor")
    stranger = server.new_login()
    facts, one = tmp_path / "facts.jsonl", tmp_path / "one.jsonl"
    one.write_text(FACT)
    facts.write_text(do(STREAMS / "friday-afternoon.jsonl", "export").stdout)

    do(server.tcp(name, writer), *REPORT[:2], "incident:INC-9", *REPORT[3:])
    do(server.tcp(name, writer), "import", str(facts), now=LATER)
    refused = [
        do(server.tcp(name, auditor), *command, code=1, now=LATER).stderr.splitlines()
        for command in ([*REPORT[:2], "incident:INC-8", *REPORT[3:]], ["import", str(one)])
    ]
    read_by_both = [do(server.tcp(name, login), "export").stdout for login in (writer, auditor)]
    strange = do(server.tcp(name, stranger), "log", code=1).stderr.splitlines()

    assert read_by_both[0] == read_by_both[1] == do(server.address(name), "export").stdout
    assert read_by_both[0].count("\n") == 2 + len(facts.read_text().splitlines())
    for lines in refused:
        assert lines[1:] == [
            "this login may only read the ledger",
            f"let its owner grant it: GRANT sla_ledger_writer TO {auditor}",
        ]
    assert strange[1:] == [
        "this login may not read the ledger",
        f"let its owner grant it: GRANT sla_ledger_auditor TO {stranger}",
    ]
    for statement in ("UPDATE sla_ledger.ledger_events SET state = ''", "DROP TABLE sla_ledger.ledger_events"):
        with psycopg.connect(server.tcp(name, writer)) as login, pytest.raises(psycopg.errors.InsufficientPrivilege):
            login.execute(statement)


def test_who_may_not_make_roles_makes_a_ledger_where_they_are(server: Server) -> None:
    do(server.address(server.new_database()), "init")
    owner, other = server.new_login(), server.new_login()
    name = server.new_database(owner)
    for role in ("writer", "auditor"):
        server.run(f"ALTER ROLE sla_ledger_{role} RENAME TO absent_{role}")
    try:
        without_roles = do(server.address(name, owner), "init", code=1).stderr.splitlines()
        nothing_made = do(server.address(name, owner), "log", code=1).stderr.splitlines()
    finally:
        for role in ("writer", "auditor"):
            server.run(f"ALTER ROLE absent_{role} RENAME TO sla_ledger_{role}")

    not_the_owner = do(server.address(name, other), "init", code=1).stderr.splitlines()
    do(server.address(name, owner), "init")

    assert without_roles[1] == "this login may not make a ledger here: permission denied to create role"
    assert nothing_made[1] == "there is no ledger here"
    assert not_the_owner[1] == f"this login may not make a ledger here: permission denied for database {name}"


def test_without_the_driver_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['psycopg'] = None; import cli; cli.app()"
    arguments = ["--db", "postgresql://u:seCret@host/ledger", "log"]

    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)

    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (1, "", 3)
    assert lines[0] == "postgresql://u@host/ledger"
    assert lines[1].startswith("PostgreSQL's driver is not installed (")
    assert lines[2] == "install it: pip install 'sla-ledger[postgres]'"


def test_a_file_is_read_without_loading_the_driver(tmp_path: Path) -> None:
    do(tmp_path / "ledger.db", "init")
    program = "import sys, atexit, cli; atexit.register(lambda: print('psycopg' in sys.modules)); cli.app()"

    done = subprocess.run(
        [sys.executable, "-c", program, "--db", str(tmp_path / "ledger.db"), "queue"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.endswith("False\n")
