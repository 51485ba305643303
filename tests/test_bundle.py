"""Evidence bundles: what is in them, what they answer, and that nothing else is taken for one."""

from __future__ import annotations

import json
import struct
import warnings
import zipfile
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from pathlib import Path

import freezegun
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from typer.testing import CliRunner

import cli
from ledger.entry import to_line
from ledger.errors import LedgerBroken
from ledger.seal import opening, packing, witness
from ledger.seal.bundle import Bundle, bundled, sums
from ledger.seal.notes import BadNote, Note
from ledger.store.mapper import from_state
from ledger.store.stream_record import StreamRecord
from projections.concerning import concern
from projections.history import History
from projections.judgement import Judgement
from tests.bundles import KEYS, LOG, OTHER, bundle, decide, decided, sealed
from tests.oracle.histories import as_ofs
from tests.support import do, entries
from tests.test_concerning import corrected, told
from tests.test_concerning import decided as decided_in

NOW = "2026-03-01T00:00:00Z"


@pytest.fixture(scope="module")
def made() -> Bundle:
    return bundle()


@pytest.fixture(scope="module")
def unwitnessed() -> Bundle:
    """Signed by the log alone: a cosignature that is taken away leaves a bundle that says less, and that is one."""
    return bundle(keys=KEYS[:1])


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "history.jsonl"
    path.write_text("".join(to_line(from_state(*row)) + "\n" for row in decided().rows(10**9)))
    return path


@pytest.fixture(scope="module")
def archive(made: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "claim.zip"
    path.write_bytes(packing.packed(made.files()))
    return path


def opened(files: dict[str, bytes]) -> Bundle:
    return opening.checked(packing.packed(files), "claim.zip")


def resummed(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files with a manifest that fits them, as whoever changed them would write it."""
    rest = {name: data for name, data in files.items() if name != "SHA256SUMS"}
    return rest | {"SHA256SUMS": sums(rest)}


@pytest.mark.parametrize("name", ["basis-1.txt", "basis-9999.txt"])
def test_a_proof_that_nothing_in_the_bundle_asks_for_is_refused(made: Bundle, name: str) -> None:
    [basis] = [data for kept, data in made.files().items() if kept.startswith("basis-")][:1]

    for data in (basis, b""):
        with pytest.raises(LedgerBroken, match=name):
            opened(resummed(made.files() | {name: data}))


def test_a_key_that_signed_nothing_is_not_in_a_bundle(made: Bundle, unwitnessed: Bundle) -> None:
    stripped = made.files() | {"checkpoint.txt": unwitnessed.files()["checkpoint.txt"]}
    stripped |= {name: data for name, data in unwitnessed.files().items() if name.startswith("earlier-")}

    with pytest.raises(LedgerBroken, match="has signed none of the checkpoints"):
        opened(resummed(stripped))
    with pytest.raises(BadNote, match="has signed none of the checkpoints"):
        bundle(keys=(*KEYS, OTHER.verifier()))


def test_a_witness_whose_key_is_given_and_who_did_not_sign_is_named(unwitnessed: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "claim.zip"
    path.write_bytes(packing.packed(unwitnessed.files()))

    both = ("--as-of", NOW, "verify", "--vkey", str(KEYS[0]), "--vkey", str(KEYS[1]))

    assert json.loads(do(path, "--json", *both).stdout)["not_signed_by"] == [str(KEYS[1])]
    assert f"not signed by {KEYS[1]}" in do(path, *both).stdout


def test_what_is_opened_is_what_was_made(made: Bundle) -> None:
    found = opened(made.files())

    assert found == made
    assert [x.row for x in found.entries] == [
        r for r in decided().rows(10**9) if r[0] in {x.row[0] for x in made.entries}
    ]
    assert [x.checkpoint.size for x in found.earlier] == [made.decision]
    assert len(found.entries) < decided().count() // 2


def test_the_same_bytes_for_the_same_ledger_claim_and_checkpoints(made: Bundle) -> None:
    assert packing.packed(bundle().files()) == packing.packed(made.files())


def test_no_other_customers_case_is_in_it(made: Bundle) -> None:
    text = b"".join(made.files().values())

    assert b"incident:INC-1" in text
    assert not [x for x in made.said if "borealis" in json.dumps(x.event.model_dump(mode="json"))]
    assert b"incident:INC-2" not in text
    assert b"incident:B-" not in text


QUESTIONS = [
    ["audit", "claim:C"],
    ["claim", "assess", "claim:C"],
    ["claim", "assess", "C", "--reading", "lost_steps=exact", "--as-of", "2027-01-01T00:00:00Z"],
    ["claim", "show", "claim:C"],
    ["explain", "claim:C"],
    ["explain", "claim:C-0"],
    ["readings", "claim:C"],
    ["availability", "--year", "2025", "--customer", "acme", "--service", "licence"],
    ["availability", "--from", "2025-03-01", "--until", "2025-09-01", "--customer", "acme", "--service", "licence"],
    *(["show", s] for s in ("claim:C", "outage:O-1", "maintenance:M-2", "agreement:acme", "incident:INC-1", "terms:t")),
    ["log", "outage:O-1"],
    ["terms", "list"],
]


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
@pytest.mark.parametrize("form", ["json", "table"])
def test_a_bundle_answers_as_the_ledger_does(ledger: Path, archive: Path, question: list[str], form: str) -> None:
    said = [do(path, "--format", form, *question, now=NOW).stdout for path in (ledger, archive)]

    assert said[0] == said[1]


def test_at_an_earlier_entry_only_the_root_is_not_known(ledger: Path, archive: Path, made: Bundle) -> None:
    question = ["--at-entry", str(made.decision - 2), "claim", "assess", "claim:C", "--json"]
    first, second = (json.loads(do(path, *question, now=NOW).stdout) for path in (ledger, archive))

    assert second["basis"].pop("root") is None
    assert first["basis"].pop("root")
    assert first == second


def test_its_log_is_the_entries_as_the_ledger_has_them(ledger: Path, archive: Path, made: Bundle) -> None:
    positions = {x.row[0] for x in made.entries}
    rows = json.loads(do(ledger, "log", "--json", now=NOW).stdout)

    assert json.loads(do(archive, "log", "--json", now=NOW).stdout) == [r for r in rows if r["position"] in positions]


@pytest.mark.parametrize(
    "question",
    [
        ["queue"],
        ["compliance"],
        ["order"],
        ["commitments"],
        ["settle", "--year", "2025"],
        ["rebuild"],
        ["export"],
        ["explain", "incident:INC-1"],
        ["availability", "--year", "2025"],
        ["availability", "--year", "2025", "--customer", "borealis", "--service", "licence"],
        ["availability", "--year", "2025", "--customer", "acme", "--service", "support"],
        ["--known-at", "2025-07-01T00:00:00Z", "claim", "assess", "claim:C"],
        ["claim", "issue", "claim:C", "--reference", "CN-1"],
        ["receipt", "outage:O-1"],
        ["witness", "request", "--since", "3"],
        ["seal", "--key", "nowhere"],
        ["record", "ResponseGiven", "incident:INC-1", "--responder", "human"],
    ],
    ids=" ".join,
)
def test_what_it_cannot_answer_is_refused_in_three_lines(archive: Path, question: list[str]) -> None:
    do(archive, *question, code=1, now=NOW)


def test_verify_says_what_it_found_and_what_it_cannot_know(archive: Path, made: Bundle, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.write_text(str(sealed(decided(), made.decision)[1]))

    options = ["verify", str(archive), "--vkey", str(LOG.verifier()), "--checkpoint", str(held), "--json"]
    found = json.loads(do("nowhere.db", *options, now=NOW).stdout)

    assert (found["result"], found["entries"], found["size"]) == ("reproduced", len(made.entries), decided().count())
    assert found["signed_by"] == [str(key) for key in KEYS]
    assert found["given_checkpoints"] == [{"file": str(held), "size": made.decision, "is_consistent": True}]
    assert len(found["unknown"]) == 2


def test_verify_refuses_another_key_and_a_checkpoint_of_another_history(archive: Path, tmp_path: Path) -> None:
    do("nowhere.db", "verify", str(archive), "--vkey", str(OTHER.verifier()), code=1, now=NOW)
    record = decided()
    said, _ = sealed(record, record.count())
    fork = tmp_path / "fork"
    fork.write_text(str(LOG.sign(type(said)(said.origin, said.size, bytes(32)).note())))

    told = do("nowhere.db", "verify", str(archive), "--checkpoint", str(fork), code=4, now=NOW)

    assert "a fork" in told.stderr


def test_a_decision_that_does_not_come_out_again_exits_1(tmp_path: Path) -> None:
    """The proofs hold, for it is what was recorded; the decision is still wrong."""
    lines = [json.loads(to_line(from_state(*row))) for row in decided().rows(10**9)]
    granted = next(x for x in lines if x["subject"] == "claim:C" and "decision" in x["data"])
    granted["data"]["decision"]["lost_percent"] = "50.0000"
    record = StreamRecord(entries(lines))
    path = tmp_path / "wrong.zip"
    path.write_bytes(packing.packed(bundle(record).files()))

    with freezegun.freeze_time(NOW):
        result = CliRunner().invoke(cli.app, ["verify", str(path), "--json"])

    found = json.loads(result.stdout)
    assert (result.exit_code, found["result"], found["differences"][0]["field"]) == (1, "differs", "lost_percent")


@given(st.data())
def test_of_any_history_a_bundle_can_be_opened_and_its_audit_is_the_ledgers(data: st.DataObject) -> None:
    lines, at = told(data)
    record = StreamRecord(entries(lines))
    whole = History([from_state(*row) for row in record.rows(10**9)])
    for stream in whole.streams("claim"):
        decision = next((x.position for x in reversed(whole.recorded(stream)) if hasattr(x.event, "decision")), None)
        needed = concern(whole, stream)
        if decision is None or needed.foreign:
            continue
        positions = [x.position for x in whole.of_streams(needed.streams).entries]
        notes = [sealed(record, size) for size in (decision, record.count())]
        handed = opened(bundled(record, stream, decision, positions, notes, KEYS, "x").files())
        some = History(handed.said, handed.checkpoint.size)
        as_of = data.draw(as_ofs(lines) | st.just(at))

        first, second = (decided_in(Judgement(history, as_of), stream) for history in (whole, some))
        assert first == second


# ------------------------------------------------------------------------------------------------ changed bundles


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


@given(st.data())
def test_a_changed_bit_anywhere_in_the_archive_is_refused(made: Bundle, data: st.DataObject) -> None:
    whole = packing.packed(made.files())
    at = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(LedgerBroken):
        opening.checked(flipped(whole, at, data.draw(st.integers(0, 7))), "claim.zip")


@given(st.data())
def test_a_changed_bit_of_any_file_is_refused_even_with_sums_that_fit(made: Bundle, data: st.DataObject) -> None:
    files = made.files()
    name = data.draw(st.sampled_from(sorted(files.keys() - {"SHA256SUMS"})))
    at = data.draw(st.integers(0, len(files[name]) - 1))
    files[name] = flipped(files[name], at, data.draw(st.integers(0, 7)))
    assume(name != "manifest.json" or made.program.encode() in files[name])  # which program made it nobody can check

    with pytest.raises(LedgerBroken):
        opened(resummed(files))


@given(st.data())
def test_lines_that_are_removed_doubled_or_swapped_are_refused(unwitnessed: Bundle, data: st.DataObject) -> None:
    files = unwitnessed.files()
    together = data.draw(st.booleans())  # in all three files alike, so that they still fit each other
    names = ["entries.jsonl", "leaves.jsonl", "proofs.txt"]
    chosen = names if together else [data.draw(st.sampled_from([*names, "checkpoint.txt", "README.md"]))]
    count = len(files[chosen[0]].splitlines())
    first, second = data.draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True))
    how = data.draw(st.sampled_from(["swap", "double"] if together else ["swap", "double", "remove"]))
    for name in chosen:
        lines = files[name].splitlines(keepends=True)
        if how == "swap":
            lines[first], lines[second] = lines[second], lines[first]
        elif how == "double":
            lines.insert(second, lines[first])
        else:
            del lines[first]
        files[name] = b"".join(lines)
    assume(files != unwitnessed.files())

    with pytest.raises(LedgerBroken):
        opened(resummed(files))


def test_an_entry_left_out_is_missed_by_its_stream_or_by_the_decision(made: Bundle, tmp_path: Path) -> None:
    """Those at the end of a stream leave no gap: then the decision does not come out, unless nothing rested on them."""
    outcomes = dict[int, str]()
    for gone in made.entries:
        less = replace(made, entries=tuple(x for x in made.entries if x is not gone))
        path = tmp_path / "less.zip"
        try:
            path.write_bytes(packing.packed(less.files() if less.decided() else made.files() | {"entries.jsonl": b""}))
            with freezegun.freeze_time(NOW):
                result = CliRunner().invoke(cli.app, ["verify", str(path)])
            outcomes[gone.row[0]] = {0: "reproduced", 1: "differs", 4: "broken"}[result.exit_code]
        except LedgerBroken:
            outcomes[gone.row[0]] = "broken"
    decision = made.decided() or {}
    rests_on = {p for p in decision["because"] if p <= decision["basis"]["entries"]}

    assert {outcomes[p] for p in rests_on} <= {"differs", "broken"}
    assert {"differs", "broken"} <= {*outcomes.values()}


def changed(made: Bundle, name: str, old: bytes, new: bytes) -> dict[str, bytes]:
    files = made.files()
    assert old in files[name]
    return resummed(files | {name: files[name].replace(old, new, 1)})


def test_what_is_wrong_is_named(made: Bundle) -> None:
    files = made.files()
    position = made.entries[-1].row[0]
    forged = replace(
        made.entries[-1], row=(*made.entries[-1].row[:4], made.entries[-1].row[4].replace(b"2025", b"2024", 1))
    )
    other = OTHER.sign(made.checkpoint.note())
    named: list[tuple[dict[str, bytes], str]] = [
        (files | {"terms-1.toml": files["terms-1.toml"] + b"\n"}, "terms-1.toml: it is not the file that SHA256SUMS"),
        (resummed(files | {"terms-1.toml": files["terms-1.toml"] + b"\n"}), "terms-1.toml: it does not belong here"),
        (resummed(files | {"terms-9.toml": b"x"}), "terms-9.toml: it does not belong here"),
        (resummed({k: v for k, v in files.items() if k != "terms-1.toml"}), "terms-1.toml: it does not belong here"),
        (changed(made, "decision.json", b"refused", b"granted"), "decision.json: it does not belong here"),
        (changed(made, "entries.jsonl", b"acme", b"acne"), "its leaf is not that of the bytes"),
        (changed(made, "manifest.json", b'"claim:C"', b'"claim:D"'), "no decision on claim:D"),
        (changed(made, "manifest.json", b'"format": 1', b'"format": 2'), "a bundle of format 2"),
        (changed(made, "README.md", b"Evidence", b"evidence"), "README.md: it does not belong here"),
        (replace(made, entries=(*made.entries[:-1], forged)).files(), f"entry {position}: its proof does not lead"),
        (replace(made, entries=made.entries[:10] + made.entries[11:]).files(), "is missing before it"),
        (replace(made, note=other).files(), "not signed first by the log's key"),
        (replace(made, note=LOG.sign(Note(made.note.text + "more\n"))).files(), "lines after the root"),
        (replace(made, note=Note(made.note.text, made.note.signatures[::-1])).files(), "not signed first"),
        (replace(made, keys=made.keys[:1]).files(), "a signature by a key that vkeys.txt does not name"),
        (replace(made, keys=(OTHER.verifier(), *made.keys[1:])).files(), "not signed first by the log's key"),
        (replace(made, bases=()).files(), "basis-"),
        (
            replace(made, earlier=(replace(made.earlier[0], proof=made.earlier[0].proof[:-1]),)).files(),
            "does not continue it",
        ),
    ]
    for given_files, text in named:
        with pytest.raises(LedgerBroken) as caught:
            opened(given_files)
        assert text in caught.value.what, (text, caught.value.what)
        assert len(str(caught.value).splitlines()) == 3


def test_what_another_version_made_is_checked_as_far_as_it_goes_and_never_passes(made: Bundle, tmp_path: Path) -> None:
    """Its texts follow from nothing that this version knows, so they may be anybody's."""
    path, spoofed = tmp_path / "other.zip", made.files()
    assert made.program.encode() in spoofed["manifest.json"]
    spoofed["manifest.json"] = spoofed["manifest.json"].replace(made.program.encode(), b"sla-ledger 0.0.1")
    spoofed |= {"README.md": b"Trust this.\n", "check.go": b"package main\n\nfunc main() {}\n"}
    path.write_bytes(packing.packed(resummed(spoofed)))

    told = do("nowhere.db", "verify", str(path), "--json", code=1, now=NOW)
    found = json.loads(told.stdout)

    assert (found["result"], found["made_by"]) == ("reproduced", "sla-ledger 0.0.1")
    assert found["not_checked"] == ["README.md", "check.go", "check_inclusion.py"]
    assert "made by sla-ledger 0.0.1" in told.stderr
    assert "NOT CHECKED" in do("nowhere.db", "verify", str(path), code=1, now=NOW).stdout
    spoofed["entries.jsonl"] = spoofed["entries.jsonl"].replace(b"acme", b"acne")
    path.write_bytes(packing.packed(resummed(spoofed)))
    do("nowhere.db", "verify", str(path), code=4, now=NOW)


def test_two_histories_signed_by_the_log_are_a_fork(made: Bundle) -> None:
    said = made.earlier[0].checkpoint
    fork = replace(said, root=bytes(32))
    earlier = replace(made.earlier[0], checkpoint=fork, note=LOG.sign(fork.note()))

    with pytest.raises(LedgerBroken, match="does not continue it"):
        opened(replace(made, earlier=(earlier,)).files())
    with pytest.raises(LedgerBroken, match="do not lead to the root"):
        bundle(notes=[sealed(decided(), decided().count()), (fork, LOG.sign(fork.note()))])
    with pytest.raises(LedgerBroken, match="a fork"):
        bundle(notes=[sealed(decided(), said.size), (fork, LOG.sign(fork.note()))])
    with pytest.raises(BadNote, match="not signed by the log's key"):
        bundle(notes=[sealed(decided(), decided().count(), by=OTHER)])


# ------------------------------------------------------------------------------------------------ hostile archives


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED, attributes: int = 0o100644 << 16) -> bytes:
    out = BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # of a name that stands twice
        for name, data in members:
            item = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            item.create_system, item.external_attr, item.compress_type = 3, attributes, method
            archive.writestr(item, data)
    return out.getvalue()


def encrypted(data: bytes) -> bytes:
    return data[:6] + b"\x01" + data[7:]


HOSTILE = {
    "nothing": b"",
    "no archive": b"hello" * 100,
    "an empty archive": zipped(),
    "a path upwards": zipped(("../README.md", b"x")),
    "an absolute path": zipped(("/etc/passwd", b"x")),
    "a backslash": zipped(("..\\README.md", b"x")),
    "a folder": zipped(("terms/", b"")),
    "a file in a folder": zipped(("a/README.md", b"x")),
    "another name": zipped(("evil.py", b"import os")),
    "a name of a device": zipped(("CON", b"x")),
    "a name that is too long": zipped(("README.md" * 1000, b"x")),
    "a name that is not ASCII": zipped(("READMÉ.md", b"x")),
    "a name twice": zipped(("README.md", b"x"), ("README.md", b"y")),
    "a link": zipped(("README.md", b"/etc/passwd"), attributes=0o120777 << 16),
    "a bomb": zipped(("entries.jsonl", bytes(10_000_000)), method=zipfile.ZIP_DEFLATED),
    "an encrypted member": encrypted(zipped(("README.md", b"x"))),
    "a comment": zipped(("README.md", b"x"))[:-2] + b"\x03\x00abc",
    "something before": b"#!/bin/sh\n" + zipped(("README.md", b"x")),
    "something after": zipped(("README.md", b"x")) + b"x",
    "no directory": zipped(("README.md", b"x"))[:40],
    "a length beyond the end": struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 2**32 - 1, 2**32 - 1, 9, 0)
    + b"README.md",
    "another order": zipped(("manifest.json", b"x"), ("README.md", b"x")),
    "too many files": zipped(*((f"earlier-{n}.txt", b"") for n in range(packing.MAX_FILES + 1))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_of_it_is_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(HOSTILE[name])

    result = do("nowhere.db", "verify", str(path), code=4, now=NOW)

    assert len(result.stderr.splitlines()) == 3
    assert [x.name for x in tmp_path.iterdir()] == ["bundle.zip"]


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    with path.open("wb") as file:
        file.truncate(10**12)

    do("nowhere.db", "verify", str(path), code=4, now=NOW)


@pytest.mark.parametrize(
    "name", ["entries.jsonl", "leaves.jsonl", "proofs.txt", "checkpoint.txt", "vkeys.txt", "manifest.json"]
)
@given(data=st.data())
def test_whatever_stands_in_a_file_gives_three_lines(unwitnessed: Bundle, name: str, data: st.DataObject) -> None:
    files = unwitnessed.files()
    lines = files[name].splitlines(keepends=True)
    strange = st.sampled_from(
        [b"\n", b"{}\n", b"[" * 10_000, b"null\n", b"\xff\xfe\n", b'{"a":1e999}\n', b"old 1\n", b"\0\n"]
    )
    at = data.draw(st.integers(0, len(lines)))
    lines[at : at + data.draw(st.integers(0, 2))] = [data.draw(strange | st.binary(max_size=40))]
    files[name] = b"".join(lines)
    assume(files != unwitnessed.files())

    with pytest.raises(LedgerBroken) as caught:
        opened(resummed(files))
    assert len(str(caught.value).splitlines()) == 3


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda b: b"PK\3\4" + b))
def test_any_bytes_are_opened_or_refused(data: bytes) -> None:
    with pytest.raises(LedgerBroken):
        opening.checked(data, "claim.zip")


def test_a_request_that_names_another_customers_case_gives_no_bundle(tmp_path: Path) -> None:
    lines = [json.loads(to_line(from_state(*row))) for row in decided().rows(10**9)]
    asked = next(x for x in lines if x["subject"] == "claim:C")
    asked["data"]["notified"] = ["incident:INC-2"]
    path, held = tmp_path / "history.jsonl", tmp_path / "held"
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))
    record = StreamRecord(entries(lines))
    held.write_text(str(sealed(record, record.count())[1]))

    options = ["-o", str(tmp_path / "b.zip"), "--checkpoint", str(held), "--vkey", str(LOG.verifier())]
    told = do(path, "bundle", "claim:C", *options, code=1, now=NOW)

    assert "incident:INC-2" in told.stderr
    assert not (tmp_path / "b.zip").exists()


def test_before_a_claim_was_corrected_a_bundle_has_no_answer(tmp_path: Path) -> None:
    lines = [json.loads(to_line(from_state(*row))) for row in decided().rows(10**9)]
    lines = [{k: v for k, v in x.items() if k not in ("id", "sequence")} for x in lines]
    lines = [x for x in lines if x["subject"] != "claim:C" or "decision" not in x["data"]]
    lines = corrected(lines, "claim:C", "borealis")
    record = StreamRecord(entries([*lines, decide(lines, "claim:C", datetime(2026, 2, 3))]))
    path = tmp_path / "claim.zip"
    made = bundle(record)
    path.write_bytes(packing.packed(made.files()))
    fix = next(x.position for x in made.said if x.name == "EntryCorrected")

    told = do(path, "--at-entry", str(fix - 1), "claim", "assess", "claim:C", code=1, now=NOW)
    assert "claim:C asked for borealis licence" in told.stderr
    do(path, "--at-entry", str(fix), "claim", "assess", "claim:C", now=NOW)
    assert "reproduced" in do(path, "verify", str(path), now=NOW).stdout
    assert "agreement:borealis" not in {x.stream for x in made.said}


# ------------------------------------------------------------------------------------------------ from each store


def test_a_copy_in_postgresql_gives_the_same_bytes(ledger: Path, emptied: str, tmp_path: Path) -> None:
    """The checkpoint of one store is that of the other, and so is everything that is handed out."""
    held, key = tmp_path / "held", str(LOG.verifier())
    held.write_text(str(sealed(decided(), decided().count())[1]))
    given_alike = ["--checkpoint", str(held)]
    handed = list[tuple[bytes, bytes, str]]()
    stores: list[Path | str] = [tmp_path / "ledger.db", emptied]
    for n, db in enumerate(stores):
        do(db, "import", "--verbatim", str(ledger))
        claim, receipt = tmp_path / f"{n}.zip", tmp_path / f"{n}.receipt"
        do(db, "bundle", "claim:C", "-o", str(claim), "--vkey", key, *given_alike, now=NOW)
        do(db, "receipt", "outage:O-1", "-o", str(receipt), *given_alike, now=NOW)
        request = do(db, "witness", "request", "--since", "40", *given_alike, now=NOW).stdout
        handed.append((claim.read_bytes(), receipt.read_bytes(), request))

    assert handed[0] == handed[1]
    assert witness.request(handed[0][2].encode(), "x").old == 40


def test_a_sealed_ledger_gives_a_bundle_by_its_own_key(ledger: Path, tmp_path: Path) -> None:
    db, key, out = tmp_path / "ledger.db", str(tmp_path / "seal.key"), tmp_path / "claim.zip"
    do(db, "import", "--verbatim", str(ledger))
    vkey = do(db, "seal", "--new-key", "example.com/ledger", "--key", key).stdout.strip()
    do(db, "bundle", "claim:C", "-o", str(out), "--key", key, code=1, now=NOW)
    do(db, "seal", "--key", key)

    do(db, "bundle", "claim:C", "-o", str(out), "--key", key, now=NOW)
    again = tmp_path / "again.zip"
    do(db, "bundle", "claim:C", "-o", str(again), "--key", key, now=NOW)

    assert out.read_bytes() == again.read_bytes()
    assert "reproduced" in do(db, "verify", str(out), "--vkey", vkey, now=NOW).stdout
    do(db, "bundle", "claim:C-1", "-o", str(out), "--key", key, code=1, now=NOW)
    do(db, "bundle", "claim:C", "-o", str(tmp_path / "claim"), "--key", key, code=2, now=NOW)
