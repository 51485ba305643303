"""For any bytes given to a reading command its exit status is 0, 1, 2 or 4, in time, and it prints no traceback."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli import app
from tests.fuzz.test_parsers import fields
from tests.hostile import STEERING, fuzzed, unsafe_in
from tests.support import do

ROOT = Path(__file__).resolve().parents[2]
STORY = ROOT / "fixtures" / "streams" / "a-year-of-acme.jsonl"
LINES = STORY.read_bytes().splitlines(keepends=True)
SECONDS = 20
COMMANDS = (
    "log",
    "log --late",
    "log --json",
    "show incident:INC-04",
    "show outage:O-02",
    "compliance",
    "compliance --by month --format csv",
    "queue",
    "order",
    "order --totals",
    "availability --year 2025",
    "settle --year 2025",
    "commitments",
    "reconcile outage:O-07",
    "claim assess 2025",
    "claim show 2025",
    "explain claim:2025",
    "explain incident:INC-04",
    "readings claim:2025",
    "audit claim:2025",
    "verify",
    "verify --views",
    "doctor",
    "terms list",
    "terms show",
    "export",
)
commands = st.lists(st.sampled_from(COMMANDS), min_size=1, max_size=3, unique=True)


@contextmanager
def nothing_unraisable() -> Iterator[None]:
    """Fail when a finalizer fails: outside the tests its traceback would be printed."""
    seen: list[Any] = []
    before, sys.unraisablehook = sys.unraisablehook, seen.append
    try:
        yield
    finally:
        sys.unraisablehook = before
    assert [repr(x.exc_value) for x in seen] == []


def check(db: Path, *arguments: str) -> int:
    """The exit status of a command, once it has kept its promises."""
    began = time.monotonic()
    with nothing_unraisable(), warnings.catch_warnings():
        warnings.simplefilter("error")
        done = CliRunner().invoke(app, ["--db", str(db), "--as-of", "2026-01-12T09:00:00Z", *arguments])
    assert time.monotonic() - began < SECONDS, arguments
    assert done.exit_code in (0, 1, 2, 4), (arguments, done.stderr)
    assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done.exception)
    assert "fault of this program" not in done.stderr, (arguments, done.stderr)
    assert (unsafe_in(done.stdout) | unsafe_in(done.stderr)) <= {"\t"}, arguments
    if done.exit_code:
        assert done.stderr or "audit" in arguments or "verify" in arguments, arguments
    return done.exit_code


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A sound ledger and its views."""
    path = tmp_path_factory.mktemp("whole") / "ledger.db"
    do(path, "import", "--verbatim", str(STORY))
    do(path, "rebuild")
    return path, Path(f"{path}.views")


@fuzzed(1)
@given(content=st.binary(max_size=5000), chosen=commands)
def test_any_bytes_as_a_ledger(tmp_path: Path, content: bytes, chosen: list[str]) -> None:
    for name in ("any.db", "any.jsonl"):
        for head in (b"", b"SQLite format 3\0", b"{"):
            (tmp_path / name).write_bytes(head + content)
            for command in chosen:
                check(tmp_path / name, *command.split())


def _lay(path: Path, content: bytes) -> None:
    """Lay a new file there: what an error still holds open is the one before, and its locks are not this one's."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


@fuzzed(1)
@given(data=st.data(), chosen=commands)
def test_a_ledger_some_bytes_of_which_were_changed(
    tmp_path: Path, whole: tuple[Path, Path], data: st.DataObject, chosen: list[str]
) -> None:
    path = tmp_path / "ledger.db"
    _lay(path, _damaged(data, whole[0].read_bytes()))

    for command in chosen:
        check(path, *command.split())


ROWS = (
    "UPDATE OR IGNORE stored_events SET state = :bytes WHERE rowid = :row",
    "UPDATE OR IGNORE stored_events SET state = CAST(substr(state, 1, :at) || :bytes || substr(state, :at + 1) AS BLOB)"
    " WHERE rowid = :row",
    "UPDATE OR IGNORE stored_events SET topic = :text WHERE rowid = :row",
    "UPDATE OR IGNORE stored_events SET topic = (SELECT topic FROM stored_events WHERE rowid = :at) WHERE rowid = :row",
    "UPDATE OR IGNORE stored_events SET originator_id = :text WHERE rowid = :row",
    "UPDATE OR IGNORE stored_events SET originator_version = :number WHERE rowid = :row",
    "UPDATE OR IGNORE stored_events SET rowid = :number WHERE rowid = :row",
    "DELETE FROM stored_events WHERE rowid = :row",
)
TEXTS = st.sampled_from([*STEERING, "os:system", "this:d", "", "incident:INC-04", "claim:2025", "EntryCorrected"])
CHANGES = st.fixed_dictionaries(
    {
        "row": st.integers(1, len(LINES)),
        "at": st.integers(1, len(LINES)),
        "bytes": st.binary(max_size=30) | st.sampled_from([b"[" * 9999, b"null", b'"\\u001b"', b"9999", b"0001"]),
        "text": TEXTS,
        "number": st.sampled_from([-1, 0, 1, 2, len(LINES) + 1, 2**53, 2**63 - 1, -(2**63)]),
    }
)


@fuzzed(1)
@given(changes=st.lists(st.tuples(st.sampled_from(ROWS), CHANGES), min_size=1, max_size=3), chosen=commands)
def test_a_ledger_some_rows_of_which_were_changed(
    tmp_path: Path, whole: tuple[Path, Path], changes: list[tuple[str, dict[str, Any]]], chosen: list[str]
) -> None:
    path = tmp_path / "ledger.db"
    _lay(path, whole[0].read_bytes())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for name in ("never_updated", "never_deleted", "never_replaced", "never_a_gap"):
            connection.execute(f"DROP TRIGGER {name}")
        for statement, values in changes:
            connection.execute(statement, values)

    for command in chosen:
        check(path, *command.split())


@fuzzed(1)
@given(data=st.data())
def test_views_some_bytes_of_which_were_changed(tmp_path: Path, whole: tuple[Path, Path], data: st.DataObject) -> None:
    path, views = tmp_path / "ledger.db", tmp_path / "ledger.db.views"
    path.write_bytes(whole[0].read_bytes())
    views.write_bytes(_damaged(data, whole[1].read_bytes()))
    found = views.stat()
    left = f"sla-ledger views {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    Path(f"{views}.lock").write_bytes(left.ljust(127).encode() + b"\n")

    kept = [
        "compliance",
        "queue",
        "order --totals",
        "availability --year 2025",
        "explain incident:INC-04",
        "verify --views",
    ]
    check(path, *data.draw(st.sampled_from(kept)).split())
    check(path, *data.draw(st.sampled_from(COMMANDS)).split())


@fuzzed(1)
@given(data=st.data(), chosen=commands)
def test_a_stream_file_some_of_which_was_changed(tmp_path: Path, data: st.DataObject, chosen: list[str]) -> None:
    path = tmp_path / "history.jsonl"
    if data.draw(st.booleans()):
        path.write_bytes(_damaged(data, STORY.read_bytes()))
    else:
        lines = list(LINES)
        for at in data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=2)):
            lines[at : at + data.draw(st.integers(0, 1))] = [data.draw(fields()) + b"\n"]
        path.write_bytes(
            b"".join(lines).replace(b'"sequence"', b'"x"') if data.draw(st.booleans()) else b"".join(lines)
        )

    for command in chosen:
        check(path, *command.split())


@fuzzed(1)
@given(data=st.data())
def test_files_that_are_brought_in(tmp_path: Path, whole: tuple[Path, Path], data: st.DataObject) -> None:
    path, file = tmp_path / "ledger.db", tmp_path / "file"
    path.write_bytes(whole[0].read_bytes())
    file.write_bytes(_damaged(data, STORY.read_bytes()) if data.draw(st.booleans()) else data.draw(st.binary()))

    for command in (
        "import --dry-run",
        "import --from servicenow --zone UTC --dry-run",
        "import --from upptime --dry-run",
        f"import --from upptime --dry-run --heads {file}",
        "terms post",
        "import",
    ):
        check(path, *command.split(), str(file))


@pytest.mark.parametrize("which", ["bytes", "header", "half", "line"])
def test_the_installed_command_keeps_the_same_promises(which: str, whole: tuple[Path, Path], tmp_path: Path) -> None:
    content = {
        "bytes": os.urandom(4096),
        "header": whole[0].read_bytes()[:100] + os.urandom(9000),
        "half": whole[0].read_bytes()[:20000],
    }
    path = tmp_path / ("history.jsonl" if which == "line" else "ledger.db")
    path.write_bytes(content.get(which, b"".join(LINES[:40]) + b'{"a": \xff\n'))
    program = shutil.which("sla-ledger", path=Path(sys.executable).parent)
    command = [program] if program else [sys.executable, "-P", "-m", "cli"]

    for arguments in ("log", "compliance", "verify", "export"):
        done = subprocess.run(
            [*command, "--db", str(path), arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=60,
            check=False,
        )

        assert done.returncode in (1, 4)
        assert len(done.stderr.splitlines()) == 3, done.stderr


def _damaged(data: st.DataObject, content: bytes) -> bytes:
    """Some bytes with parts flipped, overwritten, cut out, doubled, or the end cut off."""
    found = bytearray(content)
    for _ in range(data.draw(st.integers(1, 6))):
        at, length = data.draw(st.integers(0, len(found))), data.draw(st.sampled_from([1, 2, 9, 100, 4096]))
        match data.draw(st.integers(0, 4)):
            case 0:
                found[at : at + 1] = bytes([found[at] ^ 1 << data.draw(st.integers(0, 7))]) if at < len(found) else b""
            case 1:
                found[at : at + length] = data.draw(st.binary(min_size=1, max_size=12))
            case 2:
                del found[at : at + length]
            case 3:
                there = data.draw(st.integers(0, len(found)))
                found[at : at + length] = found[there : there + length]
            case _:
                del found[max(at, 100) :]
    return bytes(found)
