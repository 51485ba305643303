"""No event has a place for a person, and importers let nobody in by name unless they are asked to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.entry import Entry, Fact
from ledger.events import EVENTS
from ledger.privacy.keys import PSEUDONYMS, Key, KeyFile, place_of
from ledger.privacy.pseudonyms import Pseudonyms, plain
from ledger.values import REFERENCE
from tests.support import do, log

FREE_TEXT = {  # every field in which anything can be written, and why it may be there
    "summary": "short, left empty by importers unless asked, can be sealed and forgotten",
    "reason": "the desk's own words on what it decided, never a person's",
    "reference": "of evidence: a probe, a ticket, a mailbox; never read from a person's column",
    "scope": "of a backup: which machines",
    "document": "the agreement, word for word; its hash stands beside it",
}
OPEN_OBJECTS = {  # every field that holds an object of any shape
    "decision": "figures, clauses and entries of a claim; made by the program, holds no prose",
    "data": "of a correction: judged by the fields of the event that it corrects",
}
WHO = {  # every identifier that names who did something: a role or a login, never a name of a person
    "decided_by": "who answers for a decision: operations, ops.lead",
    "by": "who disputes a decision: the customer",
}
PERSON_LIKE = re.compile(
    r"person|name|caller|contact|phone|mobile|mail|address|user|login|who|^by$|_by$|agent|assignee|birth|gender|social"
)
KARI = ("Kari Nordmann", "kari.nordmann@firma.example", "+47 22 33 44 55")


def leaves(schema: dict[str, Any], found: dict[str, Any], field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place of a JSON schema that holds no further places, with the name of the field it stands in."""
    if "$ref" in schema:
        yield from leaves(found[schema["$ref"].rpartition("/")[2]], found, field)
        return
    inner = [(field, s) for key in ("anyOf", "oneOf", "allOf", "prefixItems") for s in schema.get(key, ())]
    inner += [(field, schema["items"])] if isinstance(schema.get("items"), dict) else []
    inner += list(schema.get("properties", {}).items())
    for name, part in inner:
        yield from leaves(part, found, name)
    if not inner and schema.get("properties") is None:
        yield field, schema


def places(name: str) -> list[tuple[str, dict[str, Any]]]:
    schema = EVENTS[name].model_json_schema()
    return [x for x in leaves(schema, schema.get("$defs", {}), "") if x[0]]


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_has_no_place_for_a_person(name: str) -> None:
    for field, schema in places(name):
        limited = schema.get("pattern") or schema.get("enum") or schema.get("const") or schema.get("format")
        if schema.get("type") == "string" and not limited:
            assert field in FREE_TEXT or field in ("sealed", "amount"), field
            assert "maxLength" in schema or field == "amount", field
        if schema.get("type") in (None, "object"):
            assert field in OPEN_OBJECTS, field
        if PERSON_LIKE.search(field) and "enum" not in schema:
            assert field in WHO, field
            assert schema.get("pattern") == f"^{REFERENCE}$", field


def test_every_exception_is_in_use_and_the_walk_sees_what_is_nested() -> None:
    found = {field: schema for name in EVENTS for field, schema in places(name)}

    assert {*FREE_TEXT, *OPEN_OBJECTS, *WHO} <= set(found)
    assert {"currency", "service", "from", "key", "sealed"} <= set(found)
    assert len(FREE_TEXT) + len(OPEN_OBJECTS) + len(WHO) < 10


def test_an_entry_adds_an_actor_and_an_id_and_nothing_else_of_its_own() -> None:
    """The actor is an identifier, the id has no blanks; both are checked at every door (test_events)."""
    known = {"position", "stream", "version", "time", "recorded_at", "event", "corrections", "line"}

    assert {f.name for c in (Entry, Fact) for f in msgspec.structs.fields(c)} - known == {"actor", "command_id"}


# Pseudonyms


def pseudonyms(secret: bytes = b"k" * 32) -> Pseudonyms:
    return Pseudonyms(lambda: Key("", PSEUDONYMS, secret))


@pytest.mark.parametrize(
    "text, masked",
    [
        ("call kari@firma.example back", "call P back"),
        ("Kari.Nordmann+work@mail.firma.example.", "P."),
        ("<blåbær@firma.example>", "<P>"),
        ("ring +47 22 33 44 55", "ring P"),
        ("ring +4722334455 or 22 33 44 55, or 912 34 567", "ring P or P, or P"),
        ("(+1 (212) 555-0123)", "(P)"),
        ("00 47 22334455", "P"),
        ("INC0012345678 of 2026-03-27 14:00:00 took 12 34 minutes", None),
        ("licence 1000.00 NOK, 31 536 000 seconds", None),
        ("10.0.0.5 saw 22:33:44 55", None),
        ("user@host and @kari", None),
        ("org 987654321", None),
    ],
)
def test_addresses_and_numbers_are_masked_and_other_text_is_not(text: str, masked: str | None) -> None:
    found = re.sub(r"p-[a-z2-7]{16}", "P", pseudonyms().masked(text))

    assert found == (masked or text)


@pytest.mark.parametrize(
    "person",
    [
        "(212) 555-0147", "212-555-0147", "212.555.0147", "1-800-555-0147", "020 7946 0958", "0047 99887766",
        "+47\u00a099\u00a088\u00a077\u00a066", "+47\u200999\u200988\u200977\u200966",
        "+47\u201199\u201188\u201177\u201166",
        "\uff0b\uff14\uff17\uff19\uff19\uff18\uff18\uff17\uff17\uff16\uff16", "+4799887766ext5",
        "kari\uff20firma.example", "ka\u200bri@fir\u200dma.example", "ka\u00adri@firma.example",
    ],
)  # fmt: skip
@pytest.mark.parametrize("free", [True, False])
def test_every_way_of_writing_is_seen(person: str, free: bool) -> None:
    found = pseudonyms().masked(f"call {person}, please", free=free)

    assert re.fullmatch("call p-[a-z2-7]{16}, please", found)


@pytest.mark.parametrize(
    "person",
    [
        "kari.nordmann @ firma.example", "kari@localhost", '"a b"@firma.example', "kari@[10.0.0.5]",
        "01019012345", "010190 12345", "99887766", "99-88-77-66", "99.88.77.66", "01 23 45 67 89",
    ],
)  # fmt: skip
def test_free_text_loses_what_only_may_be_a_person(person: str) -> None:
    found = pseudonyms().masked(f"call {person}, please", free=True)

    assert re.fullmatch("call p-[a-z2-7]{16}, please", found)


@pytest.mark.parametrize(
    "text",
    [
        "INC0000045 and INC0012345678 of 2026-03-27 14:00:00 took 12 34 minutes",
        "since 03.04.2026 10:15, 2026-03-27T14:00:00Z, 99.95 %, v1.20.300",
        "licence 1000.00 NOK, 31 536 000 seconds; ask @kari; 192.168.1.10",
        "blåbær \u2013 \uff21\u200b",
    ],
)
def test_free_text_keeps_tickets_times_and_figures(text: str) -> None:
    assert pseudonyms().masked(text, free=True) == text


def test_what_is_hidden_in_a_line_is_seen(db: Path, tmp_path: Path) -> None:
    said = ["(212)555-0147", "212.555.0147", "99887766", "ka\u200bri\uff20firma.example", "010190-12345", "99-88-77-66"]
    head = {"specversion": "1.0", "type": "IncidentReported", "time": "2026-01-05T12:00:00Z"}
    data = {"customer": "99887766", "service": "licence", "channel": "phone"}
    lines = [
        json.dumps(head | {"subject": f"incident:{10**7 + n}", "data": data | {"summary": s}}, ensure_ascii=n % 2 == 0)
        for n, s in enumerate(said)
    ]
    (tmp_path / "facts.jsonl").write_text("\n".join(lines), encoding="utf-8")

    do(db, "import", str(tmp_path / "facts.jsonl"))

    found = log(db, "--type", "IncidentReported")
    assert all(re.fullmatch("p-[a-z2-7]{16}", row["data"]["summary"]) for row in found)
    assert {row["data"]["customer"] for row in found} == {"99887766"}
    assert [row["stream"] for row in found] == [f"incident:{10**7 + n}" for n in range(len(said))]


@given(st.text(), st.text())
def test_a_pseudonym_is_the_same_for_the_same_person_and_key_only(one: str, other: str) -> None:
    names = pseudonyms()

    assert re.fullmatch("p-[a-z2-7]{16}", names.of(one))
    assert names.of(one) == names.of(f" {one} ") == pseudonyms().of(one)
    assert names.of(one) != pseudonyms(b"x" * 32).of(one)
    same = " ".join(plain(one).casefold().split()) == " ".join(plain(other).casefold().split())
    assert same or names.of(one) != names.of(other)


def test_ways_of_writing_do_not_make_another_person() -> None:
    names = pseudonyms()

    assert names.of("Kari@Firma.example") == names.of("kari@firma.example")
    assert names.of("+47 22 33 44 55") == names.of("+4722334455") == names.of("00 47 22-33-44-55")
    assert names.of("+47\u00a022\u200933 44\u201155") == names.of("004722334455") == names.of("+47 22334455 ext 5")
    assert (
        names.of("kari @ firma.example") == names.of("ka\u200bri\uff20firma.example") == names.of("kari@firma.example")
    )


@given(st.recursive(st.none() | st.integers(0, 9) | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_a_line_that_names_nobody_stays_as_it_is(value: Any) -> None:
    text = json.dumps({"data": value})
    names = pseudonyms()

    masked = names.line(text)

    assert (masked == text) == (names.replaced == 0)


# Importers

HEADER = "number,incident_state,caller_id,opened_at,sys_updated_at,contact_type,location,priority,short_description"


def servicenow(folder: Path, *locations: str, caller: str = "Kari Nordmann", said: str = "no sound") -> str:
    rows = [
        f'INC{n},New,{caller},1/3/2016 10:00,1/3/2016 10:05,Phone,"{place}",3 - Moderate,{said}'
        for n, place in enumerate(locations)
    ]
    (folder / "log.csv").write_text("\n".join((HEADER, *rows)) + "\n", encoding="utf-8")
    return str(folder / "log.csv")


@pytest.fixture
def db(tmp_path: Path) -> Path:
    do(tmp_path / "ledger.db", "init")
    return tmp_path / "ledger.db"


def customers(db: Path) -> list[str]:
    return [row["data"]["customer"] for row in log(db, "--type", "IncidentReported")]


def test_a_servicenow_log_brings_in_no_person(db: Path, tmp_path: Path) -> None:
    file = servicenow(tmp_path, "Location 143", *KARI, "Kari <kari.nordmann@firma.example>", KARI[1].upper())

    done = do(db, "import", "--from", "servicenow", file, "--zone", "Europe/Oslo")

    place, name, mail, phone, again, upper = customers(db)
    assert place == "location-143"
    assert all(re.fullmatch("p-[a-z2-7]{16}", x) for x in (name, mail, phone))
    assert len({name, mail, phone}) == 3
    assert again == upper == mail
    assert not re.search(b"(?i)nordmann|firma|22-33", db.read_bytes())
    assert "5 times a pseudonym stands for what looks like a person" in done.stderr
    assert all("summary" not in row["data"] for row in log(db))


def test_pseudonyms_last_from_import_to_import_and_differ_between_ledgers(db: Path, tmp_path: Path) -> None:
    command = ["import", "--from", "servicenow", servicenow(tmp_path, KARI[1]), "--zone", "Europe/Oslo"]
    do(tmp_path / "other.db", "init")

    first, second = do(db, "--json", *command), do(db, "--json", *command)
    do(tmp_path / "other.db", *command)

    assert (json.loads(first.stdout)["added"], json.loads(second.stdout)["added"]) == (2, 0)
    assert len(customers(db)) == 1
    assert customers(db) != customers(tmp_path / "other.db")
    assert KeyFile(place_of(str(db), {})).living().keys() == {PSEUDONYMS}


def test_a_key_of_pseudonyms_that_is_missing_is_missed(db: Path, tmp_path: Path) -> None:
    command = ["import", "--from", "servicenow", servicenow(tmp_path, KARI[1]), "--zone", "Europe/Oslo"]
    first = do(db, *command)
    for ending in (".keys", ".kek"):
        db.with_name(db.name + ending).unlink()

    again = do(db, *command, "--dry-run", code=1)

    assert "warning" not in first.stderr
    assert re.search(r"warning: entry \d+ holds a pseudonym, and the key .* is not in .*ledger\.db\.keys", again.stderr)
    assert "warning: entry" in do(db, *command, code=1).stderr
    assert "warning: entry" not in do(db, *command, code=1).stderr


def test_who_asks_gets_persons_and_summaries(db: Path, tmp_path: Path) -> None:
    file = servicenow(tmp_path, KARI[1], said="call +47 22 33 44 55")

    do(db, "import", "--from", "servicenow", file, "--zone", "UTC", "--keep-personal", "--summary", "short_description")

    assert customers(db) == ["kari.nordmann-firma.example"]
    assert log(db, "incident:INC0")[0]["data"]["summary"] == "call +47 22 33 44 55"
    assert not db.with_name("ledger.db.keys").exists()


def test_a_summary_that_was_asked_for_is_masked_sealed_and_in_no_id(db: Path, tmp_path: Path) -> None:
    do(db, "privacy", "on", "oslo")
    command = ["import", "--from", "servicenow", "--zone", "UTC", "--summary", "short_description"]
    ids = []
    for said in ("call +47 22 33 44 55", "call +47 22 33 44 55", "another text"):
        done = do(db, "--json", *command, servicenow(tmp_path, "Oslo", said=said))
        ids.append((json.loads(done.stdout)["added"], log(db, "incident:INC0")[0]["command_id"]))

    assert [added for added, _ in ids] == [2, 0, 0]
    assert re.fullmatch("call p-[a-z2-7]{16}", log(db, "incident:INC0")[0]["data"]["summary"])
    assert b"call p-" not in db.read_bytes()
    do(db, "import", servicenow(tmp_path, "Oslo"), "--summary", "short_description", code=2)


def test_a_dry_run_makes_no_key(db: Path, tmp_path: Path) -> None:
    done = do(db, "import", "--from=servicenow", servicenow(tmp_path, KARI[1]), "--zone=UTC", "--dry-run")

    assert "1 times a pseudonym" in done.stderr
    assert not db.with_name("ledger.db.keys").exists()


def test_a_stream_file_is_masked_and_a_copy_is_not(db: Path, tmp_path: Path) -> None:
    head = {"specversion": "1.0", "subject": "incident:1", "time": "2026-01-05T12:00:00Z"}
    data = {"customer": KARI[1], "service": "licence", "channel": "phone", "summary": f"call {KARI[2]} +02:00"}
    lines = [
        head | {"type": "IncidentReported", "actor": KARI[1], "commandid": f"mail/{KARI[1]}/1", "data": data},
        head | {"type": "PriorityAssigned", "data": {"priority": "low", "reason": f"{KARI[1]} said so"}},
        head
        | {
            "type": "EntryCorrected",
            "data": {"version": 1, "reason": "r", "time": head["time"], "data": data | {"customer": "acme"}},
        },
    ]
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    first = do(db, "--json", "import", str(tmp_path / "facts.jsonl"))
    second = do(db, "--json", "import", str(tmp_path / "facts.jsonl"))

    assert (json.loads(first.stdout)["added"], json.loads(second.stdout)["added"]) == (3, 0)
    report, priority, corrected = log(db, "incident:1")
    assert report["actor"] == report["data"]["customer"]
    assert report["command_id"] == f"mail/{report['actor']}/1"
    assert priority["data"]["reason"] == f"{report['actor']} said so"
    assert re.fullmatch(r"call p-[a-z2-7]{16} \+02:00", corrected["data"]["data"]["summary"])
    assert b"firma" not in db.read_bytes()

    do(tmp_path / "kept.db", "init")
    refused = do(tmp_path / "kept.db", "import", str(tmp_path / "facts.jsonl"), "--keep-personal", code=1)
    assert "data.customer" in refused.stderr  # an address is no identifier
    lines = [head | {"type": "IncidentReported", "data": data | {"customer": "acme"}, "recordedtime": head["time"]}]
    (tmp_path / "facts.jsonl").write_text(json.dumps(lines[0]) + "\n")
    do(tmp_path / "copy.db", "import", "--verbatim", str(tmp_path / "facts.jsonl"))
    assert KARI[2] in log(tmp_path / "copy.db")[0]["data"]["summary"]


def test_the_terms_and_what_is_sealed_pass_untouched(db: Path, tmp_path: Path) -> None:
    document = json.loads(do(db, "export").stdout)["data"]["document"] + "# call +47 22 33 44 55, kari@firma.example\n"
    document = document.replace('id = "easymeeting-2020-09-23"', 'id = "with-a-number"', 1)
    (tmp_path / "terms.toml").write_text(document.replace("2020-09-23T00", "2021-09-23T00", 1))
    do(db, "terms", "post", str(tmp_path / "terms.toml"))
    exported = do(db, "export").stdout
    (tmp_path / "all.jsonl").write_text(exported)
    do(tmp_path / "second.db", "init")

    do(tmp_path / "second.db", "import", str(tmp_path / "all.jsonl"))

    assert log(tmp_path / "second.db")[-1]["data"] == log(db)[-1]["data"]


def test_an_upptime_site_named_by_an_address_becomes_a_pseudonym(db: Path, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(
        "committed_at,site,status,commit\n"
        "2026-01-20T21:28:38+00:00,kari@firma.example,down,e0af6fb\n"
        "2026-01-20T21:38:38+00:00,Shop,down,e0af6fb\n"
    )
    (tmp_path / "heads.json").write_text(json.dumps({"ola@firma.example": {"startTime": "2026-01-01T00:00:00Z"}}))

    do(db, "import", "--from", "upptime", str(tmp_path / "c.csv"), "--heads", str(tmp_path / "heads.json"))

    services = [s for row in log(db, "--type", "OutageReported") for s in row["data"]["services"]]
    assert services[1] == "shop"
    assert re.fullmatch("p-[a-z2-7]{16}", services[0])
    assert b"firma" not in db.read_bytes()
