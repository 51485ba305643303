"""PostgreSQL killed under writers: the whole server at once, and single backends; it comes back, and so do they.

What became of each fact is looked up by its command id: none is lost, none is there twice.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from ledger.book import create
from ledger.store.address import reader_at
from tests import postgres_server
from tests.faults import times
from tests.faults.processes import Nursery
from tests.faults.sound import acknowledged, entries_of, pairs_of
from tests.postgres_server import Server

WRITERS = 3


class Mortal:
    """A server of this test's own that is killed and started again on what it left."""

    def __init__(self, home: Path) -> None:
        found = postgres_server.programs()
        if found is None:
            raise FileNotFoundError("initdb and postgres")
        self.home = home
        self.server, self.process = postgres_server.start(found, home)

    def stop(self, how: signal.Signals) -> None:
        """Stop the server at once: SIGQUIT has it drop everything, SIGKILL gives it no time even for that."""
        self.process.send_signal(how)
        self.process.wait(20)

    def start(self) -> None:
        """Start it again; what a killed one left running ends by itself first."""
        user: dict[str, Any] = (
            {} if os.geteuid() else {"user": "nobody", "group": self.home.stat().st_gid, "extra_groups": []}
        )
        for _ in range(100):
            self.process = subprocess.Popen(self.process.args, cwd=self.home, stderr=subprocess.DEVNULL, **user)
            for _ in range(100):
                if self.process.poll() is not None:
                    break  # backends of the killed one are still there
                with contextlib.suppress(psycopg.OperationalError):
                    self.server.run("SELECT 1")
                    return
                time.sleep(0.05)
            time.sleep(0.1)
        raise TimeoutError("the server did not come back")


@pytest.fixture
def mortal() -> Iterator[Mortal]:
    home = Path(tempfile.mkdtemp(prefix="sla-pg-killed-"))
    running = None
    try:
        running = Mortal(home)
        yield running
    except (OSError, subprocess.SubprocessError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL server: {error}")
    finally:
        if running is not None:
            running.stop(signal.SIGQUIT)
        shutil.rmtree(home, ignore_errors=True)


def backends(server: Server, database: str) -> list[int]:
    """The processes of the server that serve the writers."""
    with psycopg.connect(server.address("postgres"), autocommit=True) as connection:
        asked = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = 'sla-ledger'"
        return [row[0] for row in connection.execute(asked, (database,)).fetchall()]


def test_writers_outlive_their_server_and_lose_and_double_nothing(
    mortal: Mortal, nursery: Nursery, tmp_path: Path
) -> None:
    database, draw, names = mortal.server.new_database(), Random(10), [f"W{n}" for n in range(WRITERS)]
    address = mortal.server.address(database)
    create(address)
    acks = {name: tmp_path / name for name in names}
    writers = [nursery.start("write", address, name, acks[name]) for name in names]
    seen: list[Any] = []
    for kill in range(times(15, 300)):
        time.sleep(draw.uniform(0.2, 0.6))
        match kill % 5:
            case 0:
                mortal.stop(signal.SIGQUIT)
                mortal.start()
            case 1:
                mortal.stop(signal.SIGKILL)
                mortal.start()
            case _:  # the server then ends all others too, and recovers
                with contextlib.suppress(ProcessLookupError, psycopg.OperationalError, IndexError):
                    os.kill(draw.choice(backends(mortal.server, database)), signal.SIGKILL)
        with contextlib.suppress(Exception), closing(reader_at(address)) as reader:  # it may not be back yet
            seen += reader.rows(2**62, after=len(seen))
    time.sleep(1)
    for session in writers:
        session.kill()
        assert session.wait() == -signal.SIGKILL, session.err.read_text()

    done = {name: acknowledged(acks[name], name) for name in names}
    acked = set().union(*done.values())
    there = pairs_of(entries_of(address))
    assert acked - there == set()
    assert there - acked <= {f"{name}/{len(done[name])}" for name in names}
    assert min(len(found) for found in done.values()) > 10
    with closing(reader_at(address)) as reader:
        assert seen == list(reader.rows(len(seen)))  # who follows the ledger was told nothing that did not last
    said = {line for session in writers for line in session.err.read_text().splitlines()}
    assert not [line for line in said if "Traceback" in line], said
