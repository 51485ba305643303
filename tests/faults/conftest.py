"""One process that forks all sessions, and a folder that is quick where nothing depends on a real disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.processes import Nursery

IN_MEMORY = "/dev/shm"


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with closing(Nursery(tmp_path_factory.mktemp("sessions"))) as found:
        yield found


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder, kept in memory where the machine has a place for that."""
    place = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="sla-faults-", dir=place) as found:
        yield Path(found)
