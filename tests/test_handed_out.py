"""What is handed out goes into new files, and what outsiders give is read from plain ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bundles import LOG, decided, sealed
from tests.support import do
from tests.test_bundle import NOW
from tests.test_bundle import ledger as ledger  # the fixture


@pytest.fixture
def held(tmp_path: Path) -> Path:
    path = tmp_path / "held"
    path.write_text(str(sealed(decided(), decided().count())[1]))
    return path


def handing(what: str, out: Path, held: Path) -> list[str]:
    """The command that hands out a receipt or a bundle."""
    rest = ["-o", str(out), "--checkpoint", str(held)]
    return ["receipt", "outage:O-1", *rest] if what == "receipt" else ["bundle", "claim:C", *rest, "--vkey", KEY]


KEY = str(LOG.verifier())
KINDS = ["a file", "a link", "a dangling link", "a folder", "a pipe", "a device"]


def put(kind: str, path: Path, other: Path) -> None:
    if kind == "a file":
        path.write_text("a ledger, or a key")
    elif kind == "a link":
        other.write_text("a ledger, or a key")
        path.symlink_to(other)
    elif kind == "a dangling link":
        path.symlink_to(other)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")


@pytest.mark.parametrize("what", ["receipt", "bundle"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_is_there_is_overwritten(what: str, kind: str, ledger: Path, held: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out.zip", tmp_path / "other"
    put(kind, out, other)
    before = out.lstat().st_mode, other.read_bytes() if other.exists() else None

    told = do(ledger, *handing(what, out, held), code=1, now=NOW)

    assert told.stderr.splitlines()[:2] == [str(out), "there is something here already"]
    assert (out.lstat().st_mode, other.read_bytes() if other.exists() else None) == before
    assert sorted(x.name for x in tmp_path.iterdir() if x != other) == ["held", "out.zip"]


@pytest.mark.parametrize("what", ["receipt", "bundle"])
def test_a_full_disk_is_named_and_leaves_nothing(
    what: str, ledger: Path, held: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "out.zip"
    monkeypatch.setattr(os, "fsync", fail)
    told = do(ledger, *handing(what, out, held), code=1, now=NOW)

    assert told.stderr.splitlines()[:2] == [str(out), "could not be written: No space left on device"]
    assert not out.exists()
    told = do(ledger, *handing(what, tmp_path / "nowhere" / "out.zip", held), code=1, now=NOW)
    assert "nowhere/out.zip" in told.stderr
