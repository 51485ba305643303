"""A decision names the root of the tree over the entries it was made from, and its audit makes that again too."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import freezegun
import pytest
from typer.testing import CliRunner

from cli import app
from ledger.book import create
from ledger.entry import Entry
from ledger.instants import instant
from ledger.seal import merkle
from ledger.store.reading import EVERYTHING
from ledger.store.stream_file import read
from ledger.store.stream_record import StreamRecord
from tests.support import do
from tests.test_seal import past_all_triggers

STREAMS = Path(__file__).resolve().parents[1] / "fixtures" / "streams"
LATE = STREAMS / "late-evidence-after-the-decision.jsonl"
NOW = "2026-08-01T00:00:00Z"


def asked(ledger: Path | str, *arguments: str, code: int = 0) -> Any:
    with freezegun.freeze_time(NOW):
        result = CliRunner().invoke(app, ["--db", str(ledger), "--json", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return json.loads(result.stdout)


def root_of(entries: Sequence[Entry]) -> str:
    return b64encode(merkle.root(StreamRecord(entries).leaves(EVERYTHING))).decode()


@pytest.mark.parametrize("limits", [(), ("--at-entry", "9"), ("--known-at", "2026-01-20T00:00:00Z")])
def test_a_decision_names_the_root_of_the_entries_it_is_made_from(
    emptied: str, tmp_path: Path, limits: tuple[str, ...]
) -> None:
    entries = read(str(LATE))
    ledgers: list[Path | str] = [LATE, tmp_path / "ledger.db", emptied]
    for address in ledgers[1:]:
        create(address, entries)
    known = [x for x in entries if x.recorded_at <= instant("2026-01-20T00:00:00Z")] if limits else entries
    known = entries[:9] if "--at-entry" in limits else known

    bases = [asked(ledger, *limits, "claim", "assess", "C-1")["basis"] for ledger in ledgers]
    explained = [asked(ledger, *limits, "--as-of", NOW, "explain", "C-1")["finding"]["basis"] for ledger in ledgers]

    assert bases == explained == [{"entries": len(known), "as_of": NOW, "root": root_of(known)}] * 3
    if limits:
        assert len(known) < len(entries)


@pytest.mark.parametrize("place", ["file", "server"])
def test_a_recorded_decision_keeps_its_root_and_its_audit_makes_it_again(
    emptied: str, tmp_path: Path, place: str
) -> None:
    ledger = str(tmp_path / "ledger.db") if place == "file" else emptied
    entries = read(str(LATE))[:8]
    create(ledger, entries)
    decided = asked(ledger, "claim", "decide", "C-1", "--at", "2026-03-01T00:00:00Z")
    asked(ledger, "claim", "dispute", "C-1", "--by", "acme", "--reason", "more evidence")
    revised = asked(ledger, "claim", "revise", "C-1")
    copy = tmp_path / "copy.jsonl"
    copy.write_text(do(ledger, "export").stdout)

    assert decided["basis"]["root"] == root_of(entries)
    assert (revised["basis"]["entries"], revised["basis"]["root"]) == (10, root_of(read(str(copy))[:10]))
    assert asked(ledger, "claim", "show", "C-1")["decision"] == revised
    for where in (ledger, copy):
        assert asked(where, "audit", "C-1")["result"] == "reproduced"


@pytest.mark.parametrize("root", ["A" * 43 + "=", "", 5])
def test_a_decision_that_names_another_root_differs(tmp_path: Path, root: Any) -> None:
    lines = [json.loads(line) for line in LATE.read_text().splitlines()]
    decision = next(x for x in lines if x["type"] == "CreditGranted")["data"]["decision"]
    decision["basis"]["root"] = root
    path = tmp_path / "history.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))

    found = asked(path, "audit", "C-1", code=1)

    recomputed = root_of(read(str(LATE))[: decision["basis"]["entries"]])
    assert found["differences"] == [{"field": "basis.root", "recorded": root, "recomputed": recomputed}]


def test_a_decision_from_before_there_was_a_tree_is_still_reproduced(tmp_path: Path) -> None:
    create(tmp_path / "ledger.db", read(str(LATE)))

    for ledger in (LATE, tmp_path / "ledger.db"):
        assert asked(ledger, "claim", "show", "C-1")["decision"]["basis"]["root"] is None
        assert asked(ledger, "audit", "C-1")["result"] == "reproduced"


def test_a_file_whose_positions_have_gaps_has_no_root_and_a_ledger_with_one_is_broken(
    emptied: str, tmp_path: Path
) -> None:
    path = tmp_path / "gaps.jsonl"
    lines = [json.loads(line) | {"sequence": None} for line in LATE.read_text().splitlines()]
    path.write_text("\n" + "".join(json.dumps(x) + "\n" for x in lines[:8]))
    create(emptied, read(str(LATE))[:8])
    past_all_triggers(emptied, "DELETE FROM stored_events WHERE rowid = 5")

    assert asked(path, "claim", "assess", "C-1")["basis"] == {"entries": 9, "as_of": NOW, "root": None}
    assert do(emptied, "claim", "assess", "C-1", "--provisional", code=4, now=NOW).stdout == ""
