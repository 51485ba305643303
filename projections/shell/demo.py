"""The main job on a sample: a year of one customer in a new ledger, and one credit decided and explained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

import ledger
from ledger.book import create
from ledger.store.stream_file import read
from projections.shell import output

STORY = "a-year-of-acme.jsonl"
AS_OF = "2026-01-12T09:00:00Z"
STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("response times by month", ("compliance", "--by", "month")),
    ("handling order", ("order", "--totals")),
    ("what to handle next", ("queue",)),
    ("availability in 2025", ("availability", "--year", "2025")),
    ("a claim is decided", ("claim", "decide", "claim:2025", "--decided-by", "finance.lead", "--at", AS_OF)),
    ("and made again", ("audit", "claim:2025")),
)


def demo(
    directory: Annotated[str, typer.Argument(metavar="[DIR]", help="where to put the new ledger")] = "sla-ledger-demo",
) -> None:
    """A year of one customer in a new ledger: compliance, order, availability, one credit decided and explained.

    \b
    Example:
      sla-ledger demo
    """
    folder = Path(directory)
    path = folder / "ledger.db"
    folder.mkdir(parents=True, exist_ok=True)
    create(path, read(str(story())))
    output.write(f"{path}: a year of the customer acme")
    for title, arguments in STEPS:
        shown = ["sla-ledger", "--db", str(path), "--as-of", AS_OF, *arguments]
        output.write(f"\n# {title}\n$ {' '.join(shown)}")
        sys.stdout.flush()
        command = [sys.executable, "-P", "-m", "cli", "--format", "table", *shown[1:]]
        done = subprocess.run(command, check=False)
        if done.returncode:
            raise typer.Exit(done.returncode)
    output.write(f"\nLook further: sla-ledger --db {path} explain incident:INC-04")


def story() -> Path:
    """Return the sample history: beside the program when it is installed, else in its source tree."""
    packaged = Path(ledger.__file__).parent / "posted" / STORY
    return packaged if packaged.exists() else Path(ledger.__file__).parents[1] / "fixtures" / "streams" / STORY
