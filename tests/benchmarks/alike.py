"""A row of a settled year beside what the findings one by one say."""

from __future__ import annotations

from datetime import date

from ledger.events import CreditRequested
from projections import availability, claims, credits
from projections.downtime import Downtime
from projections.judgement import Judgement
from projections.settlement import FIELDS, Row
from projections.used_downtime import Granted
from tests.support import only

SUMS = ("counted_seconds", "already_credited_seconds")


def assert_alike(judgement: Judgement, year: int, row: Row) -> None:
    """Assert that a row says what `availability`, and `claim assess` of a claim submitted now, say."""
    request = CreditRequested(
        customer=row["customer"], service=row["service"], from_=date(year, 1, 1), until=date(year + 1, 1, 1)
    )
    period, downtime = claims.period(judgement, request), Downtime(judgement)
    gathered = credits.hypothetical(downtime, request, period, Granted(judgement))
    decision = credits.assessed(gathered, credits.measured(gathered, gathered.rules)).as_json()
    alone = availability.availability(downtime, row["customer"], row["service"], *period).as_json()
    finding = decision.pop("availability")
    own = {k: v for k, v in row.items() if k in finding and k not in ("outages", "clauses")}

    assert tuple(row) == FIELDS
    assert own == {k: finding[k] for k in own}
    assert row["outages"] == len(finding["outages"])
    for key in ("steps", "rate_percent", "monthly_fee", "credit", "terms", "clauses", "doubts"):
        assert row[key] == decision[key], key
    assert row["verdict"] == (None if finding["provisional"] else decision["verdict"])
    assert sum(row[k] for k in SUMS) == sum(alone[k] for k in SUMS)
    moved = (*SUMS, "availability", "met") if row["already_credited_seconds"] else ()
    assert only(own, *moved) == {k: alone[k] for k in only(own, *moved)}
