"""Delivery, notice of maintenance and backups equal a slow, obvious second implementation on random histories."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections import commitments
from tests.benchmarks import history
from tests.oracle import promises as oracle
from tests.oracle.histories import (
    DAY,
    HOUR,
    MINUTE,
    NOTHING,
    NUDGES,
    SECOND,
    Story,
    as_ofs,
    case_histories,
    dues,
    instants,
    local,
    maintenance,
    uptime_histories,
    weekdays,
    written,
)
from tests.oracle.uptime import Line, instant
from tests.support import do, judged

KEYS = ("kind", "item", "due_at", "done_at", "verdict", "off_by_seconds")
CHOICES: dict[str, Any] = {
    "business_hours": ["union", "customer_desk", "oslo", "new_york"],
    "zones": ["civil", "fixed"],
    "holidays": ["none", "published"],
    "day_targets": ["close_of_last_day", "same_time", "business_hours"],
    "instantly": ["60 s", "0 s", "1 h"],
    "immediately": ["1 h", "0 s", "2 h"],
}
readings = st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in CHOICES.items()})


@st.composite
def promise_histories(draw: st.DrawFn) -> list[Line]:
    """Backups of two scopes, requests of the kinds that are promised, windows, and days on which a desk is closed."""
    story = Story(draw)
    start = max(draw(instants()), instant("2025-02-01T00:00:00Z"))
    story.moments.append(start)
    if story.chance(2):
        story.agreement("acme", start - 30 * DAY, story.pick([[], ["RoundTheClockSupportAgreed"]]), [start])
    for desk in ("oslo", "new_york"):
        if story.chance(2):
            closed = story.some(weekdays(start, 3))
            known = local(min(closed), desk, 0) + story.pick([-10 * DAY, -SECOND, NOTHING])
            dates = [str(day) for day in closed]
            story.tell(f"calendar:{desk}", "HolidaysPublished", known, {"desk": desk, "dates": dates})
    for number in range(1, story.pick([0, 1, 2, 3]) + 1):
        requested(story, f"request:REQ-{number}", story.moment(start))
    at = start
    for number in range(1, story.pick([0, 1, 2, 4]) + 1):
        backed_up(story, f"backup:B-{number}", at)
        at += story.pick([7 * DAY, 7 * DAY, DAY, NOTHING]) + story.pick(NUDGES)
    for number in range(1, story.pick([0, 0, 1, 2]) + 1):
        maintenance(story, f"maintenance:M-{number}", story.moment(start))
    return story.finish()


def requested(story: Story, subject: str, received: datetime) -> None:
    data = {"customer": "acme", "service": "licence", "channel": story.pick(["web", "phone", "chat"])}
    data["kind"] = story.pick([k for k in oracle.DELIVERIES if k != "troubleshooting"])
    edges = dues(received)
    if story.chance(2):
        wanted = received + story.pick([7 * DAY, DAY, 30 * DAY]) + story.pick(NUDGES)
        data["wanted_for"], edges = written(wanted), [wanted, wanted, *edges]
    story.tell(subject, "ServiceRequested", received, data)
    if not story.chance(4):
        story.tell(subject, "RequestFulfilled", story.moment(received, [*edges, received + MINUTE]))
    if story.chance(4):
        story.tell(subject, "RequestCancelled", story.moment(received, edges), {"reason": "withdrawn"})


def backed_up(story: Story, subject: str, at: datetime) -> None:
    story.tell(subject, "BackupTaken", at, {"scope": story.pick(["platform", "platform", "recordings"])})
    if story.chance(2):
        story.tell(subject, "BackupDeleted", at + story.pick([20 * DAY, 19 * DAY, HOUR]) + 2 * story.pick(NUDGES))


def judged_at(lines: list[Line]) -> st.SearchStrategy[datetime]:
    """Also the instants at which a backup should be followed and may be deleted, and at which notice is due."""
    moments = [instant(line["time"]) for line in lines]
    edges = [moment + after for moment in moments for after in (MINUTE, HOUR, 7 * DAY, 20 * DAY)]
    edges += [instant(line["data"]["from"]) - n * DAY for line in lines if "services" in line["data"] and
              "from" in line["data"] for n in (7, 14)]  # fmt: skip
    close = st.builds(lambda moment, nudge: moment + nudge, st.sampled_from(edges), st.sampled_from(NUDGES))
    return as_ofs(lines) | close if edges else as_ofs(lines)


def check(data: st.DataObject, histories: st.SearchStrategy[list[Line]], chosen: dict[str, Any]) -> None:
    lines = data.draw(histories)
    as_of = data.draw(judged_at(lines))

    found = [c.as_json() for c in commitments.findings(judged(lines, as_of, **chosen))]

    rows = sorted(({k: row[k] for k in KEYS} for row in found), key=lambda row: (row["item"], row["kind"]))
    assert rows == oracle.promises(lines, as_of, chosen)


@given(st.data())
def test_promises_equal_the_second_implementation(data: st.DataObject) -> None:
    check(data, promise_histories(), {})


@given(st.data())
def test_promises_under_any_readings_equal_the_second_implementation(data: st.DataObject) -> None:
    check(data, promise_histories(), data.draw(readings))


@given(st.data())
def test_start_of_troubleshooting_and_deliveries_in_whole_case_histories(data: st.DataObject) -> None:
    check(data, case_histories(), data.draw(readings))


@given(st.data())
def test_notice_of_maintenance_in_whole_uptime_histories(data: st.DataObject) -> None:
    check(data, uptime_histories(), data.draw(readings))


def the_promise_of_a_licence(*before: Line, received: str, **chosen: Any) -> dict[str, Any]:
    """A licence to be issued by hand, asked for by acme after these lines; the agreement is entry 1."""
    asked = {"customer": "acme", "service": "licence", "channel": "web", "kind": "licence_manual"}
    lines = [*before, line("request:REQ-1", "ServiceRequested", received, asked)]
    (found,) = commitments.findings(judged(lines, instant("2027-01-01T00:00:00Z"), **chosen))
    return found.as_json()


def line(subject: str, kind: str, at: str, data: dict[str, Any]) -> Line:
    return {"specversion": "1.0", "type": kind, "subject": subject, "time": at, "data": data}


def signed(desk: str) -> Line:
    services = [{"service": "licence", "monthly_fee": {"amount": "1000.00", "currency": "NOK"}}]
    data = {"customer": "acme", "desk": desk, "services": services}
    return line("agreement:acme", "AgreementSigned", "2026-01-05T09:00:00Z", data)


def test_a_promise_names_the_agreement_whose_desk_dates_it() -> None:
    late_evening_in_new_york = "2026-05-12T02:00:00Z"

    rows = [the_promise_of_a_licence(signed(d), received=late_evening_in_new_york) for d in ("oslo", "new_york")]

    assert [row["due_at"] for row in rows] == ["2026-05-13T20:00:00Z", "2026-05-12T20:00:00Z"]
    assert [row["because"] for row in rows] == [[1, 2], [1, 2]]


def test_a_promise_names_the_holidays_that_move_it() -> None:
    said = "2026-01-07T09:00:00Z"
    closed = [
        line(f"calendar:{desk}", "HolidaysPublished", said, {"desk": desk, "dates": ["2026-05-12"]})
        for desk in ("oslo", "new_york")
    ]

    row = the_promise_of_a_licence(signed("oslo"), *closed, received="2026-05-11T09:00:00Z", holidays="published")

    assert row["due_at"] == "2026-05-13T20:00:00Z"
    assert {2, 3} <= set(row["because"])


def test_a_promise_made_without_an_agreement_in_force_is_in_doubt() -> None:
    ended = line("agreement:acme", "AgreementEnded", "2026-03-01T09:00:00Z", {})

    row = the_promise_of_a_licence(signed("oslo"), ended, received="2026-05-11T09:00:00Z")

    assert row["doubts"] == ["no_agreement"]


FEE = {"amount": "1000.00", "currency": "NOK"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A ledger, and the stream file it was exported to: of that all entries are read, whatever is asked."""
    folder = tmp_path_factory.mktemp("both")
    db, file = folder / "ledger.db", folder / "ledger.jsonl"
    history.make(db, 3000)
    moved = next(row for row in told(db, "--customer", "customer-0003") if row["kind"] == "troubleshooting")
    opening = {"customer": "customer-0004", "service": "licence", "channel": "web"}
    right = ("--version", "1", "--time", moved["since"], "--data", json.dumps(opening))
    do(db, "record", "EntryCorrected", moved["item"], *right, "--reason", "it was another's")
    report = ("--customer", "customer-0003", "--service", "licence", "--channel", "web", "--at", "2023-02-01T09:00:00Z")
    do(db, "record", "IncidentReported", "incident:NEW", *report)
    do(db, "record", "EntryWithdrawn", "incident:NEW", "--version", "1", "--reason", "nobody asked")
    file.write_text(do(db, "export").stdout)
    return db, file


def told(db: Path, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(do(db, "--json", "commitments", *options).stdout)
    return found


@pytest.mark.parametrize("kind", [None, "troubleshooting", "licence_manual", "planned_communicated", "backup_kept"])
@pytest.mark.parametrize("year", [None, "2022", "2023"])
@pytest.mark.parametrize("customer", [None, "customer-0003", "nobody"])
def test_fewer_entries_are_read_and_the_same_is_found(
    both: tuple[Path, Path], kind: str | None, year: str | None, customer: str | None
) -> None:
    chosen = {"--kind": kind, "--year": year, "--customer": customer}
    options = [text for name, value in chosen.items() if value for text in (name, value)]
    db, file = both

    assert told(db, *options) == told(file, *options)


def test_what_is_asked_of_a_time_gone_by_is_found_in_all_entries(both: tuple[Path, Path]) -> None:
    db, file = both
    for options in (["--at-entry", "1500"], ["--as-of", "2023-09-01T00:00:00Z"], ["--reading", "zones=fixed"]):
        found = told(db, "--customer", "customer-0003", "--year", "2023", *options)

        assert found == told(file, "--customer", "customer-0003", "--year", "2023", *options)
        assert found


def test_a_year_is_read_in_the_zone_of_the_customers_desk(tmp_path: Path) -> None:
    """At two in the night of 1 January in Oslo and London it is still the old year in New York."""
    db, agreed = tmp_path / "ledger.db", json.dumps([{"service": "licence", "monthly_fee": FEE}])
    do(db, "init")
    for customer, desk in (("ny", "new_york"), ("oslo", "oslo")):
        terms = ("--customer", customer, "--desk", desk, "--services", agreed, "--at", "2024-06-01T00:00:00Z")
        do(db, "record", "AgreementSigned", f"agreement:{customer}", *terms)
        wanted = ("--kind", "licence_manual", "--service", "licence", "--channel", "web", "--customer", customer)
        do(db, "record", "ServiceRequested", f"request:{customer}", *wanted, "--at", "2025-01-01T02:00:00Z")
    file = tmp_path / "ledger.jsonl"
    file.write_text(do(db, "export").stdout)

    for source in (db, file):
        assert [row["customer"] for row in told(source, "--year", "2024")] == ["ny"]
        assert [row["customer"] for row in told(source, "--year", "2025")] == ["oslo"]
