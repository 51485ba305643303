"""What is read has limits, each named with file and line, and none of them takes long to find."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import ledger.exchange.batch
from cli import app
from ledger import files
from ledger.errors import LedgerError
from ledger.exchange import servicenow, upptime
from ledger.terms import built_in_document, parse
from ledger.text import strict_json
from tests.support import do

OPENING = {
    "specversion": "1.0",
    "type": "IncidentReported",
    "subject": "incident:INC-1",
    "time": "2026-03-27T14:00:00Z",
    "data": {"customer": "acme", "service": "licence", "channel": "phone"},
}
FINE = json.dumps(OPENING)
SECONDS = 10  # of processor time; all of them take a small part of it


def with_data(more: str) -> str:
    """A good line whose data hold something more, given as JSON."""
    return FINE.replace('"channel": "phone"', f'"channel": "phone", {more}')


STRICT = {
    "a key twice": (with_data('"summary": "a", "summary": "b"'), "key 'summary' stands twice"),
    "NaN": (with_data('"summary": NaN'), "NaN is not a number"),
    "Infinity": (with_data('"summary": -Infinity'), "-Infinity is not a number"),
    "a float that overflows": (with_data('"summary": 1e999'), "1e999 is too large"),
    "a float of many digits": (with_data(f'"summary": 0.{"1" * 500}'), "a number of more than 400 characters"),
    "an integer no float holds": (with_data(f'"summary": {2**53 + 1}'), "is too large to be exact"),
    "an integer of many digits": (with_data(f'"summary": {"9" * 100_000}'), "is too large to be exact"),
    "deep lists": (with_data(f'"summary": {"[" * 100_000}'), "more than 32 levels deep"),
    "deep objects": (with_data('"summary": ' + '{"a":' * 100_000), "more than 32 levels deep"),
    "a lone surrogate": (with_data('"summary": "\\ud800"'), "a lone surrogate is not a character"),
    "a byte order mark": ("\ufeff" + FINE, "begins with a byte order mark"),
    "a class path": (with_data('"_type_": "os:system", "_data_": "id"'), "_type_: unknown field"),
    "many keys": (with_data(",".join(f'"k{n}": 0' for n in range(100_000)) + ', "k99999": 1'), "'k99999' stands twice"),
    "a long text": (with_data(f'"summary": "{"x" * 501}"'), "summary: string should have at most 500 characters"),
    "a long line": (" " * 16_000_001, "longer than 16,000,000 bytes"),
    "a long type": (FINE.replace("IncidentReported", "I" * 1_000_000), "is no event"),
    "a long stream": (FINE.replace("INC-1", "I" * 1_000_000), "a reference has 120 characters at most"),
    "a long time": (FINE.replace("00Z", "00." + "0" * 1_000_000 + "Z9"), "expected an instant"),
    "not UTF-8": (FINE.replace("acme", "\udcff"), "not UTF-8"),
    "nothing but brackets": ("]" * 1_000_000, "not strict JSON"),
    "a quote left open": ('{"a": "' + "\\\\" * 500_000, "not strict JSON"),
}


@pytest.mark.parametrize("name", STRICT)
def test_a_line_that_is_not_strict_is_refused_with_file_and_line(name: str, tmp_path: Path) -> None:
    line, what = STRICT[name]
    file = tmp_path / "history.jsonl"
    file.write_bytes(f"{FINE}\n\n{line}\n".encode("utf-8", "surrogateescape"))

    began = time.process_time()
    read = CliRunner().invoke(app, ["--db", str(file), "log"])
    taken = CliRunner().invoke(app, ["--db", str(_ledger(tmp_path)), "import", str(file)])

    assert time.process_time() - began < SECONDS
    for done in (read, taken):
        where, said, todo = done.stderr.splitlines()
        assert (done.exit_code, where) == (1, f"{file}, line 3"), done.stderr
        assert what in said
        assert len(said) < 250
        assert todo


def test_a_document_whose_every_character_is_escaped_still_comes_back(tmp_path: Path) -> None:
    document = built_in_document() + f"# {chr(0xE0041) * 400}\n" * 2_400
    db, file, export = _ledger(tmp_path), tmp_path / "terms.toml", tmp_path / "export.jsonl"
    file.write_text(
        document.replace("easymeeting-2020-09-23", "t-2").replace("2020-09-23T", "2021-01-01T"), encoding="utf-8"
    )
    do(db, "terms", "post", str(file))

    export.write_text(do(db, "export").stdout, encoding="utf-8")

    assert max(map(len, export.read_text(encoding="utf-8").splitlines())) > 11_000_000
    assert do(tmp_path / "copy.db", "import", "--verbatim", str(export)).exit_code == 0


@pytest.mark.parametrize("name", [k for k, (line, _) in STRICT.items() if '"channel": "phone", ' in line])
def test_data_given_as_an_option_are_as_strict(name: str, tmp_path: Path) -> None:
    line, what = STRICT[name]
    data = line[line.index('"data": ') + 8 :].removesuffix("}")

    arguments = ["--db", str(_ledger(tmp_path)), "record", "IncidentReported", "incident:INC-2", "--data", data]
    done = CliRunner().invoke(app, arguments)

    assert done.exit_code in (1, 2)
    assert what in done.stderr
    assert len(done.stderr) < 500


DOCUMENTS = {
    "deep lists": ("x = " + "[" * 100_000, "too many levels deep"),
    "a deep key": ("[" + ".".join("a" * 50_000) + "]", "line 1: more than 100 dots"),
    "many deep keys": ("\n".join(".".join("a" * 100) + f".k{n} = 1" for n in range(4_000)), "terms.a: unknown field"),
    "a large integer": ("x = " + "9" * 10_000, "not TOML"),
    "a large number of hours": (
        built_in_document().replace("hours = 48", "hours = 0x" + "f" * 20_000),
        "terms.targets.medium.hours",
    ),
    "a share that is no number": (built_in_document().replace('"1/4"', '"1/0"'), "terms.queue.at_risk_share: expected"),
    "a share that is endless": (
        built_in_document().replace('"1/4"', '"1e999999999"'),
        "terms.queue.at_risk_share: expected a fraction",
    ),
    "a zone that is a folder": (
        built_in_document().replace('"Europe/Oslo"', '"Europe/"'),
        "terms.desks.oslo.zone: there is no such zone",
    ),
    "a zone that is a path": (
        built_in_document().replace('"Europe/Oslo"', '"../../../etc/passwd"'),
        "terms.desks.oslo.zone: there is no such zone",
    ),
    "a key twice": ("a = 1\na = 2", "not TOML"),
    "a date that is not": ("a = 2026-02-30", "not TOML"),
    "too long": ("#" * 1_000_001, "longer than 1,000,000 characters"),
    "empty": ("", "terms.id: field required"),
    "a byte order mark": ("\ufeff" + built_in_document(), "not TOML"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_of_terms_is_refused_in_time(name: str, tmp_path: Path) -> None:
    document, what = DOCUMENTS[name]
    file = tmp_path / "terms.toml"
    file.write_text(document, encoding="utf-8")

    began = time.process_time()
    done = do(_ledger(tmp_path), "terms", "post", str(file), code=1)

    assert time.process_time() - began < SECONDS
    assert what in done.stderr.splitlines()[1], done.stderr
    assert len(done.stderr) < 400


def test_a_file_of_terms_that_is_large_or_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "terms.toml"
    for content, what in ((b"#" * 4_000_001, "larger than 4,000,000 bytes"), (b"\xff", "not UTF-8")):
        file.write_bytes(content)

        assert do(_ledger(tmp_path), "terms", "post", str(file), code=1).stderr.splitlines()[1] == what


def test_quotes_that_are_never_closed_cost_no_square_of_the_rows(tmp_path: Path) -> None:
    file = tmp_path / "status.csv"
    file.write_text("committed_at,site,status,commit\n" + '"\n' * 40_000, encoding="utf-8")

    began = time.process_time()
    batch = upptime.read(str(file), heads=None, attribute=None, decided_by=None)

    assert time.process_time() - began < SECONDS
    assert (batch.rows, len(batch.bad)) == (40_000, 40_000)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"committed_at,site,status,commit\n" + b"x" * 1_000_001, "line 2\nlonger than 1,000,000 characters"),
        (b"committed_at,site," * 9 + b"status,commit\n", "line 1\ncolumn committed_at: stands twice"),
        (b"", "line 1\ncolumn committed_at: missing"),
        (b"\0" * 1000, "line 1\ncolumn committed_at: missing"),
        (b"\x1f\x8b" + b"\0" * 1000, "\ncannot be read: "),
        (gzip.compress(b"x" * 1_500_000), "line 1\nlonger than 1,000,000 characters"),
    ],
)
def test_a_table_has_limits(content: bytes, what: str, tmp_path: Path) -> None:
    file = tmp_path / "status.csv"
    file.write_bytes(content)

    done = do(_ledger(tmp_path), "import", "--from", "upptime", str(file), code=1)

    assert what in done.stderr


def test_what_is_unpacked_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger.exchange.batch, "MAX_BYTES", 1_000_000)
    bomb, large = tmp_path / "bomb.csv.gz", tmp_path / "large.csv"
    bomb.write_bytes(gzip.compress(b"\n" * 30_000_000))
    large.write_bytes(b"\n" * 1_000_001)

    for file in (bomb, large):
        with pytest.raises(LedgerError, match="larger than 1,000,000 bytes"):
            servicenow.read(str(file), zone="Europe/Oslo")
        with pytest.raises(LedgerError, match="larger than"):
            files.content(str(large), 1_000_000)


@pytest.mark.parametrize(
    "zone", ["", ".", "..", "Europe", "Europe/", "/etc/localtime", "../zones", "a" * 9999, "\ud800", "a\0b"]
)
def test_a_zone_is_looked_for_among_the_zones_only(zone: str, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text(",".join(servicenow.COLUMNS) + "\n", encoding="utf-8")

    done = do(_ledger(tmp_path), "import", "--from", "servicenow", "--zone", zone, str(file), code=1)

    assert "no zone has this name" in done.stderr


OPTIONS = [
    ("--as-of 0000-01-01T00:00:00Z log", 2),
    ("--as-of 0001-01-01T00:00:00+14:00 log", 2),
    ("--as-of 9999-12-31T23:59:59-14:00 log", 2),
    ("--as-of 2026-02-30T00:00:00Z log", 2),
    ("--as-of 2026-01-01T00:00:00 log", 2),
    ("--as-of 1e9 log", 2),
    ("--at-entry -1 log", 1),
    ("--at-entry 99999999999999999999999999 log", 1),
    ("--at-entry 1e3 log", 2),
    ("--reading x log", 2),
    ("--reading instantly=999999999999_d commitments", 1),
    ("--reading cap_percent=1e999999 claim assess 2025", 1),
    ("--reading cap_percent=NaN claim assess 2025", 1),
    ("availability --year 0", 2),
    ("availability --year 99999999999999999999", 2),
    ("availability --from 0001-01-01 --until 9999-12-31", 1),
    ("availability --from 9999-12-31 --until 0001-01-01", 1),
    ("availability --from 2025-12-31 --until 2025-01-01", 2),
    ("compliance --from 0001-01-01 --until 9999-12-31", 1),
    ("log --from 0002-01-01 --until 9998-12-31", 0),
    ("--as-of 0001-01-01T00:00:00Z queue", 0),
    ("--as-of 9999-12-31T23:59:59Z log", 0),
    ("settle --year 2101", 2),
    ("commitments --year -1", 2),
]


@pytest.mark.parametrize(("arguments", "code"), OPTIONS, ids=[a for a, _ in OPTIONS])
def test_options_at_the_end_of_all_years_and_numbers(arguments: str, code: int) -> None:
    story = Path(__file__).resolve().parents[1] / "fixtures" / "streams" / "a-year-of-acme.jsonl"

    began = time.process_time()
    done = CliRunner().invoke(
        app, ["--db", str(story), *(a.replace("_", " ") if "=" in a else a for a in arguments.split())]
    )

    assert time.process_time() - began < SECONDS
    assert done.exit_code == code, done.stderr
    assert "fault of this program" not in done.stderr


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1583-01-01T00:00:00Z"])
@pytest.mark.parametrize("command", ["compliance", "queue", "order", "availability --year 2025", "commitments", "log"])
def test_a_fact_at_the_end_of_the_calendar_stops_no_report_with_a_fault(command: str, at: str, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    lines: list[dict[str, Any]] = [
        OPENING | {"time": at},
        OPENING | {"time": at, "subject": "request:R-1", "type": "ServiceRequested"},
    ]
    lines[1]["data"] = {**OPENING["data"], "kind": "webcast", "wanted_for": at}  # type: ignore[dict-item]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    done = CliRunner().invoke(app, ["--db", str(file), *command.split()])

    assert done.exit_code in (0, 1)
    assert "fault of this program" not in done.stderr


def test_standard_input_is_read_like_a_file() -> None:
    def given(content: bytes, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["--db", "-", *arguments], input=content)

    assert given(FINE.encode(), "log").exit_code == 0
    for content in (b"\xff\n", b"{", b"[" * 100_000, b"\0", b"\x1f\x8b\x08\0"):
        done = given(content, "log")

        assert done.exit_code == 1
        assert done.stderr.splitlines()[0] == "standard input, line 1"


def test_strict_json_reads_what_is_strict() -> None:
    values: list[Any] = [{"a": [1, -0.5, "\u001b\u2028", None, True]}, 2**53, "\U0001f600", [[[]]]]
    for value in values:
        assert strict_json(json.dumps(value)) == value
        assert strict_json(json.dumps(value, ensure_ascii=False)) == value


def test_the_terms_that_come_along_keep_within_their_limits() -> None:
    assert parse(built_in_document()).queue.share == parse(built_in_document().replace("1/4", "0.25")).queue.share


def _ledger(folder: Path) -> Path:
    path = folder / "ledger.db"
    if not path.exists():
        do(path, "init")
    return path
