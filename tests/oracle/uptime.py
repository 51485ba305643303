"""A second, slow and obvious implementation of availability and credit, to check the program against.

Everything is done segment by segment: collect every instant at which anything changes, cut the period there, and ask
plain questions about each piece. The names R1, R2 ... are the readings this follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Any
from zoneinfo import ZoneInfo

Line = dict[str, Any]
Span = tuple[datetime, datetime]
Readings = Mapping[str, object]

# The agreement's numbers.
TARGET_PERCENT = Fraction(99)
TARGET_TEXT = "99.0"
RATE_PER_STEP = Fraction(5, 2)
PLANNED_SCHEDULED = timedelta(hours=14 * 24)
PLANNED_TOLD = timedelta(hours=7 * 24)

COUNTED = "counted"
UNKNOWN = "unknown"
UP = "up"
CREDITED = "already_credited"
EXCLUSIONS = (
    "planned_maintenance", "unplanned_maintenance", "emergency", "beyond_control", "not_covered", "customer_side",
)  # fmt: skip
ZONES = {"oslo": "Europe/Oslo", "new_york": "America/New_York"}
OPENING = {
    "agreement": "AgreementSigned",
    "outage": "OutageReported",
    "maintenance": "MaintenanceScheduled",
    "claim": "CreditRequested",
}
NEVER_HIDDEN = {
    "EvidenceRecorded", "TimeframeDetermined", "OutageAttributed", "MonitoringGapRecorded", "HolidaysPublished",
}  # fmt: skip
# CHOICE: minor units are two decimals, but none for these currencies and three for those.
NO_DECIMALS = {"CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"}
THREE_DECIMALS = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}

DEFAULTS: dict[str, object] = {
    "lost_from": "hundred",  # R1
    "lost_steps": "whole",  # R2
    "period": "as_claimed",  # R3
    "before_agreement": "available",  # R4
    "fee": "period_end",  # R5
    "cap_percent": None,  # R6
    "unplanned": "declared_first",  # R17
    "emergency": "counted",  # R18
    "short_notice": "counted",  # R19
    "overlap": "outage_wins",  # R20
    "beyond_control": "excluded",  # R21
    "excluded_time": "in_denominator",  # R22
    "degraded": "available",  # R23
    "uncovered_monitoring": "available",  # R24
    "evidence": "two_sources",  # R25
    "reused_downtime": "once",  # R27
    "immediately": 3600,  # R29
}


# ---------------------------------------------------------------- time and numbers


def whole(at: datetime) -> datetime:
    """UTC, the fraction of the second dropped."""
    return at.astimezone(UTC).replace(microsecond=0)


def instant(text: str) -> datetime:
    return whole(datetime.fromisoformat(text.upper()))


def show(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(begin: datetime, end: datetime) -> int:
    return int((end - begin).total_seconds())


def inside(spans: list[Span], at: datetime) -> bool:
    return any(begin <= at < end for begin, end in spans)


def meets(spans: list[Span], begin: datetime, end: datetime) -> bool:
    return any(max(a, begin) < min(b, end) for a, b in spans)


def pieces(begin: datetime, end: datetime, cuts: set[datetime]) -> list[Span]:
    """The elementary segments of [begin, end): nothing changes within one."""
    return list(pairwise(sorted({cut for cut in cuts if begin < cut < end} | {begin, end}))) if begin < end else []


def joined(spans: list[Span]) -> list[Span]:
    """The union of the spans, touching ones merged, empty ones dropped."""
    result: list[Span] = []
    for begin, end in sorted(span for span in spans if span[0] < span[1]):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((begin, end))
    return result


def ends(spans: list[Span]) -> set[datetime]:
    return {edge for span in spans for edge in span}


def four_decimals(value: Fraction) -> str:
    """Truncated, never rounded."""
    units = floor(value * 10000)
    return f"{units // 10000}.{units % 10000:04d}"


def money(amount: Fraction, currency: str) -> dict[str, str]:
    """Rounded half up to the minor unit."""
    # CHOICE: every amount is printed with exactly the decimals of its currency, also a fee recorded as "1000".
    places = 0 if currency in NO_DECIMALS else 3 if currency in THREE_DECIMALS else 2
    units = floor(amount * 10**places + Fraction(1, 2))
    text = f"{units // 10**places}.{units % 10**places:0{places}d}" if places else str(units)
    return {"amount": text, "currency": currency}


def seconds_of(value: object) -> int:
    """A duration in a reading: a number of seconds, or a text such as "1 h"."""
    text = str(value).strip().lower()
    for unit, size in (("min", 60), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)):
        if text.endswith(unit):
            return int(text.removesuffix(unit)) * size
    return int(text)


# ---------------------------------------------------------------- what the ledger says


@dataclass(frozen=True)
class Fact:
    position: int
    type: str
    time: datetime
    recorded: datetime
    data: dict[str, Any]


def as_corrected(lines: list[Line]) -> dict[str, list[Fact]]:
    """Every stream with its withdrawn entries gone and its corrected entries as they now read, whatever as_of."""
    raw: dict[str, list[Fact]] = {}
    previous: datetime | None = None
    for position, line in enumerate(lines, 1):
        time = instant(line["time"])
        if line.get("recordedtime"):
            recorded = instant(line["recordedtime"])
        else:
            recorded = time if previous is None else max(time, previous)
        previous = recorded
        raw.setdefault(line["subject"], []).append(Fact(position, line["type"], time, recorded, line["data"]))
    streams: dict[str, list[Fact]] = {}
    for subject, entries in raw.items():
        # CHOICE: a `version` is the entry's number in its stream, from 1, in order of recording, corrections included.
        # CHOICE: the latest correction is the one recorded last (highest position), whatever its event time.
        withdrawn = {int(e.data["version"]) for e in entries if e.type == "EntryWithdrawn"}
        corrected = {int(e.data["version"]): e.data for e in entries if e.type == "EntryCorrected"}
        facts = []
        for version, entry in enumerate(entries, 1):
            if entry.type in ("EntryWithdrawn", "EntryCorrected") or version in withdrawn:
                continue
            if version in corrected:
                # CHOICE: a corrected entry keeps its own recording time, as it keeps its position.
                new = corrected[version]
                entry = Fact(entry.position, entry.type, instant(new["time"]), entry.recorded, new["data"])
            facts.append(entry)
        streams[subject] = facts
    return streams


def visible(lines: list[Line], as_of: datetime) -> dict[str, list[Fact]]:
    """The streams as seen at as_of, each in order of time, then position."""
    streams: dict[str, list[Fact]] = {}
    for subject, facts in as_corrected(lines).items():
        seen = [f for f in facts if f.time <= as_of or f.type in NEVER_HIDDEN]
        opening = OPENING.get(subject.split(":")[0])
        if opening is not None and not any(f.type == opening for f in seen):
            continue  # a stream whose opening fact is hidden is hidden
        if seen:
            streams[subject] = sorted(seen, key=lambda f: (f.time, f.position))
    return streams


# ---------------------------------------------------------------- agreements

State = dict[str, dict[str, str]]  # service -> monthly fee


def effective(fact: Fact) -> datetime:
    return instant(fact.data["effective_from"]) if fact.data.get("effective_from") else fact.time


def agreement_states(facts: list[Fact]) -> list[tuple[datetime, State]]:
    """From each instant on: the services under agreement and their fees."""
    # CHOICE: changes are applied in order of the instant they take effect, then time, then position;
    # what then concerns a service that is absent (a fee, an end) changes nothing.
    states: list[tuple[datetime, State]] = []
    now: State = {}
    for fact in sorted(facts, key=lambda f: (effective(f), f.time, f.position)):
        now = dict(now)
        if fact.type == "AgreementSigned":
            now = {item["service"]: item["monthly_fee"] for item in fact.data["services"]}
        elif fact.type == "ServiceAdded" or (fact.type == "MonthlyFeeAgreed" and fact.data["service"] in now):
            now[fact.data["service"]] = fact.data["monthly_fee"]
        elif fact.type == "ServiceEnded":
            now.pop(fact.data["service"], None)
        elif fact.type == "AgreementEnded":
            now = {}
        states.append((effective(fact), now))
    return states


def customer_states(lines: list[Line], customer: str, as_of: datetime) -> list[tuple[datetime, State]]:
    return agreement_states(visible(lines, whole(as_of)).get(f"agreement:{customer}", []))


def state_at(states: list[tuple[datetime, State]], at: datetime) -> State:
    in_force: State = {}
    for since, state in states:
        if since <= at:
            in_force = state
    return in_force


def agreement_spans(
    lines: list[Line], customer: str, service: str, as_of: datetime
) -> list[tuple[datetime, datetime | None]]:
    """When the customer had an agreement over the service; None: it has not ended."""
    states = customer_states(lines, customer, as_of)
    spans: list[tuple[datetime, datetime | None]] = []
    since: datetime | None = None
    for at in sorted({at for at, _ in states}):
        present = service in state_at(states, at)
        if present and since is None:
            since = at
        elif not present and since is not None:
            spans.append((since, at))
            since = None
    if since is not None:
        spans.append((since, None))
    return spans


def fee_at(lines: list[Line], customer: str, service: str, at: datetime, as_of: datetime) -> dict[str, str] | None:
    fee = state_at(customer_states(lines, customer, as_of), whole(at)).get(service)
    return None if fee is None else money(Fraction(fee["amount"]), fee["currency"])


def mean_fee(
    lines: list[Line], customer: str, service: str, start: datetime, end: datetime, as_of: datetime
) -> dict[str, str] | None:
    """R5 period_average: the mean over the period's seconds under the agreement, half up."""
    # CHOICE: the period is the claimed one, not cut at as_of; fees in another currency than the last one are left out.
    states = customer_states(lines, customer, as_of)
    parts = [(seconds(a, b), state_at(states, a).get(service)) for a, b in pieces(start, end, {at for at, _ in states})]
    paid = [(n, fee) for n, fee in parts if fee is not None]
    if not paid:
        return None
    currency = paid[-1][1]["currency"]
    same = [(n, Fraction(fee["amount"])) for n, fee in paid if fee["currency"] == currency]
    return money(sum((n * amount for n, amount in same), Fraction(0)) / sum(n for n, _ in same), currency)


def zone_of(streams: dict[str, list[Fact]], customer: str) -> ZoneInfo:
    """The zone of the desk of the agreement last signed; Oslo without one."""
    # CHOICE: last signed by the event's time, whatever effective_from says, also if that agreement has ended.
    signed = [f for f in streams.get(f"agreement:{customer}", []) if f.type == "AgreementSigned"]
    return ZoneInfo(ZONES[signed[-1].data["desk"]] if signed else ZONES["oslo"])


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return whole(datetime(day.year, day.month, day.day, tzinfo=zone))


# ---------------------------------------------------------------- maintenance


@dataclass
class Work:
    category: str
    services: list[str]
    begin: datetime
    end: datetime
    scheduled: Fact  # the scheduling, or the last rescheduling
    told: list[Fact] = field(default_factory=list)  # communications to customers after it
    cancelled: bool = False


def work_of(facts: list[Fact]) -> Work:
    opening = next(f for f in facts if f.type == "MaintenanceScheduled")
    begin, end = instant(opening.data["from"]), instant(opening.data["until"])
    work = Work(opening.data["category"], opening.data["services"], begin, end, opening)
    for fact in facts:
        if fact.type == "MaintenanceRescheduled":
            work.begin, work.end = instant(fact.data["from"]), instant(fact.data["until"])
            work.scheduled, work.told = fact, []  # the notice counts anew
        elif fact.type == "MaintenanceCommunicated" and "customers" in fact.data["audience"]:
            # CHOICE: a communication in the same second as the rescheduling but at a later position is after it.
            work.told.append(fact)
        elif fact.type == "MaintenanceCancelled":
            work.cancelled = True
    return work


def told_in_time(work: Work) -> list[Fact]:
    return [f for f in work.told if f.time <= work.begin - PLANNED_TOLD]


def qualifies_planned(work: Work, service: str) -> bool:
    return (
        work.category == "planned"
        and service in work.services
        and not work.cancelled
        and work.scheduled.time <= work.begin - PLANNED_SCHEDULED
        and bool(told_in_time(work))
    )


def planned_notice_late(work: Work) -> bool:
    """It qualifies by the facts' time, but was recorded only after the window began."""
    # CHOICE: "after" is strictly later than the window's first second; one communication recorded in time is enough.
    return work.scheduled.recorded > work.begin or all(f.recorded > work.begin for f in told_in_time(work))


def qualifies_unplanned(work: Work, service: str, frame_begin: datetime, readings: Readings) -> bool:
    """R17 declared_first, R29."""
    latest = work.scheduled.time + timedelta(seconds=seconds_of(readings["immediately"]))
    return (
        work.category == "unplanned"
        and service in work.services
        and not work.cancelled
        and work.scheduled.time <= frame_begin
        and any(f.time <= latest for f in work.told)
    )


# ---------------------------------------------------------------- outages


@dataclass
class Outage:
    stream: str
    frame: list[Span]
    determined: bool
    uncorroborated: bool
    open: bool
    cause: str | None
    maintenance: str | None


def two_sources(by_source: dict[str, list[Span]]) -> tuple[list[Span], bool]:
    """R25 default: the seconds two different sources cover, else all of them, flagged."""
    everything = [span for spans in by_source.values() for span in spans]
    begin, end = min(a for a, _ in everything), max(b for _, b in everything)
    twice = [
        (a, b)
        for a, b in pieces(begin, end, ends(everything))
        if sum(inside(spans, a) for spans in by_source.values()) >= 2
    ]
    return (joined(twice), False) if twice else (joined(everything), True)


def proposed(facts: list[Fact], as_of: datetime, readings: Readings) -> tuple[list[Span], bool, bool]:
    """The frame the evidence proposes, whether it is uncorroborated, whether it has an open end (R25)."""
    # CHOICE: open evidence runs to as_of even if the outage was restored; evidence that is then empty is no evidence.
    by_source: dict[str, list[Span]] = {}
    still_open = False
    for fact in facts:
        if fact.type == "EvidenceRecorded":
            begin = instant(fact.data["from"])
            until = instant(fact.data["until"]) if fact.data.get("until") else as_of
            if begin < until:
                by_source.setdefault(fact.data["source"], []).append((begin, until))
                # CHOICE: `never_closed`: undetermined, with open evidence, or with neither evidence nor restoration.
                still_open = still_open or not fact.data.get("until")
    everything = [span for spans in by_source.values() for span in spans]
    if not everything:
        reported = next(f.time for f in facts if f.type == "OutageReported")
        restored = [f.time for f in facts if f.type == "ServiceRestored"]
        # CHOICE: a frame without any evidence is undetermined, but not called uncorroborated.
        return joined([(reported, restored[-1] if restored else as_of)]), False, not restored
    # CHOICE: only the rule of two sources flags a frame as uncorroborated; the other values of R25 never do.
    if readings["evidence"] == "any_source":
        return joined(everything), False, still_open
    if readings["evidence"] == "all_sources":
        # CHOICE: sources that have no second in common give an empty frame: the outage then drops out.
        begin, end = min(a for a, _ in everything), max(b for _, b in everything)
        cut = pieces(begin, end, ends(everything))
        return joined([s for s in cut if all(inside(spans, s[0]) for spans in by_source.values())]), False, still_open
    if readings["evidence"] == "client_report" and "client_report" in by_source:
        return joined(by_source["client_report"]), False, still_open
    frame, single = two_sources(by_source)
    return frame, single, still_open


def outage_of(stream: str, facts: list[Fact], as_of: datetime, readings: Readings) -> Outage:
    frames = [f for f in facts if f.type == "TimeframeDetermined"]
    causes = [f for f in facts if f.type == "OutageAttributed"]
    if frames:
        data = frames[-1].data
        spans = data.get("spans") or [{"from": data["from"], "until": data["until"]}]
        frame = joined([(instant(s["from"]), instant(s["until"])) for s in spans])
        # CHOICE: a determined frame that names no evidence is flagged `uncorroborated`; it is not provisional.
        uncorroborated, still_open = not data.get("evidence"), False
    else:
        frame, uncorroborated, still_open = proposed(facts, as_of, readings)
    cause = causes[-1].data["cause"] if causes else None
    maintenance = causes[-1].data.get("maintenance") if causes else None
    return Outage(stream, frame, bool(frames), uncorroborated, still_open, cause, maintenance)


def concerns(facts: list[Fact], customer: str, service: str, readings: Readings) -> bool:
    """Of this service, this customer or all, and a degree that is unavailability (R23)."""
    # CHOICE: under R23 `available` a degraded outage leaves no row, no doubt, and nothing missing.
    data = next(f for f in facts if f.type == "OutageReported").data
    degrees = ("unavailable", "degraded") if readings["degraded"] == "unavailable" else ("unavailable",)
    customers = data["customers"]
    return (
        service in data["services"]
        and data["degree"] in degrees
        and (customer == "*" or customers == "all" or customer in customers)
    )


def by_cause(outage: Outage, service: str, at: datetime, works: dict[str, Work], readings: Readings) -> str:
    """What this outage alone makes of a second of its frame: counted, or one reason of exclusion."""
    cause = outage.cause
    work = works.get(outage.maintenance or "")
    in_window = work is not None and work.begin <= at < work.end
    if cause is None or cause == "failure":
        return COUNTED
    if cause == "planned_maintenance":  # R19
        # CHOICE: R19 `excluded` asks nothing of the work: it may be cancelled, of another category, or not exist.
        notice = work is not None and in_window and qualifies_planned(work, service)
        return cause if readings["short_notice"] == "excluded" or notice else COUNTED
    if cause == "unplanned_maintenance":  # R17
        declared = work is not None and in_window and qualifies_unplanned(work, service, outage.frame[0][0], readings)
        how = readings["unplanned"]
        return cause if how == "excluded" or (how == "declared_first" and declared) else COUNTED
    if cause == "emergency":  # R18
        return cause if readings["emergency"] == "excluded" else COUNTED
    if cause == "beyond_control":  # R21
        return cause if readings["beyond_control"] == "excluded" else COUNTED
    return cause  # not_covered, customer_side


def winning_work(outage: Outage, service: str, at: datetime, works: dict[str, Work], readings: Readings) -> str | None:
    """R20 maintenance_wins: the reason of a qualified window over this second, if there is one."""
    # CHOICE: qualified as by the default rules, whatever R19 says; an unplanned window is measured against this
    # outage's frame, and none qualifies when R17 is `counted`; emergency work has no qualified window.
    here = [work for work in works.values() if work.begin <= at < work.end]
    if any(qualifies_planned(work, service) for work in here):
        return "planned_maintenance"
    begin = outage.frame[0][0]
    if readings["unplanned"] != "counted" and any(qualifies_unplanned(w, service, begin, readings) for w in here):
        return "unplanned_maintenance"
    return None


def verdict_of(outage: Outage, service: str, at: datetime, works: dict[str, Work], readings: Readings) -> str:
    verdict = by_cause(outage, service, at, works, readings)
    if verdict == COUNTED and readings["overlap"] == "maintenance_wins":
        return winning_work(outage, service, at, works, readings) or COUNTED
    return verdict


# ---------------------------------------------------------------- availability


def quotient(numerator: int, denominator: int) -> dict[str, Any] | None:
    if denominator == 0:
        return None
    percent = four_decimals(Fraction(100 * numerator, denominator))
    return {"numerator": numerator, "denominator": denominator, "percent": percent}


def judge(
    lines: list[Line], customer: str, service: str, start: datetime, end: datetime, as_of: datetime,
    readings: Readings, used: list[Span],
) -> tuple[dict[str, Any], list[Span], list[str]]:  # fmt: skip
    """The row, the spans that are counted, and the outages that are undetermined or unattributed."""
    start, end, as_of = whole(start), whole(end), whole(as_of)
    streams = visible(lines, as_of)
    doubts: set[str] = set()

    # the period: cut at as_of; R4
    # CHOICE: as_of before the period, or an agreement that begins after it, leaves an empty period (from = until).
    agreed = agreement_spans(lines, customer, service, as_of)
    last = end
    if as_of < end:
        last = max(as_of, start)
        doubts.add("cut_at_as_of")
    first = start
    if readings["before_agreement"] == "left_out" and agreed:
        # CHOICE: the agreement begins with its first span ever, even if that ended and another began.
        first = min(max(start, agreed[0][0]), last)
    # CHOICE: "never had one": no span over this service in what is visible, a span in the future being one.
    covered = [(a, last if b is None else b) for a, b in agreed] if agreed else [(first, last)]

    works = {s: work_of(facts) for s, facts in streams.items() if s.startswith("maintenance:")}
    gaps = [
        (instant(f.data["from"]), instant(f.data["until"]))
        for f in streams.get(f"monitoring:{service}", [])
        if f.type == "MonitoringGapRecorded"
    ]
    # CHOICE: a frame meets the judged period if they share a second, with or without an agreement in that second.
    outages = [
        outage_of(stream, facts, as_of, readings)
        for stream, facts in streams.items()
        if stream.startswith("outage:") and concerns(facts, customer, service, readings)
    ]
    outages = [o for o in outages if meets(o.frame, first, last)]
    outages.sort(key=lambda o: (o.frame[0][0], o.stream))

    # every second of the period is one thing
    cuts = ends(covered) | ends(gaps) | ends(used) | {edge for w in works.values() for edge in (w.begin, w.end)}
    cuts |= {edge for o in outages for edge in ends(o.frame)}
    total = dict.fromkeys((COUNTED, CREDITED, UNKNOWN, UP, *EXCLUSIONS), 0)
    own = {o.stream: {COUNTED: 0, "excluded": 0} for o in outages}
    counted: list[Span] = []
    for a, b in pieces(first, last, cuts):
        n = seconds(a, b)
        if not inside(covered, a):  # R4: no agreement is up, outage or not
            total[UP] += n
            continue
        verdicts = set()
        for o in outages:
            if inside(o.frame, a):
                verdict = verdict_of(o, service, a, works, readings)
                verdicts.add(verdict)
                # CHOICE: an outage's own seconds ignore other outages and R27, but are those under the agreement.
                own[o.stream][COUNTED if verdict == COUNTED else "excluded"] += n
        if COUNTED in verdicts:
            what = COUNTED
        elif verdicts:
            what = min(verdicts, key=EXCLUSIONS.index)
        elif inside(gaps, a):  # R24
            what = COUNTED if readings["uncovered_monitoring"] == "unavailable" else UNKNOWN
        else:
            what = UP
        if what == COUNTED and inside(used, a):  # R27
            # CHOICE: seconds that R24 moves to counted can be already credited like any other.
            what = CREDITED
        total[what] += n
        if what == COUNTED:
            counted.append((a, b))

    # doubts
    missing = [o.stream for o in outages if not o.determined or o.cause is None]
    for o in outages:
        if not o.determined:
            doubts.add("undetermined")
        if o.cause is None:
            doubts.add("unattributed")
        if o.uncorroborated:
            doubts.add("uncorroborated")
        if o.open:
            doubts.add("never_closed")
        # CHOICE: a maintenance that as_of hides is dangling too; a claim's `notified` streams are not looked at.
        if o.maintenance is not None and o.maintenance not in works:
            doubts.add("dangling_reference")
        # CHOICE: `recorded_late` is asked of planned work only: work an outage here is attributed to (R19 `counted`),
        # whether or not they overlap; under R20 `maintenance_wins` also work whose window meets an outage's frame.
        work = works.get(o.maintenance or "")
        asked = [work] if o.cause == "planned_maintenance" and readings["short_notice"] == "counted" and work else []
        if readings["overlap"] == "maintenance_wins":
            asked += [w for w in works.values() if meets(o.frame, max(first, w.begin), min(last, w.end))]
        if any(qualifies_planned(w, service) and planned_notice_late(w) for w in asked):
            doubts.add("recorded_late")

    period = seconds(first, last)
    excluded = sum(total[reason] for reason in EXCLUSIONS)
    denominator = period - excluded if readings["excluded_time"] == "left_out" else period  # R22
    up = denominator - total[COUNTED]
    row: dict[str, Any] = {
        "customer": customer,
        "service": service,
        "from": show(first),
        "until": show(last),
        "period_seconds": period,
        "counted_seconds": total[COUNTED],
        "excluded_seconds": {reason: total[reason] for reason in EXCLUSIONS},
        "already_credited_seconds": total[CREDITED],
        "unknown_seconds": total[UNKNOWN],
        "up_seconds": total[UP],
        "availability": quotient(up, denominator),
        "availability_if_unknown_down": quotient(up - total[UNKNOWN], denominator),
        "target_percent": TARGET_TEXT,
        # CHOICE: `met` is null where availability is.
        "met": None if denominator == 0 else Fraction(100 * up, denominator) >= TARGET_PERCENT,
        "provisional": bool(missing),
        "outages": [
            {
                # CHOICE: `outage` is the whole stream id.
                "outage": o.stream,
                "from": show(o.frame[0][0]),
                "until": show(o.frame[-1][1]),
                "counted_seconds": own[o.stream][COUNTED],
                "excluded_seconds": own[o.stream]["excluded"],
            }
            for o in outages
        ],
        "doubts": sorted(doubts),
    }
    return row, counted, missing


def availability(
    lines: list[Line], customer: str, service: str, start: datetime, end: datetime, as_of: datetime,
    readings: Readings | None = None,
) -> dict[str, Any]:  # fmt: skip
    return judge(lines, customer, service, start, end, as_of, {**DEFAULTS, **(readings or {})}, [])[0]


# ---------------------------------------------------------------- credit


def request_of(streams: dict[str, list[Fact]], stream: str) -> Fact:
    return next(f for f in streams[stream] if f.type == "CreditRequested")


def claimed(streams: dict[str, list[Fact]], request: Fact) -> Span:
    zone = zone_of(streams, request.data["customer"])
    begin, end = (date.fromisoformat(request.data[key]) for key in ("from", "until"))
    return midnight(begin, zone), midnight(end, zone)


def decision_in_force(facts: list[Fact]) -> Fact | None:
    """The last decision of the stream, if it grants."""
    made = [f for f in facts if f.type in ("CreditGranted", "CreditRefused", "CreditRevised")]
    if not made:
        return None
    granted = made[-1].type == "CreditGranted" or (
        made[-1].type == "CreditRevised" and made[-1].data["decision"]["verdict"] == "granted"
    )
    return made[-1] if granted else None


def used_by_others(lines: list[Line], streams: dict[str, list[Fact]], claim: str, readings: Readings) -> list[Span]:
    """R27: the seconds that other granted claims of this customer and service have used."""
    mine = request_of(streams, claim).data
    decisions = []
    for stream, facts in streams.items():
        if stream.startswith("claim:"):
            decision = decision_in_force(facts)
            theirs = request_of(streams, stream).data
            if decision and (theirs["customer"], theirs["service"]) == (mine["customer"], mine["service"]):
                decisions.append((decision.position, stream, decision))
    taken: list[Span] = []  # by all of them, this claim included
    others: list[Span] = []
    for _, stream, fact in sorted(decisions, key=lambda item: item[0]):
        decision_data = fact.data["decision"]
        known = lines[: int(decision_data["basis"]["entries"])]
        as_of = instant(decision_data["basis"]["as_of"])
        # CHOICE: recomputed under the readings the decision records; those it does not name are the caller's.
        stated = {k: v for k, v in (decision_data.get("readings") or {}).items() if k in DEFAULTS}
        # CHOICE: its period and desk are those its own lines show, not what was corrected since.
        then = visible(known, as_of)
        start, end = claimed(then, request_of(then, stream))
        customer, service = mine["customer"], mine["service"]
        counted = judge(known, customer, service, start, end, as_of, {**readings, **stated}, [])[1]
        new = [
            (x, y) for a, b in counted for x, y in pieces(a, b, ends(taken)) if not inside(taken, x)
        ]  # minus what earlier ones used
        taken = taken + new
        if stream != claim:
            others = others + new
    return others


def year_on(day: date) -> date:
    leap_day = (day.month, day.day) == (2, 29)
    return date(day.year + 1, 2, 28) if leap_day else day.replace(year=day.year + 1)


def assess(lines: list[Line], claim: str, as_of: datetime, readings: Readings | None = None) -> dict[str, Any]:
    reads: dict[str, object] = {**DEFAULTS, **(readings or {})}
    as_of = whole(as_of)
    claim = claim if claim.startswith("claim:") else f"claim:{claim}"
    streams = visible(lines, as_of)
    request = request_of(streams, claim)
    customer, service = request.data["customer"], request.data["service"]
    start, end = claimed(streams, request)
    used = used_by_others(lines, streams, claim, reads) if reads["reused_downtime"] == "once" else []  # R27
    row, _, missing = judge(lines, customer, service, start, end, as_of, reads, used)

    # the conditions of a valid request, and the target
    # CHOICE: these and the fee look at the claimed period, even where availability is judged over a shorter one.
    first_day, last_day = (date.fromisoformat(request.data[key]) for key in ("from", "until"))
    last_second = end - timedelta(seconds=1)
    agreed = agreement_spans(lines, customer, service, as_of)
    twelve = last_day == year_on(first_day)
    if reads["period"] == "calendar_year":  # R3
        twelve = twelve and (first_day.month, first_day.day) == (1, 1)
    holds = {
        "agreement": any(a <= last_second and (b is None or last_second < b) for a, b in agreed),
        "twelve_months": twelve,
        "ended": end <= request.time,
        # CHOICE: without an availability (nothing to divide by) it is not below the target, and nothing is lost.
        "below_target": row["met"] is False,
    }

    # R1, R2
    lost = Fraction(0)
    if row["availability"] is not None:
        share = Fraction(100 * row["availability"]["numerator"], row["availability"]["denominator"])
        lost = max(Fraction(0), (TARGET_PERCENT if reads["lost_from"] == "target" else Fraction(100)) - share)
    steps = {"whole": Fraction(floor(lost)), "begun": Fraction(ceil(lost)), "exact": lost}[str(reads["lost_steps"])]
    rate = RATE_PER_STEP * steps

    # R5
    if reads["fee"] == "period_average":
        fee = mean_fee(lines, customer, service, start, end, as_of)
    else:
        fee = fee_at(lines, customer, service, last_second, as_of)

    credit: dict[str, str] | None = None
    warnings: list[str] = []
    if fee is not None:
        amount = Fraction(0)
        if all(holds.values()):
            full = Fraction(fee["amount"])
            amount = rate / 100 * full
            if reads["cap_percent"] is not None:  # R6
                # CHOICE: the cap is applied before rounding, and leaves steps and rate as they are.
                amount = min(amount, Fraction(str(reads["cap_percent"])) / 100 * full)
            # CHOICE: the warning looks at the credit after the cap, so a refused claim has none; its text is ours.
            if amount > full:
                warnings.append("above_monthly_fee")
        credit = money(amount, fee["currency"])

    return {
        "verdict": "undecided" if missing else "granted" if all(holds.values()) else "refused",
        "conditions": [{"condition": name, "holds": value} for name, value in holds.items()],
        "availability": row,
        "lost_percent": four_decimals(lost),
        "steps": four_decimals(steps) if reads["lost_steps"] == "exact" else int(steps),
        "rate_percent": four_decimals(rate),
        "monthly_fee": fee,
        "credit": credit,
        "warnings": warnings,
        # CHOICE: in the order of the outages.
        "missing": missing,
    }
