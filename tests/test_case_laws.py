"""Response times and handling order equal a slow, obvious second implementation on random histories."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from projections import handling_order, response_times
from tests.oracle import cases as oracle
from tests.oracle.histories import as_ofs, case_histories
from tests.support import judged, only

DERIVATION = ("terms", "clauses", "because", "doubts")
CHOICES: dict[str, Any] = {
    "business_hours": ["union", "customer_desk", "oslo", "new_york"],
    "zones": ["civil", "fixed"],
    "holidays": ["none", "published"],
    "hour_targets": ["business", "elapsed"],
    "day_targets": ["close_of_last_day", "same_time", "business_hours"],
    "responder": ["human", "any"],
    "reclassification": ["from_receipt", "from_change"],
    "order_within": ["priority", "all"],
    "round_the_clock": ["phone", "all_channels"],
    "best_effort": [["chat", "on_site"], [], ["email"]],
    "off_hours_phone": ["next_opening", "best_effort"],
}
readings = st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in CHOICES.items()})


def check(data: Any, chosen: dict[str, Any]) -> None:
    lines = data.draw(case_histories())
    as_of = data.draw(as_ofs(lines))

    judgement = judged(lines, as_of, **chosen)
    verdicts = response_times.findings(judgement)

    assert [only(v.as_json(), *DERIVATION) for v in verdicts] == oracle.compliance(lines, as_of, chosen)
    assert [only(r, "doubts") for r in handling_order.queue(judgement, verdicts)] == oracle.queue(lines, as_of, chosen)
    rows = [only(h.as_json(), *DERIVATION) for h in handling_order.findings(judgement)]
    assert rows == oracle.order(lines, as_of, chosen)
    assert handling_order.totals(handling_order.findings(judgement)) == oracle.order_totals(rows)


@given(st.data())
def test_default_readings_equal_the_second_implementation(data: st.DataObject) -> None:
    check(data, {})


@given(st.data())
def test_any_readings_equal_the_second_implementation(data: st.DataObject) -> None:
    check(data, data.draw(readings))
