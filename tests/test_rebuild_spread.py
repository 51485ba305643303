"""Views built by a Dask cluster: every table as one process builds it, and nothing replaced when that fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import freezegun
import pytest
from typer.testing import CliRunner, Result

from cli import app
from ledger.book import create
from ledger.errors import LedgerError
from ledger.store.address import reader_at
from ledger.store.mapper import from_state
from ledger.store.stream_file import read
from projections.shell import cluster, upkeep
from projections.views import building, opening, spreading
from tests.benchmarks import history, settling
from tests.dask_cluster import Cluster, distributed, started, stop
from tests.postgres_server import ESCAPED, PASSWORD, Server, name_of

STORY = Path(__file__).resolve().parents[1] / "fixtures" / "streams" / "a-year-of-acme.jsonl"
AWAY = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "SLA_LEDGER_DB": "nowhere", "PGPASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers in another zone and another environment."""
    found = started(tmp_path_factory.mktemp("away"), 2, **AWAY)
    yield found
    stop(found)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of 20,000 entries, and its views as one process builds them."""
    path = tmp_path_factory.mktemp("rebuilding") / "ledger.db"
    history.make(path, 20_000)
    done(run(path, "rebuild", "--jobs", "1"))
    return path


@pytest.fixture
def ledger(made: Path, tmp_path: Path) -> Path:
    """A ledger of 20,000 entries without views."""
    path = tmp_path / "ledger.db"
    path.write_bytes(made.read_bytes())
    return path


def run(db: Path | str, *arguments: str) -> Result:
    """The outcome of a command, with the clock running."""
    return CliRunner().invoke(app, ["--db", str(db), *arguments])


def done(result: Result) -> str:
    """What a command that does its work prints."""
    assert result.exit_code == 0, (result.stderr, result.exception)
    return result.stdout


def refused(result: Result) -> list[str]:
    """The three lines of a command that fails."""
    lines = result.stderr.splitlines()
    assert (result.exit_code, len(lines)) == (1, 3), (lines, result.exception)
    return lines


def views_of(db: Path) -> Path:
    return db.with_name(f"{db.name}.views")


def as_before(ledger: Path) -> bytes:
    """Leave views at their place, and return what is in them."""
    done(run(ledger, "rebuild", "--jobs", "1"))
    return views_of(ledger).read_bytes()


def tables(views: Path) -> dict[str, list[Any]]:
    """Every row of every table of a file."""
    with contextlib.closing(sqlite3.connect(views)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in names}  # noqa: S608
    return found | {"state": [row for row in found["state"] if row[0] != "ledger"]}  # which one of equal ledgers it is


def when_begun(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> list[tuple[int, int]]:
    """Let something happen when the first parts are ready; return how many were, of how many."""
    seen: list[tuple[int, int]] = []
    spread = cluster.spread

    def interrupted(address: str, work: Any, parts: Any, done: Any) -> Any:
        def interrupting(count: int) -> None:
            if not seen and count:
                seen.append((count, len(parts)))
                happens()
            done(count)

        return spread(address, work, parts, interrupting)

    monkeypatch.setattr(cluster, "spread", interrupted)
    return seen


@pytest.mark.parametrize("window", [building.WINDOW, 700])
def test_processes_here_build_every_table_as_one_does(
    made: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(building, "FEW", 1000)
    monkeypatch.setattr(building, "WINDOW", window)

    done(run(ledger, "rebuild", "--jobs", "3"))

    assert tables(views_of(ledger)) == tables(views_of(made))
    assert sorted(p.name for p in ledger.parent.iterdir()) == ["ledger.db", "ledger.db.views", "ledger.db.views.lock"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_build_tells_how_far_it_is(ledger: Path, monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    monkeypatch.setattr(building, "FEW", 1000)
    monkeypatch.setattr(building, "WINDOW", 2_000)
    monkeypatch.setattr(building, "TICK", 0.001)
    told: list[tuple[int, int]] = []

    with contextlib.closing(reader_at(str(ledger))) as reader:
        opening.rebuild(
            views_of(ledger), reader, lambda done, of: told.append((done, of)), address=str(ledger), jobs=jobs
        )

    assert {of for _, of in told} == {30_000}  # entries, and half as many for the walks
    assert told == sorted(told)
    assert 19_000 < told[-1][0] - 10_000 <= 20_000
    assert len({done for done, _ in told if done < 19_000}) > 3
    assert len({done for done, _ in told if done > 20_000}) > 3


def test_workers_elsewhere_build_every_table_as_one_process_does(away: Cluster, made: Path, ledger: Path) -> None:
    built = run(ledger, "rebuild", "--scheduler", away.address)

    assert done(built) == ""
    assert built.stderr == f"{views_of(ledger)}: the views are true for entry 20000\n"
    found = tables(views_of(ledger))
    assert found == tables(views_of(made))
    assert len(found["cases"]) == len(found["handling"]) > 1000
    assert "equal to a rebuild" in done(run(ledger, "verify", "--views"))
    assert sorted(p.name for p in ledger.parent.iterdir()) == ["ledger.db", "ledger.db.views", "ledger.db.views.lock"]


def test_they_build_them_though_one_is_killed_half_way(
    two: Cluster, made: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PARTS", 30)
    seen = when_begun(monkeypatch, lambda: os.kill(two.workers[0].pid, signal.SIGKILL))

    done(run(ledger, "rebuild", "--scheduler", two.address))

    assert two.workers[0].wait(10) == -signal.SIGKILL
    [(ready, parts)] = seen
    assert 1 <= ready < parts / 2
    assert tables(views_of(ledger)) == tables(views_of(made))


def test_nothing_of_a_workers_clock_counts(made: Path, tmp_path: Path) -> None:
    """Judged with the clock at other years, each part is the same to the byte."""
    found: list[list[spreading.Judged]] = []

    def judging(work: Any, parts: Any, done: Any) -> list[spreading.Judged]:
        for year in (1990, 2026, 2070):
            with freezegun.freeze_time(f"{year}-06-01"):
                found.append([work(part) for part in parts])
        return found[-1]

    with contextlib.closing(reader_at(str(made))) as reader:
        spread = spreading.spreading(judging, str(made), 7)
        opening.build(tmp_path / "views", reader, 20_000, lambda a, b: None, None, 1, spread)

    assert len(found[0]) == 7
    assert found[0] == found[1] == found[2]
    assert tables(tmp_path / "views") == tables(views_of(made))


@pytest.mark.parametrize("count", [0, 3])
def test_a_short_ledger_in_a_folder_of_its_own_is_built_by_workers_too(
    away: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    create(tmp_path / "ledger.db", list(read(str(STORY)))[:count])
    monkeypatch.chdir(tmp_path)

    done(run("ledger.db", "rebuild", "--scheduler", away.address))

    assert "equal to a rebuild" in done(run("ledger.db", "verify", "--views"))


def test_workers_read_a_database_themselves(
    away: Cluster, server: Server, emptied: str, made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By a login that may only read, whose password is the workers' own."""
    create(emptied, [from_state(*row[:5]) for row in history.entries(20_000)])
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    address = server.tcp(name_of(emptied), server.new_login("sla_ledger_auditor")).replace(f":{ESCAPED}@", "@")

    done(run(address, "--views", str(tmp_path / "views"), "rebuild", "--scheduler", away.address))

    assert tables(tmp_path / "views") == tables(views_of(made))


def test_workers_settle_from_a_database_to_the_same_bytes(
    away: Cluster, emptied: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settling.make(tmp_path / "ledger.db", 450, 450, 60, 20)
    exported = tmp_path / "all.jsonl"
    exported.write_text(done(run(tmp_path / "ledger.db", "export")))
    create(emptied, read(str(exported)))
    asked = ("--as-of", "2026-02-01T09:00:00Z", "--json", "settle", "--year", "2025")

    alone = done(run(tmp_path / "ledger.db", *asked, "--jobs", "1"))
    spread = run(emptied, *asked, "--scheduler", away.address)

    assert json.loads(alone)
    assert done(spread) == alone
    assert spread.stderr == ""


def test_a_worker_that_cannot_read_the_ledger_says_so(
    away: Cluster, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = as_before(ledger)
    count = cluster.workers

    def moved(address: str) -> int:
        ledger.rename(ledger.with_name("moved.db"))
        return count(address)

    monkeypatch.setattr(cluster, "workers", moved)  # when it is open here, and before it is there

    lines = refused(run(ledger, "rebuild", "--scheduler", away.address))

    assert lines[:2] == [str(ledger), "a worker finds no ledger here"]
    assert views_of(ledger).read_bytes() == before


def test_a_worker_that_reads_another_ledger_says_so(
    away: Cluster, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path / "other.db", read(str(STORY)))
    count = cluster.workers

    def moved(address: str) -> int:
        os.replace(tmp_path / "other.db", ledger)
        return count(address)

    monkeypatch.setattr(cluster, "workers", moved)

    lines = refused(run(ledger, "rebuild", "--scheduler", away.address))

    what = "a worker finds another ledger here: entry 20000 is missing or not the same"
    assert lines[:2] == [str(ledger), what]
    assert not views_of(ledger).exists()


def test_damage_that_a_worker_finds_is_told_as_it_is_told_here(away: Cluster, ledger: Path) -> None:
    with contextlib.closing(sqlite3.connect(ledger)) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE stored_events SET state = CAST('{}' AS BLOB) WHERE rowid = 15000")

    here, there = (run(ledger, "rebuild", *o) for o in (("--jobs", "1"), ("--scheduler", away.address)))

    assert (here.exit_code, here.stderr) == (there.exit_code, there.stderr)
    assert there.exit_code == 4
    assert there.stderr.startswith("entry 15000 ")


def test_another_version_of_the_program_is_refused_and_no_password_is_logged(
    away: Cluster, server: Server, emptied: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(emptied, read(str(STORY)))
    address = server.tcp(name_of(emptied), server.new_login("sla_ledger_auditor"))
    monkeypatch.setattr(spreading, "made_by", lambda: "another")

    lines = refused(run(address, "--views", str(tmp_path / "views"), "rebuild", "--scheduler", away.address))

    assert lines[1] == "a worker runs another version of this program"
    source = spreading.Source(address, 1, [], "", b"", [])
    log = repr(source) + away.folder.joinpath("log").read_text()
    assert "another version of this program" in log
    assert ESCAPED not in log
    assert PASSWORD not in log


def test_a_scheduler_without_this_program_is_told(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "projections").mkdir()
    (tmp_path / "projections" / "__init__.py").touch()
    found = started(tmp_path, 1, PYTHONPATH=str(tmp_path), PYTHONSAFEPATH="1")
    try:
        lines = refused(run(ledger, "rebuild", "--scheduler", found.address))
    finally:
        stop(found)

    assert lines[0] == f"--scheduler {found.address}"
    assert lines[1] == "this program is missing there, or is another version"


def test_a_scheduler_out_of_reach_gives_three_lines_and_leaves_the_views(ledger: Path) -> None:
    distributed()
    before = as_before(ledger)
    begun = time.monotonic()

    lines = refused(run(ledger, "rebuild", "--scheduler", "tcp://127.0.0.1:1"))

    assert time.monotonic() - begun < 10
    assert lines[0] == "--scheduler tcp://127.0.0.1:1"
    assert views_of(ledger).read_bytes() == before


def test_a_scheduler_that_goes_away_leaves_the_views(
    two: Cluster, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = as_before(ledger)
    monkeypatch.setattr(upkeep, "PARTS", 30)
    when_begun(monkeypatch, lambda: os.kill(two.scheduler.pid, signal.SIGKILL))

    lines = refused(run(ledger, "rebuild", "--scheduler", two.address))

    assert lines[1] == "the scheduler went away"
    assert views_of(ledger).read_bytes() == before
    assert not list(ledger.parent.glob("*.draft*"))


@pytest.mark.parametrize("slow", [0, 2, 100])
def test_a_scheduler_that_is_slow_to_answer_is_given_time(monkeypatch: pytest.MonkeyPatch, slow: int) -> None:
    part, asked = SimpleNamespace(status="pending"), count(1)
    part.done = lambda: part.status == "finished"

    async def identity() -> dict[str, Any]:
        await asyncio.sleep(1 if next(asked) <= slow else 0)
        part.status = "finished"
        return {"workers": ["one"]}

    async def wait(*_: Any, **__: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.01)
    monkeypatch.setattr(distributed(), "wait", wait)
    client = SimpleNamespace(scheduler=SimpleNamespace(identity=identity))

    def ready() -> None:
        asyncio.run(cluster._ready(client, "tcp://there", [part], lambda done: None))

    if slow < cluster.LOST_SECONDS:
        ready()
    else:
        with pytest.raises(LedgerError, match="it has not answered for 30 s"):
            ready()


def test_without_the_extra_three_lines_name_it(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)

    lines = refused(run(ledger, "rebuild", "--scheduler", "tcp://127.0.0.1:8786"))

    assert lines == ["--scheduler", "Dask is not installed", "pip install 'sla-ledger[dask]'"]


@pytest.mark.parametrize("jobs", ["0", "1", "2"])
def test_jobs_and_a_scheduler_are_a_usage_error(ledger: Path, jobs: str) -> None:
    assert run(ledger, "rebuild", "--jobs", jobs, "--scheduler", "tcp://127.0.0.1:8786").exit_code == 2


def test_help_says_whom_to_trust() -> None:
    for command in ("rebuild", "settle"):
        said = " ".join(done(CliRunner().invoke(app, [command, "--help"])).split())

        assert "only one to trust: they are told the ledger's whole address" in said
        assert "PGPASSWORD or ~/.pgpass" in said
