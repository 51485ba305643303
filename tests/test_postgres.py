"""A ledger in PostgreSQL is the same ledger: the same entries, the same bytes, the same refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.postgres_server import Server
from tests.support import do

STREAMS = Path(__file__).resolve().parents[1] / "fixtures" / "streams"
STORIES = sorted(STREAMS.glob("*.jsonl"))
REPORTED = ("record", "IncidentReported", "incident:INC-1", "--customer", "acme", "--service", "licence")


def test_a_ledger_is_made_written_and_read(database: str) -> None:
    do(database, "init")

    do(database, *REPORTED, "--channel", "phone")
    again = do(database, *REPORTED, "--channel", "phone", code=1)

    assert "opened_twice" in again.stderr
    assert do(database, "export").stdout.count("\n") == 2


@pytest.mark.parametrize("form", ["socket", "loopback"])
def test_both_forms_of_an_address_reach_it(server: Server, form: str) -> None:
    owner = server.new_login(options="CREATEROLE")
    name = server.new_database(owner)
    address = server.address(name, owner) if form == "socket" else server.tcp(name, owner)

    do(address, "init")

    assert do(server.address(name), "export").stdout.count("\n") == 1


def test_an_export_makes_an_exact_copy_in_the_other_store_and_back(database: str, tmp_path: Path) -> None:
    story, first, second = STREAMS / "a-year-of-acme.jsonl", tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    do(tmp_path / "file.db", "import", "--verbatim", str(story))
    first.write_text(do(tmp_path / "file.db", "export").stdout)

    do(database, "import", "--verbatim", str(first))
    second.write_text(do(database, "export").stdout)
    do(tmp_path / "back.db", "import", "--verbatim", str(second))

    assert first.read_text() == second.read_text() == do(tmp_path / "back.db", "export").stdout
