"""What was recorded cannot steer a terminal, run in a spreadsheet or break a row; JSON and TSV lose nothing of it."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import freezegun
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from cli import app
from ledger.terms import BUILT_IN, built_in_document
from ledger.text import clean, plain_json
from projections.shell import output
from projections.shell.scope import Scope
from tests.hostile import FORMULAS, INVISIBLE, STEERING, anything, is_unsafe, poisoned, runs, unsafe_in

FORMATS = ("table", "json", "jsonl", "csv", "tsv")
COMMANDS = (
    "log",
    "log --late",
    "show incident:INC-04",
    "show outage:O-02",
    "show claim:2025",
    "compliance",
    "compliance --by customer",
    "queue",
    "order",
    "order --totals",
    "availability --year 2025",
    "settle --year 2025",
    "settle --year 2025 --totals",
    "commitments",
    "reconcile outage:O-07",
    "claim assess 2025",
    "claim show 2025",
    "explain incident:INC-04",
    "explain claim:2025",
    "readings claim:2025",
    "verify",
    "terms list",
    "terms show",
    "export",
)


def run(db: Path | str, *arguments: str) -> Result:
    """The outcome of a command on a ledger in its sample year."""
    with freezegun.freeze_time("2026-09-02T09:00:00Z"):
        return CliRunner().invoke(app, ["--db", str(db), "--as-of", "2026-01-12T09:00:00Z", *arguments])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year of one customer in which every free text is hostile."""
    path = tmp_path_factory.mktemp("hostile") / "year.jsonl"
    texts = [t for t in STEERING + FORMULAS if t]
    path.write_text("".join(json.dumps(line) + "\n" for line in poisoned(texts)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def kept(hostile: Path) -> Path:
    """The same in a ledger of its own, with views."""
    path = hostile.with_name("year.db")
    assert run(path, "import", "--verbatim", str(hostile)).exit_code == 0
    return path


def test_every_character_that_steers_or_hides_is_spelled_out_and_no_other() -> None:
    every = [chr(i) for i in range(sys.maxunicode + 1)]

    spelled = {c for c in every if clean(c) != c}

    assert {c for c in every if is_unsafe(c)} <= spelled
    assert spelled - {c for c in every if is_unsafe(c)} <= {
        *INVISIBLE,
        *map(chr, range(0x2060, 0x2070)),
        *map(chr, range(0x180B, 0x1810)),
        *map(chr, range(0xFE00, 0xFE10)),
        *map(chr, range(0xFFF0, 0xFFFC)),
        *map(chr, range(0x13430, 0x13440)),
        *map(chr, range(0xE0000, 0xE1000)),
    }
    assert all(clean(c).isascii() and clean(c).isprintable() for c in spelled)


@pytest.mark.parametrize("chosen", FORMATS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_lets_hostile_text_through(command: str, chosen: str, hostile: Path, kept: Path) -> None:
    for db in (hostile, kept):
        done = run(db, "--format", chosen, *command.split())

        assert done.exit_code == 0, done.stderr
        assert unsafe_in(done.stdout) | unsafe_in(done.stderr) == (
            set() if chosen != "tsv" else {"\t"} & {*done.stdout}
        )
        if chosen == "csv" and command != "export":
            assert [c for row in csv.reader(io.StringIO(done.stdout)) for c in row if runs(c)] == []


@pytest.mark.parametrize("command", ["log", "show incident:INC-04", "export"])
def test_json_gives_back_what_went_in(command: str, hostile: Path) -> None:
    lines = [json.loads(line) for line in hostile.read_text(encoding="utf-8").splitlines()]

    printed = run(hostile, "--format", "jsonl", *command.split()).stdout.splitlines()

    found = [json.loads(line) for line in printed]
    rows = found[0]["entries"] if command.startswith("show") else found
    wanted = [x for x in lines if not command.startswith("show") or x["subject"] == "incident:INC-04"]
    assert [row["data"] for row in rows] == [line["data"] for line in wanted]


def test_an_export_makes_the_same_ledger_again(hostile: Path, kept: Path, tmp_path: Path) -> None:
    exported, copy = tmp_path / "export.jsonl", tmp_path / "copy.db"
    exported.write_text(run(kept, "export").stdout, encoding="utf-8")

    assert run(copy, "import", "--verbatim", str(exported)).exit_code == 0
    assert (
        run(copy, "--json", "log").stdout == run(kept, "--json", "log").stdout == run(hostile, "--json", "log").stdout
    )


@given(st.lists(st.lists(anything, min_size=3, max_size=3), min_size=1, max_size=4))
@example([["\\", "\\n", "\n"], ["\t", "\\t", "\\\\"], ["", "x\x1b", "\U000e0041"]])
def test_tsv_is_a_row_a_line_and_can_be_read_back(table: list[list[str]]) -> None:
    fields = ["a", "b", "c"]

    text = output.some("tsv", [dict(zip(fields, row, strict=True)) for row in table], fields)

    assert [[_spelled_back(c) for c in line.split("\t")] for line in text.split("\n")[:-1]] == table
    assert unsafe_in(text) <= {"\t"}


def _spelled_back(cell: str) -> str:
    named = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}
    spelled = r"\\(?:[\\tnr]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"
    return re.sub(spelled, lambda m: named.get(m[0]) or chr(int(m[0][2:], 16)), cell)


@given(anything)
def test_no_cell_of_a_csv_runs_and_numbers_stay_numbers(text: str) -> None:
    row: dict[str, Any] = {"text": text, "list": [text, "x"], "object": {"a": text}, "number": -5, "figure": "-99.5"}

    printed = output.some("csv", [row], list(row))

    [cells] = list(csv.reader(io.StringIO(printed)))
    assert not any(map(runs, cells))
    assert cells[3:] == ["-5", "-99.5"]
    assert unsafe_in(printed) == set()
    assert cells[0].replace("'", "") == clean(text).replace("'", "")


@given(
    st.recursive(
        anything | st.integers() | st.booleans() | st.none(), lambda x: st.lists(x) | st.dictionaries(anything, x)
    )
)
def test_json_is_safe_to_show_and_the_same_value(value: Any) -> None:
    for text in (output.as_json(value), output.json_line(value)):
        assert json.loads(text) == value
        assert unsafe_in(text) == set()
    assert plain_json(output.json_line(value)) == output.json_line(value)


@given(anything)
def test_a_table_is_one_line_a_row(text: str) -> None:
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", printed)
        output.rows(Scope(format="table"), [{"case": text, "other": [text]}])

    assert unsafe_in(printed.getvalue()) == set()
    assert len(printed.getvalue().splitlines()) == 2


@given(anything.filter(lambda t: "\0" not in t and not t.startswith("-") and "\ud800" not in t))
@example("\x1b[2J")
@example("a\nb")
def test_messages_quote_what_was_given_in_safe_characters(text: str) -> None:
    for arguments in (
        ["--db", text, "--views", "none.views", "log"],
        ["--db", f"{text}.jsonl", "log"],
        ["--as-of", text, "log"],
        ["--at-entry", text, "log"],
        ["--reading", text, "log"],
        ["--reading", f"{text}=x", "log"],
        ["--reading", f"evidence={text}", "--db", str(_STORY), "compliance"],
        ["--terms", text, "--db", str(_STORY), "compliance"],
        ["--format", text, "log"],
        ["--db", str(_STORY), "show", text],
        ["--db", str(_STORY), "explain", text],
        ["--db", str(_STORY), "claim", "show", text],
        ["--db", str(_STORY), "log", "--type", text],
        ["--db", str(_STORY), "compliance", "--from", text],
        ["record", "IncidentReported", text],
        ["record", text],
        ["import", "--dry-run", text],
        ["import", "--from", text, "file"],
        ["terms", "post", text],
        [f"x{text}"],
        ["log", f"--{text}"],
    ):
        done = CliRunner().invoke(app, arguments)

        assert done.exit_code in (0, 1, 2), (arguments, done.stderr)
        assert unsafe_in(done.stderr) == set(), arguments
        assert unsafe_in(done.stdout) <= {"\t"}, arguments
        assert "fault of this program" not in done.stderr, (arguments, done.stderr)
        if done.exit_code == 1:
            assert len(done.stderr.splitlines()) == 3, (arguments, done.stderr)


def test_terms_with_hostile_words_are_shown_in_safe_characters(tmp_path: Path) -> None:
    db, file = tmp_path / "ledger.db", tmp_path / "terms.toml"
    text = "\\u001b[2J\\u202e\\u200b\\n=cmd|'x'!A1\\u009b31m"
    document = built_in_document().replace('title = "', f'title = "{text}').replace('says = "', f'says = "{text}')
    document = document.replace(BUILT_IN, "hostile-1").replace("2020-09-23T", "2021-01-01T")
    file.write_text(document, encoding="utf-8")
    assert run(db, "init").exit_code == 0
    posted = CliRunner().invoke(app, ["--db", str(db), "terms", "post", str(file)])
    assert posted.exit_code == 0, posted.stderr

    for chosen in FORMATS:
        for command in ("terms list", "terms show", f"terms show --diff {BUILT_IN} hostile-1", "log"):
            done = run(db, "--format", chosen, *command.split())

            assert unsafe_in(done.stdout) | unsafe_in(done.stderr) <= ({"\t"} if chosen == "tsv" else set())
            if chosen == "csv":
                assert not any(runs(c) for row in csv.reader(io.StringIO(done.stdout)) for c in row)
    assert json.loads(run(db, "--json", "terms", "show").stdout)["title"].startswith("\x1b[2J\u202e\u200b\n=cmd")


@pytest.mark.parametrize("chosen", FORMATS)
def test_rows_set_aside_are_written_and_shown_in_safe_characters(chosen: str, tmp_path: Path) -> None:
    db, file, rejects = tmp_path / "ledger.db", tmp_path / "log\x1b[2J\u202e.jsonl", tmp_path / "rejects.jsonl"
    file.write_bytes(b'{"x\\u001b[2J": 1}\n\xff\xfe\x9b\n{"type": "\x1b[31m"}\n{"type": "\xe2\x80\xae"}\n')
    assert run(db, "init").exit_code == 0

    refused = run(db, "--format", chosen, "import", str(file))
    taken = run(db, "--format", chosen, "import", str(file), "--rejects", str(rejects))

    assert (refused.exit_code, taken.exit_code) == (1, 0)
    for text in (refused.stderr, taken.stdout, taken.stderr, rejects.read_text(encoding="utf-8")):
        assert unsafe_in(text) <= ({"\t"} if chosen == "tsv" else set())
    found = [json.loads(line) for line in rejects.read_text(encoding="utf-8").splitlines()]
    assert [(x["line"], x["file"]) for x in found] == [(n, str(file)) for n in (1, 2, 3, 4)]
    assert found[3]["row"] == '{"type": "\u202e"}'


def test_on_a_terminal_too_and_in_its_progress(hostile: Path, kept: Path) -> None:
    odd = kept.with_name("[link=x]\x1b[2J[bold.jsonl")
    odd.write_bytes(hostile.read_bytes())
    for arguments in (["log"], ["order"], ["show", "outage:O-02"], ["import", "--dry-run", str(odd)]):
        master, slave = pty.openpty()
        with os.fdopen(master, "rb", buffering=0) as seen:
            command = [sys.executable, "-P", "-m", "cli", "--db", str(kept), *arguments]
            env = {**os.environ, "PYTHONPATH": str(_STORY.parents[2]), "TERM": "xterm"}
            done = subprocess.Popen(command, stdout=slave, stderr=slave, stdin=subprocess.DEVNULL, env=env)
            os.close(slave)
            shown = "".join(_read(seen))
            assert done.wait(60) == 0, shown

        drawn = re.sub(
            r"\x1b\[[0-9;?]*[A-Za-z]", lambda m: "" if m[0][-1] in "mKAlh" else m[0], shown.replace("\r", "")
        )
        assert unsafe_in(drawn) == set(), arguments
        assert "\\u001b" in shown or arguments != ["log"]


def _read(file: io.RawIOBase) -> Iterator[str]:
    with suppress(OSError):  # the end of a terminal
        while part := file.read(65536):
            yield part.decode()


_STORY = Path(__file__).resolve().parents[1] / "fixtures" / "streams" / "chat-apart.jsonl"
