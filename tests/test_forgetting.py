"""A forgotten customer's summaries are nowhere any more, and nothing else has changed by a byte."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pymerkle
import pytest
from typer.testing import CliRunner

from cli import app
from ledger.privacy.keys import KeyFile, place_of
from ledger.privacy.sealing import FORGOTTEN, SEALED
from ledger.seal.leaves import leaf
from ledger.store.address import reader_at
from tests.support import do, log

YEAR = Path(__file__).resolve().parents[1] / "fixtures" / "streams" / "a-year-of-acme.jsonl"
SAID = "Kari Nordmann has no sound"
CASE = ["--customer=nordlys", "--service=licence", "--channel=phone"]
REPORT = ["record", "IncidentReported", *CASE]
QUESTIONS = (
    ["compliance"],
    ["order"],
    ["queue"],
    ["commitments"],
    ["availability", "--year", "2025"],
    ["settle", "--year", "2025"],
    ["explain", "incident:S-1"],
    ["explain", "claim:2025"],
    ["readings", "claim:2025"],
    ["export"],
)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A year of acme, and two cases of nordlys with a sealed summary."""
    path = tmp_path / "ledger.db"
    do(path, "import", "--verbatim", str(YEAR))
    do(path, "privacy", "on", "nordlys", "--actor", "privacy.officer")
    do(path, *REPORT, "incident:S-1", "--summary", SAID)
    do(path, "record", "ServiceRequested", "request:S-2", *CASE, "--kind=support", "--summary", SAID)
    return path


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def secret_of(db: Path, customer: str = "nordlys") -> bytes:
    return KeyFile(place_of(str(db), {})).living()[customer].secret


def root_of(db: Path) -> bytes:
    """The root of the tree over what is stored, by an independent tool."""
    tree = pymerkle.InmemoryTree(algorithm="sha256", disable_security=False)
    reader = reader_at(str(db))
    for row in reader.rows(2**62):
        tree.append_entry(leaf(*row))
    reader.close()
    return bytes(tree.get_root())


def test_nothing_in_any_file_tells_the_text_or_the_key(db: Path, tmp_path: Path) -> None:
    secret = secret_of(db)
    do(db, "rebuild")
    (tmp_path / "export.jsonl").write_text(do(db, "export").stdout)
    held = b"".join(everything(tmp_path).values())
    key = KeyFile(place_of(str(db), {}))
    with key._reading() as connection:
        wrapped = bytes(connection.execute("SELECT wrapped FROM keys WHERE wrapped IS NOT NULL").fetchone()[0])
    assert wrapped in held

    do(db, "forget", "nordlys", "--yes")
    (tmp_path / "later.jsonl").write_text(do(db, "export").stdout + do(db, "log").stdout)
    do(db, "rebuild")

    for secrets in (SAID.encode(), SAID.split()[1].encode(), secret, wrapped):
        forms = (secrets, secrets.hex().encode(), b64encode(secrets).rstrip(b"="), sha256(secrets).hexdigest().encode())
        for name, content in everything(tmp_path).items():
            assert not any(form in content for form in forms), name


def test_the_ledger_s_bytes_its_root_and_its_findings_stay(db: Path) -> None:
    before = [do(db, "--json", *question).stdout for question in QUESTIONS]
    bytes_before, root_before = db.read_bytes(), root_of(db)

    do(db, "forget", "nordlys", "--yes")

    assert db.read_bytes() == bytes_before
    assert root_of(db) == root_before
    assert [do(db, "--json", *question).stdout for question in QUESTIONS] == before
    assert log(db, "incident:S-1")[0]["data"]["summary"] == FORGOTTEN
    assert FORGOTTEN in do(db, "show", "request:S-2").stdout


@pytest.mark.parametrize("question", [q for q in QUESTIONS if "S-1" not in q[-1] and q != ["export"]])
def test_a_year_under_seal_gives_the_findings_of_the_same_year_in_plain(tmp_path: Path, question: list[str]) -> None:
    plain, sealed = tmp_path / "plain.db", tmp_path / "sealed.db"
    for ledger in (plain, sealed):
        do(ledger, "init")
    do(sealed, "privacy", "on", "acme")
    for ledger in (plain, sealed):
        do(ledger, "import", str(YEAR))
    texts = [row["data"]["summary"] for row in log(plain) if "summary" in row["data"]]
    assert len(texts) > 10

    told = [re.sub('"root": ".*"', "", do(x, "--json", *question).stdout) for x in (sealed, plain)]
    assert told[0] == told[1]  # other entries have another root
    assert not any(text.encode() in sealed.read_bytes() for text in texts)
    assert [row["data"]["summary"] for row in log(sealed) if "summary" in row["data"]] == texts


def test_it_says_what_it_did_and_keeps_who_did_it_beside_the_ledger(db: Path) -> None:
    done = json.loads(do(db, "--json", "forget", "nordlys", "--yes", "--actor", "privacy.officer").stdout)

    since = "2026-02-01T09:00:00Z"
    assert {k: done[k] for k in ("customer", "summaries", "since", "by")} == {
        "customer": "nordlys",
        "summaries": "forgotten",
        "since": since,
        "by": "privacy.officer",
    }
    assert done["forgotten"] == [row["position"] for row in log(db) if row["stream"] in ("incident:S-1", "request:S-2")]
    assert (done["still_readable"], done["sealed_elsewhere"]) == ([], [])
    assert "rejects" in do(db, "forget", "nordlys", "--yes").stdout
    assert json.loads(do(db, "--json", "privacy", "list").stdout)[0]["since"] == since
    assert all(row["actor"] != "privacy.officer" for row in log(db))


@pytest.mark.parametrize("answer", ["", "n\n", "\n"])
def test_without_a_yes_nothing_is_destroyed(db: Path, answer: str) -> None:
    result = CliRunner().invoke(app, ["--db", str(db), "forget", "nordlys"], input=answer)

    assert result.exit_code == 1
    assert "not confirmed; nothing was destroyed" in result.stderr
    assert log(db, "incident:S-1")[0]["data"]["summary"] == SAID


def test_a_yes_on_the_question_is_enough(db: Path) -> None:
    result = CliRunner().invoke(app, ["--db", str(db), "forget", "nordlys"], input="y\n")

    assert result.exit_code == 0
    assert "2 sealed summaries of nordlys will be unreadable for ever" in result.stderr
    assert log(db, "incident:S-1")[0]["data"]["summary"] == FORGOTTEN


def test_forgetting_twice_says_when_it_was_done(db: Path) -> None:
    do(db, "forget", "nordlys", "--yes")

    again = do(db, "forget", "nordlys", "--yes", now="2026-03-01T09:00:00Z")

    assert "forgotten at 2026-02-01T09:00:00Z" in again.stdout


def test_plain_summaries_are_counted_and_the_exit_status_says_so(db: Path) -> None:
    """Also one that was recorded for somebody else before the case was said to be nordlys's."""
    do(
        db,
        "record",
        "IncidentReported",
        "incident:P-1",
        *[c.replace("nordlys", "beta") for c in CASE],
        "--summary",
        SAID,
    )
    right = '{"customer":"nordlys","service":"licence","channel":"phone","summary":"sealed now"}'
    corrected = ["record", "EntryCorrected", "incident:P-1", "--version=1", "--reason=r", "--time=2026-01-05T12:00:00Z"]
    do(db, *corrected, "--data", right)

    done = do(db, "--json", "forget", "nordlys", "--yes", code=1)

    plain, fixed = (row["position"] for row in log(db, "incident:P-1"))
    found = json.loads(done.stdout)
    assert found["still_readable"] == [plain]
    assert fixed in found["forgotten"]
    assert f"1 summaries are recorded in plain and stay readable: entry {plain}" in done.stderr
    assert log(db, "incident:S-1")[0]["data"]["summary"] == FORGOTTEN


def test_what_has_no_key_here_is_refused_and_says_why(db: Path, tmp_path: Path) -> None:
    do(db, "record", "IncidentReported", "incident:B", *[c.replace("nordlys", "beta") for c in CASE], "--summary", "x")
    (tmp_path / "export.jsonl").write_text(do(db, "export").stdout)
    copy = tmp_path / "copy.db"
    do(copy, "import", "--verbatim", str(tmp_path / "export.jsonl"))

    assert "only read, never written" in do(tmp_path / "export.jsonl", "forget", "nordlys", code=1).stderr
    assert "there is nothing to forget" in do(db, "forget", "gamma", "--yes", code=1).stderr
    assert "there is no key to destroy; 1 summaries are recorded in plain" in do(db, "forget", "beta", code=1).stderr
    assert "there is no key of this customer here; 2 are sealed" in do(copy, "forget", "nordlys", code=1).stderr


def test_a_key_that_sealed_elsewhere_is_not_forgotten_here(db: Path, tmp_path: Path) -> None:
    (tmp_path / "export.jsonl").write_text(do(db, "export").stdout)
    copy = tmp_path / "copy.db"
    do(copy, "import", "--verbatim", str(tmp_path / "export.jsonl"))
    do(copy, "privacy", "on", "nordlys")

    done = do(copy, "--json", "forget", "nordlys", "--yes", code=1)

    assert len(json.loads(done.stdout)["sealed_elsewhere"]) == 2
    assert "2 are sealed under keys that are not here" in done.stderr
    assert log(copy, "incident:S-1")[0]["data"]["summary"] == SEALED
    assert log(db, "incident:S-1")[0]["data"]["summary"] == SAID


def test_a_summary_under_another_customers_key_is_not_said_to_be_out_of_reach(db: Path) -> None:
    do(db, "privacy", "on", "delta")
    case = ("--customer", "delta", "--service", "licence", "--channel", "web")
    do(db, "record", "IncidentReported", "incident:Q-1", *case, "--summary", "of delta", "--at", "2026-02-01T08:00:00Z")
    data = json.dumps({"customer": "nordlys", "service": "licence", "channel": "web"})
    right = ("--version", "1", "--time", "2026-02-01T08:00:00Z", "--data", data, "--reason", "whose it is")
    do(db, "record", "EntryCorrected", "incident:Q-1", *right)
    [reported, _] = log(db, "incident:Q-1")

    done = do(db, "--json", "forget", "nordlys", "--yes", code=1)

    assert json.loads(done.stdout)["sealed_under_others"] == [reported["position"]]
    assert "1 are sealed under the key of delta" in done.stderr
    do(db, "--json", "forget", "delta", "--yes")
    assert json.loads(do(db, "--json", "forget", "nordlys", "--yes").stdout)["sealed_under_others"] == []


def test_other_customers_stay_readable(db: Path) -> None:
    do(db, "privacy", "on", "beta")
    do(
        db,
        "record",
        "IncidentReported",
        "incident:B",
        *[c.replace("nordlys", "beta") for c in CASE],
        "--summary",
        "of beta",
    )

    do(db, "forget", "nordlys", "--yes")

    assert log(db, "incident:B")[0]["data"]["summary"] == "of beta"


def test_what_comes_later_is_left_out_until_sealing_begins_anew(db: Path, tmp_path: Path) -> None:
    do(db, "forget", "nordlys", "--yes")

    by_hand = do(db, *REPORT, "incident:S-3", "--summary", SAID)
    do(db, "privacy", "on", "nordlys")
    do(db, *REPORT, "incident:S-4", "--summary", "anew")

    assert "the summary was left out" in by_hand.stderr
    assert "summary" not in log(db, "incident:S-3")[0]["data"]
    assert SAID.encode() not in db.read_bytes()
    assert log(db, "incident:S-4")[0]["data"]["summary"] == "anew"
    assert log(db, "incident:S-1")[0]["data"]["summary"] == FORGOTTEN


def test_a_file_imported_before_adds_nothing_when_its_customer_is_forgotten(db: Path, tmp_path: Path) -> None:
    head = {"specversion": "1.0", "type": "IncidentReported", "time": "2026-01-05T12:00:00Z"}
    data = {"customer": "nordlys", "service": "licence", "channel": "phone", "summary": SAID}
    lines = [json.dumps(head | {"subject": f"incident:F-{n}", "data": data}) + "\n" for n in range(3)]
    (tmp_path / "facts.jsonl").write_text("".join(lines[:2]))
    do(db, "import", str(tmp_path / "facts.jsonl"))
    do(db, "forget", "nordlys", "--yes")
    (tmp_path / "facts.jsonl").write_text("".join(lines))

    again = do(db, "--json", "import", str(tmp_path / "facts.jsonl"))

    assert {k: json.loads(again.stdout)[k] for k in ("added", "already_there")} == {"added": 1, "already_there": 2}
    assert "3 summaries of customers that were forgotten are left out" in again.stderr
    assert log(db, "incident:F-2")[0]["data"] == {k: v for k, v in data.items() if k != "summary"}
