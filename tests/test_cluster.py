"""Work over a Dask cluster: the same bytes, whichever worker dies; three lines when there is no cluster to be had."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli import app
from ledger.errors import LedgerError
from projections.shell import cluster, settlements
from tests.benchmarks import settling
from tests.dask_cluster import Cluster, distributed, started, stop

NOW = "2026-02-01T09:00:00Z"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of 450 customers."""
    path = tmp_path_factory.mktemp("settling") / "ledger.db"
    settling.make(path, 450, 450, 60, 20)
    return path


def settle(db: Path | str, *options: str) -> Result:
    """The outcome of the command, with the clock running."""
    return CliRunner().invoke(app, ["--db", str(db), "--as-of", NOW, "settle", "--year", "2025", *options])


def when_half_done(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> list[int]:
    """Let something happen when some parts are ready and others not; return how many were."""
    seen: list[int] = []

    def spread(address: str, work: Any, parts: Any, done: Any) -> Any:
        def interrupting(count: int) -> None:
            if not seen and 0 < count < len(parts):
                seen.append(count)
                happens()
            done(count)

        return cluster.spread(address, work, parts, interrupting)

    monkeypatch.setattr(settlements, "spread", spread)
    monkeypatch.setattr(settlements, "PART", 3)
    return seen


def test_workers_settle_to_the_same_bytes_though_one_is_killed_half_way(
    two: Cluster, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = settle(many, "--json").stdout
    undisturbed = settle(many, "--json", "--scheduler", two.address)
    seen = when_half_done(monkeypatch, lambda: os.kill(two.workers[0].pid, signal.SIGKILL))

    killed = settle(many, "--json", "--scheduler", two.address)
    totals = settle(many, "--json", "--totals", "--scheduler", two.address)

    assert two.workers[0].wait(10) == -signal.SIGKILL
    assert seen
    assert (undisturbed.exit_code, killed.exit_code, totals.exit_code) == (0, 0, 0), killed.stderr
    assert (undisturbed.stderr, killed.stderr) == ("", "")
    assert alone == undisturbed.stdout == killed.stdout
    assert totals.stdout == settle(many, "--json", "--totals").stdout


def test_what_a_worker_refuses_is_said_in_three_lines(two: Cluster, many: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(many.read_bytes())

    def work(_: int) -> str:
        raise LedgerError("there", "it is refused", "do something else")

    with pytest.raises(LedgerError, match="it is refused"):
        cluster.spread(two.address, work, [1, 2])
    with pytest.raises(ZeroDivisionError):
        cluster.spread(two.address, lambda n: 1 // n, [1, 0])
    assert cluster.spread(two.address, lambda n: n * n, [3, 1, 2]) == [9, 1, 4]


def test_a_scheduler_that_goes_away_gives_three_lines(
    two: Cluster, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    when_half_done(monkeypatch, lambda: os.kill(two.scheduler.pid, signal.SIGKILL))

    gone = settle(many, "--scheduler", two.address)

    assert gone.exit_code == 1
    where = f"--scheduler {two.address}"
    assert gone.stderr.splitlines() == [where, "the scheduler went away", "start it again, then try again"]


def test_a_scheduler_without_workers_gives_three_lines(
    tmp_path: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "LOST_SECONDS", 2)
    none = started(tmp_path, 0)
    try:
        refused = settle(many, "--scheduler", none.address)
    finally:
        stop(none)

    where = f"--scheduler {none.address}"
    assert refused.stderr.splitlines()[:2] == [where, "it has had no worker for 2 s"]
    assert len(refused.stderr.splitlines()) == 3


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "http://127.0.0.1:1"])
def test_a_scheduler_out_of_reach_gives_three_lines_within_ten_seconds(many: Path, address: str) -> None:
    distributed()
    begun = time.monotonic()

    refused = settle(many, "--scheduler", address)

    assert time.monotonic() - begun < 10
    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[0] == f"--scheduler {address}"
    assert len(refused.stderr.splitlines()) == 3


def test_without_the_extra_three_lines_name_it(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)

    refused = settle(many, "--scheduler", "tcp://127.0.0.1:8786")

    assert refused.exit_code == 1
    assert refused.stderr.splitlines() == [
        "--scheduler",
        "Dask is not installed",
        "pip install 'sla-ledger[dask]'",
    ]


def test_what_workers_cannot_share_is_refused(many: Path) -> None:
    assert settle(many, "--scheduler", "tcp://127.0.0.1:8786", "--jobs", "2").exit_code == 2
    assert "standard input" in settle("-", "--scheduler", "tcp://127.0.0.1:8786").stderr
