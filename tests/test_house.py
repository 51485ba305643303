"""The house: which way imports go, what stands at the top, and no number of the agreement in code."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.streams.acceptance import MODULES

ROOT = Path(__file__).resolve().parents[1]
FLOORS: tuple[tuple[str, ...], ...] = (  # from the ground up; a module imports only from floors below its own
    ("ledger",),
    ("projections.folding",),
    (
        "projections.spans",
        "projections.figures",
        "projections.history",
        "projections.derivation",
        "projections.clauses",
    ),
    ("projections.grounds", "projections.overtaking", "projections.concerning"),
    ("projections.stored_facts",),
    ("projections.quick_verdicts",),
    ("projections.replay",),
    ("projections.business_time", "projections.entitlements", "projections.outages", "projections.maintenance"),
    ("projections.judgement",),
    ("projections.downtime",),
    (
        "projections.response_times",
        "projections.availability",
        "projections.commitments",
        "projections.evidence",
        "projections.claims",
        "projections.condition",
    ),
    ("projections.used_downtime",),
    ("projections.handling_order", "projections.credits", "projections.totals", "projections.grounding"),
    (
        "projections.explain_case",
        "projections.explain_claim",
        "projections.audit",
        "projections.readings",
        "projections.settlement",
    ),
    ("projections.views",),
    ("projections.shell",),
    ("cli",),
)
WITHIN_A_FLOOR: set[tuple[str, str]] = set()
LEDGER_FLOORS: tuple[tuple[str, ...], ...] = (
    ("ledger.errors", "ledger.clock", "ledger.text", "ledger.instants", "ledger.zones"),
    ("ledger.values", "ledger.files"),
    ("ledger.events",),
    ("ledger.entry",),
    ("ledger.readings",),
    ("ledger.terms", "ledger.streams"),
    ("ledger.seal.merkle", "ledger.seal.leaves"),
    ("ledger.store",),
    ("ledger.seal",),
    ("ledger.privacy",),
    ("ledger.exchange",),
    ("ledger.book",),
    ("ledger.backup",),
)


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in [*ROOT.glob("ledger/**/*.py"), *ROOT.glob("projections/**/*.py"), ROOT / "cli.py"]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor_of(name: str, floors: tuple[tuple[str, ...], ...]) -> int | None:
    for number, rooms in enumerate(floors):
        if any(name == room or name.startswith(f"{room}.") for room in rooms):
            return number
    return None


def climbs(name: str, imported: str, floors: tuple[tuple[str, ...], ...]) -> bool:
    here, there = floor_of(name, floors), floor_of(imported, floors)
    if here is None or there is None or there < here:
        return False
    same_room = any(name.startswith(r) and imported.startswith(r) for r in floors[here])
    known = any(name == a and imported.startswith(b) for a, b in WITHIN_A_FLOOR)
    return not (there == here and (same_room or known or len(floors[here]) == 1))


def test_every_module_has_a_floor_and_imports_go_down() -> None:
    names = [name for name, _ in modules() if name not in ("ledger", "projections")]

    assert [n for n in names if floor_of(n, FLOORS) is None] == []
    wrong = [
        (n, i) for n, tree in modules() for i in imports(tree) if climbs(n, i, FLOORS) or climbs(n, i, LEDGER_FLOORS)
    ]
    assert [w for w in wrong if w[0] not in ("ledger", "projections")] == []


def test_only_the_command_line_imports_the_shell() -> None:
    found = [n for n, tree in modules() for i in imports(tree) if i.startswith("projections.shell")]

    assert {n for n in found if not n.startswith("projections.shell")} <= {"cli"}


def test_the_clock_is_read_in_one_place() -> None:
    pattern = re.compile(r"datetime\.now|\.utcnow|time\.time\(|uuid4|date\.today")

    found = [p.relative_to(ROOT).as_posix() for p in ROOT.glob("**/*.py") if p.parts[-2] in ("ledger", "projections")]
    found += [p.relative_to(ROOT).as_posix() for p in ROOT.glob("ledger/*/*.py")]
    guilty = [name for name in sorted(set(found)) if pattern.search((ROOT / name).read_text())]
    assert guilty == ["ledger/clock.py"]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("response_times", "findings"),
        ("handling_order", "findings"),
        ("availability", "findings"),
        ("commitments", "findings"),
        ("claims", "claim"),
        ("credits", "assess"),
        ("outages", "time_frame"),
        ("maintenance", "planned_obstacles"),
    ],
)
def test_every_projection_has_the_same_skeleton(name: str, answer: str) -> None:
    module = importlib.import_module(f"projections.{name}")

    assert {"State", "evolve", answer} <= set(vars(module))


@pytest.mark.parametrize("kind", sorted(MODULES))
def test_every_stream_has_the_same_skeleton(kind: str) -> None:
    assert {"KINDS", "OPENING", "State", "evolve", "refuse"} <= set(vars(MODULES[kind]))


def test_no_number_of_the_agreement_stands_in_code() -> None:
    numbers = re.compile(r"(?<![\w.])(99\.0|2\.5|99|14 \* 24|7 \* 24|48)(?![\w.])")

    for path in [*ROOT.glob("projections/*.py"), *ROOT.glob("projections/shell/*.py"), ROOT / "cli.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, int | float)
                and not isinstance(node.value, bool)
            ):
                assert not numbers.fullmatch(str(node.value)), f"{path.name}, line {node.lineno}: {node.value}"


def test_nothing_but_the_agreed_names_stands_at_the_top() -> None:
    allowed = {"pyproject.toml", "README.md", "cli.py", "ledger", "projections", "tests", "fixtures", "LICENSE"}
    allowed |= {"CHANGELOG.md", "requirements.lock"}

    visible = {
        p.name
        for p in ROOT.iterdir()
        if not p.name.startswith((".", "__")) and p.suffix not in (".db", ".lock", ".views", ".keys", ".kek")
    }
    assert visible - allowed <= {"build", "dist", "sla-ledger-demo"}


@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)],
    ids=["ruff check", "ruff format", "mypy --strict"],
)
def test_the_tree_is_clean(command: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
