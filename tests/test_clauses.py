"""The agreement, clause by clause: of each clause one history that keeps it and one that breaks it.

A history is fixtures/clauses/<clause>-kept.jsonl or -broken.jsonl. In the findings that are expected of it a dotted
name leads into a finding, `because` are positions it must name at least, and `cited` whether it names the clause.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import freezegun
import pytest
from typer.testing import CliRunner

import cli
from projections.availability import EXCLUSIONS
from projections.judgement import CLAUSES

HISTORIES = Path(__file__).resolve().parents[1] / "fixtures" / "clauses"
TERMS = "easymeeting-2020-09-23"
INC_1, INC_2, INC_3 = (f"incident:INC-{n}" for n in (1, 2, 3))
STARTED = f"troubleshooting {INC_1}"
YEAR = "availability --year 2026"
LICENCE = "acme licence"
HOURS_4 = 4 * 3600
ASKED = "2026-05-11T07:00:00Z"

Findings = dict[
    str, dict[str, Any]
]  # by name: a case, a kind and an item, a customer and a service, an outage, a claim


class Clause(NamedTuple):
    """A clause, the command lines whose findings answer whether it is kept, and what they say of both histories."""

    clause: str
    question: tuple[str, ...]
    kept: Findings
    broken: Findings


def said(*because: int, cited: bool = True, **fields: Any) -> dict[str, Any]:
    """What is expected of a finding; two underscores in a name stand for the dot."""
    return {"because": set(because), "cited": cited, **{k.replace("__", "."): v for k, v in fields.items()}}


def met(*because: int, **fields: Any) -> dict[str, Any]:
    return said(*because, verdict="met", **fields)


def late(*because: int, by: int = 1, **fields: Any) -> dict[str, Any]:
    return said(*because, verdict="breached", late_by_seconds=by, **fields)


def off(*because: int, by: int = 1) -> dict[str, Any]:
    return said(*because, verdict="breached", off_by_seconds=by)


def excluded(reason: str, *because: int) -> Findings:
    seconds = dict.fromkeys(EXCLUSIONS, 0) | {reason: HOURS_4}
    return {LICENCE: said(*because, excluded_seconds=seconds, counted_seconds=0, provisional=False, doubts=[])}


def counted(*because: int, cited: bool = True, **fields: Any) -> Findings:
    nothing = dict.fromkeys(EXCLUSIONS, 0)
    return {LICENCE: said(*because, cited=cited, counted_seconds=HOURS_4, excluded_seconds=nothing, **fields)}


def obstacle(name: str, seconds: int) -> list[dict[str, Any]]:
    return [{"obstacle": name, "missed_by_seconds": seconds}]


# fmt: off
TABLE = [
    Clause("§validity", ("compliance", "commitments"),
        {INC_1: met(2, 3, terms=TERMS, doubts=[], cited=False), STARTED: said(2, cited=False, terms=TERMS, doubts=[])},
        {
            INC_1: said(2, terms=TERMS, doubts=["before_first_terms"]),
            STARTED: said(2, cited=False, terms=TERMS, doubts=["before_first_terms"]),
        },
    ),
    Clause("§scope", ("compliance", "commitments"),
        {INC_1: met(1, 2, 3, service="licence", doubts=[], cited=False), STARTED: said(2, cited=False, doubts=[])},
        {
            INC_1: said(1, 2, service="telephone-exchange", doubts=["out_of_scope"]),
            STARTED: said(2, cited=False, doubts=["out_of_scope"]),
        },
    ),
    Clause("§customer-duties", ("compliance",),
        {INC_1: met(2, 3, 4, 5, paused_seconds=0, due_at="2026-05-11T15:00:00Z")},
        {INC_1: met(2, 3, 4, 5, paused_seconds=14 * 3600, due_at="2026-05-12T15:00:00Z")},
    ),
    Clause("§company-duties", ("commitments",),
        {"backup_followed backup:B-1": met(1, 2), "backup_kept backup:B-1": met(1, 3, off_by_seconds=0)},
        {"backup_followed backup:B-1": off(1, 2, by=86400), "backup_kept backup:B-1": off(1, 3, by=86400)},
    ),
    Clause("§not-provided", (YEAR,),
        excluded("not_covered", 1, 2, 3, 4, 5),
        counted(1, 2, 3, 4, cited=False, provisional=True, doubts=["unattributed"]),
    ),
    Clause("§service-availability", (YEAR,),
        excluded("beyond_control", 1, 2, 3, 4, 5),
        counted(1, 2, 3, 4, 5, provisional=False),
    ),
    Clause("§planned-maintenance", (YEAR, "commitments"),
        excluded("planned_maintenance", 2, 3, 6, 7)
        | {
            "planned_scheduled maintenance:M-1": met(2, off_by_seconds=0),
            "planned_communicated maintenance:M-1": met(2, 3, off_by_seconds=0),
        },
        counted(2, 3, 6, 7, outages__0__obstacles=obstacle("communicated_late", 1))
        | {
            "planned_scheduled maintenance:M-1": met(2, off_by_seconds=0),
            "planned_communicated maintenance:M-1": off(2, 3),
        },
    ),
    Clause("§unplanned-maintenance", (YEAR, "commitments"),
        excluded("unplanned_maintenance", 2, 3, 6, 7) | {"unplanned_communicated maintenance:M-1": met(2, 3)},
        counted(3, 4, 6, 7, outages__0__obstacles=obstacle("declared_after_failure", 600))
        | {"unplanned_communicated maintenance:M-1": met(3, 4)},
    ),
    Clause("§emergency-service", (YEAR, "commitments"),
        counted(2, 5, 6, 7) | {"emergency_announced maintenance:M-1": met(3, 4, due_at="2026-09-14T21:59:59Z")},
        counted(2, 5, 6, 7) | {"emergency_announced maintenance:M-1": off(3, 4)},
    ),
    Clause("§business-hours", ("compliance",),
        {INC_1: met(2, 3, business_seconds=8 * 3600)},
        {INC_1: late(2, 3, business_seconds=8 * 3600 + 1)},
    ),
    Clause("§phone", ("compliance",),
        {INC_1: met(2, 3, channel="phone", due_at="2026-05-11T14:00:00Z")},
        {INC_1: late(2, 3, channel="phone", due_at="2026-05-11T14:00:00Z")},
    ),
    Clause("§email", ("compliance",),
        {INC_1: met(2, 3, channel="email", due_at="2026-05-11T14:00:00Z")},
        {INC_1: late(2, 3, channel="email", due_at="2026-05-11T14:00:00Z")},
    ),
    Clause("§chat", ("compliance",),  # an effort made, and one that took two days: shown, and never a breach
        {INC_1: said(2, 3, verdict="best_effort", due_at=None, business_seconds=180)},
        {INC_1: said(2, 3, verdict="best_effort", due_at=None, business_seconds=30 * 3600)},
    ),
    Clause("§on-site", ("compliance --as-of 2026-05-13T12:00:00Z",),  # a visit on request, and a request nobody took up
        {"request:REQ-1": said(2, 3, verdict="best_effort", due_at=None, responded_at="2026-05-11T10:00:00Z")},
        {"request:REQ-1": said(2, verdict="best_effort", due_at=None, responded_at=None)},
    ),
    Clause("§outside-hours", ("compliance",),
        {INC_1: met(2, 3, 4, due_at="2026-05-10T06:00:00Z")},
        {INC_1: late(2, 3, 4, by=88200, due_at="2026-05-10T06:00:00Z")},
    ),
    Clause("§response-times", ("compliance",),
        {
            INC_1: met(2, 7, priority="high"),
            INC_2: met(3, 5, 8, priority="medium"),
            INC_3: met(4, 6, 9, priority="low"),
        },
        {
            INC_1: late(2, 7, priority="high"),
            INC_2: late(3, 5, 8, priority="medium"),
            INC_3: late(4, 6, 9, priority="low"),
        },
    ),
    Clause("§remote-assistance", ("compliance",),
        {INC_1: met(2, 4, priority="low", due_at="2026-05-11T14:00:00Z")},
        {INC_1: late(2, 4, by=86400, priority="low", due_at="2026-05-11T14:00:00Z")},
    ),
    Clause("§availability-target", (YEAR,),
        {LICENCE: said(2, 3, 4, 5, met=True, counted_seconds=315360, availability__percent="99.0000")},
        {LICENCE: said(2, 3, 4, 5, met=False, counted_seconds=315361, availability__percent="98.9999")},
    ),
    Clause("§availability-calculation", ("reconcile outage:O-1",),  # the logs match, or no second is in both
        {"outage:O-1": said(1, 2, 3, agreed_seconds=13980, proposed__seconds=13980, doubts=["undetermined"])},
        {
            "outage:O-1": said(
                1, 2, 3, agreed_seconds=0, proposed__seconds=5 * 3600, doubts=["uncorroborated", "undetermined"]
            )
        },
    ),
    Clause("§availability-credit", ("claim assess C-1",),  # 97.8 %, claimed after the year or before its end
        {
            "claim:C-1": said(
                *range(1, 7), verdict="granted", steps=2, conditions__2__holds=True, credit__amount="600.00"
            )
        },
        {"claim:C-1": said(*range(1, 7), verdict="refused", conditions__2__holds=False, credit__amount="0.00")},
    ),
    Clause("§delivery-metrics", ("commitments",),
        {
            "licence_online request:REQ-1": met(1, 5, off_by_seconds=0),
            "licence_manual request:REQ-2": met(2, 6, off_by_seconds=0),
            "meeting_bridge request:REQ-3": met(3, 8, off_by_seconds=0),
            STARTED: met(4, 7, off_by_seconds=0),
        },
        {
            "licence_online request:REQ-1": off(1, 5),
            "licence_manual request:REQ-2": off(2, 6),
            "meeting_bridge request:REQ-3": off(3, 8),
            STARTED: off(4, 7),
        },
    ),
    Clause("§prioritisation", ("order",),  # a High case passes a Low one, and one that nobody gave a priority
        {INC_1: said(2, 4, 6, priority="low", overtaken_by=0), INC_2: said(3, 5, priority="high", overtook=0)},
        {INC_1: said(2, 5, priority="high", overtaken_by=1), INC_2: said(3, 4, priority="high", overtook=1)},
    ),
    Clause("§order-of-handling", ("order",),  # what overtook rests on what was overtaken, and the other way round
        {INC_1: said(2, 4, overtaken_by=0), INC_2: said(3, 5, overtook=0)},
        {INC_1: said(2, 3, 4, 5, overtaken_by=1), INC_2: said(2, 3, 4, overtook=1)},
    ),
    Clause("§full-access", ("compliance --as-of 2026-05-13T12:00:00Z",),
        {INC_1: met(2, 3, 4, 5, paused_seconds=1800, due_at="2026-05-11T15:30:00Z")},
        {INC_1: said(2, 3, verdict="paused", due_at=None, responded_at=None)},
    ),
]
# fmt: on

# kind, wanted for, due: a delivery is met in that second and late in the next
DELIVERIES = [
    ("licence_online", None, "2026-05-11T07:01:00Z"),
    ("licence_manual", None, "2026-05-12T20:00:00Z"),
    ("easy_number", None, "2026-05-13T20:00:00Z"),
    ("endpoint_registration", None, "2026-05-13T20:00:00Z"),
    ("meeting_bridge", "2026-05-18T07:00:00Z", "2026-05-18T07:00:00Z"),
    ("webcast", "2026-05-18T07:00:00Z", "2026-05-18T07:00:00Z"),
    ("meeting_support", None, "2026-05-12T20:00:00Z"),
]


def answers(history: Path, *question: str) -> Any:
    """What the program answers about a history, as JSON."""
    arguments = ["--db", str(history), *" ".join(question).split(), "--json"]
    with freezegun.freeze_time("2027-02-01T00:00:00Z"):
        result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def findings(history: Path, questions: tuple[str, ...]) -> Findings:
    """The findings that several questions bring, by name."""
    found: Findings = {}
    for question in questions:
        answer = answers(history, question)
        for row in answer if isinstance(answer, list) else [answer]:
            found[name_of(row)] = row
    return found


def name_of(row: dict[str, Any]) -> str:
    for keys in (("claim",), ("case",), ("kind", "item"), ("outage",), ("customer", "service")):
        if all(key in row for key in keys):
            return " ".join(row[key] for key in keys)
    raise AssertionError(f"no name in {sorted(row)}")


def value_at(row: Any, path: str) -> Any:
    for key in path.split("."):
        row = row[int(key)] if key.isdigit() else row[key]
    return row


@pytest.mark.parametrize("how", ["kept", "broken"])
@pytest.mark.parametrize("row", TABLE, ids=[row.clause for row in TABLE])
def test_clause(row: Clause, how: str) -> None:
    expected: Findings = getattr(row, how)

    found = findings(HISTORIES / f"{row.clause.removeprefix('§')}-{how}.jsonl", row.question)

    wrong = []
    for name, wanted in expected.items():
        fields = {path: value_at(found[name], path) for path in wanted if path not in ("because", "cited")}
        wrong += [f"{name}: {path} is {value}" for path, value in fields.items() if value != wanted[path]]
        missing = sorted(wanted["because"] - set(found[name]["because"]))
        wrong += [f"{name}: because lacks {missing}"] if missing else []
        wrong += (
            [f"{name}: clauses lack {row.clause}"] if wanted["cited"] > (row.clause in found[name]["clauses"]) else []
        )
    assert wrong == []


@pytest.mark.parametrize(("kind", "wanted_for", "due"), DELIVERIES, ids=[kind for kind, _, _ in DELIVERIES])
def test_every_kind_of_delivery(kind: str, wanted_for: str | None, due: str, tmp_path: Path) -> None:
    verdicts = {}
    for done in (due, due.replace(":00Z", ":01Z")):
        asked = {"customer": "acme", "service": "licence", "channel": "web", "kind": kind}
        asked |= {"wanted_for": wanted_for} if wanted_for else {}
        lines = [("ServiceRequested", ASKED, asked), ("RequestFulfilled", done, {})]
        told = [
            {"specversion": "1.0", "type": t, "subject": "request:REQ-1", "time": at, "data": data}
            for t, at, data in lines
        ]
        (tmp_path / "history.jsonl").write_text("\n".join(json.dumps(line) for line in told))
        (row,) = answers(tmp_path / "history.jsonl", "commitments --kind", kind)
        assert (row["due_at"], row["because"], "§delivery-metrics" in row["clauses"]) == (due, [1, 2], True)
        verdicts[row["verdict"]] = row["off_by_seconds"]

    assert verdicts == {"met": 0, "breached": 1}


def test_the_table_has_every_clause_and_every_history_is_short() -> None:
    assert tuple(row.clause for row in TABLE) == CLAUSES

    names = {f"{clause.removeprefix('§')}-{how}.jsonl" for clause in CLAUSES for how in ("kept", "broken")}
    assert {path.name for path in HISTORIES.iterdir()} == names
    for path in HISTORIES.iterdir():
        assert 2 <= len(path.read_text().splitlines()) <= 10, path.name


def test_the_terms_say_of_every_clause_where_it_is_judged() -> None:
    shown = answers(HISTORIES / "scope-kept.jsonl", "terms show")

    judged_by = {clause["id"]: clause["judged_by"].strip() for clause in shown["clauses"]}
    assert tuple(judged_by) == tuple(row.clause for row in TABLE)
    assert [clause for clause, where in judged_by.items() if not where] == []
