"""Disks that are full: the error is said in three lines, nothing is half-written, and once there is room it goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.book import create, judged
from ledger.entry import to_line
from ledger.streams.acceptance import Streams
from tests.faults import need, times
from tests.faults.processes import ROOT, Nursery
from tests.faults.sessions import NOON, pair
from tests.faults.sound import check

PAIRS = 120
WAYS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "largest file": lambda db, room: {"largest_file": (db.stat().st_size // 4096 + room) * 4096},
    "most pages": lambda db, room: {"most_pages": room},
}


def stream_file(path: Path, name: str = "I") -> Path:
    """A file of some pairs to bring in, larger than what there is room for."""
    entries = judged([f for n in range(PAIRS) for f in pair(name, n)], Streams(), 0, {}, NOON).added
    path.write_text("".join(f"{to_line(e)}\n" for e in entries))
    return path


@pytest.mark.parametrize("journal", ["TRUNCATE", "WAL"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("room", [0, 1, 2, 5])
def test_what_does_not_fit_is_refused_whole(way: str, room: int, journal: str, nursery: Nursery, folder: Path) -> None:
    db, file, all_ = folder / "ledger.db", stream_file(folder / "many.jsonl"), {f"I/{n}" for n in range(PAIRS)}
    create(db, facts=pair("W", 0))

    full = nursery.command(db, "import", str(file), journal=journal, **WAYS[way](db, room))
    status, said = full.wait(), full.err.read_text().splitlines()
    assert (status, len(said)) == (1, 3), said
    assert "full" in said[1] or "disk I/O error" in said[1] or "File too large" in said[1], said
    check(db, {"W/0"}, {"W/0"})

    assert nursery.command(db, "import", str(file), journal=journal).wait() == 0
    check(db, {"W/0"} | all_, {"W/0"} | all_)


FILLING = """
set -e
mount -t tmpfs -o size={size}k none {place}
cd {place}
sla() {{ {python} -c 'from cli import app; app(prog_name="sla-ledger")' --db {place}/ledger.db "$@"; }}
export PYTHONPATH={root}
sla init 2> /dev/null
n=0
while sla import {parts}/$n.jsonl > /dev/null 2> {parts}/said; do n=$((n + 1)); done
mount -o remount,size=4000k {place}
cp ledger.db {parts}/full.db
cp ledger.db-journal {parts}/full.db-journal 2> /dev/null || true
sla import {parts}/$n.jsonl > /dev/null
sla verify > /dev/null
cp ledger.db {parts}/after.db
echo $n
"""


def test_a_file_system_that_fills_up_refuses_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """A file system of its own, in a user namespace; where the machine gives none to its users, this is passed over."""
    unshare, place = need("unshare"), tmp_path / "place"
    place.mkdir()
    if subprocess.run([unshare, "-rm", "mount", "-t", "tmpfs", "none", str(place)], capture_output=True).returncode:
        pytest.skip("no user namespace with a file system of its own")
    parts = 12
    for part in range(parts):
        stream_file(tmp_path / f"{part}.jsonl", f"P{part}")
    script = FILLING.format(place=place, parts=tmp_path, size=times(160, 400), python=sys.executable, root=ROOT)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLA_LEDGER")}
    done = subprocess.run(
        [unshare, "-rm", "bash", "-c", script], capture_output=True, text=True, check=False, env=environment
    )

    assert (done.returncode, done.stderr) == (0, "")
    fitted = int(done.stdout)
    assert 0 < fitted < parts - 1
    said = (tmp_path / "said").read_text().splitlines()
    assert len(said) == 3, said
    kept = {f"P{part}/{n}" for part in range(fitted) for n in range(PAIRS)}
    check(tmp_path / "full.db", kept, kept)
    more = kept | {f"P{fitted}/{n}" for n in range(PAIRS)}
    check(tmp_path / "after.db", more, more)
