"""Other people's programs accept an evidence bundle and refuse what was changed in it, by the commands it states."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from ledger.errors import LedgerBroken
from ledger.seal import opening, packing
from ledger.seal.bundle import sums
from ledger.seal.leaves import leaf
from tests.bundles import LOG, OTHER, bundle
from tests.support import do

FLIPS = 3  # of each file
NOTE_PACKAGE = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/note")
SUMS = None if shutil.which("sha256sum") else "sha256sum"
MISSING = {
    "unpack": None,
    **dict.fromkeys(("sums", "payload", "leaf"), SUMS),
    "openssl": None if shutil.which("openssl") else "openssl",
    "go": None if shutil.which("go") and NOTE_PACKAGE.is_dir() else "golang-go, golang-golang-x-mod-dev",
    "pymerkle": None if find_spec("pymerkle") else "pymerkle",
}
Files = dict[str, bytes]


def command(name: str) -> str:
    """The command that a bundle's README states; a missing tool is a failure in CI, and elsewhere a skip."""
    missing = MISSING[name]
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"not installed: {missing}")
    text = bundle().files()["README.md"].decode()
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)```\n", text, re.S)
    assert found is not None
    return found[1]


def run(name: str, folder: Path, more: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    bash = ["bash", "-e", "-o", "pipefail", "-c", command(name).rstrip("\n") + more]
    return subprocess.run(bash, cwd=folder, env=env, capture_output=True, text=True, check=False)


def refuses(name: str, files: Files, folder: Path) -> bool:
    """Whether a tool refuses these files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file, data in files.items():
        (folder / file).write_bytes(data)
    return run(name, folder).returncode != 0


def resummed(files: Files) -> Files:
    rest = {name: data for name, data in files.items() if name != "SHA256SUMS"}
    return rest | {"SHA256SUMS": sums(rest)}


def we_refuse(files: Files) -> bool:
    try:
        opening.checked(packing.packed(files), "claim.zip")
    except LedgerBroken:
        return True
    return False


@pytest.fixture(scope="module")
def files() -> Files:
    return bundle().files()


@pytest.fixture(scope="module")
def unpacked(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handed")
    (folder / "BUNDLE.zip").write_bytes(packing.packed(files))
    assert run("unpack", folder).returncode == 0
    return folder / "bundle"


def test_it_unpacks_to_its_files(files: Files, unpacked: Path) -> None:
    assert {x.name: x.read_bytes() for x in unpacked.iterdir() if x.is_file()} == files


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        ("sums", ""),
        ("openssl", "Signature Verified Successfully"),
        ("go", "consistent with it"),
        ("pymerkle", "in the tree"),
    ],
)
def test_each_tool_accepts_it(tool: str, says: str, unpacked: Path) -> None:
    done = run(tool, unpacked)

    assert done.returncode == 0, done.stderr
    assert says in done.stdout


def test_go_takes_the_key_that_it_is_given_in_place_of_the_bundles_own(unpacked: Path) -> None:
    for key, status in ((LOG.verifier(), 0), (OTHER.verifier(), 1)):
        done = run("go", unpacked, f" {key}")
        assert done.returncode == status, done.stderr


def test_its_own_commands_do_what_it_says(files: Files, unpacked: Path) -> None:
    """The commands of the last chapter, with what stands for something else put in."""
    found = re.findall(r"^sla-ledger (.+)$", files["README.md"].decode(), re.M)
    archive = unpacked.parent / "BUNDLE.zip"
    assert len(found) == 5
    for line in found:
        line = line.replace("BUNDLE.zip", str(archive)).replace("KEY=VALUE", "lost_steps=exact")
        assert do(
            "nowhere.db", *shlex.split(line.replace("KEY", str(LOG.verifier()))), now="2026-03-01T00:00:00Z"
        ).stdout


def test_one_entry_by_hand(files: Files, unpacked: Path) -> None:
    payload, hashed = (run(name, unpacked).stdout.split()[0] for name in ("payload", "leaf"))

    assert f'"payload":"{payload}"'.encode() in files["leaves.jsonl"].splitlines()[0]
    assert hashed == leaf(*bundle().entries[0].row).hex()


def test_a_flipped_bit_of_any_file_does_not_fit_its_sum(files: Files, tmp_path: Path) -> None:
    draw = random.Random(6962)
    for name in sorted(files):
        for _ in range(FLIPS):
            changed = files | {name: flipped(files[name], draw.randrange(len(files[name])), draw.randrange(8))}
            tool = "go" if name == "SHA256SUMS" else "sums"  # to sha256sum, A and a are one digit
            assert refuses(tool, changed, tmp_path / "x"), name
            assert we_refuse(changed), name
        assert refuses("sums", {k: v for k, v in files.items() if k != name}, tmp_path / "x"), name
    assert refuses("sums", files | {"more.txt": b""}, tmp_path / "x")
    lines = files["SHA256SUMS"].splitlines(keepends=True)
    assert refuses("sums", files | {"SHA256SUMS": b"".join(lines[1:])}, tmp_path / "x")


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def bits(files: Files, name: str, pattern: str) -> list[Files]:
    """The files with a bit flipped inside what the pattern's group matches; its last four characters are left alone.

    In the last characters of base64 there are bits that mean nothing.
    """
    draw = random.Random(9162)
    found = list(re.finditer(pattern.encode(), files[name], re.M))
    assert found
    chosen = [draw.choice(found) for _ in range(FLIPS)]
    at = [draw.randrange(m.start(1), m.end(1) - 4) for m in chosen]
    return [files | {name: flipped(files[name], x, draw.choice([0, 1]))} for x in at]


def swapped(files: Files, *names: str) -> list[Files]:
    """The files with the second and the fourth line of some swapped, removed, doubled, and cut off."""
    found = []
    for change in ("swap", "remove", "double"):
        new = dict(files)
        for name in names:
            lines = files[name].splitlines(keepends=True)
            if change == "swap":
                lines[1], lines[3] = lines[3], lines[1]
            elif change == "remove":
                del lines[1]
            else:
                lines.insert(1, lines[0])
            new[name] = b"".join(lines)
        found.append(new)
    return found


def mutants(files: Files) -> list[tuple[str, tuple[str, ...], list[Files]]]:
    """What was changed, with sums that fit; the tools that have to refuse it, and the files."""
    [earlier] = [name for name in files if name.startswith("earlier-")]
    basis = max(name for name in files if name.startswith("basis-"))
    checkpoint, proofs = files["checkpoint.txt"], files["proofs.txt"]
    three = ("entries.jsonl", "leaves.jsonl", "proofs.txt")
    signed, tree, every = ("openssl", "go"), ("go", "pymerkle"), ("openssl", "go", "pymerkle")
    last = bundle().checkpoint
    forged = replace(last, root=bytes(32)).note()
    size, larger = b"\n%d\n" % last.size, b"\n%d\n" % (last.size + 1)
    keys = files["vkeys.txt"].splitlines(keepends=True)
    proof, _, note = files[earlier].partition(b"\n\n")
    signature = r"^— example\S+ .{12}(.+)$"

    def but(name: str, data: bytes) -> list[Files]:
        return [files | {name: data}]

    return [
        ("an entry", tree, bits(files, "entries.jsonl", r"^(.+)$")),
        ("a leaf", tree, bits(files, "leaves.jsonl", r"^(.+)$")),
        ("a proof", tree, bits(files, "proofs.txt", r"(\S{44})")),
        ("a truncated proof", tree, but("proofs.txt", proofs.partition(b" ")[2])),
        ("entries in another order", tree, swapped(files, "entries.jsonl")),
        ("leaves in another order", tree, swapped(files, "leaves.jsonl")),
        ("proofs in another order", tree, swapped(files, "proofs.txt")),
        ("all three in another order", ("go",), swapped(files, *three)[::2]),
        ("another size", every, [edited(files, "checkpoint.txt", size, larger)]),
        ("another root", every, bits(files, "checkpoint.txt", r"^(.{43}=)$")),
        ("another origin", signed, [edited(files, "checkpoint.txt", b"example", b"exomple")]),
        ("a root that the key signed too", tree, but("checkpoint.txt", str(LOG.sign(forged)).encode())),
        ("a signature", signed, bits(files, "checkpoint.txt", signature)),
        ("the signature of another key", signed, but("checkpoint.txt", str(OTHER.sign(last.note())).encode())),
        ("no signature", signed, but("checkpoint.txt", checkpoint.partition(b"\n\n")[0] + b"\n\n")),
        ("another key", signed, but("vkeys.txt", f"{OTHER.verifier()}\n".encode())),
        ("the log's key", signed, bits(files, "vkeys.txt", r"\A.+\+.{12}(.+)$")),
        ("keys in another order", signed, but("vkeys.txt", b"".join(keys[::-1]))),
        ("an earlier checkpoint", ("go",), bits(files, earlier, r"^(.{44})$")),
        ("an earlier size", ("go",), [edited(files, earlier, b"\n82\n", b"\n81\n")]),
        ("an earlier signature", ("go",), bits(files, earlier, signature)),
        ("a truncated proof of consistency", ("go",), but(earlier, files[earlier].partition(b"\n")[2])),
        ("the last checkpoint for an earlier one", ("go",), but(earlier, proof + b"\n\n" + checkpoint)),
        ("checkpoints swapped", tree, [files | {"checkpoint.txt": note, earlier: b"\n" + checkpoint}]),
        ("another decision", ("go",), [edited(files, "decision.json", b'"verdict":"refused"', b'"verdict":"granted"')]),
        ("a decision in other notation", ("go",), [edited(files, "decision.json", b":", b": ")]),
        *((f"another {field} in the manifest", ("go",), stated(files, field)) for field in STATED),
        ("the proof of a basis", ("go",), bits(files, basis, r"^(.{44})$")),
        ("no proof of a basis", ("go",), [{k: v for k, v in files.items() if k != basis}]),
        ("a proof that nothing asks for", ("go",), but("basis-1.txt", files[basis])),
        ("a version left out", ("go",), [without_a_version(files)]),
        ("a key that signed nothing", ("go",), but("vkeys.txt", files["vkeys.txt"] + f"{OTHER.verifier()}\n".encode())),
        ("an empty line among the keys", ("go",), but("vkeys.txt", files["vkeys.txt"] + b"\n")),
        ("other line ends", ("go",), [edited(files, x, b"\n", b"\r\n") for x in ("proofs.txt", basis, "vkeys.txt")]),
    ]


def without_a_version(files: Files) -> Files:
    """The files without the first entry of a stream that goes on, and with a manifest that counts the rest."""
    said = [json.loads(line) for line in files["leaves.jsonl"].splitlines()]
    continued = {leaf["stream"] for leaf in said if leaf["version"] > 1}
    at = next(i for i, leaf in enumerate(said) if leaf["stream"] in continued)
    new = dict(files)
    for name in ("entries.jsonl", "leaves.jsonl", "proofs.txt"):
        lines = files[name].splitlines(keepends=True)
        new[name] = b"".join([*lines[:at], *lines[at + 1 :]])
    return edited(new, "manifest.json", b'"entries": %d' % len(said), b'"entries": %d' % (len(said) - 1))


STATED = ("format", "claim", "decision_entry", "entries", "origin", "size", "root")


def stated(files: Files, field: str) -> list[Files]:
    """The files with another value of a field in the manifest, and with a second one before the right one."""
    [value] = re.findall(rf'"{field}": (.+),\n', files["manifest.json"].decode())
    other = value[:-1] + "1" if value.isdigit() else f'"x{value[2:]}'
    right, wrong = f'"{field}": {value},\n'.encode(), f'"{field}": {other},\n'.encode()
    if right == wrong:
        wrong = right.replace(b"1,", b"2,")
    return [edited(files, "manifest.json", right, x) for x in (wrong, wrong + b"  " + right)]


def edited(files: Files, name: str, old: bytes, new: bytes) -> Files:
    assert old in files[name]
    return files | {name: files[name].replace(old, new, 1)}


def names() -> list[str]:
    return [name for name, _, _ in mutants(bundle().files())]


@pytest.mark.parametrize("name", names())
def test_what_was_changed_is_refused_though_its_sums_fit(name: str, files: Files, tmp_path: Path) -> None:
    [(tools, changed)] = [(tools, changed) for mutant, tools, changed in mutants(files) if mutant == name]
    for found in map(resummed, changed):
        assert found != files
        assert we_refuse(found)
        for tool in tools:
            assert refuses(tool, found, tmp_path / "x"), tool


def test_every_file_is_changed_by_some_mutant_or_is_one_to_read(files: Files) -> None:
    touched = {k for _, _, changed in mutants(files) for new in changed for k in files if new.get(k) != files[k]}

    to_read = {
        "README.md",
        "check.go",
        "check_inclusion.py",
        "terms-1.toml",
        "SHA256SUMS",
    }
    assert {k for k in files if k not in touched and not k.startswith("basis-")} == to_read
