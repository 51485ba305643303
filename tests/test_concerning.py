"""A claim's own streams give what the whole ledger gives: the decision, its audit, and every other reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LedgerError
from projections import audit, credits, explain_claim
from projections.availability import availability
from projections.concerning import asked, concern
from projections.downtime import Downtime
from projections.history import History
from projections.judgement import Judgement
from tests.bundles import CASES, line, story
from tests.oracle.histories import as_ofs, uptime_histories
from tests.support import entries, judged
from tests.test_uptime_laws import readings

UNWATCHED = {"uncovered_monitoring": "unavailable"}


def told(data: st.DataObject) -> tuple[list[dict[str, Any]], datetime]:
    """A history with decided claims in it, some of which were corrected to another customer or service later."""
    lines = list(data.draw(uptime_histories()))
    at = data.draw(as_ofs(lines)) + timedelta(days=400)
    for case in CASES:
        if data.draw(st.booleans()):
            lines.append(line(case[0], case[1], at, case[2]))
    for number in range(1, data.draw(st.integers(1, 3)) + 1):
        stream, at = f"claim:D-{number}", at + timedelta(hours=1)
        asked: dict[str, Any] = {
            "customer": data.draw(st.sampled_from(["acme", "borealis"])),
            "service": data.draw(st.sampled_from(["licence", "cloud-connect"])),
            "from": "2025-07-01",
            "until": "2026-07-01",
        }
        if data.draw(st.booleans()):
            asked["notified"] = ["incident:INC-1", "incident:INC-2", "incident:INC-3"]
        lines.append(line(stream, "CreditRequested", at, asked))
        if data.draw(st.integers(0, 3)):
            decision = credits.assess(judged(lines, at, **data.draw(readings)), stream).as_json()
            decision["verdict"] = data.draw(st.sampled_from(["granted", "granted", decision["verdict"]]))
            name = "CreditGranted" if decision["verdict"] == "granted" else "CreditRefused"
            lines.append(line(stream, name, at, {"decision": decision, "decided_by": "finance"}))
        if not data.draw(st.integers(0, 2)):
            other = asked | {"customer": data.draw(st.sampled_from(["acme", "borealis"])), "service": "support"}
            when = lines[-1]["time"] if lines[-1]["type"] == "CreditRequested" else f"{at:%Y-%m-%dT%H:%M:%SZ}"
            fix = {"version": 1, "reason": "a slip", "time": when, "data": other}
            lines.append(line(stream, "EntryCorrected", at, fix))
    return lines, at


def outcome(question: Any) -> Any:
    """What a question gives: a value, or the error it ends with."""
    try:
        return question()
    except LedgerError as error:
        return str(error)


def decided(judgement: Judgement, stream: str) -> list[Any]:
    """All that is said of a claim: assessed, derived, audited."""
    return [
        outcome(lambda: credits.assess(judgement, stream).as_json()),
        outcome(lambda: [s.text() for s in explain_claim.claim(credits.assess(judgement, stream))]),
        outcome(lambda: audit.audit(judgement, stream, str)),
    ]


@given(st.data())
def test_a_claim_comes_out_of_its_own_streams_as_out_of_all(data: st.DataObject) -> None:
    lines, at = told(data)
    whole = History(entries(lines))
    as_of, changes = data.draw(as_ofs(lines) | st.just(at)), data.draw(readings)
    for stream in whole.streams("claim"):
        needed = concern(whole, stream)
        some = whole.of_streams([*needed.streams, *needed.foreign])
        last = data.draw(st.sampled_from([whole.last_position, whole.last_position // 2]))
        if asked(whole, stream, last) not in {None, *needed.pairs}:
            continue  # a bundle refuses the question
        both = [Judgement(x.at_entry(last), as_of, changes=changes) for x in (whole, some)]

        assert decided(both[0], stream) == decided(both[1], stream)
        for customer, service in needed.pairs:
            period = at - timedelta(days=700), at
            rows = [availability(Downtime(j), customer, service, *period).as_json() for j in both]
            assert rows[0] == rows[1]


@given(st.data())
def test_no_case_of_another_customer_is_among_them(data: st.DataObject) -> None:
    lines, _ = told(data)
    whole = History(entries(lines))
    for stream in whole.streams("claim"):
        needed = concern(whole, stream)
        for case, _, said in CASES:
            if said["customer"] != needed.customer:
                assert case not in needed.streams


def test_no_stream_could_be_left_out_and_none_more_is_needed() -> None:
    whole = History(entries(story()))
    needed = concern(whole, "claim:C")

    def found(streams: Any) -> Any:
        judgement = Judgement(whole.of_streams(streams), datetime(2026, 3, 1, tzinfo=UTC), changes=UNWATCHED)
        return outcome(lambda: credits.assess(judgement, "claim:C").as_json())

    assert sorted(needed.streams) == [
        "agreement:acme",
        "calendar:oslo",
        "claim:C",
        "claim:C-0",
        "incident:INC-1",
        "maintenance:M-1",
        "maintenance:M-2",
        "monitoring:licence",
        "outage:O-1",
        "outage:O-2",
        "terms:t",
    ]
    assert found(needed.streams) == found(whole.streams())
    for stream in needed.streams:
        without = found(s for s in needed.streams if s != stream)
        assert (without == found(needed.streams)) == (stream == "calendar:oslo"), stream


def corrected(lines: list[dict[str, Any]], stream: str, customer: str) -> list[dict[str, Any]]:
    """The lines with an opening that named a customer, and was corrected to what it says before anything followed."""
    found = []
    for told in lines:
        found.append(told)
        if told["subject"] == stream and told["type"] in ("CreditRequested", "AgreementSigned"):
            found[-1] = told | {"data": told["data"] | {"customer": customer}}
            fix = {"version": 1, "reason": "a slip", "time": told["time"], "data": told["data"]}
            found.append(line(stream, "EntryCorrected", datetime.fromisoformat(told["time"]), fix))
        elif "decision" in told["data"]:
            told["data"]["decision"]["basis"]["entries"] = len(found) - 1
    return found


def test_whom_a_claim_named_before_it_was_corrected_has_no_say() -> None:
    whole = concern(History(entries(story())), "claim:C")
    needed = concern(History(entries(corrected(story(), "claim:C", "borealis"))), "claim:C")

    assert needed == whole
    assert "agreement:borealis" not in needed.streams


def test_another_claim_that_was_decided_for_two_customers_is_foreign() -> None:
    lines = story()
    told = next(x for x in lines if x["subject"] == "claim:C-0" and "decision" in x["data"])
    fix = {"version": 1, "reason": "x", "time": told["time"], "data": lines[-1]["data"] | {"customer": "borealis"}}
    lines.append(line("claim:C-0", "EntryCorrected", datetime(2026, 2, 2), fix))

    needed = concern(History(entries(lines)), "claim:C")

    assert needed.foreign == ("agreement:borealis", "claim:C-0")


def test_another_claim_that_was_corrected_before_it_was_decided_is_its_customers_alone() -> None:
    lines = corrected(story(), "claim:C-0", "borealis")

    assert concern(History(entries(lines)), "claim:C").foreign == ()
    other = story()
    for told in other:
        if told["subject"] == "claim:C-0" and told["type"] == "CreditRequested":
            told["data"] = told["data"] | {"customer": "borealis"}
    needed = concern(History(entries(corrected(other, "claim:C-0", "acme"))), "claim:C")
    assert "claim:C-0" not in (*needed.streams, *needed.foreign)


def test_an_agreement_that_is_another_customers_now_is_foreign() -> None:
    lines = corrected(story(), "agreement:borealis", "acme")

    assert concern(History(entries(lines)), "claim:C").foreign == ("agreement:borealis",)


def test_a_case_of_another_customer_that_a_request_names_is_told_apart() -> None:
    lines = story()
    lines[-1]["data"]["notified"] = ["incident:INC-2", "outage:O-4", "incident:INC-9"]

    needed = concern(History(entries(lines)), "claim:C")

    assert needed.foreign == ("incident:INC-2", "outage:O-4")
    assert not {"incident:INC-2", "outage:O-4", "incident:INC-9", "calendar:oslo"} & {*needed.streams}
