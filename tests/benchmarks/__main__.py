"""Run the benchmarks and print a table of figures: `python -m tests.benchmarks --small`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks import measure

BENCHMARKS = {
    "rebuild": "rebuilding",
    "query": "querying",
    "append": "appending",
    "import": "appending",
    "as_of": "as_of",
    "settle": "settling",
    "verify": "verifying",
    "business_time": "business_time",
    "stock": "stock",
}
EXPLANATION = "Figures over something measured beside them in the same run; exit status 1 only for a wrong result."


def main(arguments: list[str]) -> int:
    """Return the exit status: 1 when something gave a wrong result, else 0."""
    given = _parser().parse_args(arguments)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, as wherever the program is installed
    measure.ENTRIES = given.entries
    wanted = given.only.split(",") if given.only else list(BENCHMARKS)
    if unknown := [name for name in wanted if name not in BENCHMARKS]:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        folder = Path(given.folder or stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        found = results(wanted, given.small, folder)
    if given.json:
        made: dict[str, Any] = {"made_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "machine": machine()}
        made |= {"small": given.small, "entries": measure.entries(given.small), "results": found}
        Path(given.json).write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(markdown(found, given.small) if given.markdown else table(found, given.small))
    return 1 if any("wrong" in figures for figures in found.values()) else 0


def results(names: list[str], small: bool, folder: Path) -> dict[str, dict[str, Any]]:
    """Return the figures of each benchmark; `wrong` holds what was wrong, `missing` what is not there."""
    found: dict[str, dict[str, Any]] = {}
    modules: dict[str, list[str]] = {}
    for name in names:
        modules.setdefault(BENCHMARKS[name], []).append(name)
    for module, parts in modules.items():
        print(f"{', '.join(parts)} ...", file=sys.stderr, end=" ", flush=True)
        begin = time.perf_counter()
        figures = found[", ".join(parts)] = _figures(module, small, folder)
        print(f"{time.perf_counter() - begin:.1f} s", figures.get("wrong", ""), file=sys.stderr)
    return found


def machine() -> dict[str, Any]:
    """Return the kind of machine: nothing that names it."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def table(found: dict[str, dict[str, Any]], small: bool) -> str:
    """Return the figures as aligned columns: name, figure, wanted, verdict."""
    rows = [("figure", "value", "wanted", "as wanted"), *_rows(found, small)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def markdown(found: dict[str, dict[str, Any]], small: bool) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| figure | value | wanted | as wanted |", "| --- | ---: | ---: | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in _rows(found, small))])


def _figures(module: str, small: bool, folder: Path) -> dict[str, Any]:
    try:
        run = importlib.import_module(f"tests.benchmarks.{module}").run
        found: dict[str, Any] = run(small, folder)
        return found
    except measure.WrongResult as wrong:
        return {"wrong": str(wrong)}
    except measure.NotThere as missing:
        return {"missing": str(missing)}
    except ModuleNotFoundError as missing:
        if missing.name == f"tests.benchmarks.{module}":
            return {"missing": "not part of this program yet"}
        return {"wrong": traceback.format_exc()}
    except Exception:  # one that fails must not hide the others' figures
        return {"wrong": traceback.format_exc()}


def _rows(found: dict[str, dict[str, Any]], small: bool) -> list[tuple[str, str, str, str]]:
    """Return name, value, wanted and verdict of each figure; a short run is too short for verdicts."""
    rows = []
    for benchmark, figures in found.items():
        for name, given in figures.items():
            one = given if isinstance(given, dict) else {"value": given}
            verdict = "" if small else measure.verdict(one)
            rows.append((f"{benchmark}: {name}", _shown(one.get("value")), one.get("wanted") or "", verdict))
    return rows


def _shown(value: Any) -> str:
    if isinstance(value, float) and abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value).strip().splitlines()[-1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=EXPLANATION)
    parser.add_argument("--small", action="store_true", help="a minute at most: whether everything runs and is right")
    parser.add_argument("--only", metavar="NAME,...", help=f"some of {', '.join(BENCHMARKS)}")
    parser.add_argument("--entries", type=int, metavar="N", help="entries of the large ledger (1,000,000)")
    parser.add_argument("--folder", metavar="DIR", help="where ledgers are made, and found again the next time")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
