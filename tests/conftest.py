"""All modules are imported before any test freezes the clock; hypothesis has a short and a long profile."""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path

import freezegun
import hypothesis
import pytest

import ledger
import projections
from tests.dask_cluster import two
from tests.postgres_server import _shared, cache, database, emptied, server

__all__ = ["_shared", "cache", "database", "emptied", "server", "two"]  # fixtures

for package in (ledger, projections):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

freezegun.configure(extend_ignore_list=["eventsourcing.persistence", "psycopg"])  # which wait by the clock

hypothesis.settings.register_profile(
    "short",
    max_examples=40,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
hypothesis.settings.register_profile("long", parent=hypothesis.settings.get_profile("short"), max_examples=600)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew", action="store_true", help="write expected findings and messages anew")


@pytest.fixture
def no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at no key of whoever runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SLA_LEDGER_KEY", raising=False)
