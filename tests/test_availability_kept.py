"""Availability that is kept says, after any new entries, what the plain rules find from all entries."""

from __future__ import annotations

import re
import tempfile
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from ledger.entry import Entry
from ledger.instants import seconds
from ledger.terms import BUILT_IN, built_in_document
from projections import availability
from projections.downtime import Downtime
from projections.history import History
from projections.judgement import Judgement
from projections.spans import Span
from projections.views import opening, uptime
from projections.views.rejudging import rejudged
from projections.views.tables import NotKept
from tests.oracle.histories import as_ofs, uptime_histories
from tests.support import entries
from tests.test_views import InMemory, views

READINGS = {
    "overlap": ["outage_wins", "maintenance_wins", "maintenance_wins"],
    "short_notice": ["counted", "excluded"],
    "unplanned": ["declared_first", "excluded", "counted"],
    "before_agreement": ["available", "left_out"],
    "uncovered_monitoring": ["available", "unavailable"],
    "evidence": ["two_sources", "any_source", "all_sources", "client_report"],
    "degraded": ["available", "unavailable"],
}
YEARS = [2025, 2026, 2027]
SERVICES = ["licence", "cloud-connect", "support"]


def line(subject: str, kind: str, time: str, **data: Any) -> dict[str, Any]:
    found = {"specversion": "1.0", "type": kind, "subject": subject, "time": time, "data": data}
    return found | {"recordedtime": "2024-12-31T00:00:00Z"}


def signed(services: list[str]) -> dict[str, Any]:
    """An agreement of a customer that nothing else is said of."""
    agreed = [{"service": s, "monthly_fee": {"amount": "1000.00", "currency": "NOK"}} for s in services]
    at = "2024-12-01T00:00:00Z"
    return line("agreement:cirrus", "AgreementSigned", at, customer="cirrus", desk="new_york", services=agreed)


def posted(readings: dict[str, str]) -> dict[str, Any]:
    """The built-in terms with other readings."""
    text = built_in_document()
    for name, reading in readings.items():
        text, count = re.subn(rf'^{name} = "\w+"', f'{name} = "{reading}"', text, flags=re.MULTILINE)
        assert count == 1
    data = {"document": text, "sha256": sha256(text.encode()).hexdigest()}
    return line(f"terms:{BUILT_IN}", "TermsPosted", "2020-09-22T22:00:00Z", **data)


def plain(found: list[Entry], year: int, at: datetime) -> tuple[Downtime, list[availability.Availability]]:
    """A year's findings by the plain rules, from all entries."""
    judgement = Judgement(History(found), at)
    begin, end = date(year, 1, 1), date(year + 1, 1, 1)

    def period(customer: str) -> Span:
        zone = judgement.zone_of(customer, judgement.rules_at(judgement.as_of))
        return judgement.instant_of(begin, zone), judgement.instant_of(end, zone)

    downtime = Downtime(judgement)
    return downtime, availability.findings(downtime, period)


def asked(path: Path, found: list[Entry], year: int, at: datetime) -> tuple[str, list[dict[str, Any]]]:
    """A year as a person is told it, and how: from the views, the rest judged again and kept for the next question."""
    reader = InMemory(found)
    with views(path, found) as connection:
        rows = uptime.kept(connection, year, None, None, seconds(at))
    kept = uptime.Year(year, seconds(at), len(found), rows or [])
    try:
        if rows is None:
            raise NotKept
        if kept.findings is not None:
            return "all of it kept", kept.findings
        downtime, anew = rejudged(reader, kept)
    except NotKept:
        downtime, anew = plain(found, year, at)
        opening.add(path, reader, len(found), lambda views: uptime.keep(views, year, downtime, anew))
        return "all of it judged by the plain rules", [f.as_json() for f in anew]
    opening.add(path, reader, len(found), lambda views: uptime.keep(views, year, downtime, anew, kept.forgotten))
    by_place = {row.place: f.as_json() for row, f in zip(kept.forgotten, anew, strict=True)}
    how = "a part judged again" if len(kept.forgotten) < len(rows) else "all rows judged again"
    return how, [row.finding or by_place[row.place] for row in rows]


@given(st.data())
def test_asked_after_any_new_entries_it_is_what_the_plain_rules_find(data: st.DataObject) -> None:
    """Several years, asked at any later instants between entries, corrections and late evidence among them."""
    readings = data.draw(st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in READINGS.items()}))
    agreed = data.draw(st.sampled_from([SERVICES, SERVICES, SERVICES[:2], SERVICES[:1]]))
    lines = [posted(readings), signed(agreed), *data.draw(uptime_histories())]
    found, years = entries(lines), data.draw(st.lists(st.sampled_from(YEARS), min_size=1, max_size=2, unique=True))
    cuts = data.draw(st.sets(st.integers(2, len(found)), min_size=2, max_size=8)) | {len(found)}
    named = as_ofs(lines)
    with tempfile.TemporaryDirectory() as folder:
        for cut in sorted(cuts):
            known = found[:cut]
            latest = max([x.time for x in known] + [c for x in known if (c := getattr(x.event, "time", None))])
            at = max(data.draw(named), latest + timedelta(seconds=1))
            for year in years:
                expected = [f.as_json() for f in plain(known, year, at)[1]]
                for _ in range(2):
                    how, answer = asked(Path(folder, "v"), known, year, at)
                    event(how)
                    assert answer == expected


def outage(name: str, services: list[str], customers: Any, begin: str, end: str, **why: str) -> list[dict[str, Any]]:
    """An outage from its report to its cause."""
    said = {"decided_by": "noc", "reason": "r"}
    reported = {"services": services, "customers": customers, "degree": "unavailable", "noticed_by": "staff"}
    return [
        line(name, "OutageReported", begin, **reported),
        line(name, "TimeframeDetermined", end, **{"from": begin, "until": end}, evidence=[], **said),
        line(name, "OutageAttributed", end, **(why or {"cause": "failure"}), **said),
    ]


def window(name: str, services: list[str], begin: str, end: str) -> list[dict[str, Any]]:
    """A planned window that is announced in time."""
    data = {"category": "planned", "services": services, "from": begin, "until": end, "reason": "r"}
    return [
        line(name, "MaintenanceScheduled", "2024-12-01T00:00:00Z", **data),
        line(name, "MaintenanceCommunicated", "2024-12-02T00:00:00Z", audience=["customers"]),
    ]


def planned(stream: str) -> dict[str, str]:
    return {"cause": "planned_maintenance", "maintenance": stream}


MARCH = ("2025-03-10T08:00:00Z", "2025-03-10T10:00:00Z")
INSIDE = ("2025-03-10T09:00:00Z", "2025-03-10T09:30:00Z")
AGAIN = {"services": ["support"], "customers": "all", "degree": "unavailable", "noticed_by": "staff"}
BEGUN = {**AGAIN, "services": ["cloud-connect"]}
BEFORE = [
    posted({"overlap": "maintenance_wins"}),
    signed(SERVICES),
    line(
        "agreement:acme",
        "AgreementSigned",
        "2024-12-01T00:00:00Z",
        customer="acme",
        desk="oslo",
        services=[{"service": "licence", "monthly_fee": {"amount": "1000.00", "currency": "NOK"}}],
    ),
    *window("maintenance:M-1", ["cloud-connect"], "2025-05-10T08:00:00Z", "2025-05-10T12:00:00Z"),
    *window("maintenance:M-2", ["licence"], *INSIDE),
    line("outage:O-4", "OutageReported", "2024-12-10T00:00:00Z", **BEGUN),
    *outage("outage:O-5", ["cloud-connect"], "all", "2024-12-10T00:00:00Z", "2024-12-11T00:00:00Z"),
    *outage("outage:O-1", ["licence"], "all", *MARCH, **planned("maintenance:M-1")),
    *outage(
        "outage:O-2",
        ["cloud-connect"],
        "all",
        "2025-05-10T08:00:00Z",
        "2025-05-10T12:00:00Z",
        **planned("maintenance:M-1"),
    ),
    *outage(
        "outage:O-3", ["support"], "all", "2025-06-10T08:00:00Z", "2025-06-10T12:00:00Z", **planned("maintenance:M-9")
    ),
]
MINE, THEIRS = ("acme", "licence"), ("cirrus", "licence")
CLOUD, SUPPORT = ("cirrus", "cloud-connect"), ("cirrus", "support")
LATE = "2026-02-01T00:00:00Z"
GAP = {"from": "2025-08-01T00:00:00Z", "until": "2025-08-01T01:00:00Z", "reason": "r"}
CORRECTED = {"version": 1, "reason": "r", "time": "2025-03-10T08:00:00Z", "data": AGAIN}
EARLIER = GAP | {"from": "2024-06-01T00:00:00Z", "until": "2024-06-01T01:00:00Z"}


@pytest.mark.parametrize(
    ("new", "reached"),
    [
        (outage("outage:N", ["licence"], ["acme"], "2025-09-01T00:00:00Z", "2025-09-01T01:00:00Z"), {MINE}),
        (outage("outage:N", ["licence"], "all", "2025-09-01T00:00:00Z", "2025-09-01T01:00:00Z"), {MINE, THEIRS}),
        (outage("outage:N", ["licence"], "all", "2026-01-20T00:00:00Z", "2026-01-20T01:00:00Z"), set()),
        (outage("outage:N", ["video"], "all", "2026-01-20T00:00:00Z", "2026-01-20T01:00:00Z"), None),
        ([line("outage:N", "OutageReported", "2024-12-20T00:00:00Z", **BEGUN)], {CLOUD}),
        ([line("outage:N", "OutageReported", "2026-01-20T00:00:00Z", **BEGUN)], set()),
        ([line("outage:O-1", "EntryWithdrawn", LATE, version=2, reason="r")], {MINE, THEIRS}),
        (
            [line("outage:O-1", "EntryCorrected", LATE) | {"data": CORRECTED}],
            {MINE, THEIRS, SUPPORT},
        ),
        ([line("maintenance:M-1", "MaintenanceCancelled", LATE, reason="r")], {CLOUD, SUPPORT, MINE, THEIRS}),
        (window("maintenance:M-9", ["support"], "2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z"), {SUPPORT}),
        (window("maintenance:M-9", ["licence"], *INSIDE), {MINE, THEIRS, SUPPORT}),
        ([line("monitoring:cloud-connect", "MonitoringGapRecorded", LATE, **GAP)], {CLOUD}),
        ([line("monitoring:cloud-connect", "MonitoringGapRecorded", LATE, **EARLIER)], set()),
        ([line("outage:O-4", "ServiceRestored", "2024-12-11T00:00:00Z")], {CLOUD}),
        ([line("outage:O-5", "EntryWithdrawn", LATE, version=2, reason="r")], {CLOUD}),
        (
            [
                line("outage:N", "OutageReported", "2024-12-20T00:00:00Z", **AGAIN),
                line("outage:N", "ServiceRestored", "2024-12-21T00:00:00Z"),
                line("outage:N", "EvidenceRecorded", LATE, source="client_report", **{"from": "2024-12-20T00:00:00Z"}),
            ],
            {SUPPORT},
        ),
        ([line("agreement:acme", "AgreementEnded", LATE)], None),
        ([line("backup:B-1", "BackupTaken", LATE, scope="all")], set()),
    ],
)  # fmt: skip
def test_new_entries_reach_the_rows_that_they_may_change_and_no_others(
    tmp_path: Path, new: list[dict[str, Any]], reached: set[tuple[str, str]] | None
) -> None:
    at, recorded = datetime(2026, 6, 1, tzinfo=UTC), {"recordedtime": "2026-05-01T00:00:00Z"}
    found = entries(x | recorded for x in [*BEFORE, *new])
    asked(tmp_path / "v", found[: len(BEFORE)], 2025, at)

    with views(tmp_path / "v", found) as connection:
        rows = uptime.kept(connection, 2025, None, None, seconds(at))

    forgotten = None if rows is None else {(r.customer, r.service) for r in rows if r.finding is None}
    assert forgotten == reached
    assert asked(tmp_path / "v", found, 2025, at)[1] == [f.as_json() for f in plain(found, 2025, at)[1]]
