"""Laws over random histories: what must hold whatever happened, and the direction in which each reading moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from projections import availability, credits, handling_order, readings, response_times
from projections.downtime import ANYBODY, Downtime
from projections.history import FOUND_OUT, History
from projections.judgement import Judgement
from projections.spans import intersection, minus, total, union
from tests.oracle.histories import as_ofs, case_histories, instants, uptime_histories
from tests.support import entries, judged, only

FAR = datetime(2028, 6, 1, tzinfo=UTC)
YEAR = (datetime(2025, 6, 1, tzinfo=UTC), datetime(2027, 6, 1, tzinfo=UTC))
NEVER_HIDDEN = {model.__name__ for model in FOUND_OUT} | {"EntryWithdrawn", "EntryCorrected"}


def case_rows(judgement: Judgement) -> list[dict[str, Any]]:
    found = [v.as_json() for v in response_times.findings(judgement)]
    return found + [h.as_json() for h in handling_order.findings(judgement)]


def counted(lines: list[dict[str, Any]], as_of: datetime, **taken: Any) -> int:
    found = availability.availability(Downtime(judged(lines, as_of, **taken)), ANYBODY, "licence", *YEAR)
    return total(found.counted)


# Two times


@given(st.data())
def test_what_happens_after_as_of_changes_nothing(data: st.DataObject) -> None:
    lines = data.draw(case_histories())
    as_of = data.draw(as_ofs(lines))
    assume(not any(line["type"] in ("EntryWithdrawn", "EntryCorrected") for line in lines))
    cut = [x for x in lines if x["type"] in NEVER_HIDDEN or datetime.fromisoformat(x["time"]) <= as_of]
    opened = {x["subject"] for x in cut if x["type"] in ("IncidentReported", "ServiceRequested", "AgreementSigned")}
    cut = [x for x in cut if x["subject"] in opened or x["subject"].startswith("calendar:")]

    whole = [only(r, "because") for r in case_rows(judged(lines, as_of))]

    assert whole == [only(r, "because") for r in case_rows(judged(cut, as_of))]


@given(st.data())
def test_asking_twice_is_equal_and_known_at_the_last_entry_is_all(data: st.DataObject) -> None:
    lines = data.draw(st.one_of(case_histories(), uptime_histories()))
    as_of = data.draw(as_ofs(lines))
    recorded = entries(lines)
    history = History(recorded)

    first = case_rows(Judgement(history, as_of))

    assert first == case_rows(Judgement(History(recorded), as_of))
    assert first == case_rows(Judgement(history.at_entry(history.last_position), as_of))
    assert first == case_rows(Judgement(history.known_at(recorded[-1].recorded_at), as_of))


@given(st.data())
def test_known_at_an_entry_is_what_was_said_when_it_was_the_last(data: st.DataObject) -> None:
    lines = data.draw(uptime_histories())
    position = data.draw(st.integers(0, len(lines)))
    history = History(entries(lines))

    then = Downtime(Judgement(history.at_entry(position), FAR))
    cut = Downtime(judged(lines[:position], FAR))

    for service in ("licence", "cloud-connect"):
        rows = [availability.availability(d, "acme", service, *YEAR).as_json() for d in (then, cut)]
        assert rows[0] == rows[1]


# Cases


@given(st.integers(0, 29 * 3600), st.integers(0, 96 * 3600), st.integers(0, 40), st.integers(1, 7))
def test_a_pause_outside_business_hours_changes_nothing(received: int, answered: int, begun: int, hours: int) -> None:
    """Received from Thursday afternoon on, asked and granted on the Saturday, answered in the days after."""
    thursday, saturday = datetime(2026, 6, 4, 15, tzinfo=UTC), datetime(2026, 6, 6, tzinfo=UTC)
    head = {"specversion": "1.0", "subject": "incident:INC-1"}
    reported = {"customer": "acme", "service": "licence", "channel": "email"}

    def fact(name: str, at: datetime, **data: Any) -> dict[str, Any]:
        return head | {"type": name, "time": at.isoformat(), "recordedtime": FAR.isoformat(), "data": data}

    case = [
        fact("IncidentReported", thursday + timedelta(seconds=received), **reported),
        fact("ResponseGiven", saturday + timedelta(days=1, seconds=answered), responder="human"),
    ]
    pause = [
        fact("AccessRequested", saturday + timedelta(minutes=begun * 10), what="details"),
        fact("AccessGranted", saturday + timedelta(minutes=begun * 10, hours=hours), what="details"),
    ]

    plain, paused = (response_times.findings(judged(lines, FAR))[0].as_json() for lines in (case, case + pause))

    assert only(paused, "clauses", "because") == only(plain, "clauses", "because")


# Spans and availability

spans = st.lists(
    st.tuples(instants(), st.integers(0, 10**6)).map(lambda p: (p[0], p[0] + timedelta(seconds=p[1]))), max_size=8
)


@given(spans, spans)
def test_the_algebra_of_spans(some: list[Any], more: list[Any]) -> None:
    a, b = union(some), union(more)

    assert total(union([*a, *b])) == total(a) + total(b) - total(intersection(a, b))
    assert total(minus(a, b)) + total(intersection(a, b)) == total(a)
    assert union([*minus(a, b), *intersection(a, b)]) == a


@given(st.data())
def test_the_parts_add_up_and_cutting_the_period_leaves_the_sum(data: st.DataObject) -> None:
    lines = data.draw(uptime_histories())
    as_of = data.draw(as_ofs(lines))
    middle = data.draw(instants())
    assume(YEAR[0] < middle < YEAR[1])
    downtime = Downtime(judged(lines, as_of))

    rows = [
        availability.availability(downtime, "acme", "licence", *period).as_json()
        for period in (YEAR, (YEAR[0], middle), (middle, YEAR[1]))
    ]

    for row in rows:
        parts = row["counted_seconds"] + sum(row["excluded_seconds"].values()) + row["already_credited_seconds"]
        assert parts + row["unknown_seconds"] + row["up_seconds"] == row["period_seconds"]
    for key in ("counted_seconds", "unknown_seconds", "period_seconds", "up_seconds"):
        assert rows[0][key] == rows[1][key] + rows[2][key]


@given(uptime_histories(), instants(), st.integers(1, 10**6))
def test_more_outage_never_means_less_credit(lines: list[dict[str, Any]], begin: datetime, seconds: int) -> None:
    end = begin + timedelta(seconds=seconds)
    head = {"specversion": "1.0", "subject": "outage:MORE", "recordedtime": FAR.isoformat()}
    report = {"services": ["licence"], "customers": "all", "degree": "unavailable", "noticed_by": "staff"}
    settled = {"decided_by": "noc", "reason": "test"}
    frame = {"from": begin.isoformat(), "until": end.isoformat(), "evidence": [], **settled}
    more = [
        head | {"type": "OutageReported", "time": begin.isoformat(), "data": report},
        head | {"type": "TimeframeDetermined", "time": begin.isoformat(), "data": frame},
        head | {"type": "OutageAttributed", "time": begin.isoformat(), "data": {"cause": "failure", **settled}},
    ]
    before, after = judged(lines, FAR), judged([*lines, *more], FAR)

    for stream in before.history.streams("claim"):
        if before.history.stream(stream, FAR):
            one, other = credits.assess(before, stream), credits.assess(after, stream)
            assert (paid(one), total(one.availability.counted)) <= (paid(other), total(other.availability.counted))


def paid(assessment: credits.Assessment, lost_from: str = "hundred", lost_steps: str = "whole") -> Fraction:
    credit = assessment.worth.credit(lost_from, lost_steps)
    return Fraction(credit.amount) if credit else Fraction(-1)


# The direction of each reading


@given(uptime_histories())
def test_readings_of_loss_pay_in_their_order(lines: list[dict[str, Any]]) -> None:
    judgement = judged(lines, FAR)
    for stream in judgement.history.streams("claim"):
        if judgement.history.stream(stream, FAR):
            found = credits.assess(judgement, stream)
            for lost_from in ("hundred", "target"):
                whole, exact, begun = (paid(found, lost_from, steps) for steps in ("whole", "exact", "begun"))
                assert whole <= exact <= begun
            assert all(paid(found, "target", s) <= paid(found, "hundred", s) for s in ("whole", "exact", "begun"))


@given(st.data())
def test_excluding_never_lengthens_counted_downtime(data: st.DataObject) -> None:
    lines = data.draw(uptime_histories())
    as_of = data.draw(as_ofs(lines))

    for key, ascending in (
        ("unplanned", ("excluded", "declared_first", "counted")),
        ("emergency", ("excluded", "counted")),
        ("short_notice", ("excluded", "counted")),
        ("beyond_control", ("excluded", "counted")),
        ("overlap", ("maintenance_wins", "outage_wins")),
        ("degraded", ("available", "unavailable")),
        ("uncovered_monitoring", ("available", "unavailable")),
        ("evidence", ("all_sources", "two_sources", "any_source")),
        ("immediately", ("2 h", "1 h", "0 s")),
    ):
        lengths = [counted(lines, as_of, **{key: value}) for value in ascending]
        assert lengths == sorted(lengths), key


@settings(max_examples=max(2, settings().max_examples // 20))
@given(uptime_histories())
def test_readings_left_out_of_the_combinations_move_nothing(lines: list[dict[str, Any]]) -> None:
    """What is proven not to touch a claim does not, alone or together with any one other reading."""
    judgement = judged(lines, FAR)
    for stream in judgement.history.streams("claim"):
        if not judgement.history.stream(stream, FAR):
            continue
        gathered = credits.dossier(judgement, stream)
        left_out = readings.untouched(gathered, gathered.rules)
        found = readings.one_at_a_time(judgement, stream)
        for other in found.others:
            if set(other.readings) <= set(left_out):
                assert (other.payout, other.figures()) == (found.default.payout, found.default.figures()), (
                    other.readings
                )
                for second in found.others:
                    if set(second.readings) <= set(readings.MEASURING) - set(other.readings):
                        both = credits.assess(judged(lines, FAR, **second.readings, **other.readings), stream)
                        alone = second.assessment
                        taken = both.rules.readings
                        assert both.availability.parts() == alone.availability.parts(), (
                            second.readings,
                            other.readings,
                        )
                        assert paid(both, taken.lost_from, taken.lost_steps) == paid(
                            alone, alone.rules.readings.lost_from, alone.rules.readings.lost_steps
                        )


@given(uptime_histories())
def test_sharing_between_combinations_changes_no_outcome(lines: list[dict[str, Any]]) -> None:
    """Measured once for all that measure alike, an outcome equals the claim assessed anew under its readings."""
    judgement = judged(lines, FAR)
    for stream in judgement.history.streams("claim"):
        if judgement.history.stream(stream, FAR):
            for other in readings.one_at_a_time(
                judgement, stream, {"cap_percent": ["5"], "immediately": ["2 h"]}
            ).others:
                anew = credits.assess(judged(lines, FAR, **other.readings), stream)
                assert anew.as_json() == other.assessment.as_json()
