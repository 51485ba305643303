"""A slow and obvious second implementation of the case rules: response times, queue, handling order.

It is a test oracle, to be read beside READINGS.md; R1... are the readings' names there. It imports nothing of the
program. Histories are taken to be valid (already accepted). `CHOICE:` marks a point the text leaves open.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

Line = dict[str, Any]
Row = dict[str, Any]
Span = tuple[datetime, datetime]  # half-open

DEFAULTS: dict[str, object] = {
    "business_hours": "union",  # R7
    "zones": "civil",  # R8
    "holidays": "none",  # R9
    "hour_targets": "business",  # R10
    "day_targets": "close_of_last_day",  # R11
    "responder": "human",  # R12
    "reclassification": "from_receipt",  # R13
    "order_within": "priority",  # R14
    "round_the_clock": "phone",  # R15
    "best_effort": ["chat", "on_site"],  # R16
    "off_hours_phone": "next_opening",  # R30
}

# The agreement's numbers.
TARGET_HOURS = {"high": 8, "medium": 48}
TARGET_DAYS = {"low": 5}
OPENS, CLOSES = time(8), time(16)  # Monday to Friday, at each desk
CIVIL_ZONE = {"oslo": "Europe/Oslo", "new_york": "America/New_York"}
FIXED_OFFSET = {"oslo": 1, "new_york": -5}

PRIORITIES = ["high", "medium", "low"]
VERDICTS = ["met", "breached", "open", "overdue", "paused", "best_effort", "cancelled"]
OPENINGS = {"IncidentReported": "incident", "ServiceRequested": "request"}
CORRECTIONS = {"EntryWithdrawn", "EntryCorrected"}
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


# --- instants -------------------------------------------------------------------------------------------------------


def whole(moment: datetime) -> datetime:
    """UTC, fraction dropped; a naive time is refused."""
    if moment.tzinfo is None:
        raise ValueError("naive time")
    return moment.astimezone(UTC).replace(microsecond=0)


def instant(text: str) -> datetime:
    return whole(datetime.fromisoformat(text))


def shown(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(0), zone).astimezone(UTC)


def local_time(day: date, clock: time, zone: tzinfo) -> datetime:
    """That reading of the wall clock: the first when doubled, the first instant after it when in a gap (R11)."""
    wanted = datetime.combine(day, clock)
    found = wanted.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) != wanted:  # in the gap: walk back to the gap's end
        while (found - SECOND).astimezone(zone).replace(tzinfo=None) > wanted:
            found -= SECOND
    return found


# --- facts ----------------------------------------------------------------------------------------------------------


class Fact(NamedTuple):
    time: datetime
    position: int
    type: str
    data: dict[str, Any]


def recording_times(lines: list[Line]) -> list[datetime]:
    """A missing recording time is the line's time, but never before the previous line's recording time."""
    times: list[datetime] = []
    for line in lines:
        if line.get("recordedtime"):
            times.append(instant(line["recordedtime"]))
        else:
            times.append(max([instant(line["time"]), *times[-1:]]))
    return times


def effective_lines(lines: list[Line]) -> list[tuple[int, Line]]:
    """(position, line) with withdrawals and corrections already applied, whatever the as_of."""
    # An entry's version is its running number, from 1, among all the entries of its stream.
    versions: list[int] = []
    count: dict[str, int] = {}
    for line in lines:
        count[line["subject"]] = count.get(line["subject"], 0) + 1
        versions.append(count[line["subject"]])
    withdrawn: set[tuple[str, int]] = set()
    corrected: dict[tuple[str, int], dict[str, Any]] = {}
    for line in lines:
        if line["type"] == "EntryWithdrawn":
            withdrawn.add((line["subject"], int(line["data"]["version"])))
        if line["type"] == "EntryCorrected":
            # CHOICE: "latest correction" means the last one in the ledger (position), not the latest by its time.
            corrected[(line["subject"], int(line["data"]["version"]))] = line["data"]
    result: list[tuple[int, Line]] = []
    for position, (line, version) in enumerate(zip(lines, versions, strict=True), start=1):
        name = (line["subject"], version)
        if line["type"] in CORRECTIONS or name in withdrawn:
            continue
        if name in corrected:
            line = {**line, "time": corrected[name]["time"], "data": corrected[name]["data"]}
        result.append((position, line))
    return result


def streams(lines: list[Line], as_of: datetime) -> dict[str, list[Fact]]:
    """The facts of each stream that as_of lets us see, in order of time, then position."""
    found: dict[str, list[Fact]] = {}
    for position, line in effective_lines(lines):
        moment = instant(line["time"])
        if moment > as_of:
            continue
        if line["subject"].startswith("agreement:") and line["data"].get("effective_from"):
            # CHOICE: honoured on every agreement event that carries it (the contract says "all five" of seven).
            # CHOICE: such a fact is unseen if its time is after as_of, and also if its effective_from is.
            moment = instant(line["data"]["effective_from"])
            if moment > as_of:
                continue
        found.setdefault(line["subject"], []).append(Fact(moment, position, line["type"], line["data"]))
    return {subject: sorted(facts, key=lambda fact: (fact.time, fact.position)) for subject, facts in found.items()}


def closed_dates(lines: list[Line], desk: str) -> set[date]:
    """R9 `published`: dates whose entry was recorded before that day began at the desk."""
    # CHOICE: a corrected entry keeps its own recording time; the correction's recording time plays no part.
    # CHOICE: the day begins at the midnight of the desk's civil zone, also under R8 `fixed`.
    zone = ZoneInfo(CIVIL_ZONE[desk])
    recorded = recording_times(lines)
    closed: set[date] = set()
    for position, line in effective_lines(lines):  # never hidden by as_of
        if line["type"] == "HolidaysPublished" and line["data"]["desk"] == desk:
            for day in map(date.fromisoformat, line["data"]["dates"]):
                if recorded[position - 1] < midnight(day, zone):
                    closed.add(day)
    return closed


# --- business time --------------------------------------------------------------------------------------------------


class Desk(NamedTuple):
    zone: tzinfo
    closed: set[date]


class Calendar(NamedTuple):
    desks: list[Desk]
    always_open: bool
    day_hours: int  # an ordinary working day (R11 `business_hours`)


def union(found: Iterable[Span]) -> list[Span]:
    """Sorted, overlapping and touching spans joined."""
    result: list[Span] = []
    for begin, end in sorted(found):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((begin, end))
    return result


def desk_spans(desk: Desk, start: datetime, until: datetime) -> list[Span]:
    """The desk's days that may meet [start, until), one by one."""
    result: list[Span] = []
    day = start.astimezone(desk.zone).date()
    while day <= until.astimezone(desk.zone).date():
        if day.weekday() < 5 and day not in desk.closed:
            opens = datetime.combine(day, OPENS, desk.zone).astimezone(UTC)
            closes = datetime.combine(day, CLOSES, desk.zone).astimezone(UTC)
            result.append((opens, closes))
        day += DAY
    return result


def spans(calendar: Calendar, start: datetime, until: datetime) -> list[Span]:
    """The business time inside [start, until), merged."""
    if calendar.always_open:
        found = [(start, until)]
    else:
        found = union(span for desk in calendar.desks for span in desk_spans(desk, start, until))
    clipped = [(max(begin, start), min(end, until)) for begin, end in found]
    return [(begin, end) for begin, end in clipped if begin < end]


def between(calendar: Calendar, start: datetime, until: datetime) -> int:
    """Seconds of business time in [start, until)."""
    if until < start:
        raise ValueError("the end is before the start")
    return sum(clock_seconds(begin, end) for begin, end in spans(calendar, start, until))


def clock_seconds(start: datetime, until: datetime) -> int:
    return int((until - start).total_seconds())


def add(calendar: Calendar, start: datetime, amount: int) -> datetime:
    """The instant at which that much business time has passed; at a closing it is that closing."""
    if amount == 0:
        return start
    left = amount
    day = start
    while day < start + 20 * 366 * DAY:
        for begin, end in spans(calendar, day, day + DAY):
            if clock_seconds(begin, end) >= left:
                return begin + timedelta(seconds=left)
            left -= clock_seconds(begin, end)
        day += DAY
    raise ValueError("beyond the calendar's horizon")


def is_open(calendar: Calendar, moment: datetime) -> bool:
    return bool(spans(calendar, moment, moment + SECOND))


def next_opening(calendar: Calendar, moment: datetime) -> datetime:
    """The first open second at or after the moment."""
    return add(calendar, moment, 1) - SECOND


def working_day_after(calendar: Calendar, zone: tzinfo, day: date, count: int) -> date:
    """The count-th date after `day`, in the customer's desk's zone, that has business hours."""
    for _ in range(20 * 366):
        day += DAY
        if spans(calendar, midnight(day, zone), midnight(day + DAY, zone)):
            count -= 1
        if count == 0:
            return day
    raise ValueError("beyond the calendar's horizon")


def close_of(calendar: Calendar, zone: tzinfo, day: date) -> datetime:
    """End of the last span of that date (no span of these two desks crosses a midnight of either zone)."""
    return spans(calendar, midnight(day, zone), midnight(day + DAY, zone))[-1][1]


# --- a case ---------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    stream: str
    opening: Fact
    facts: list[Fact]  # up to and with the answer or the cancellation, if there is one
    answer: Fact | None
    cancel: Fact | None  # only of a case never answered
    end: datetime  # the answer, the cancellation, or as_of
    calendar: Calendar
    zone: ZoneInfo  # of the customer's desk
    best_effort: bool
    clock_start: datetime  # receipt, or (R30) the next opening


def is_answer(fact: Fact, responder: str) -> bool:
    """R12. Resolving or fulfilling an unanswered case answers it."""
    if fact.type == "ResponseGiven":
        return responder == "any" or fact.data["responder"] == "human"
    return fact.type in ("IncidentResolved", "RequestFulfilled")


def desk_of(agreement: list[Fact]) -> str:
    """Desk of the agreement last signed; Oslo when there is none."""
    # CHOICE: the last signing seen at as_of (by effective_from, else time, then position) serves all the customer's
    # cases, also those received before it, and also after the agreement ended.
    desks: list[str] = [fact.data["desk"] for fact in agreement if fact.type == "AgreementSigned"]
    return desks[-1] if desks else "oslo"


def has_deal(agreement: list[Fact], service: str, moment: datetime) -> bool:
    """Is a 24x7 deal over the service in force at the moment? A fact holds from its own second on."""
    # CHOICE: a deal or an end that names no service speaks for every service, in the agreement or not; of the facts
    # that speak for the case's service the last one decides. A deal needs its agreement in force.
    # CHOICE: an agreement fact effective in the very second of receipt already holds, whatever the positions.
    signed = deal = False
    for fact in agreement:
        if fact.time > moment:
            break
        if fact.type == "AgreementSigned":
            signed = True
        if fact.type == "AgreementEnded":
            signed = deal = False
        if fact.data.get("service") in (None, service):
            if fact.type == "RoundTheClockSupportAgreed":
                deal = True
            if fact.type == "RoundTheClockSupportEnded":
                deal = False
    return signed and deal


def calendar_for(lines: list[Line], customer_desk: str, chosen: dict[str, Any]) -> Calendar:
    """R7, R8, R9."""
    names = {"union": ["oslo", "new_york"], "customer_desk": [customer_desk]}.get(
        chosen["business_hours"], [chosen["business_hours"]]
    )
    desks: list[Desk] = []
    for name in names:
        fixed = timezone(timedelta(hours=FIXED_OFFSET[name]))
        zone: tzinfo = fixed if chosen["zones"] == "fixed" else ZoneInfo(CIVIL_ZONE[name])
        desks.append(Desk(zone, closed_dates(lines, name) if chosen["holidays"] == "published" else set()))
    return Calendar(desks, always_open=False, day_hours=14 if len(names) == 2 else 8)


def read_cases(lines: list[Line], as_of: datetime, chosen: dict[str, Any]) -> list[Case]:
    """All cases seen at as_of, in order of receipt (time, then position)."""
    seen = streams(lines, as_of)
    calendars = {desk: calendar_for(lines, desk, chosen) for desk in CIVIL_ZONE}
    cases: list[Case] = []
    for stream, facts in seen.items():
        opening = facts[0]
        if opening.type not in OPENINGS:  # no case, or its opening is hidden
            continue
        answer = cancel = None
        judged: list[Fact] = []
        for fact in facts:
            judged.append(fact)
            if is_answer(fact, chosen["responder"]):
                answer = fact
                break
            if fact.type in ("IncidentCancelled", "RequestCancelled"):
                cancel = fact
                break
        last = answer or cancel
        channel = opening.data["channel"]
        agreement = seen.get("agreement:" + opening.data["customer"], [])
        desk = desk_of(agreement)
        calendar = calendars[desk]
        # R15: under a deal, through a channel it covers, the calendar is always open.
        covered = chosen["round_the_clock"] == "all_channels" or channel == "phone"
        if covered and has_deal(agreement, opening.data["service"], opening.time):
            calendar = Calendar([], always_open=True, day_hours=24)
        best_effort = channel in chosen["best_effort"]  # R16: the channel decides, deal or no deal
        clock_start = opening.time
        if channel == "phone" and not is_open(calendar, opening.time):  # R30
            if chosen["off_hours_phone"] == "best_effort":
                best_effort = True
            clock_start = next_opening(calendar, opening.time)
        zone = ZoneInfo(CIVIL_ZONE[desk])
        end = last.time if last else as_of
        cases.append(Case(stream, opening, judged, answer, cancel, end, calendar, zone, best_effort, clock_start))
    return sorted(cases, key=lambda case: (case.opening.time, case.opening.position))


def priority_of(facts: list[Fact]) -> str:
    """The priority after these facts; High before any assignment."""
    assigned: list[str] = [fact.data["priority"] for fact in facts if fact.type == "PriorityAssigned"]
    return assigned[-1] if assigned else "high"


def pauses_of(facts: list[Fact], end: datetime) -> tuple[list[Span], bool]:
    """The merged pauses in these facts, and whether the last is still open (it then runs to `end`)."""
    waiting: dict[str, datetime] = {}
    found: list[Span] = []
    for fact in facts:
        if fact.type == "AccessRequested":
            waiting[fact.data["what"]] = fact.time
        if fact.type == "AccessGranted":
            found.append((waiting.pop(fact.data["what"]), fact.time))
    found.extend((begin, end) for begin in waiting.values())
    return union(found), bool(waiting)


# --- response -------------------------------------------------------------------------------------------------------


def unpaused_due(case: Case, start: datetime, priority: str, paused: int, chosen: dict[str, Any]) -> datetime:
    """Due time for a target counted from `start`, moved by that many paused seconds."""
    if priority in TARGET_HOURS:
        seconds = TARGET_HOURS[priority] * 3600 + paused
        if chosen["hour_targets"] == "elapsed":  # R10
            return start + timedelta(seconds=seconds)
        return add(case.calendar, start, seconds)
    days = TARGET_DAYS[priority]
    local = start.astimezone(case.zone)
    if chosen["day_targets"] == "business_hours":  # R11
        due = add(case.calendar, start, days * case.calendar.day_hours * 3600)
    else:
        day = working_day_after(case.calendar, case.zone, local.date(), days)
        if chosen["day_targets"] == "same_time":
            due = local_time(day, local.time(), case.zone)
        else:
            due = close_of(case.calendar, case.zone, day)
    return add(case.calendar, due, paused)


def due_and_paused(
    case: Case, start: datetime, priority: str, facts: list[Fact], end: datetime, chosen: dict[str, Any]
) -> tuple[datetime, bool]:
    """The due time these facts give by `end`, and whether a pause is open that did not begin past it."""
    elapsed = chosen["hour_targets"] == "elapsed" and priority in TARGET_HOURS
    if elapsed:
        # CHOICE: R30 `next_opening` under R10 `elapsed`: an out-of-hours call's clock time runs from the opening.
        # CHOICE: day targets count from the date of receipt all the same, out-of-hours call or not.
        start = max(start, case.clock_start)
    pauses, still_open = pauses_of(facts, end)
    # Only what lies after the start of the count: R13 `from_change`, and the line above.
    pauses = [(max(begin, start), max(until, start)) for begin, until in pauses]
    paused = 0
    due = unpaused_due(case, start, priority, paused, chosen)
    for begin, until in pauses:
        if begin > due:  # begins after the due time: does not move it; exactly at it does
            break
        paused += clock_seconds(begin, until) if elapsed else between(case.calendar, begin, until)
        due = unpaused_due(case, start, priority, paused, chosen)
    # CHOICE: "not past due when it began" is asked of the due time under the priority in force now, not of the one
    # in force when the pause began; and of the beginning of the merged pause.
    return due, still_open and pauses[-1][0] <= due


def judge(case: Case, chosen: dict[str, Any]) -> tuple[datetime | None, str]:
    """(due time or None, verdict)."""
    if case.best_effort:
        return None, "best_effort"
    start = case.opening.time
    priority = "high"
    missed: datetime | None = None  # a due time already passed at a change of priority: it stands
    if not case.opening.data.get("remote_assistance"):  # with it: the High target, and changes change nothing
        for index, fact in enumerate(case.facts):
            if fact.type != "PriorityAssigned" or fact.data["priority"] == priority:
                continue
            # CHOICE: while paused a case has no due time that a change could come later than. Several changes in one
            # second are changes one after the other.
            before, paused = due_and_paused(case, start, priority, case.facts[:index], fact.time, chosen)
            if fact.time > before and not paused:
                missed = before
                break
            priority = fact.data["priority"]
            if chosen["reclassification"] == "from_change":  # R13
                start = fact.time
    if missed is not None:
        return missed, "breached" if case.answer or case.cancel else "overdue"
    due, paused = due_and_paused(case, start, priority, case.facts, case.end, chosen)
    if case.answer:
        return due, "met" if case.end <= due else "breached"
    if case.cancel:
        return due, "cancelled" if case.end <= due else "breached"
    if paused:
        return None, "paused"
    return due, "open" if case.end <= due else "overdue"


def compliance(lines: list[Line], as_of: datetime, readings: dict[str, object] | None = None) -> list[Row]:
    chosen: dict[str, Any] = {**DEFAULTS, **(readings or {})}
    rows: list[Row] = []
    for case in read_cases(lines, whole(as_of), chosen):
        received, data = case.opening.time, case.opening.data
        due, verdict = judge(case, chosen)
        # CHOICE: paused_seconds and business_seconds stay business time under R10 `elapsed`.
        pauses, _ = pauses_of(case.facts, case.end)
        paused = sum(between(case.calendar, begin, until) for begin, until in pauses)
        late = due is not None and case.end > due
        kind = OPENINGS[case.opening.type]
        rows.append(
            {
                "case": case.stream,  # CHOICE: the whole stream id
                "kind": kind,
                "request_kind": data["kind"] if kind == "request" else None,
                "customer": data["customer"],
                "service": data["service"],
                "channel": data["channel"],
                "priority": priority_of(case.facts),  # CHOICE: as assigned, also with remote assistance
                "received_at": shown(received),
                "due_at": shown(due),
                "responded_at": shown(case.answer.time) if case.answer else None,
                "paused_seconds": paused,
                "business_seconds": between(case.calendar, received, case.end) - paused,
                "late_by_seconds": clock_seconds(due, case.end) if due is not None and late else None,
                "verdict": verdict,
            }
        )
    return rows


def percent(part: int, of: int) -> str | None:
    """Truncated to two decimals."""
    return None if of == 0 else f"{part * 10000 // of // 100}.{part * 10000 // of % 100:02d}"


def compliance_totals(rows: list[Row], by: str, zone: str = "Europe/Oslo") -> list[Row]:
    """A row per value of `by`, then the row "all"."""
    # CHOICE: the rows are sorted by the value as text (so priorities read high, low, medium).
    groups: dict[str, list[Row]] = {}
    for row in rows:
        month = instant(row["received_at"]).astimezone(ZoneInfo(zone)).strftime("%Y-%m")
        groups.setdefault(month if by == "month" else row[by], []).append(row)
    totals: list[Row] = []
    for name, members in [*sorted(groups.items()), ("all", rows)]:
        count = {verdict: sum(row["verdict"] == verdict for row in members) for verdict in VERDICTS}
        rate = percent(count["met"], count["met"] + count["breached"] + count["overdue"])
        totals.append({by: name, "total": len(members), **count, "rate_percent": rate})
    return totals


# --- handling order -------------------------------------------------------------------------------------------------


def queue(lines: list[Line], as_of: datetime, readings: dict[str, object] | None = None) -> list[Row]:
    chosen: dict[str, Any] = {**DEFAULTS, **(readings or {})}
    now = whole(as_of)
    ranked: list[Row] = []
    paused: list[Row] = []
    cases = [case for case in read_cases(lines, now, chosen) if not case.answer and not case.cancel]
    if chosen["order_within"] == "priority":  # R14; the sort keeps the order of receipt within a priority
        cases.sort(key=lambda case: PRIORITIES.index(priority_of(case.facts)))
    for case in cases:  # CHOICE: paused rows keep this same order among themselves
        due, verdict = judge(case, chosen)
        remaining: int | None = None
        at_risk = False  # CHOICE: false where there is no due time; true where it has passed
        if due is not None:
            remaining = between(case.calendar, now, due) if now <= due else -clock_seconds(due, now)
            # CHOICE: measured in business time under R10 `elapsed` too; the pauses count in the whole.
            at_risk = 4 * remaining <= between(case.calendar, case.opening.time, due)
        target = paused if verdict == "paused" else ranked
        target.append(
            {
                "rank": None if verdict == "paused" else len(ranked) + 1,
                "case": case.stream,
                "customer": case.opening.data["customer"],
                "priority": priority_of(case.facts),
                "received_at": shown(case.opening.time),
                "due_at": shown(due),
                "remaining_seconds": remaining,
                "at_risk": at_risk,
                "verdict": verdict,
            }
        )
    return ranked + paused


def overtakes(b: Case, a: Case, order_within: str) -> bool:
    """Was B handled before A, out of turn?"""
    if b.answer is None or a is b:
        return False
    handled = (b.answer.time, b.answer.position)  # facts in the same second go by position
    known_a = [fact for fact in a.facts if (fact.time, fact.position) <= handled]
    if order_within == "priority" and priority_of(known_a) != priority_of(b.facts):  # R14
        return False
    if (a.opening.time, a.opening.position) > (b.opening.time, b.opening.position):
        return False
    if a.answer and a.answer.time <= b.answer.time:  # handled, also when in the very same second
        return False
    if a.cancel in known_a:
        return False
    # CHOICE: "not paused" here means no pause open, past due or not, best effort or not.
    return not pauses_of(known_a, b.answer.time)[1]


def order(lines: list[Line], as_of: datetime, readings: dict[str, object] | None = None) -> list[Row]:
    chosen: dict[str, Any] = {**DEFAULTS, **(readings or {})}
    cases = read_cases(lines, whole(as_of), chosen)
    return [
        {
            "case": case.stream,
            "priority": priority_of(case.facts),
            "received_at": shown(case.opening.time),
            "handled_at": shown(case.answer.time) if case.answer else None,
            "overtook": sum(overtakes(case, other, chosen["order_within"]) for other in cases),
            "overtaken_by": sum(overtakes(other, case, chosen["order_within"]) for other in cases),
        }
        for case in cases
    ]


def order_totals(rows: list[Row]) -> Row:
    handled = sum(row["handled_at"] is not None for row in rows)
    out_of_turn = sum(row["overtook"] > 0 for row in rows)
    return {
        "handled": handled,
        "out_of_turn": out_of_turn,
        "overtaken": sum(row["overtaken_by"] > 0 for row in rows),
        "overtakings": sum(row["overtook"] for row in rows),
        "in_turn_percent": percent(handled - out_of_turn, handled),
    }
