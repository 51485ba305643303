"""Availability and credit equal a slow, obvious second implementation on random histories."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from projections import availability, credits
from projections.downtime import Downtime
from tests.oracle import uptime as oracle
from tests.oracle.histories import as_ofs, instants, uptime_histories
from tests.support import judged, only

KNOWN_DOUBTS = {
    "cut_at_as_of",
    "undetermined",
    "unattributed",
    "uncorroborated",
    "recorded_late",
    "dangling_reference",
    "never_closed",
}
CHOICES: dict[str, Any] = {
    "lost_from": ["hundred", "target"],
    "lost_steps": ["whole", "exact", "begun"],
    "period": ["as_claimed", "calendar_year"],
    "before_agreement": ["available", "left_out"],
    "fee": ["period_end", "period_average"],
    "cap_percent": [None, "2", "5.5", "100"],
    "unplanned": ["declared_first", "excluded", "counted"],
    "emergency": ["counted", "excluded"],
    "short_notice": ["counted", "excluded"],
    "overlap": ["outage_wins", "maintenance_wins"],
    "beyond_control": ["excluded", "counted"],
    "excluded_time": ["in_denominator", "left_out"],
    "degraded": ["available", "unavailable"],
    "uncovered_monitoring": ["available", "unavailable"],
    "evidence": ["two_sources", "any_source", "all_sources", "client_report"],
    "reused_downtime": ["once", "again"],
    "immediately": ["1 h", "0 s", "2 h"],
}
SECONDS = {"1 h": 3600, "0 s": 0, "2 h": 7200}
readings = st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in CHOICES.items()})


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """The part of an availability finding that the second implementation gives."""
    kept = only(row, "terms", "clauses", "because")
    kept["doubts"] = sorted(set(row["doubts"]) & KNOWN_DOUBTS)
    kept["outages"] = [only(o, "reason", "frame", "obstacles") for o in row["outages"]]
    return kept


def alike(row: dict[str, Any], expected: dict[str, Any], chosen: dict[str, Any]) -> bool:
    """Whether both say the same. Under maintenance_wins the second one also doubts windows that took nothing."""
    found = plain(row)
    if chosen.get("overlap") == "maintenance_wins":
        for one in (found, expected):
            one["doubts"] = [d for d in one["doubts"] if d != "recorded_late"]
    assert found == expected
    return True


def check(data: st.DataObject, chosen: dict[str, Any]) -> None:
    lines = data.draw(uptime_histories())
    as_of = data.draw(as_ofs(lines))
    other = chosen | ({"immediately": SECONDS[chosen["immediately"]]} if "immediately" in chosen else {})

    judgement = judged(lines, as_of, **chosen)
    downtime = Downtime(judgement)
    begin = data.draw(instants())
    end = begin + timedelta(seconds=data.draw(st.sampled_from([1, 86400, 90 * 86400, 365 * 86400])))

    for customer in ("acme", "*", "nobody"):
        for service in ("licence", "cloud-connect"):
            found = availability.availability(downtime, customer, service, begin, end)
            expected = oracle.availability(lines, customer, service, begin, end, as_of, other)
            assert alike(found.as_json(), expected, chosen)
    for stream, _ in judgement.history.all(as_of, "claim"):
        assessed = credits.assess(judgement, stream)
        expected = oracle.assess(lines, stream, as_of, other)
        row = assessed.as_json()
        assert alike(row.pop("availability"), expected.pop("availability"), chosen)
        row["conditions"] = [{"condition": c["condition"], "holds": c["holds"]} for c in row["conditions"]]
        missing = expected.pop("missing")
        assert sorted({line.split(" ")[0] for line in assessed.missing}) == sorted(missing)
        if missing:
            expected["verdict"] = row["verdict"]
        assert {k: row[k] for k in expected} == expected


@given(st.data())
def test_default_readings_equal_the_second_implementation(data: st.DataObject) -> None:
    check(data, {})


@given(st.data())
def test_any_readings_equal_the_second_implementation(data: st.DataObject) -> None:
    check(data, data.draw(readings))
