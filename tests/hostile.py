"""Text that steers a terminal, runs in a spreadsheet or hides, and a ledger that holds it wherever text may stand."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

STORY = Path(__file__).resolve().parents[1] / "fixtures" / "streams" / "a-year-of-acme.jsonl"
FREE_TEXT = ("summary", "reason", "reference", "scope")
INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u2065\u2800\u3164\ufe0f\uffa0\ufff0\U000e0001\U000e0100"
STEERING = [
    "\x1b[2J\x1b]0;owned\x07",
    "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "\x9b31mred\x9d0;x\x9c",
    "\u202egnp.exe\u2066x\u2069",
    "zero\u200bwidth\u200d\ufeff\xad",
    "line\u2028para\u2029next\x85",
    "a\tb\nc\rd\x0be\x0cf\x7f\x00g\x08",
    "back\\slash \\n \\x1b",
    "[bold]markup[/bold] [link=file:///etc/passwd]x[/]",
    "[/unbalanced]",
    "</script><script>alert(1)</script>",
    "\U000e0041\U000e0042hidden\U000e007f",
]
FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+cmd|'x'!A1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " \u00a0=1+1",
    "\u3000＝1+1",
    "＋1",
    "－1",
    "＠x",
    "|calc",
    "%0A=1",
    "a\n=1+1\n",
    'x;=HYPERLINK("http://evil.example")',
]
anything = (
    st.sampled_from(STEERING + FORMULAS) | st.text(max_size=60) | st.text(st.sampled_from("=+-@|%;\t\n\r '\"\x1b\\"))
)


def fuzzed(times: int) -> settings:
    """The settings of a fuzz target: so many times the examples of other laws."""
    drawn = settings().max_examples
    return settings(max_examples=times * drawn, suppress_health_check=list(HealthCheck))


def is_unsafe(char: str) -> bool:
    """Whether a character may not reach a terminal; of the line end only as what ends a line."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") or char in INVISIBLE


def unsafe_in(text: str) -> set[str]:
    """The characters of some output that may not be there."""
    return {c for c in text if c != "\n" and is_unsafe(c)}


def runs(cell: str) -> bool:
    """Whether a spreadsheet would run a cell, in one of its lines or behind a semicolon."""
    parts = [p.strip().strip("\u00a0") for line in cell.splitlines() or [""] for p in line.split(";")]
    return any(
        p and unicodedata.normalize("NFKC", p[0]) in "=+-@|%\t\r" and not re.fullmatch(r"[+-]?\d+(\.\d+)?", p)
        for p in parts
    )


def poisoned(texts: list[str], story: Path = STORY) -> list[dict[str, Any]]:
    """The lines of a story with these texts, in turn, in every field of its data that may hold free text."""
    lines, turn = [json.loads(line) for line in story.read_text(encoding="utf-8").splitlines()], 0
    for line in lines:
        wanted = {k for k in FREE_TEXT if k in line["data"]}
        wanted |= {"summary"} if line["type"] in ("IncidentReported", "ServiceRequested") else set()
        wanted |= {"reference"} if line["type"] == "EvidenceRecorded" else set()
        for name in sorted(wanted):
            line["data"][name] = texts[turn % len(texts)]
            turn += 1
    return lines
