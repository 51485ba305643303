"""What a stream accepts: a row per rule, and laws against a second telling of the rules."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ledger.streams
from ledger.entry import Entry, from_line
from ledger.errors import BadLine
from ledger.streams.acceptance import ADVICE, Refusal, Streams
from projections import response_times
from tests.oracle.acceptance import CORRECTIONS, Line, instant, objection
from tests.oracle.histories import as_ofs, case_histories, uptime_histories, written
from tests.support import judged, only

Data = dict[str, Any]

RECORDED_AT = datetime(2030, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FEE = {"amount": "1000.00", "currency": "NOK"}
SPAN = {"from": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z"}
SAID, DECIDED = {"reason": "reviewed"}, {"decided_by": "lead", "reason": "reviewed"}


def decision(verdict: str, amount: str = "10.00") -> Data:
    return {"decision": {"verdict": verdict, "credit": FEE | {"amount": amount}}, "decided_by": "lead"}


def cause(name: str, **more: str) -> tuple[str, Data]:
    return "OutageAttributed", {"cause": name, **more, **DECIDED}


def frame(*evidence: int) -> tuple[str, Data]:
    return "TimeframeDetermined", {**SPAN, "evidence": list(evidence), **DECIDED}


# the words that stories are told in
WORDS: dict[str, tuple[str, Data]] = {
    "reported": ("IncidentReported", {"customer": "acme", "service": "licence", "channel": "phone"}),
    "requested": ("ServiceRequested", {"customer": "acme", "service": "x", "channel": "web", "kind": "support"}),
    "priority": ("PriorityAssigned", {"priority": "high", **SAID}),
    "response": ("ResponseGiven", {"responder": "human"}),
    "asked": ("AccessRequested", {"what": "details"}),
    "asked-remote": ("AccessRequested", {"what": "remote_access"}),
    "granted": ("AccessGranted", {"what": "details"}),
    "resolved": ("IncidentResolved", {}),
    "reopened": ("IncidentReopened", SAID),
    "cancelled": ("IncidentCancelled", SAID),
    "fulfilled": ("RequestFulfilled", {}),
    "called-off": ("RequestCancelled", SAID),
    "outage": ("OutageReported", {"services": ["x"], "customers": "all", "degree": "degraded", "noticed_by": "staff"}),
    "evidence": ("EvidenceRecorded", {"source": "client_report", "from": SPAN["from"]}),
    "restored": ("ServiceRestored", {}),
    "frame": frame(),
    "frame-on-2": frame(2),
    "frame-on-2-3": frame(2, 3),
    "failure": cause("failure"),
    "failure-in-M-1": cause("failure", maintenance="maintenance:M-1"),
    "failure-on-ground": cause("failure", ground="content"),
    "planned": cause("planned_maintenance"),
    "planned-in-M-1": cause("planned_maintenance", maintenance="maintenance:M-1"),
    "unplanned-in-M-1": cause("unplanned_maintenance", maintenance="maintenance:M-1"),
    "not-covered": cause("not_covered"),
    "not-covered-on-ground": cause("not_covered", ground="content"),
    "scheduled": ("MaintenanceScheduled", {"category": "planned", "services": ["x"], **SPAN, **SAID}),
    "told": ("MaintenanceCommunicated", {"audience": ["customers"]}),
    "moved": ("MaintenanceRescheduled", SPAN | SAID),
    "started": ("MaintenanceStarted", {}),
    "completed": ("MaintenanceCompleted", {}),
    "abandoned": ("MaintenanceCancelled", SAID),
    "gap": ("MonitoringGapRecorded", SPAN | SAID),
    "holidays": ("HolidaysPublished", {"desk": "oslo", "dates": ["2026-05-17"]}),
    "taken": ("BackupTaken", {"scope": "everything"}),
    "deleted": ("BackupDeleted", {}),
    "posted": ("TermsPosted", {"document": "a = 1", "sha256": sha256(b"a = 1").hexdigest()}),
    "posted-badly": ("TermsPosted", {"document": "a = 1", "sha256": "0" * 64}),
    "signed": (
        "AgreementSigned",
        {"customer": "a", "desk": "oslo", "services": [{"service": "x", "monthly_fee": FEE}]},
    ),
    "added-x": ("ServiceAdded", {"service": "x", "monthly_fee": FEE}),
    "added-y": ("ServiceAdded", {"service": "y", "monthly_fee": FEE}),
    "ended-x": ("ServiceEnded", {"service": "x"}),
    "ended-y": ("ServiceEnded", {"service": "y"}),
    "priced-x": ("MonthlyFeeAgreed", {"service": "x", "monthly_fee": FEE}),
    "priced-y": ("MonthlyFeeAgreed", {"service": "y", "monthly_fee": FEE}),
    "deal": ("RoundTheClockSupportAgreed", {}),
    "deal-x": ("RoundTheClockSupportAgreed", {"service": "x"}),
    "deal-over": ("RoundTheClockSupportEnded", {}),
    "deal-x-over": ("RoundTheClockSupportEnded", {"service": "x"}),
    "ended": ("AgreementEnded", {}),
    "claimed": ("CreditRequested", {"customer": "a", "service": "x", "from": "2025-01-01", "until": "2026-01-01"}),
    "granted-credit": ("CreditGranted", decision("granted")),
    "granted-nothing": ("CreditGranted", decision("granted", "0.00")),
    "refused": ("CreditRefused", decision("refused")),
    "disputed": ("CreditDisputed", SAID | {"by": "acme"}),
    "upheld": ("DecisionUpheld", DECIDED),
    "revised": ("CreditRevised", decision("granted")),
    "revised-to-refusal": ("CreditRevised", decision("refused")),
    "issued": ("CreditIssued", {"reference": "NOTE-1"}),
    **{f"without-{n}": ("EntryWithdrawn", {"version": n, **SAID}) for n in (1, 2, 3, 4, 9)},
}


def told(kind: str, story: str) -> list[Line]:
    """A story as lines: a word an hour from noon; `word@n` happens n hours after noon, `word>2@n` corrects entry 2."""
    lines: list[Line] = []
    for hours, text in enumerate(story.split()):
        word, _, at = text.partition("@")
        word, _, version = word.partition(">")
        time = written(NOON + float(at or hours) * HOUR)
        name, data = WORDS[word]
        line: Line = {"specversion": "1.0", "type": name, "subject": f"{kind}:A-1", "time": time, "data": data}
        if version:
            data = {"version": int(version), "time": time, "data": data, **SAID}
            line |= {"type": "EntryCorrected", "time": written(NOON + 200 * HOUR), "data": data}
        lines.append(line)
    return lines


def entry(line: Line, position: int, streams: Streams, recorded_at: datetime = RECORDED_AT) -> Entry:
    read = from_line(json.dumps(line), "test", position)
    return read.entry(position, streams[read.fact.stream].version + 1, recorded_at)


def answers(lines: list[Line], recorded_at: datetime = RECORDED_AT) -> list[Refusal | BadLine | None]:
    """What the streams say to each line, those they accepted before it in place."""
    streams = Streams()
    return [streams.admit(entry(line, n, streams, recorded_at)) for n, line in enumerate(lines, 1)]


# kind, story, why its last entry is refused: "" when the whole story is accepted
RULES = """
incident     | response                                     | not_opened
incident     | reported response@-1                         | not_opened
incident     | reported reported                            | opened_twice
incident     | reported reported@-1                         | contradicts_later_entries
incident     | reported requested                           | not_of_this_kind
incident     | reported fulfilled                           | not_of_this_kind
case         | reported                                     | unknown_kind
incident     | reported asked granted asked granted         |
incident     | reported granted                             | no_open_access_request
incident     | reported asked-remote granted                | no_open_access_request
incident     | reported asked granted granted               | no_open_access_request
incident     | reported asked@3 granted@2                   | no_open_access_request
incident     | reported asked asked-remote                  |
incident     | reported asked asked                         | access_already_requested
incident     | reported asked@2 asked@1                     | contradicts_later_entries
incident     | reported asked@1 granted@5 asked@3           | access_already_requested
incident     | reported resolved reopened resolved          |
incident     | reported resolved resolved                   | already_resolved
incident     | reported reopened                            | not_resolved
incident     | reported resolved reopened reopened          | not_resolved
incident     | reported cancelled@3 response@1              |
incident     | reported cancelled response                  | nothing_after_cancellation
incident     | reported cancelled cancelled                 | nothing_after_cancellation
incident     | reported response@5 cancelled@4              | contradicts_later_entries
request      | requested fulfilled called-off               |
request      | requested fulfilled fulfilled                | already_fulfilled
request      | requested called-off fulfilled               | nothing_after_cancellation
outage       | outage restored evidence frame failure frame |
outage       | outage restored restored                     | already_restored
outage       | outage evidence evidence frame-on-2-3        |
outage       | outage evidence@9 frame-on-2@5               |
outage       | outage evidence frame-on-2-3                 | no_such_evidence
outage       | outage restored frame-on-2                   | no_such_evidence
outage       | outage evidence without-2 frame-on-2         | no_such_evidence
outage       | outage planned-in-M-1 unplanned-in-M-1       |
outage       | outage planned                               | maintenance_exactly_with_maintenance_cause
outage       | outage failure-in-M-1                        | maintenance_exactly_with_maintenance_cause
outage       | outage not-covered-on-ground                 |
outage       | outage not-covered                           | ground_exactly_with_not_covered
outage       | outage failure-on-ground                     | ground_exactly_with_not_covered
maintenance  | scheduled moved told started completed told  |
maintenance  | scheduled abandoned told                     |
maintenance  | scheduled completed                          | not_started
maintenance  | scheduled started started                    | already_started
maintenance  | scheduled abandoned started                  | maintenance_is_over
maintenance  | scheduled started completed moved            | maintenance_is_over
agreement    | signed added-y ended-x priced-y ended signed |
agreement    | signed signed                                | already_signed
agreement    | signed added-x                               | service_already_agreed
agreement    | signed ended-y                               | no_such_service
agreement    | signed priced-y                              | no_such_service
agreement    | signed ended-x priced-x                      | no_such_service
agreement    | signed deal deal-x deal-over deal-x-over     |
agreement    | signed deal deal                             | deal_already_agreed
agreement    | signed deal deal-x-over                      | no_such_deal
agreement    | signed deal-x ended signed deal-x-over       | no_such_deal
agreement    | signed ended added-y                         | agreement_has_ended
agreement    | signed ended ended                           | agreement_has_ended
claim        | claimed granted-credit disputed upheld issued |
claim        | claimed refused disputed revised issued      |
claim        | claimed granted-credit refused               | already_decided
claim        | claimed disputed                             | not_decided
claim        | claimed refused upheld                       | not_disputed
claim        | claimed refused disputed upheld revised      | not_disputed
claim        | claimed granted-credit issued issued         | already_issued
claim        | claimed issued                               | not_decided
claim        | claimed refused issued                       | decision_does_not_pay
claim        | claimed granted-nothing issued               | decision_does_not_pay
claim        | claimed granted-credit disputed revised-to-refusal issued | decision_does_not_pay
backup       | taken deleted                                |
backup       | taken deleted deleted                        | already_deleted
terms        | posted posted                                | opened_twice
terms        | posted-badly                                 | hash_is_not_the_documents
monitoring   | gap gap gap@-5                               |
calendar     | holidays holidays                            |
incident     | reported without-1 reported                  |
incident     | without-1                                    | no_such_version
incident     | reported without-2                           | no_such_version
incident     | reported without-9                           | no_such_version
incident     | reported response without-2 without-3        | version_is_a_correction
incident     | reported response response>2@3 without-3     | version_is_a_correction
incident     | reported response without-1                  | later_entries_depend_on_it
incident     | reported asked response>2@3                  | data_do_not_fit
incident     | reported response response>2@-1              | not_opened
incident     | reported response reported>1@2               | contradicts_later_entries
incident     | reported response response>2@100000          | in_the_future
"""
ROWS = [tuple(part.strip() for part in row.split("|")) for row in RULES.strip().splitlines()]


@pytest.mark.parametrize("kind, story, reason", ROWS, ids=[f"{kind}: {story}" for kind, story, _ in ROWS])
def test_a_stream_accepts_and_refuses_by_the_rules(kind: str, story: str, reason: str) -> None:
    *before, last = answers(told(kind, story))

    assert before == [None] * len(before)
    if reason == "data_do_not_fit":
        assert isinstance(last, BadLine)
    else:
        assert (last.reason if isinstance(last, Refusal) else last) == (reason or None)


def test_the_rows_reach_every_reason_there_is() -> None:
    sources = [path.read_text() for folder in ledger.streams.__path__ for path in Path(folder).glob("*.py")]
    reasons = {name for text in sources for name in re.findall(r'(?:return |else |Refusal\()"([a-z_]+)"', text)}

    assert reasons | set(ADVICE) == {reason for _, _, reason in ROWS} - {"", "data_do_not_fit"}


@pytest.mark.parametrize("minutes, accepted", [(-5, True), (-6, False), (0, True)])
def test_a_time_more_than_five_minutes_after_the_clock_is_refused(minutes: int, accepted: bool) -> None:
    [answer] = answers(told("incident", "reported"), NOON + timedelta(minutes=minutes))

    assert (answer is None) == accepted
    assert accepted or answer == Refusal("in_the_future")


def test_withdrawing_what_later_entries_depend_on_names_them_and_advises_to_correct() -> None:
    lines = told("incident", "reported asked granted asked granted response")

    answer = answers([*lines, *told("incident", "without-4@9")])[-1]

    assert answer == Refusal("later_entries_depend_on_it", (5,))
    assert answer.what == "later entries depend on it: 5"
    assert answer.todo == "correct it instead: sla-ledger record EntryCorrected"


def test_a_correction_that_contradicts_later_entries_names_them_and_changes_nothing() -> None:
    """The stream goes on as if it had not been said."""
    lines = told("incident", "reported asked granted asked-remote>2 resolved reopened")

    found = answers(lines)

    assert found[3] == Refusal("contradicts_later_entries", (3,))
    assert [answer for answer in found if answer] == [found[3]]


@st.composite
def told_badly(draw: st.DrawFn) -> list[Line]:
    """A history with lines left out, said twice, swapped and moved, and any number of corrections of anything."""
    lines = draw(case_histories(2) | uptime_histories(2))
    number = st.integers(0, len(lines) - 1) if lines else st.nothing()
    for _ in range(draw(st.integers(0, 8)) if lines else 0):
        one, other = draw(number) % len(lines), draw(number) % len(lines)
        line = lines[one]
        what = draw(st.sampled_from(["drop", "repeat", "swap", "move", "withdraw", "correct", "correct"]))
        if what == "drop" and len(lines) > 1:
            del lines[one]
        if what == "repeat":
            lines.insert(other, line)
        if what == "swap":
            lines[one], lines[other] = lines[other], lines[one]
        moved = written(instant(line["time"]) + draw(st.integers(-30, 30)) * HOUR)
        if what == "move":
            lines[one] = line | {"time": moved}
        if what in ("withdraw", "correct"):
            stream = [x for x in lines if x["subject"] == line["subject"]]
            version = draw(st.integers(1, len(stream)))
            data: Data = {"version": version, **SAID}
            if what == "correct":
                target = stream[version - 1]
                like = [x["data"] for x in lines if x["type"] == target["type"]]
                data |= {"time": moved, "data": draw(st.sampled_from(like))}
            name = "EntryCorrected" if what == "correct" else "EntryWithdrawn"
            lines.append(line | {"type": name, "data": data})
    return lines


@given(told_badly())
def test_a_fact_is_accepted_exactly_if_the_second_telling_of_the_rules_has_no_objection(lines: list[Line]) -> None:
    streams, accepted = Streams(), dict[str, list[Line]]()
    for number, line in enumerate(lines, 1):
        there = accepted.setdefault(line["subject"], [])
        if not fitting(line, there, lines):
            continue
        against = objection([*there, line])

        answer = streams.admit(entry(line, number, streams))

        assert (answer is None) == (against is None), (answer, against)
        if answer is None:
            there.append(line)


def fitting(line: Line, there: list[Line], lines: list[Line]) -> bool:
    """Whether the line is no correction that gives an entry of this stream the data of another type."""
    if line["type"] != "EntryCorrected" or line["data"]["version"] > len(there):
        return True
    target = there[line["data"]["version"] - 1]
    return line["data"]["data"] in [x["data"] for x in lines if x["type"] == target["type"]]


def mistakes(line: Line, draw: st.DrawFn) -> Line:
    """The line as somebody may have recorded it in error."""
    moved = {"time": written(instant(line["time"]) + draw(st.sampled_from([-HOUR, HOUR, 100 * HOUR])))}
    others: list[Data] = [{"customer": "other"}, {"channel": "chat"}, {"priority": "low"}, {"responder": "automatic"}]
    fits = [line["data"] | other for other in others if next(iter(other)) in line["data"]]
    return line | (moved if not fits or draw(st.booleans()) else {"data": draw(st.sampled_from(fits))})


@st.composite
def mistaken(draw: st.DrawFn) -> tuple[list[Line], int, Line]:
    """A history, the index of one of its lines that no correction names, and what was recorded in its place."""
    lines = draw(case_histories(3))
    named = {(x["subject"], x["data"]["version"]) for x in lines if x["type"] in CORRECTIONS}
    fits: list[int] = []
    for n, line in enumerate(lines):
        key = (line["subject"], version_of(lines, n))
        if line["subject"].partition(":")[0] in ("incident", "request", "agreement") and key not in named:
            fits += [n] if line["type"] not in CORRECTIONS else []
    assume(fits)
    index = draw(st.sampled_from(fits))
    return lines, index, mistakes(lines[index], draw)


def version_of(lines: list[Line], index: int) -> int:
    return sum(line["subject"] == lines[index]["subject"] for line in lines[: index + 1])


def mended(lines: list[Line], index: int, wrong: Line, mend: Callable[[Line, int], list[Line]]) -> list[Line]:
    """The history with the wrong line in place of the right one, and what mends it at the end, if it is accepted."""
    right = lines[index]
    history = [*lines[:index], wrong, *lines[index + 1 :]]
    late = {"recordedtime": written(max(instant(x["recordedtime"]) for x in lines) + 200 * HOUR)}
    history += [line | late for line in mend(right, version_of(lines, index))]
    history = [line | late if instant(line["time"]) > instant(line["recordedtime"]) else line for line in history]
    streams = Streams()
    assume(all(streams.admit(entry(line, n, streams)) is None for n, line in enumerate(history, 1)))
    return history


def corrected(right: Line, version: int) -> list[Line]:
    data = {"version": version, "time": right["time"], "data": right["data"], **SAID}
    return [right | {"type": "EntryCorrected", "data": data}]


def recorded_anew(right: Line, version: int) -> list[Line]:
    return [right | {"type": "EntryWithdrawn", "data": {"version": version, **SAID}}, right]


def verdicts(lines: list[Line], as_of: datetime) -> dict[str, Data]:
    """What is found about each case, apart from the entries that say so."""
    return {v.stream: only(v.as_json(), "because") for v in response_times.findings(judged(lines, as_of))}


@given(st.data(), mistaken())
def test_a_corrected_history_equals_one_that_was_never_wrong(
    data: st.DataObject, story: tuple[list[Line], int, Line]
) -> None:
    lines, index, wrong = story
    as_of = data.draw(as_ofs(lines))

    history = mended(lines, index, wrong, corrected)

    assert verdicts(history, as_of) == verdicts(lines, as_of)


@given(st.data(), mistaken())
def test_a_history_withdrawn_and_recorded_anew_equals_one_that_was_never_wrong(
    data: st.DataObject, story: tuple[list[Line], int, Line]
) -> None:
    """Where time alone orders the stream: a fact recorded anew comes after others of the same instant."""
    lines, index, wrong = story
    right = lines[index]
    moments = [x["data"].get("time", x["time"]) for x in lines if x["subject"] == right["subject"]]
    assume(moments.count(right["time"]) == 1)
    as_of = data.draw(as_ofs(lines))

    history = mended(lines, index, wrong, recorded_anew)

    assert verdicts(history, as_of) == verdicts(lines, as_of)


def test_before_the_correction_was_recorded_the_findings_are_the_wrong_ones() -> None:
    """Known then, the response came too late; known now, it came in time, and the row names the correction."""
    late = told("incident", "reported@-50 priority@-50 response@20 response>3@-49")
    as_of = NOON + 300 * HOUR

    before, after = (response_times.findings(judged(late[:n], as_of))[0] for n in (3, 4))

    assert (before.verdict, before.because) == ("breached", [1, 2, 3])
    assert (after.verdict, after.because) == ("met", [1, 2, 3, 4])
