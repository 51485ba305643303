"""A Dask cluster of the tests' own: a scheduler and its workers, each a process that a test may kill."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Cluster:
    """A scheduler and its workers, each a process of its own."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]
    folder: Path


def distributed() -> Any:
    """The library, when it is installed; where CI is set it has to be."""
    if "CI" in os.environ:
        import distributed as found
    else:
        found = pytest.importorskip(
            "distributed", reason="distributed is not installed: pip install 'sla-ledger[dask]'"
        )
    return found


def started(folder: Path, workers: int, **environment: str) -> Cluster:
    """A cluster that has all its workers; what they say goes to the file `log` in the folder."""
    library, file = distributed(), folder / "scheduler.json"
    log = (folder / "log").open("wb")

    def run(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", *arguments, "--scheduler-file", str(file)]
        return subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=log, stderr=log)

    with log:
        scheduler = run("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder)]
        found = Cluster("", scheduler, [run("distributed.cli.dask_worker", *options) for _ in range(workers)], folder)
    try:
        for _ in range(600):
            if file.exists() and file.read_text().strip():
                break
            time.sleep(0.1)
        found.address = json.loads(file.read_text())["address"]

        async def complete() -> None:
            async with library.Client(found.address, asynchronous=True) as client:
                await client.wait_for_workers(workers, timeout=60)

        if workers:
            asyncio.run(complete())
    except BaseException:
        stop(found)
        raise
    return found


def stop(found: Cluster) -> None:
    for process in (*found.workers, found.scheduler):
        process.kill()
        process.wait()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Cluster]:
    found = started(tmp_path, 2)
    yield found
    stop(found)
