"""The customer's side: which checkpoints a witness takes, what it keeps, and what a receipt shows."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ledger.entry import to_line
from ledger.errors import LedgerBroken, LedgerError
from ledger.seal import checkpoints, hash_lines, held, merkle, proven, receipts, witness
from ledger.seal.checkpoints import Checkpoint
from ledger.seal.leaves import leaf, leaf_bytes
from ledger.seal.notes import COSIGNATURE, BadNote, Note, Signer, seen_at, verifier
from ledger.seal.receipts import Receipt
from ledger.seal.witness import Request, Seen
from ledger.store.mapper import from_state
from tests.bundles import LOG, OTHER, SEEN_AT, WITNESS, decided, sealed
from tests.support import do

LEAVES = [sha256(b"%d" % n).digest() for n in range(300)]
KEY = LOG.verifier()


def signed(size: int, leaves: list[bytes] = LEAVES, origin: str = LOG.name) -> tuple[Checkpoint, Note]:
    said = Checkpoint(origin, size, merkle.root(leaves[:size]))
    return said, LOG.sign(said.note())


def asked(old: int, size: int, leaves: list[bytes] = LEAVES) -> Request:
    return Request(*signed(size, leaves), old, tuple(merkle.consistency(leaves[:size], old)))


def having_seen(size: int) -> Seen:
    return Seen(KEY, *signed(size))


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_continuation_is_taken_and_written_down(old: int, size: int) -> None:
    assume(old <= size)

    found = witness.accepted(having_seen(old), asked(old, size), None, "x")

    assert found.checkpoint == signed(size)[0]
    assert witness.request(str(asked(old, size)).encode(), "x") == asked(old, size)


@given(st.integers(1, 300), st.integers(0, 300), st.data())
def test_another_history_is_not(old: int, size: int, data: st.DataObject) -> None:
    other = list(LEAVES)
    other[data.draw(st.integers(0, old - 1))] = bytes(32)
    assume(size >= old)

    with pytest.raises(LedgerBroken, match="a fork"):
        witness.accepted(having_seen(old), asked(old, size, other), None, "x")


def test_what_is_refused_is_named() -> None:
    last = having_seen(100)
    wrong = Request(*signed(200), 100, asked(100, 201).proof)
    unsigned = Request(signed(200)[0], OTHER.sign(signed(200)[0].note()), 100, asked(100, 200).proof)
    forged = Request(signed(200)[0], Note(signed(200)[1].text, signed(199)[1].signatures), 100, asked(100, 200).proof)
    elsewhere = Request(*signed(200, origin="example.com/else"), 100, asked(100, 200).proof)
    for request, kind, text in [
        (asked(50, 99), LedgerBroken, "a rollback: 100 entries were seen before, and now 99"),
        (Request(*signed(200)), LedgerError, "no proof"),
        (asked(99, 200), LedgerError, "a proof from 99 entries"),
        (wrong, LedgerBroken, "a fork, or a wrong proof"),
        (unsigned, BadNote, "not signed by the log's key"),
        (forged, BadNote, "does not fit the text"),
        (elsewhere, BadNote, "not of 'example.com/ledger'"),
    ]:
        with pytest.raises(kind) as caught:
            witness.accepted(last, request, None, "x")
        assert text in caught.value.what
        assert caught.value.exit_status == (4 if kind is LedgerBroken else 1)
    with pytest.raises(BadNote, match="another key than the one seen before"):
        witness.accepted(last, asked(100, 200), OTHER.verifier(), "x")
    with pytest.raises(BadNote, match="not known yet"):
        witness.accepted(None, Request(*signed(5)), None, "x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"old 3\n",
        b"old 3\n\n",
        b"old 03\n\n",
        b"old 99999999999999999999\n\nx",
        b"old 3\nAAAA\n\n" + str(signed(5)[1]).encode(),
        b"old 3\n" + b64encode(bytes(32)) + b"\n" * 64,
        b"old 3\n" + (b64encode(bytes(32)) + b"\n") * 64 + b"\n" + str(signed(5)[1]).encode(),
        b"\xff\xfe",
        str(signed(5)[1]).encode()[:-1],
    ],
)
def test_a_file_that_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(BadNote):
        witness.request(data, "x")


@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda b: b"old 3\n" + b))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    with pytest.raises(BadNote):
        witness.request(data, "x")


def test_the_state_is_kept_before_anything_is_said_and_a_refusal_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "acme.state"

    before, kept = witness.check(path, Request(*signed(100)), KEY, WITNESS, SEEN_AT, "x")
    assert (before, witness.seen(path)) == (None, kept)
    before, kept = witness.check(path, asked(100, 200), None, WITNESS, SEEN_AT + 60, "x")
    assert before is not None
    assert (before.checkpoint.size, witness.seen(path)) == (100, kept)
    cosignature = WITNESS.verifier(COSIGNATURE).verified(kept.note)
    assert cosignature is not None
    assert seen_at(cosignature) == SEEN_AT + 60
    state = path.read_bytes()
    with pytest.raises(LedgerBroken):
        witness.check(path, asked(100, 150), None, WITNESS, SEEN_AT, "x")
    assert path.read_bytes() == state
    assert sorted(x.name for x in tmp_path.iterdir()) == ["acme.state", "acme.state.lock"]


def test_signatures_that_anybody_can_add_are_not_kept(tmp_path: Path) -> None:
    """With a hundred of them the state could not be read again, and the witness would have to begin anew."""
    path, (said, note) = tmp_path / "acme.state", signed(100)
    full = Note(note.text, (*note.signatures, *(replace(note.signatures[0], name=f"x{n}") for n in range(99))))

    _, kept = witness.check(path, Request(said, full), KEY, WITNESS, SEEN_AT, "x")

    assert [x.name for x in kept.note.signatures] == [LOG.name, WITNESS.name]
    assert witness.seen(path) == kept
    long = LOG.sign(Note(said.note().text + "x" * witness.MAX_STATE + "\n"))
    with pytest.raises(BadNote, match="not be read again"):
        witness.check(path, Request(said, long), None, WITNESS, SEEN_AT, "x")
    assert witness.seen(path) == kept


NEW = Signer("example.com/ledger-2", bytes(range(2, 34)))


def test_a_state_follows_to_a_new_key_by_a_checkpoint_that_both_signed(tmp_path: Path) -> None:
    path = tmp_path / "acme.state"
    witness.check(path, Request(*signed(100)), KEY, None, SEEN_AT, "x")
    request = asked(100, 200)
    alone, both = (replace(request, note=NEW.sign(note)) for note in (request.checkpoint.note(), request.note))

    for refused, key in ((alone, NEW.verifier()), (request, NEW.verifier()), (both, WITNESS.verifier(COSIGNATURE))):
        with pytest.raises(BadNote):
            witness.check(path, refused, key, None, SEEN_AT, "x")
    with pytest.raises(BadNote, match="did not sign it too"):
        witness.accepted(having_seen(100), alone, NEW.verifier(), "x")
    _, kept = witness.check(path, both, NEW.verifier(), None, SEEN_AT, "x")
    assert kept.key == NEW.verifier()
    assert [x.name for x in kept.note.signatures] == [NEW.name, LOG.name]
    later = asked(200, 250)
    _, kept = witness.check(path, replace(later, note=NEW.sign(later.checkpoint.note())), None, None, SEEN_AT, "x")
    assert kept.checkpoint.size == 250
    with pytest.raises(BadNote, match="not signed by the log's key"):
        witness.check(path, asked(250, 260), None, None, SEEN_AT, "x")


def test_no_entries_have_one_root() -> None:
    empty, other = (Checkpoint(LOG.name, 0, root) for root in (merkle.EMPTY, bytes(32)))

    assert witness.accepted(None, Request(empty, LOG.sign(empty.note())), KEY, "x").checkpoint == empty
    with pytest.raises(BadNote, match="a root over some"):
        witness.accepted(None, Request(other, LOG.sign(other.note())), KEY, "x")


def test_a_state_that_is_not_as_it_was_written_is_told_from_a_fork(tmp_path: Path) -> None:
    path = tmp_path / "acme.state"
    witness.check(path, Request(*signed(100)), KEY, None, SEEN_AT, "x")
    whole = path.read_text()

    for line, other in ((2, "50"), (3, b64encode(bytes(32)).decode()), (0, str(NEW.verifier()))):
        lines = whole.splitlines(keepends=True)
        lines[line] = f"{other}\n"
        path.write_text("".join(lines))
        with pytest.raises(BadNote, match="not as it was written|bad signature|does not fit"):
            witness.check(path, Request(*signed(100)), None, None, SEEN_AT, "x")


def test_a_state_behind_a_link_stays_behind_it(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    target, link = tmp_path / "kept" / "acme.state", tmp_path / "link"
    link.symlink_to(target)

    witness.check(link, Request(*signed(100)), KEY, None, SEEN_AT, "x")
    witness.check(link, asked(100, 200), None, None, SEEN_AT, "x")

    assert link.is_symlink()
    assert witness.seen(target) == having_seen(200)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["kept", "link"]


def test_beside_what_is_no_state_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("another file\n")
    (tmp_path / "device").symlink_to("/dev/null")

    for name in ("folder", "text", "device"):
        with pytest.raises(BadNote):
            witness.check(tmp_path / name, Request(*signed(100)), KEY, None, SEEN_AT, "x")

    assert sorted(x.name for x in tmp_path.iterdir()) == ["device", "folder", "text"]
    assert not Path("/dev/null.lock").exists()


def test_a_checkpoint_may_end_in_blank_lines_and_in_no_carriage_returns() -> None:
    note = str(signed(5)[1]).encode()

    assert witness.request(note + b"\n\n", "x") == Request(*signed(5))
    assert witness.request(str(asked(3, 5)).encode() + b"\n", "x") == asked(3, 5)
    assert [x.checkpoint for x in held.given(note + b"\n\n" + note + b"\n", "x")] == [signed(5)[0]] * 2
    for reader in (witness.request, held.given, checkpoints.read):
        with pytest.raises(BadNote, match="CR LF"):
            reader(note.replace(b"\n", b"\r\n"), "x")


def test_what_a_screen_would_not_show_is_refused() -> None:
    hidden = LOG.sign(Checkpoint("example.com/\u202eledger", 5, bytes(32)).note())

    with pytest.raises(BadNote, match="would not be seen"):
        witness.request(str(hidden).encode(), "x")


def test_a_state_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "acme.state"
    witness.check(path, Request(*signed(100)), KEY, None, SEEN_AT, "x")
    state = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        witness.check(path, asked(100, 200), None, None, SEEN_AT, "x")

    assert path.read_bytes() == state
    assert sorted(x.name for x in tmp_path.iterdir()) == ["acme.state", "acme.state.lock"]


def test_of_many_at_once_none_is_rolled_back(tmp_path: Path) -> None:
    """Each asks from the size it finds; whoever comes late is refused, and the state only grows."""
    path = tmp_path / "acme.state"
    witness.check(path, Request(*signed(1)), KEY, None, SEEN_AT, "x")

    def ask(size: int) -> int:
        last = witness.seen(path)
        assert last is not None
        try:
            if last.checkpoint.size < size:
                witness.check(path, asked(last.checkpoint.size, size), None, None, SEEN_AT, "x")
                return size
        except LedgerError:
            pass
        return 0

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(ask, [*range(2, 100, 3), *range(3, 100, 3)]))

    last = witness.seen(path)
    assert last is not None
    assert last.checkpoint.size == max(taken)


def test_a_witness_needs_nothing_of_the_ledgers_libraries() -> None:
    code = (
        "import sys, ledger.seal.witness, ledger.seal.receipts;"
        "print(sorted({'eventsourcing', 'pydantic', 'msgspec'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ast.literal_eval(done.stdout) == []


# ------------------------------------------------------------------------------------------------ receipts


def receipt(witnessed_by: Signer | None = WITNESS) -> Receipt:
    record = decided()
    said, note = sealed(record, record.count(), witness=witnessed_by)
    positions = [row[0] for row in record.rows(10**9) if row[1] == "outage:O-1"]
    return Receipt(tuple(proven.proven(record, proven.leaves_of(record, said, "x"), said, positions, "x")), said, note)


def test_a_receipt_is_read_as_it_was_written_and_holds() -> None:
    found = receipts.receipt(bytes(receipt()), "x")

    assert found == receipt()
    assert receipts.check(found, [KEY, WITNESS.verifier(COSIGNATURE)], "x") == [KEY, WITNESS.verifier(COSIGNATURE)]
    assert [x.row for x in found.entries] == [r for r in decided().rows(10**9) if r[1] == "outage:O-1"]


def test_its_lines_and_checkpoint_make_a_tlog_proof() -> None:
    """As C2SP has it: the index, the hashes from the sibling up, a blank line, the checkpoint."""
    entry = receipt().entries[0]
    text = "c2sp.org/tlog-proof@v1\nindex {}\n{}\n\n{}".format(
        entry.row[0] - 1, "\n".join(entry.proof_line.decode().split(" ")), receipt().note
    )

    head, _, note = text.partition("\n\n")
    said, _ = checkpoints.read(note.encode(), "x")
    index, hashes = int(head.split("\n")[1][6:]), hash_lines.read([x.encode() for x in head.split("\n")[2:]], "x")
    assert merkle.includes(said.root, said.size, leaf(*entry.row), index, hashes)


@given(st.data())
def test_a_changed_bit_of_a_receipt_is_refused(data: st.DataObject) -> None:
    whole = bytes(receipt(witnessed_by=None))
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    changed = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]

    with pytest.raises(LedgerError):
        receipts.check(receipts.receipt(changed, "x"), [KEY], "x")


def test_what_is_left_out_of_a_receipt_or_moved_is_seen() -> None:
    whole = receipt(witnessed_by=None)
    one, two, three = whole.entries
    for some in ((two, three), (one, three), (one, one, two, three), (two, one, three), (one, two, two)):
        with pytest.raises(LedgerBroken, match="one was left out or moved"):
            receipts.check(receipts.receipt(bytes(replace(whole, entries=some)), "x"), [KEY], "x")
    receipts.check(receipts.receipt(bytes(replace(whole, entries=(one, two))), "x"), [KEY], "x")
    with pytest.raises(BadNote, match="twice"):
        receipts.receipt(bytes(whole) + str(whole.note.signatures[0]).encode(), "x")


def test_one_entry_among_100_000_is_proved_in_about_a_kilobyte() -> None:
    row = next(r for r in decided().rows(10**9) if r[1] == "incident:INC-1")
    leaves = [sha256(b"%d" % n).digest() for n in range(100_000)]
    leaves[row[0] - 1] = leaf(*row)
    root, proofs = merkle.inclusions(leaves, [row[0] - 1])
    said = Checkpoint(LOG.name, len(leaves), root)
    found = Receipt((proven.Proven(row, tuple(proofs[row[0] - 1])),), said, LOG.sign(said.note()))

    receipts.check(receipts.receipt(bytes(found), "x"), [KEY], "x")
    assert len(found.entries[0].proof) == 17
    assert len(found.entries[0].proof_line) == 17 * 45 - 1
    assert len(bytes(found)) < 2048


@given(st.integers(1, 120), st.data())
def test_all_proofs_at_once_are_those_one_by_one(size: int, data: st.DataObject) -> None:
    leaves = LEAVES[:size]
    wanted = data.draw(st.sets(st.integers(0, size - 1)))

    root, proofs = merkle.inclusions(leaves, wanted)

    assert root == merkle.root(leaves)
    assert proofs == {index: merkle.inclusion(leaves, index) for index in wanted}


def test_an_entry_that_was_changed_gets_no_receipt() -> None:
    class Changed(type(decided())):  # type: ignore[misc]
        def at(self, positions: object) -> object:
            return [(*row[:4], row[4].replace(b"staff", b"stuff")) for row in super().at(positions)]

    record = Changed([from_state(*row) for row in decided().rows(10**9)])
    said, _ = sealed(decided(), decided().count())
    positions = [row[0] for row in decided().rows(10**9) if row[1] == "outage:O-1"]

    short = sealed(decided(), 5)[0]
    leaves = proven.leaves_of(record, said, "x")
    with pytest.raises(LedgerBroken, match="not what its leaf hash was taken of"):
        proven.proven(record, leaves, said, positions, "x")
    with pytest.raises(LedgerBroken, match="its end was cut off"):
        proven.leaves_of(record, Checkpoint(LOG.name, 10**6, said.root), "x")
    with pytest.raises(LedgerBroken, match="the history was changed"):
        proven.proven(decided(), leaves, Checkpoint(LOG.name, said.size, bytes(32)), positions, "x")
    with pytest.raises(LedgerError, match="came after the checkpoint"):
        proven.proven(decided(), leaves[:5], short, positions, "x")


# ------------------------------------------------------------------------------------------------ commands


def test_a_customer_follows_a_ledger_and_holds_its_word_against_it(tmp_path: Path) -> None:
    """From the key in the contract to a rollback that is noticed, by the commands alone."""
    db, state, key, secret = (tmp_path / x for x in ("ledger.db", "acme.state", "seal.key", "witness.key"))
    do(db, "init")
    log = do(db, "seal", "--new-key", "example.com/ledger", "--key", str(key)).stdout.strip()
    own = do(db, "witness", "new-key", "acme.example/witness", "--key", str(secret)).stdout.strip()
    told = ["--customer", "acme", "--service", "licence", "--channel", "phone"]
    do(db, "record", "IncidentReported", "incident:INC-1", *told)
    first, second, request, cosigned = (tmp_path / x for x in ("first", "second", "request", "cosigned"))
    first.write_text(do(db, "seal", "--key", str(key)).stdout)

    do(db, "witness", "check", str(first), "--state", str(state), code=1)
    do(db, "witness", "check", str(first), "--state", str(state), "--vkey", log)
    do(db, "record", "ResponseGiven", "incident:INC-1", "--responder", "human")
    second.write_text(do(db, "seal", "--key", str(key)).stdout)
    refused = do(db, "witness", "check", str(second), "--state", str(state), code=1)
    assert "witness request --since 2" in refused.stderr
    request.write_text(do(db, "witness", "request", "--since", "2").stdout)
    cosigned.write_text(do(db, "witness", "check", str(request), "--state", str(state), "--key", str(secret)).stdout)
    assert verifier(own, "x").verified(checkpoints.read(cosigned.read_bytes(), "x")[1]) is not None
    assert "a rollback" in do(db, "witness", "check", str(first), "--state", str(state), code=4).stderr

    receipt = tmp_path / "INC-1.receipt"
    do(db, "receipt", "incident:INC-1", "-o", str(receipt), "--checkpoint", str(cosigned))
    shown = do(db, "witness", "receipt", str(receipt), "--vkey", log, "--vkey", own)
    assert [line.split("  ")[2] for line in shown.stdout.splitlines()] == ["IncidentReported", "ResponseGiven"]
    do(db, "witness", "receipt", str(receipt), code=2)
    receipt.write_bytes(receipt.read_bytes().replace(b"phone", b"email"))
    do(db, "witness", "receipt", str(receipt), "--vkey", log, code=4)
    do(db, "receipt", "incident:INC-9", code=1)


def test_a_ledger_without_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text("".join(to_line(from_state(*row)) + "\n" for row in decided().rows(10**9)))

    told = do(history, "receipt", "outage:O-1", code=1)

    assert "sla-ledger seal" in told.stderr


def test_a_stream_that_is_too_long_or_unknown_is_told_when_a_receipt_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, checkpoint = tmp_path / "history.jsonl", tmp_path / "held"
    history.write_text("".join(to_line(from_state(*row)) + "\n" for row in decided().rows(10**9)))
    checkpoint.write_text(str(sealed(decided(), decided().count())[1]))
    told = do(history, "receipt", "outage:O-77", "--checkpoint", str(checkpoint), code=1)
    assert "no such stream is known" in told.stderr

    monkeypatch.setattr(receipts, "MAX_ENTRIES", 2)
    told = do(history, "receipt", "outage:O-1", "--checkpoint", str(checkpoint), code=1)
    assert "a receipt holds 2 at most" in told.stderr


def test_what_outsiders_give_is_a_plain_file_and_keys_may_share_one(tmp_path: Path) -> None:
    history, checkpoint, pipe, keys = (tmp_path / x for x in ("history.jsonl", "held", "pipe", "keys"))
    history.write_text("".join(to_line(from_state(*row)) + "\n" for row in decided().rows(10**9)))
    checkpoint.write_text(str(sealed(decided(), decided().count())[1]))
    keys.write_text(f"{WITNESS.verifier(COSIGNATURE)}\n{KEY}\n")
    os.mkfifo(pipe)

    do(history, "verify", "--checkpoint", str(checkpoint), "--vkey", str(keys))
    for command in (
        ["verify", "--checkpoint", str(pipe)],
        ["witness", "check", str(pipe), "--state", str(tmp_path / "state"), "--vkey", str(KEY)],
        ["witness", "receipt", str(pipe), "--vkey", str(KEY)],
    ):
        assert "it is a pipe" in do(history, *command, code=1).stderr


def test_a_leaf_that_is_shown_is_the_one_form_that_it_has() -> None:
    row = receipt().entries[0].row
    for bad in (leaf_bytes(*row) + b" ", leaf_bytes(*row).replace(b":1}", b":01}"), b"{}", b"x" * 2000):
        with pytest.raises(LedgerBroken):
            proven.read(bad, row[4], b"", "x")
