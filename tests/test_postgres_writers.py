"""Many write to a ledger in PostgreSQL at once, connections are lost, settings differ: each fact is there once."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Any, cast

import psycopg
import pytest

from ledger import events as e
from ledger.book import Ledger, create, judged
from ledger.entry import Entry, Fact, to_line
from ledger.errors import Conflict, LedgerError, StorageFailed
from ledger.store import postgres
from ledger.store.address import reader_at, shown
from ledger.streams.acceptance import Streams
from tests.postgres_server import Server, name_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PROCESSES, WRITES = 6, 50
GATES: list[Any] = []


def reported(stream: str = "incident:INC-1", command_id: str | None = None) -> Fact:
    event = e.IncidentReported(customer="acme", service="licence", channel="phone")
    return Fact(stream, NOON, event, "desk.oslo", command_id)


def response(stream: str = "incident:INC-1", command_id: str | None = None, minutes: int = 5) -> Fact:
    return Fact(stream, NOON + timedelta(minutes=minutes), e.ResponseGiven(responder="human"), None, command_id)


@pytest.fixture
def address(emptied: str) -> str:
    """A new ledger with one incident in it."""
    create(emptied, facts=[reported()])
    return emptied


@pytest.fixture
def book(address: str) -> Iterator[Ledger]:
    with contextlib.closing(Ledger(address)) as ledger:
        yield ledger


def all_of(address: str) -> list[Entry]:
    """Every entry, read anew."""
    with contextlib.closing(Ledger(address, "ro")) as ledger:
        return list(ledger.entries())


def wait_until(address: str, state: str) -> None:
    """Wait until a connection of the program is in a state."""
    asked = f"SELECT FROM pg_stat_activity WHERE application_name = 'sla-ledger' AND {state}"  # noqa: S608
    with psycopg.connect(address, autocommit=True) as connection:
        for _ in range(2000):
            if connection.execute(asked).fetchone() is not None:
                return
            time.sleep(0.01)
    raise TimeoutError(state)


def meet(gate: Any) -> None:
    """Give a new process the gate at which all writers wait for each other."""
    GATES.append(gate)


def write(address: str, number: int) -> list[int]:
    """Record facts beside other processes, half of them to a stream that all share; the positions of their entries."""
    positions: list[int] = []
    with contextlib.closing(Ledger(address)) as ledger:
        GATES[0].wait(60)
        while len(positions) < WRITES:
            shared = len(positions) % 2
            stream = "incident:INC-1" if shared else f"incident:INC-{number}-{len(positions)}"
            with contextlib.suppress(*[Conflict] * shared):  # nobody is in the way of who has a stream alone
                positions += [entry.position for entry in ledger.record((response if shared else reported)(stream))]
    return positions


def test_writers_lose_nothing_and_a_reader_who_follows_them_misses_nothing(address: str) -> None:
    """No entry comes twice, out of order or behind a reader's back."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    seen: list[Any] = []
    with (
        ProcessPoolExecutor(PROCESSES, context, meet, (context.Barrier(PROCESSES),)) as pool,
        contextlib.closing(reader_at(address)) as reader,
    ):
        working = [pool.submit(write, address, number) for number in range(PROCESSES)]
        polls = 0
        while not all(done.done() for done in working):
            new = list(reader.rows(2**62, after=len(seen)))
            polls += bool(new)
            seen += new
        seen += reader.rows(2**62, after=len(seen))
        positions = [position for done in working for position in done.result()]
        stored = list(reader.rows(2**62))

    assert seen == stored
    assert [row[0] for row in stored] == list(range(1, PROCESSES * WRITES + 2))
    assert sorted(positions) == list(range(2, PROCESSES * WRITES + 2))
    assert [row[2] for row in stored if row[1] == "incident:INC-1"] == list(range(1, PROCESSES * WRITES // 2 + 2))
    assert polls > 10


def test_of_those_who_make_one_ledger_at_once_one_wins(server: Server) -> None:
    name = server.new_database()

    def make(stream: str) -> str:
        try:
            create(server.address(name), facts=[reported(stream)])
        except LedgerError as error:
            return error.what
        return stream

    streams = [f"incident:INC-{number}" for number in range(6)]
    with ThreadPoolExecutor(len(streams)) as pool:
        said = list(pool.map(make, streams))

    assert said.count("there is something here already") == len(streams) - 1
    assert [x.stream for x in all_of(server.address(name))] == [s for s in said if s.startswith("incident:")]


def test_roles_that_another_ledger_is_just_getting_are_made_once(server: Server, database: str) -> None:
    roles = ("writer", "auditor")
    for role in roles:
        server.run(
            f"DO $$BEGIN ALTER ROLE sla_ledger_{role} RENAME TO former_{role};"
            " EXCEPTION WHEN undefined_object THEN NULL; END$$"
        )
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(server.address("postgres")) as other,
    ):
        for role in roles:
            other.execute(f"CREATE ROLE sla_ledger_{role}")
        made = pool.submit(create, database, facts=[reported()])
        wait_until(database, "wait_event_type = 'Lock'")
        other.commit()
        made.result(20)

    assert len(all_of(database)) == 1


def test_who_comes_second_to_a_stream_gets_a_conflict_and_leaves_no_gap(address: str, book: Ledger) -> None:
    with contextlib.closing(Ledger(address)) as other:
        mine = book.judge([reported("incident:INC-2"), response(minutes=6)])
        other.record(response(minutes=7))

        with pytest.raises(Conflict):
            book.commit(mine)
        book.record(reported("incident:INC-2"), response(minutes=6))

    assert [(x.position, x.stream, x.version) for x in all_of(address)] == [
        (1, "incident:INC-1", 1),
        (2, "incident:INC-1", 2),
        (3, "incident:INC-2", 1),
        (4, "incident:INC-1", 3),
    ]


def test_a_command_id_is_there_once_whoever_says_it(address: str, book: Ledger) -> None:
    with contextlib.closing(Ledger(address)) as other:
        mine = book.judge([response(command_id="row/1")])
        theirs = other.record(response(command_id="row/1"))
        elsewhere = book.record(reported("incident:INC-2", command_id="row/1"))

        outcome = book.commit(mine)

    assert (outcome.added, [position for _, position in outcome.already]) == ([], [2])
    assert theirs == elsewhere == all_of(address)[1:]


def test_facts_are_judged_by_one_read(address: str, book: Ledger) -> None:
    """Of the ledger's end, of what is there by command id, and of the streams of what is not."""
    book.record(response(command_id="row/1"), reported("incident:INC-2", "row/2"), reported("incident:INC-3"))

    facts = [response(command_id="row/9"), reported("incident:INC-2", "row/2"), reported("incident:INC-9")]
    last, positions, rows = cast(postgres.EntryRecorder, book.recorder).before(facts)

    assert (last, positions) == (4, {"row/2": 3})
    assert rows == [row for row in book.store.rows(last) if row[1] == "incident:INC-1"]


def test_facts_are_judged_by_the_ledger_of_one_instant(
    address: str, book: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LAST", f"{postgres.LAST}, pg_sleep(0.5)")
    reader = cast(postgres.EntryRecorder, book.recorder)
    with ThreadPoolExecutor(1) as pool, contextlib.closing(Ledger(address)) as other:
        judging = pool.submit(reader.before, [response()])
        wait_until(address, "query LIKE '%pg_sleep%' AND state = 'active'")
        other.commit(judged([response()], Streams(other.stream), 1, {}, NOON + timedelta(hours=1)))
        last, _, rows = judging.result(20)

    assert (last, [row[2] for row in rows]) == (1, [1])
    assert len(all_of(address)) == 2


def test_a_large_batch_is_one_transaction(address: str, book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "BATCH", 50)
    many = [reported(f"incident:BIG-{number}") for number in range(120)]
    stale = book.judge([*many, response()])
    book.record(response())

    with pytest.raises(Conflict):
        book.commit(stale)
    after = book.last_position()
    book.record(*many)

    assert after == 2
    assert [x.position for x in all_of(address)] == list(range(1, 123))


class Line:
    """A line on loopback to a server, which is cut at the next commit.

    `never`: the commit does not get through. `late`: it does, after the line seems dead. `answer`: its answer does not.
    """

    def __init__(self, port: int, cut: str) -> None:
        self._target, self.cut = ("127.0.0.1", port), cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=(source, sink, client), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if b"COMMIT\0" in data and self.cut and (source is client) == (self.cut != "answer"):
                    cut, self.cut = self.cut, ""
                    client.shutdown(socket.SHUT_RDWR)
                    if cut == "late":
                        time.sleep(0.5)
                        sink.sendall(data)
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("command_id", ["row/1", None])
@pytest.mark.parametrize("cut, stored", [("answer", True), ("late", True), ("never", False)])
def test_what_became_of_a_lost_commit_is_looked_up(
    server: Server, address: str, cut: str, stored: bool, command_id: str | None
) -> None:
    """A fact with a command id is known to be there or not; one without can be another writer's."""
    through = server.tcp(name_of(address), server.new_login("sla_ledger_writer"))
    line = Line(server.port, cut)
    with contextlib.closing(Ledger(through.replace(f":{server.port}/", f":{line.port}/"))) as book:
        try:
            told, failure = book.record(response(command_id=command_id)), []
        except StorageFailed as failed:
            told, failure = [], str(failed).splitlines()
        after = list(book.entries())

    assert line.cut == ""
    assert after == all_of(address)
    assert len(after) == 1 + stored
    if stored and command_id:
        assert (told, failure) == (after[1:], [])
    else:
        todo = "look whether it was added, then try again" if stored else "nothing was added; try again"
        assert (told, len(failure), failure[2]) == ([], 3, todo)


def test_a_lost_connection_is_said_in_three_lines_and_the_next_one_works(server: Server, address: str) -> None:
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sla-ledger'"
    with contextlib.closing(Ledger(address)) as book:
        reading = [book.entries() for _ in range(3)]
        assert [next(entries).position for entries in reading] == [1, 1, 1]
        for entries in reading:
            assert list(entries) == []  # three connections wait to be used again
        server.run(end)
        with pytest.raises(StorageFailed) as failed:
            book.stream("incident:INC-1")
        again = book.stream("incident:INC-1")

    assert str(failed.value).splitlines() == [
        shown(address),
        "the store failed: terminating connection due to administrator command",
        "check the disk and the file, or the server, then try again",
    ]
    assert len(again) == 1


def test_a_full_disk_adds_nothing_and_is_said_in_three_lines(server: Server, database: str) -> None:
    create(database, facts=[reported()])
    name = name_of(database)
    server.run(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION"
        " 'could not extend file \"base/1/2\": No space left on device'"
        " USING ERRCODE = 'disk_full', HINT = 'Check free disk space.'; END$$;"
        " CREATE TRIGGER full_disk AFTER INSERT ON sla_ledger.ledger_events EXECUTE FUNCTION full_disk()",
        name,
    )

    with contextlib.closing(Ledger(database)) as book, pytest.raises(StorageFailed) as failed:
        book.record(response())

    assert str(failed.value).splitlines()[1:] == [
        'could not be written: could not extend file "base/1/2": No space left on device',
        "nothing was added; try again",
    ]
    assert len(all_of(database)) == 1


@pytest.mark.parametrize("set_to, used", [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")])
def test_a_commit_is_as_safe_as_on_and_a_turn_sees_what_came_before_it(
    server: Server, database: str, set_to: str, used: str
) -> None:
    """Whatever a database or a login sets for itself."""
    create(database, facts=[reported()])
    name = name_of(database)
    server.run(f"ALTER DATABASE {name} SET synchronous_commit = {set_to}")
    server.run(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    server.run(
        "CREATE TABLE seen (isolation text, durable text);"
        " CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.seen VALUES"
        " (current_setting('transaction_isolation'), current_setting('synchronous_commit')); RETURN NULL; END$$;"
        " CREATE TRIGGER see AFTER INSERT ON sla_ledger.ledger_events EXECUTE FUNCTION see()",
        name,
    )

    with contextlib.closing(Ledger(database)) as book:
        book.record(response())

    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT * FROM seen").fetchall() == [("read committed", used)]


def test_the_environment_cannot_change_how_it_writes(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ENABLE_DB_FUNCTIONS", "yes"), ("SCHEMA", "public"), ("DBNAME", "elsewhere")):
        monkeypatch.setenv(f"POSTGRES_{name}", value)
        monkeypatch.setenv(f"LEDGER_POSTGRES_{name}", value)

    with contextlib.closing(Ledger(address)) as book:
        added = book.record(response())
        datastore = cast(postgres.EntryRecorder, book.recorder).datastore

    assert (datastore.enable_db_functions, datastore.schema) == (False, "sla_ledger")
    assert all_of(address)[1:] == added


def test_a_ledger_opened_to_read_records_nothing(address: str) -> None:
    with contextlib.closing(Ledger(address, "ro")) as book, pytest.raises(StorageFailed, match="read-only"):
        book.record(response())

    assert len(all_of(address)) == 1


def test_rows_come_from_a_cursor_of_the_server(address: str, book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "BATCH", 50)
    book.record(*(reported(f"incident:BIG-{number}") for number in range(120)))

    rows = book.store.rows(2**62)
    first = next(rows)
    with psycopg.connect(address) as connection:
        query = "SELECT query FROM pg_stat_activity WHERE application_name = 'sla-ledger' AND state LIKE 'idle in%'"
        found = connection.execute(query).fetchall()

    assert [row[0] for row in (first, *rows)] == list(range(1, 122))
    assert [text.partition("FROM")[0].strip() for (text,) in found] == ["FETCH FORWARD 50"]


def test_the_library_reads_and_follows_it(address: str, book: Ledger) -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        contextlib.closing(Ledger(address)) as other,
        book.recorder.subscribe(gt=1) as following,
    ):
        followed = []
        wait_until(address, "query LIKE 'LISTEN%' AND state = 'idle'")  # before that the library misses what is new
        for fact in (reported("incident:INC-2"), response()):
            other.record(fact)
            followed.append(pool.submit(next, following).result(10).id)

    notifications = book.notification_log.select(1, 10)
    assert followed == [2, 3]
    assert [book.mapper.to_domain_event(x) for x in notifications] == all_of(address)
    assert [to_line(x) for x in book.stream("incident:INC-1")] == [
        to_line(x) for x in all_of(address) if x.position != 2
    ]
