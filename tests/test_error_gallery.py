"""The gallery of errors: for each kind the smallest file and its exact text. `pytest --renew` writes the texts anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app

GALLERY = Path(__file__).resolve().parents[1] / "fixtures" / "errors"
FILES = sorted(GALLERY.glob("*.jsonl"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_file_that_cannot_be_read_says_where_what_and_what_to_do(file: Path, request: pytest.FixtureRequest) -> None:
    expected = file.with_suffix(".txt")

    result = CliRunner().invoke(app, ["--db", str(file), "log"])

    said = result.stderr.replace(str(file), "<file>")
    if request.config.getoption("--renew"):
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8")
    assert (result.exit_code, result.stdout, len(said.splitlines())) == (1, "", 3)
    assert said.startswith(f"<file>, line {len(file.read_text(encoding='utf-8').splitlines())}\n")


def test_every_text_has_its_file() -> None:
    assert sorted(path.stem for path in GALLERY.glob("*.txt")) == [file.stem for file in FILES]
