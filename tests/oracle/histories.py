"""Random whole histories, small and full of edges, for comparing the program with slow oracles.

A history is drawn as drafts; they are told in order of recording, and a draft its stream refuses is dropped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from .acceptance import Line, instant, objection

T = TypeVar("T")
Data = dict[str, Any]
Said = tuple[str, datetime, Data]  # type, time, data

ZONES = {"oslo": ZoneInfo("Europe/Oslo"), "new_york": ZoneInfo("America/New_York")}
FLOOR = datetime(2025, 1, 1, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOTHING = timedelta()

CUSTOMERS = ("acme", "borealis", "cirrus")
SERVICES = ("licence", "cloud-connect", "support")
CHANNELS = ("phone", "email", "chat", "web", "video", "on_site", "monitoring")
PRIORITIES = ("high", "medium", "low")
KINDS = (
    "support",
    "licence_online",
    "licence_manual",
    "easy_number",
    "endpoint_registration",
    "meeting_bridge",
    "webcast",
    "meeting_support",
    "feature",
    "on_site",
    "outside_hours",
)
CAUSES = (
    "failure",
    "planned_maintenance",
    "unplanned_maintenance",
    "emergency",
    "beyond_control",
    "not_covered",
    "customer_side",
)
GROUNDS = ("third_party", "foreign_network", "abuse_or_attack", "unsupported", "content")
SOURCES = ("event_monitoring", "infrastructure_log", "client_report")
FEES = ("1000.00", "1000.01", "333.33", "0.00")
NUDGES = (NOTHING, -SECOND, SECOND, NOTHING)

# ------------------------------------------------------------------------------------------------ time


def sunday(year: int, month: int, nth: int) -> date:
    """The nth Sunday of a month, counted from its end when negative."""
    days = [date(year, month, 1) + n * DAY for n in range(31)]
    return [day for day in days if day.month == month and day.weekday() == 6][nth if nth < 0 else nth - 1]


def notable_days() -> list[date]:
    """Ordinary days of a week, then those around every change of clocks and of year."""
    days = [date(2026, 6, 1) + n * DAY for n in range(7)]
    for year in (2026, 2025, 2027):
        changes = [sunday(year, 3, 2), sunday(year, 3, -1), sunday(year, 10, -1), sunday(year, 11, 1)]
        days += [change + n * DAY for change in changes for n in (0, 1, -2)]
        days += [changes[0] + 9 * DAY, changes[2] + 3 * DAY, date(year, 12, 31), date(year, 1, 1)]
    return days


def local(day: date, zone: str, hour: int) -> datetime:
    return datetime.combine(day, time(hour), ZONES[zone]).astimezone(UTC)


def written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def window(day: date, desk: str) -> tuple[datetime, datetime]:
    """Opening and closing on a weekday; with both desks joined, from Oslo's opening to New York's closing."""
    first, last = ("oslo", "new_york") if desk == "union" else (desk, desk)
    return local(day, first, 8), local(day, last, 16)


def weekdays(start: datetime, count: int) -> list[date]:
    """The next weekdays, the day of `start` itself included, if it is one."""
    days = [start.date() + n * DAY for n in range(count * 2 + 3)]
    return [day for day in days if day.weekday() < 5][:count]


def later(start: datetime, amount: timedelta, desk: str = "union") -> datetime:
    """The instant at which an amount of business time after `start` has passed."""
    for day in weekdays(start, 40):
        opening, closing = window(day, desk)
        begin = max(start, opening)
        if begin < closing and begin + amount <= closing:
            return begin + amount
        amount -= max(closing - begin, NOTHING)
    raise ValueError("too much business time for a history")


def between(start: datetime, until: datetime) -> timedelta:
    """The business time of both desks joined in a pause of some weeks at most."""
    spans = [window(day, "union") for day in weekdays(start, 40)]
    return sum((max(min(until, end) - max(start, begin), NOTHING) for begin, end in spans), NOTHING)


def bells(after: datetime) -> list[datetime]:
    """The next openings and closings of either desk, and the midnights that follow."""
    day, next_day = weekdays(after, 2)
    found = [*window(day, "oslo"), *window(day, "new_york"), *window(next_day, "oslo"), *window(next_day, "new_york")]
    found += [local(after.date() + DAY, zone, 0) for zone in ZONES]
    return [moment for moment in found if moment >= after]


def dues(received: datetime, paused: timedelta = NOTHING) -> list[datetime]:
    """The seconds by which a case received then may have to be answered or delivered, under several readings."""
    hours = [later(received, 8 * HOUR + paused), later(received, 48 * HOUR + paused)]
    alone = [later(received, 8 * HOUR + paused, desk) for desk in ZONES]
    closings = [window(day, "union")[1] for day in weekdays(received + DAY, 5)]
    return [*hours, hours[0], closings[4], closings[0], closings[1], *alone, received + 8 * HOUR, received + MINUTE]


def instants(first: date = date(2025, 1, 2), last: date = date(2027, 12, 30)) -> st.SearchStrategy[datetime]:
    """Instants in UTC on days from `first` to `last`, often at the edges of business hours, days, years and clocks."""
    special = [day for day in notable_days() if first <= day <= last]
    days = st.dates(first, last)
    clocks = [("oslo", 8), ("oslo", 16), ("new_york", 16), ("new_york", 8), ("oslo", 0), ("new_york", 0)]
    edges = [lambda day, c=c: local(day, *c) for c in clocks]
    edges += [lambda day, h=h: datetime.combine(day, time(h), UTC) for h in (6, 7, 1, 12)]
    minutes = st.integers(0, 24 * 60 - 1).map(lambda m: lambda day: datetime.combine(day, time(), UTC) + m * MINUTE)
    return st.builds(
        lambda day, clock, nudge: clock(day) + nudge,
        st.sampled_from(special) | days if special else days,
        st.sampled_from(edges) | st.sampled_from(edges) | minutes,
        st.sampled_from([NOTHING, NOTHING, -SECOND, SECOND, HOUR]),
    )


# ------------------------------------------------------------------------------------------------ telling


@dataclass(frozen=True)
class Draft:
    """What someone will record; what it says may depend on the entries its stream has by then."""

    subject: str
    recorded: datetime
    actor: str | None
    say: Callable[[list[Line]], list[Said]]


def told(drafts: list[Draft]) -> list[Line]:
    """The lines of a history in order of recording, without what its streams refuse."""
    lines: list[Line] = []
    streams: dict[str, list[Line]] = {}
    for draft in sorted(drafts, key=lambda draft: draft.recorded):
        stream = streams.setdefault(draft.subject, [])
        for kind, happened, data in draft.say(stream):
            line: Line = {"specversion": "1.0", "source": "sla-ledger", "type": kind, "subject": draft.subject}
            line["time"] = written(min(happened, draft.recorded))
            line["recordedtime"] = written(draft.recorded)
            if draft.actor:
                line["actor"] = draft.actor
            line["data"] = data
            if objection([*stream, line]) is None:
                stream.append(line)
                lines.append(line)
    return lines


def standing_versions(stream: list[Line], *types: str) -> list[int]:
    """Versions of a stream's entries of some types (none given: all but corrections) that are not withdrawn."""
    withdrawn = [line["data"]["version"] for line in stream if line["type"] == "EntryWithdrawn"]
    fits = [line["type"] in types if types else not line["type"].startswith("Entry") for line in stream]
    return [version for version, fit in enumerate(fits, start=1) if fit and version not in withdrawn]


class Story:
    """A history in the making: the drafts so far and the moments that have been named."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.drafts: list[Draft] = []
        self.moments: list[datetime] = []
        self.opened: dict[str, datetime] = {}
        self.gaps = st.sampled_from([10 * MINUTE, NOTHING, SECOND, HOUR, 4 * HOUR, 26 * HOUR, 3 * DAY, 10 * DAY])

    def pick(self, options: Sequence[T]) -> T:
        return self.draw(st.sampled_from(options))

    def chance(self, of: int) -> bool:
        """True about once in `of` times."""
        return self.draw(st.integers(1, of)) == of

    def some(self, options: Sequence[T]) -> list[T]:
        """A few of the options, at least one, none twice."""
        first = self.pick(options)
        return [option for option in options if option == first or self.chance(3)]

    def lag(self) -> timedelta:
        if self.chance(14):
            return self.pick([2 * HOUR, DAY, 3 * DAY, 12 * DAY])
        return self.pick([5 * SECOND, NOTHING, MINUTE, 4 * MINUTE])

    def moment(self, after: datetime, edges: Sequence[datetime] = ()) -> datetime:
        """An instant not before `after`: a little later, at a bell, at an edge, or when something else happened."""
        how = self.pick(["gap", "gap", "edge", "edge", "bell", "same"])
        known = [moment for moment in self.moments if moment >= after]
        if how == "edge" and edges:
            found = self.pick(edges) + self.pick(NUDGES)
        elif how == "same" and known:
            found = self.pick(known)
        elif how == "bell":
            found = self.pick(bells(after)) + self.pick(NUDGES)
        else:
            found = after + self.draw(self.gaps)
        self.moments.append(max(found, after))
        return self.moments[-1]

    def tell(self, subject: str, kind: str, happened: datetime, data: Data | None = None) -> None:
        self.plan(subject, happened, lambda _: [(kind, happened, dict(data or {}))])

    def plan(self, subject: str, happened: datetime, say: Callable[[list[Line]], list[Said]]) -> None:
        recorded = max(happened + self.lag(), self.opened.get(subject, FLOOR))
        self.opened.setdefault(subject, recorded)
        actor = self.pick([None, None, "desk.oslo", "desk.new_york"])
        self.drafts.append(Draft(subject, recorded, actor, say))

    def correct(self) -> None:
        """A withdrawal, sometimes with the right fact after it, or a correction, of some stream's entry."""
        subject = self.pick(sorted(self.opened))
        known = [draft.recorded for draft in self.drafts if draft.subject == subject]
        happened = self.moment(self.pick(known))
        which, withdraw, again = self.draw(st.integers(0, 7)), self.chance(2), self.chance(2)
        shift = self.pick([HOUR, NOTHING, -SECOND, SECOND, -HOUR, -DAY])
        wish: Data = {
            "priority": self.pick(PRIORITIES),
            "responder": self.pick(["human", "automatic"]),
            "channel": self.pick(CHANNELS),
            "service": self.pick(SERVICES),
            "degree": self.pick(["unavailable", "degraded"]),
            "category": self.pick(["planned", "unplanned", "emergency"]),
        }
        if self.chance(2):
            wish = {}

        def say(stream: list[Line]) -> list[Said]:
            versions = standing_versions(stream)
            if not versions:
                return []
            version = versions[which % len(versions)]
            old = stream[version - 1]
            data: Data = {**old["data"], **{key: value for key, value in wish.items() if key in old["data"]}}
            for key in ("from", "until"):
                if "T" in data.get(key, ""):
                    data[key] = written(instant(data[key]) + shift)
            moved = min(max(instant(old["time"]) + shift, FLOOR), happened)
            reason = {"version": version, "reason": "recorded in error"}
            if not withdraw:
                return [("EntryCorrected", happened, {**reason, "time": written(moved), "data": data})]
            again_said = [(str(old["type"]), moved, data)] if again else []
            return [("EntryWithdrawn", happened, reason), *again_said]

        self.plan(subject, happened, say)

    def finish(self) -> list[Line]:
        for _ in range(self.pick([0, 0, 1, 2])):
            if self.opened:
                self.correct()
        return told(self.drafts)

    def fee(self) -> Data:
        return {"amount": self.pick(FEES), "currency": "NOK"}

    def agreement(self, customer: str, signed: datetime, changes: Sequence[str], edges: Sequence[datetime]) -> None:
        """An agreement and some changes of it at or after its signing."""
        subject = f"agreement:{customer}"

        present: list[str] = []

        def sign(happened: datetime) -> None:
            present[:] = self.some(SERVICES)
            services = [{"service": service, "monthly_fee": self.fee()} for service in present]
            data: Data = {"customer": customer, "desk": self.pick(["oslo", "new_york"]), "services": services}
            self.tell(subject, "AgreementSigned", happened, data)

        sign(max(signed, FLOOR))
        whose = self.pick([None, "licence"])
        for kind in changes:
            happened = self.moment(max(signed, FLOOR), edges)
            data: Data = {}
            if kind.startswith("RoundTheClock"):
                deal = self.pick([whose, whose, "support"])
                data = {"service": deal} if deal else {}
            elif kind != "AgreementEnded":
                absent = [service for service in SERVICES if service not in present]
                fits = absent if kind == "ServiceAdded" else present
                data = {"service": self.pick(fits if fits and not self.chance(6) else SERVICES)}
                if kind != "ServiceEnded":
                    data["monthly_fee"] = self.fee()
                if self.chance(2):
                    data["effective_from"] = written(self.moment(max(signed, FLOOR), edges))
            self.tell(subject, kind, happened, data)
            if kind == "AgreementEnded" and self.chance(2):
                sign(self.moment(happened))


# ------------------------------------------------------------------------------------------------ cases


def case(story: Story, subject: str, received: datetime) -> None:
    incident = subject.startswith("incident:")
    opening: Data = {
        "customer": story.pick(CUSTOMERS),
        "service": story.pick(SERVICES),
        "channel": story.pick(["phone", "email", *CHANNELS]),
    }
    edges = dues(received)
    if incident and story.chance(5):
        opening["remote_assistance"] = True
    if story.chance(8):
        opening |= {"summary": "no sound in the room", "source": "mailbox"}
    if not incident:
        opening["kind"] = story.pick(KINDS)
        if opening["kind"] in ("meeting_bridge", "webcast"):
            wanted = received + 7 * DAY + story.pick(NUDGES)
            opening["wanted_for"] = written(wanted)
            edges = [wanted, *edges]
    story.moments.append(received)
    story.tell(subject, "IncidentReported" if incident else "ServiceRequested", received, opening)

    paused = NOTHING
    for what in story.pick([[], [], ["details"], ["remote_access", "details"], ["details", "details"]]):
        asked = story.moment(received, edges)
        story.tell(subject, "AccessRequested", asked, {"what": what})
        if story.pick([False, True, True, True]):
            granted = story.moment(asked, edges)
            story.tell(subject, "AccessGranted", granted, {"what": what})
            paused += between(asked, granted)
    if paused:
        edges = [*dues(received, paused), *edges]

    if story.chance(4):
        story.tell(subject, "ResponseGiven", story.moment(received), {"responder": "automatic"})
    for _ in range(story.pick([0, 1, 1, 2])):
        story.tell(subject, "ResponseGiven", story.moment(received, edges), {"responder": "human"})
    for _ in range(story.pick([0, 1, 1, 2, 3])):
        data = {"priority": story.pick(PRIORITIES), "reason": "triage"}
        story.tell(subject, "PriorityAssigned", story.moment(received, edges), data)
    if incident and story.chance(4):
        story.tell(subject, "TroubleshootingStarted", story.moment(received, edges))
    if story.chance(3):
        done = story.moment(received, edges)
        story.tell(subject, "IncidentResolved" if incident else "RequestFulfilled", done)
        if incident and story.chance(3):
            again = story.moment(done)
            story.tell(subject, "IncidentReopened", again, {"reason": "came back"})
            if story.chance(2):
                story.tell(subject, "IncidentResolved", story.moment(again))
    if story.chance(6):
        gone = story.moment(received, edges)
        story.tell(subject, "IncidentCancelled" if incident else "RequestCancelled", gone, {"reason": "withdrawn"})


@st.composite
def _cases(draw: st.DrawFn, most_cases: int) -> list[Line]:
    story = Story(draw)
    start = draw(instants(last=date(2027, 10, 15)) | instants(last=date(2027, 10, 15)))
    story.moments.append(start)
    for customer in CUSTOMERS[: story.pick([0, 1, 1, 2])]:
        signed = start + story.pick([-30 * DAY, -DAY, NOTHING, SECOND, HOUR, DAY])
        changes = story.pick(
            [
                [],
                ["RoundTheClockSupportAgreed"],
                ["RoundTheClockSupportAgreed", "RoundTheClockSupportEnded"],
                ["RoundTheClockSupportAgreed", "RoundTheClockSupportAgreed", "RoundTheClockSupportEnded"],
                ["RoundTheClockSupportAgreed", "AgreementEnded"],
                ["AgreementEnded"],
                ["ServiceAdded", "ServiceEnded"],
            ]
        )
        story.agreement(customer, signed, changes, [start])
    if story.chance(5):
        desk, day = story.pick(["oslo", "new_york"]), weekdays(start, 1)[0]
        closed = [str(day + n * DAY) for n in story.some([0, 1, 2])]
        known = max(FLOOR, local(day, desk, 0) + story.pick([-10 * DAY, -SECOND, NOTHING, HOUR]))
        story.tell(f"calendar:{desk}", "HolidaysPublished", known, {"desk": desk, "dates": closed})
    received = start
    for number in range(1, draw(st.integers(1, most_cases)) + 1):
        case(story, f"{story.pick(['incident:INC', 'incident:INC', 'request:REQ'])}-{number}", received)
        received = story.moment(received) if story.chance(4) else received + story.pick([MINUTE, NOTHING, HOUR])
    return story.finish()


def case_histories(most_cases: int = 6) -> st.SearchStrategy[list[Line]]:
    """Agreements, incidents and requests with all that happens to them."""
    return _cases(most_cases)


# ------------------------------------------------------------------------------------------------ uptime


@dataclass(frozen=True)
class Work:
    """A maintenance window, as drawn."""

    subject: str
    category: str
    services: list[str]
    start: datetime
    until: datetime
    declared: datetime


def spanned(start: datetime, until: datetime) -> Data:
    return {"from": written(start), "until": written(until)}


def maintenance(story: Story, subject: str, start: datetime) -> Work:
    category = story.pick(["planned", "unplanned", "planned", "emergency"])
    until = start + story.pick([2 * HOUR, 8 * HOUR, 2 * DAY, SECOND])
    notices = [14 * DAY, 20 * DAY, 14 * DAY, 14 * DAY] if category == "planned" else [NOTHING, HOUR, MINUTE]

    def declare(kind: str, begin: datetime, not_before: datetime, data: Data) -> datetime:
        """Schedules or moves the window, and tells some of the world, near the limits of notice."""
        said = max(begin - story.pick(notices) + story.pick(NUDGES), not_before)
        story.tell(subject, kind, said, data)
        for _ in range(story.pick([0, 1, 1, 2])):
            week = begin - 7 * DAY + story.pick(NUDGES)
            soon = said + story.pick([HOUR, HOUR, NOTHING]) + story.pick(NUDGES)
            told_at = story.pick([week, week, soon] if category == "planned" else [soon, soon, week])
            audience = story.pick([["customers"], ["customers", "partners"], ["customers"], ["partners", "resellers"]])
            story.tell(subject, "MaintenanceCommunicated", max(told_at, said), {"audience": audience})
        return said

    services = story.some(SERVICES)
    scheduled = {"category": category, "services": services, **spanned(start, until), "reason": "upgrade"}
    declared = declare("MaintenanceScheduled", start, FLOOR, scheduled)
    if story.chance(4):
        move = story.pick([14 * DAY, DAY, HOUR, -HOUR])
        start, until = start + move, until + move
        moved = {**spanned(start, until), "reason": "parts are late"}
        declared = declare("MaintenanceRescheduled", start, declared, moved)
    if story.chance(2):
        story.tell(subject, "MaintenanceStarted", max(start, declared))
        over = max(until + story.pick([NOTHING, HOUR]), declared)
        story.tell(subject, "MaintenanceCompleted", over)
    if story.chance(6):
        gone = max(story.pick([declared, start, until]) + story.pick(NUDGES), declared)
        story.tell(subject, "MaintenanceCancelled", gone, {"reason": "not needed"})
    story.moments += [start, until, declared]
    return Work(subject, category, services, start, until, declared)


def outage(story: Story, subject: str, near: st.SearchStrategy[datetime], works: list[Work]) -> None:
    work = story.pick(works) if works and story.chance(2) else None
    lengths = [HOUR, MINUTE, 8 * HOUR, 88 * HOUR, 315360 * SECOND, 315361 * SECOND, 8 * DAY, SECOND, 30 * DAY]
    if work:
        begins = [work.start, work.start, work.start, work.declared, work.until]
        start = story.pick(begins) + story.pick([*NUDGES, -HOUR, 10 * MINUTE])
        until = work.until + story.pick([*NUDGES, HOUR]) if story.chance(2) else start + story.pick(lengths)
    else:
        start = story.draw(near)
        until = start + story.pick(lengths)
    start = max(start, FLOOR)
    ends = [moment for moment in story.moments if start < moment < start + 60 * DAY]
    if ends and story.chance(3):
        until = story.pick(ends)
    until = max(until, start + SECOND)
    story.moments += [start, until]

    reported = start + story.pick([NOTHING, MINUTE, HOUR, DAY])
    opening: Data = {
        "services": list(work.services) if work and story.chance(2) else story.some(SERVICES),
        "customers": story.pick(["all", ["acme"], ["borealis"], ["acme", "borealis"]]),
        "degree": story.pick(["unavailable", "unavailable", "unavailable", "degraded"]),
        "noticed_by": story.pick(["event_monitoring", "client", "staff"]),
    }
    story.tell(subject, "OutageReported", reported, opening)
    seen = max(reported, until)
    for _ in range(story.pick([0, 2, 1, 3])):
        begin = start + story.pick([*NUDGES, 5 * MINUTE, -HOUR])
        data: Data = {"source": story.pick(SOURCES), "from": written(begin)}
        if not story.chance(5):
            end = story.pick([until, until, start]) + story.pick([*NUDGES, HOUR])
            data["until"] = written(max(end, begin + SECOND))
        if story.chance(6):
            data["reference"] = "probe-7"
        story.tell(subject, "EvidenceRecorded", seen + story.pick([MINUTE, NOTHING, DAY]), data)
    if story.pick([False, True, True, True]):
        story.tell(subject, "ServiceRestored", max(until + story.pick([*NUDGES, HOUR]), reported))
    for _ in range(story.pick([0, 1, 1, 2])):
        frame(story, subject, start, until, seen)
    for _ in range(story.pick([0, 1, 1, 2])):
        cause = story.pick(CAUSES)
        if work and work.category != "emergency" and not story.chance(4):
            cause = f"{work.category}_maintenance"
        data = {"cause": cause, "decided_by": "operations.lead", "reason": "reviewed"}
        if cause.endswith("planned_maintenance"):
            data["maintenance"] = work.subject if work else story.pick([*[w.subject for w in works], "maintenance:M-9"])
        if cause == "not_covered":
            data["ground"] = story.pick(GROUNDS)
        story.tell(subject, "OutageAttributed", seen + story.pick([HOUR, NOTHING, DAY]), data)


def frame(story: Story, subject: str, start: datetime, until: datetime, seen: datetime) -> None:
    begin = start + story.pick(NUDGES)
    end = max(until + story.pick([NOTHING, NOTHING, SECOND, HOUR]), begin + SECOND)
    data: Data = spanned(begin, end)
    middle = begin + (end - begin) // 2
    if story.chance(4) and end - begin > 4 * SECOND:
        middle = middle.replace(microsecond=0)
        rest = middle + story.pick([SECOND, NOTHING, -SECOND])
        data = {"spans": [spanned(begin, middle), spanned(rest, end)]}
    wanted = [not story.chance(3) for _ in range(3)]
    happened = seen + story.pick([2 * HOUR, NOTHING, DAY])

    def say(stream: list[Line]) -> list[Said]:
        found = standing_versions(stream, "EvidenceRecorded")
        named = [version for version, want in zip(found, wanted, strict=False) if want]
        return [
            ("TimeframeDetermined", happened, {**data, "evidence": named, "decided_by": "noc", "reason": "matched"})
        ]

    story.plan(subject, happened, say)


def a_year_on(day: date) -> date:
    return date(day.year + 1, day.month, day.day)


@st.composite
def _uptimes(draw: st.DrawFn, most_outages: int) -> list[Line]:
    story = Story(draw)
    starts = [date(2026, 1, 1), date(2025, 7, 1), date(2025, 1, 1), date(2025, 10, 26), date(2026, 3, 8)]
    first = draw(st.sampled_from(starts) | st.dates(date(2025, 2, 1), date(2026, 8, 31)))
    last = a_year_on(first)
    bounds = [local(day, zone, 0) for zone in ZONES for day in (first, last)]
    edges = [max(bound + nudge, FLOOR) for bound in bounds for nudge in NUDGES]
    inside = instants(max(first, date(2025, 1, 20)), last - 50 * DAY)
    near = inside | inside | st.sampled_from(edges)
    for customer in CUSTOMERS[: story.pick([0, 1, 1, 2])]:
        signed = story.pick([bounds[0] - 30 * DAY, bounds[0], bounds[0] + SECOND, draw(near)])
        changes = story.pick(
            [
                [],
                ["MonthlyFeeAgreed"],
                ["MonthlyFeeAgreed", "MonthlyFeeAgreed"],
                ["ServiceEnded"],
                ["ServiceEnded", "ServiceAdded"],
                ["ServiceAdded"],
                ["ServiceAdded", "MonthlyFeeAgreed"],
                ["AgreementEnded"],
            ]
        )
        story.agreement(customer, signed, changes, [edge for edge in edges if edge >= signed] or [signed])
    works = [maintenance(story, f"maintenance:M-{n}", draw(near)) for n in range(1, story.pick([0, 1, 1, 2]) + 1)]
    for number in range(1, draw(st.integers(1, most_outages)) + 1):
        known = st.sampled_from(story.moments) if story.moments else near
        outage(story, f"outage:O-{number}", near | near | known, works)
    for _ in range(story.pick([0, 0, 1, 2])):
        start = story.pick(story.moments) + story.pick([*NUDGES, HOUR])
        data = {**spanned(start, start + story.pick([HOUR, SECOND, 2 * DAY])), "reason": "probe down"}
        story.tell(f"monitoring:{story.pick(SERVICES)}", "MonitoringGapRecorded", instant(data["until"]), data)
    for number in range(1, story.pick([0, 1, 1, 2]) + 1):
        asked = story.pick(bounds[1::2]) + story.pick([DAY, *NUDGES, 30 * DAY, -30 * DAY])
        begin = first + story.pick([NOTHING, NOTHING, NOTHING, DAY, 30 * DAY])
        until = a_year_on(begin) + story.pick([NOTHING, NOTHING, NOTHING, -DAY])
        data = {"customer": story.pick(CUSTOMERS), "service": story.pick(SERVICES)}
        data |= {"from": str(begin), "until": str(until)}
        if story.chance(3):
            data["notified"] = story.some(["incident:INC-1", "incident:INC-2"])
        story.tell(f"claim:C-{number}", "CreditRequested", asked, data)
    return story.finish()


def uptime_histories(most_outages: int = 5) -> st.SearchStrategy[list[Line]]:
    """Agreements, maintenance, outages, gaps of monitoring and claims around one period of twelve months."""
    return _uptimes(most_outages)


# ------------------------------------------------------------------------------------------------ judging


def as_ofs(lines: list[Line]) -> st.SearchStrategy[datetime]:
    """Instants at, just before and just after every time a history names or makes due, and far later."""
    named: set[datetime] = set()
    for line in lines:
        data = line["data"]
        texts = [line["time"], line["recordedtime"], data.get("time")]
        for source in (data, *data.get("spans", ()), data.get("data", {})):
            texts += [source.get(key) for key in ("from", "until", "effective_from", "wanted_for")]
        named |= {instant(text) for text in texts if text and "T" in text}
        if line["type"] == "CreditRequested":
            named |= {local(date.fromisoformat(data[key]), zone, 0) for key in ("from", "until") for zone in ZONES}
        if line["type"] in ("IncidentReported", "ServiceRequested"):
            named |= set(dues(instant(line["time"])))
    if not named:
        return instants()
    far = [max(named) + 30 * DAY, max(named) + 200 * DAY]
    close = st.builds(lambda moment, nudge: moment + nudge, st.sampled_from(sorted(named)), st.sampled_from(NUDGES))
    return close | st.sampled_from(far)
