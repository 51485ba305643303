"""Every rule by which a ServiceNow event log becomes incidents, on small logs and on a real one."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ledger import events as e
from ledger.book import judged
from ledger.entry import Fact
from ledger.errors import BadLine, NotFound
from ledger.exchange import servicenow
from ledger.exchange.batch import Batch
from ledger.instants import stamp
from ledger.streams.acceptance import Streams

LOG = Path(__file__).resolve().parents[2] / "shared" / "data" / "servicenow" / "incident_event_log_head.csv.gz"
needs_log = pytest.mark.skipif(not LOG.exists(), reason=f"the real log is not here: {LOG}")

HEADER = "number,incident_state,caller_id,opened_at,sys_updated_at,contact_type,location,priority"
RECORDED_AT = datetime(2027, 1, 1, tzinfo=UTC)
MEDIUM = e.PriorityAssigned(priority="medium", reason="priority in the imported log")
LOW = e.PriorityAssigned(priority="low", reason="priority in the imported log")
RESPONSE = e.ResponseGiven(responder="human")
REQUEST, GRANT = e.AccessRequested(what="details"), e.AccessGranted(what="details")
RESOLVED = e.IncidentResolved()
REOPENED = e.IncidentReopened(reason="open again in the imported log")


def row(state: str = "New", at: str = "10:00", **changes: str) -> str:
    """A line of the log: an update on the first of March 2016."""
    cells = {
        "number": "INC1",
        "opened": "1/3/2016 10:00",
        "updated": f"1/3/2016 {at}",
        "contact": "Phone",
        "location": "Location 143",
        "priority": "3 - Moderate",
    } | changes
    number, opened, updated, contact, location, priority = cells.values()
    return f"{number},{state},Caller 1,{opened},{updated},{contact},{location},{priority}"


def imported(tmp_path: Path, *lines: str, header: str = HEADER, zone: str = "UTC") -> Batch:
    """What the log of these lines becomes, every row of it accounted for, every fact accepted by its stream."""
    path = tmp_path / "log.csv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8", newline="")
    batch = servicenow.read(str(path), zone=zone)
    assert_accounted(batch)
    return batch


def assert_accounted(batch: Batch) -> None:
    lines = {fact.line for fact in batch.facts}
    assert batch.rows == len(lines) + len(batch.bad) + batch.passed_over
    assert not lines & {bad.line for bad in batch.bad}
    outcome = judged(batch.facts, Streams(), 0, {}, RECORDED_AT)
    assert (outcome.rejects, outcome.already) == ([], [])


def told(facts: Iterable[Fact]) -> list[tuple[int, str, e.Event]]:
    """Line, time of day and event of the facts after the opening ones."""
    return [(f.line, f"{f.time:%H:%M}", f.event) for f in facts if not isinstance(f.event, e.IncidentReported)]


def reports(batch: Batch) -> list[e.IncidentReported]:
    return [fact.event for fact in batch.facts if isinstance(fact.event, e.IncidentReported)]


def reasons(batch: Batch) -> list[tuple[int, str]]:
    return [(bad.line, bad.reason) for bad in batch.bad]


def test_a_log_becomes_incidents_in_the_order_in_which_they_appear(tmp_path: Path) -> None:
    batch = imported(
        tmp_path,
        row("New", "10:05", number="INC2", opened="1/3/2016 10:02", contact="Email", location="?"),
        row("Active", "10:30"),
        row("Resolved", "11:00", number="INC2", opened="1/3/2016 10:02"),
    )

    report = e.IncidentReported(customer="unknown", service="support", channel="email", source="servicenow")
    first = batch.facts[0]
    assert (first.stream, stamp(first.time), first.event, first.actor) == (
        "incident:INC2",
        "2016-03-01T10:02:00Z",
        report,
        None,
    )
    assert [(f.stream, f.line, f.event.name) for f in batch.facts] == [
        ("incident:INC2", 2, "IncidentReported"),
        ("incident:INC2", 2, "PriorityAssigned"),
        ("incident:INC2", 4, "ResponseGiven"),
        ("incident:INC2", 4, "IncidentResolved"),
        ("incident:INC1", 3, "IncidentReported"),
        ("incident:INC1", 3, "PriorityAssigned"),
        ("incident:INC1", 3, "ResponseGiven"),
    ]


@pytest.mark.parametrize(
    "contact, channel",
    [
        ("Phone", "phone"),
        ("Email", "email"),
        ("Self service", "web"),
        ("IVR", "phone"),
        ("Direct opening", "web"),
    ],
)
def test_the_channel_comes_from_the_contact_type(tmp_path: Path, contact: str, channel: str) -> None:
    batch = imported(tmp_path, row(contact=contact))

    assert [report.channel for report in reports(batch)] == [channel]


@pytest.mark.parametrize(
    "given, priority",
    [("1 - Critical", "high"), ("2 - High", "high"), ("3 - Moderate", "medium"), ("4 - Low", "low")],
)
def test_the_four_priorities_become_three(tmp_path: Path, given: str, priority: str) -> None:
    batch = imported(tmp_path, row(priority=given))

    assert [f.event.priority for f in batch.facts if isinstance(f.event, e.PriorityAssigned)] == [priority]


def test_every_change_of_priority_counts_even_without_a_state(tmp_path: Path) -> None:
    batch = imported(
        tmp_path,
        row("New", "10:00"),
        row("New", "10:10"),
        row("-100", "10:20", priority="4 - Low"),
        row("New", "10:30", priority="4 - Low"),
        row("New", "10:40"),
    )

    assert told(batch.facts) == [(2, "10:00", MEDIUM), (4, "10:20", LOW), (6, "10:40", MEDIUM)]
    assert batch.passed_over == 2


def test_critical_and_high_are_one_priority_so_that_between_them_nothing_changes(tmp_path: Path) -> None:
    batch = imported(tmp_path, row(priority="1 - Critical"), row(priority="2 - High", at="10:10"))

    assert (len(told(batch.facts)), batch.passed_over) == (1, 1)


@pytest.mark.parametrize("state", sorted(servicenow.STATES - {"New", "-100"}))
def test_the_first_row_neither_new_nor_without_state_is_the_response(tmp_path: Path, state: str) -> None:
    batch = imported(tmp_path, row("New", "10:00"), row("-100", "10:10"), row(state, "10:20"), row(state, "10:30"))

    assert [t for t in told(batch.facts) if isinstance(t[2], e.ResponseGiven)] == [(4, "10:20", RESPONSE)]


def test_waiting_for_the_user_lasts_until_the_next_row_in_another_state(tmp_path: Path) -> None:
    batch = imported(
        tmp_path,
        row("Awaiting User Info", "10:10"),
        row("Awaiting User Info", "10:20"),
        row("-100", "10:30"),
        row("Awaiting Vendor", "10:40"),
        row("Awaiting User Info", "10:50"),
        row("New", "11:00"),
    )

    assert told(batch.facts) == [
        (2, "10:10", MEDIUM),
        (2, "10:10", RESPONSE),
        (2, "10:10", REQUEST),
        (5, "10:40", GRANT),
        (6, "10:50", REQUEST),
        (7, "11:00", GRANT),
    ]


@pytest.mark.parametrize("state", ["New", "Active"])
def test_resolved_again_counts_only_after_a_reopening(tmp_path: Path, state: str) -> None:
    batch = imported(
        tmp_path,
        row("Resolved", "10:10"),
        row("Resolved", "10:20"),
        row("Closed", "10:30"),
        row("Resolved", "10:40"),
        row(state, "10:50"),
        row("Active", "11:00"),
        row("Resolved", "11:10"),
    )

    assert told(batch.facts) == [
        (2, "10:10", MEDIUM),
        (2, "10:10", RESPONSE),
        (2, "10:10", RESOLVED),
        (6, "10:50", REOPENED),
        (8, "11:10", RESOLVED),
    ]


def test_a_row_without_state_or_waiting_reopens_nothing_and_closing_resolves_nothing(tmp_path: Path) -> None:
    batch = imported(
        tmp_path,
        row("Closed", "10:10"),
        row("Active", "10:20"),
        row("Resolved", "10:30"),
        row("-100", "10:40"),
        row("Awaiting User Info", "10:50"),
    )

    assert told(batch.facts)[2:] == [(4, "10:30", RESOLVED), (6, "10:50", REQUEST)]


def test_within_a_row_come_priority_grant_response_request_resolution(tmp_path: Path) -> None:
    batch = imported(
        tmp_path,
        row("Awaiting User Info", "10:10"),
        row("Resolved", "10:20", priority="4 - Low"),
        row("Awaiting User Info", "10:30"),
        row("Active", "10:40", priority="4 - Low"),
    )

    assert [event for line, _, event in told(batch.facts) if line == 3] == [LOW, GRANT, RESOLVED]
    assert [event for line, _, event in told(batch.facts) if line == 5] == [LOW, GRANT, REOPENED]


def test_rows_count_by_update_time_then_file_order(tmp_path: Path) -> None:
    batch = imported(
        tmp_path,
        row("Resolved", "11:00"),
        row("Active", "10:30", location="Location 7"),
        row("Awaiting User Info", "10:30"),
    )

    assert [report.customer for report in reports(batch)] == ["location-7"]
    assert [(line, event.name) for line, _, event in told(batch.facts)] == [
        (3, "PriorityAssigned"),
        (3, "ResponseGiven"),
        (4, "AccessRequested"),
        (2, "AccessGranted"),
        (2, "IncidentResolved"),
    ]


def test_updates_before_the_receipt_count_at_the_receipt(tmp_path: Path) -> None:
    batch = imported(tmp_path, row("New", "08:00"), row("Active", "09:00"))

    assert [f"{fact.time:%H:%M}" for fact in batch.facts] == ["10:00"] * 3


def test_times_are_those_of_the_zone_and_doubled_ones_the_first(tmp_path: Path) -> None:
    doubled = row("Active", opened="30/10/2016 01:30", updated="30/10/2016 02:30")

    batch = imported(tmp_path, doubled, zone="Europe/Oslo")

    assert [stamp(f.time) for f in batch.facts] == ["2016-10-29T23:30:00Z"] + ["2016-10-30T00:30:00Z"] * 2


@pytest.mark.parametrize(
    "changes, reason",
    [
        (
            {"updated": "27/3/2016 02:30"},
            "sys_updated_at: '27/3/2016 02:30' does not exist in Europe/Oslo, the clock skips it",
        ),
        (
            {"opened": "27/3/2016 02:30"},
            "opened_at: '27/3/2016 02:30' does not exist in Europe/Oslo, the clock skips it",
        ),
        ({"updated": "31/2/2016 10:00"}, "sys_updated_at: '31/2/2016 10:00' is not in the calendar"),
        ({"updated": "1/1/0001 00:00"}, "sys_updated_at: '1/1/0001 00:00' is not in the calendar"),
        ({"updated": "?"}, "sys_updated_at: '?' is no time like 29/2/2016 01:16"),
        ({"opened": "2016-03-01 10:00"}, "opened_at: '2016-03-01 10:00' is no time like 29/2/2016 01:16"),
        ({"priority": "5 - Planning"}, "priority: '5 - Planning' is none of 1 to 4"),
        ({"priority": "?"}, "priority: '?' is none of 1 to 4"),
        ({"contact": "Carrier pigeon"}, "contact_type: 'Carrier pigeon' is no known channel"),
        ({"number": "INC 2"}, "number: 'INC 2' is no reference"),
        ({"number": ""}, "number: '' is no reference"),
        ({"number": "x" * 121}, f"number: '{'x' * 60}' is no reference"),
        ({"location": "***"}, "location: '***' gives no identifier of 1 to 120 characters"),
        ({"location": "Sk\ufffdyen"}, "location: 'Sk\ufffdyen' holds bytes that are not UTF-8"),
        ({"priority": "4 - Low,one more"}, "columns: 9 instead of 8"),
    ],
)
def test_a_broken_row_says_which_column_is_wrong(tmp_path: Path, changes: dict[str, str], reason: str) -> None:
    broken = row(**changes)

    batch = imported(tmp_path, row(), broken, zone="Europe/Oslo")

    assert reasons(batch) == [(3, reason)]
    assert batch.bad[0].raw == broken


def test_an_unknown_state_is_a_bad_row(tmp_path: Path) -> None:
    batch = imported(tmp_path, row("On Hold"))

    assert reasons(batch) == [(2, "incident_state: 'On Hold' is no known state")]
    assert batch.facts == []


def test_an_incident_whose_first_row_is_bad_is_opened_by_the_next(tmp_path: Path) -> None:
    batch = imported(tmp_path, row("New", "10:00", opened="?"), row("Active", "10:10"))

    assert [(f.line, f"{f.time:%H:%M}", f.event.name) for f in batch.facts] == [
        (3, "10:00", "IncidentReported"),
        (3, "10:10", "PriorityAssigned"),
        (3, "10:10", "ResponseGiven"),
    ]


def test_a_row_over_several_lines_stands_on_its_first(tmp_path: Path) -> None:
    long = row("Active", "10:10").replace("Caller 1", '"Caller\n\n""1"""')

    batch = imported(tmp_path, row(), "", long, row("Resolved", "10:20"), row("Resolved", "?"))

    assert [(line, event) for line, _, event in told(batch.facts)][1:] == [(4, RESPONSE), (7, RESOLVED)]
    assert [bad.line for bad in batch.bad] == [8]
    assert batch.raw(4) == long


@pytest.mark.parametrize(
    "torn",
    [
        row("Active", "10:10").replace("Caller 1", '"Caller 1'),
        row("Active", "10:10").replace("3 - Moderate", '"3 - Moderate'),
        row("Active", "10:10").replace("Caller 1", '"Caller" 1'),
    ],
)
def test_a_quote_left_open_costs_one_row_and_not_those_after_it(tmp_path: Path, torn: str) -> None:
    batch = imported(tmp_path, row(), torn, row("Resolved", "10:20"), row("Closed", "10:30"))

    assert reasons(batch) == [(3, "columns: the quotes do not match")]
    assert batch.bad[0].raw == torn
    assert [line for line, _, event in told(batch.facts) if event == RESOLVED] == [4]


@pytest.mark.parametrize(
    "header, problem",
    [
        (HEADER.replace("location,", ""), "column location: missing"),
        (HEADER.replace("caller_id", "priority"), "column priority: stands twice"),
        ("", "column number: missing"),
    ],
)
def test_a_header_without_the_columns_is_refused(tmp_path: Path, header: str, problem: str) -> None:
    with pytest.raises(BadLine) as refused:
        imported(tmp_path, row(), header=header)

    assert (refused.value.where, refused.value.what) == (f"{tmp_path / 'log.csv'}, line 1", problem)


def test_a_zone_or_a_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no zone has this name"):
        imported(tmp_path, row(), zone="Europe/Atlantis")
    with pytest.raises(NotFound, match="cannot be read"):
        servicenow.read(str(tmp_path / "none.csv"), zone="UTC")


def test_packed_files_byte_order_marks_and_other_line_ends_change_nothing(tmp_path: Path) -> None:
    plain = imported(tmp_path, row(), row("Active", "10:10"))
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + "\r\n".join((HEADER, row(), row("Active", "10:10"))).encode()))

    packed = servicenow.read(str(path), zone="UTC")

    assert packed.facts == plain.facts
    assert packed.raw(3) == row("Active", "10:10")


def test_the_same_rows_have_the_same_ids_in_a_longer_log(tmp_path: Path) -> None:
    lines = [row("Awaiting User Info"), row("Active"), row("Awaiting User Info"), row("Resolved", "10:10")]
    more = [row("Active", "10:20"), row("New", number="INC2")]

    shorter, longer = imported(tmp_path, *lines), imported(tmp_path, *lines, *more)

    ids = [fact.command_id for fact in shorter.facts]
    assert len(set(ids)) == len(ids)
    assert ids == [fact.command_id for fact in longer.facts][: len(ids)]
    assert str(ids[0]).startswith("servicenow/INC1/2016-03-01T10:00:00Z/IncidentReported/")
    assert [str(i)[-2:] for i, f in zip(ids, shorter.facts, strict=True) if f.event == REQUEST] == ["/0", "/1"]


def test_progress_tells_how_many_rows_were_read(tmp_path: Path) -> None:
    path, seen = tmp_path / "log.csv", list[int]()
    path.write_text("\n".join((HEADER, *[row()] * 2500)))

    servicenow.read(str(path), zone="UTC", progress=seen.append)

    assert seen == [1000, 2000, 2500]


@pytest.fixture(scope="module")
def real() -> Batch:
    return servicenow.read(str(LOG), zone="Europe/Oslo")


@needs_log
def test_no_row_of_a_real_log_is_lost_and_every_fact_is_accepted(real: Batch) -> None:
    assert_accounted(real)

    counts = (real.rows, len({f.line for f in real.facts}), len(real.bad), real.passed_over, len(real.facts))
    assert counts == (59990, 24756, 4, 35230, 43880)
    skipped = "sys_updated_at: '27/3/2016 02:59' does not exist in Europe/Oslo, the clock skips it"
    assert {bad.reason for bad in real.bad} == {skipped}
    assert Counter(fact.event.name for fact in real.facts) == {
        "IncidentReported": 9334,
        "PriorityAssigned": 9511,
        "ResponseGiven": 9334,
        "AccessRequested": 3024,
        "AccessGranted": 3024,
        "IncidentResolved": 9492,
        "IncidentReopened": 161,
    }


@needs_log
def test_a_real_log_imported_twice_has_the_same_ids_each_once(real: Batch) -> None:
    ids: list[Any] = [fact.command_id for fact in real.facts]

    assert len(set(ids)) == len(ids)
    assert ids == [fact.command_id for fact in servicenow.read(str(LOG), zone="Europe/Oslo").facts]


@needs_log
def test_the_first_part_of_a_real_log_has_the_ids_of_the_whole(real: Batch, tmp_path: Path) -> None:
    part = tmp_path / "part.csv"
    part.write_bytes(b"".join(gzip.decompress(LOG.read_bytes()).splitlines(keepends=True)[:20001]))

    ids = {fact.command_id for fact in servicenow.read(str(part), zone="Europe/Oslo").facts}

    assert ids <= {fact.command_id for fact in real.facts}
