"""What others hold and are handed: public keys and checkpoints in files, and where a bundle or receipt is written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import files
from ledger.text import clean

if TYPE_CHECKING:
    from ledger.seal.held import Held
    from ledger.seal.notes import Verifier

MAX_BYTES = 16_000_000
VKeys = Annotated[
    list[str] | None,
    typer.Option("--vkey", metavar="KEY", help="a public key, NAME+ID+KEY, or a file that holds some; repeatable"),
]
Checkpoints = Annotated[
    list[str] | None,
    typer.Option("--checkpoint", metavar="FILE", help="a file with checkpoints that somebody holds; repeatable"),
]


def given(path: str) -> bytes:
    """Return the bytes of a plain file from outside, or of standard input; NotFound when there is none."""
    if path != "-":
        return files.content(path, MAX_BYTES)
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    files.check_size(path, data, MAX_BYTES)
    return data


def checkpoints_of(paths: Iterable[str]) -> list[Held]:
    """Return the checkpoints in some files, each of which may hold several in a row. Raises BadNote."""
    from ledger.seal import held

    return [one for path in paths for one in held.given(given(path), clean(path))]


def keys_of(texts: Iterable[str]) -> list[Verifier]:
    """Return public keys that are named in one line, or by a file that holds one a line. Raises BadNote."""
    from ledger.seal.notes import verifier

    found = []
    for text in texts:
        lines = given(text).decode("utf-8", "replace").splitlines() if os.path.isfile(text) else [text]
        found += [verifier(line, clean(text)) for line in lines if line.strip()]
    return list(dict.fromkeys(found))


def deliver(data: bytes, path: str | None) -> None:
    """Write bytes to a new file, whole or not at all, or to standard output."""
    if path is None or path == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        files.write_new(path, data)
