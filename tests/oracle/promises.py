"""A slow and obvious second implementation of the other promises: delivery, notice of maintenance, backups.

It is a test oracle, to be read beside READINGS.md. It imports nothing of the program but shares the calendar of the
other oracles. Histories are taken to be valid. `CHOICE:` marks a point the text leaves open.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from . import cases, uptime
from .cases import DAY, Calendar, Fact, Line

Row = dict[str, Any]
Streams = dict[str, list[Fact]]

DEFAULTS: dict[str, object] = {**cases.DEFAULTS, "instantly": "60 s", "immediately": "1 h"}  # R28, R29

# The agreement's numbers.
BUSINESS_DAYS = {"licence_manual": 1, "easy_number": 2, "endpoint_registration": 2}
WEEKS_NOTICE = ("meeting_bridge", "webcast")
FULL_DAY = ("meeting_support", "troubleshooting")
DELIVERIES = ("licence_online", *BUSINESS_DAYS, *WEEKS_NOTICE, *FULL_DAY)
WEEK = 7 * 24 * timedelta(hours=1)
SCHEDULED_BEFORE = 2 * WEEK
KEPT_FOR = 20 * 24 * timedelta(hours=1)
DEFAULT_DESK = "oslo"

STARTS_THE_WORK = {"RequestFulfilled", "TroubleshootingStarted", "IncidentResolved"}
CALLS_IT_OFF = {"RequestCancelled", "IncidentCancelled", "MaintenanceCancelled"}


def promises(lines: list[Line], as_of: datetime, readings: dict[str, object] | None = None) -> list[Row]:
    """Every promise known at an instant, by item, then kind."""
    chosen = {**DEFAULTS, **(readings or {})}
    as_of = cases.whole(as_of)
    seen = cases.streams(lines, as_of)
    rows = backups(seen, as_of)
    for stream, facts in seen.items():
        if facts[0].type in cases.OPENINGS:
            rows += delivery(lines, seen, stream, as_of, chosen)
        if facts[0].type == "MaintenanceScheduled":
            rows += notice(lines, stream, facts, as_of, chosen)
    return sorted(rows, key=lambda row: (row["item"], row["kind"]))


def promise(kind: str, item: str, due: datetime | None, done: datetime | None, verdict: str) -> Row:
    known = due is not None and done is not None
    return {
        "kind": kind,
        "item": item,
        "due_at": cases.shown(due),
        "done_at": cases.shown(done),
        "verdict": verdict,
        # CHOICE: positive is the wrong side: late, or deleted too early.
        "off_by_seconds": uptime.seconds(due, done) * (-1 if kind == "backup_kept" else 1)
        if known and due and done
        else None,
    }


def verdict_of(due: datetime, done: Fact | None, cancel: Fact | None, as_of: datetime) -> str:
    """What came first, doing it or calling it off, settles it; late is late either way."""
    ends = sorted(fact for fact in (done, cancel) if fact is not None)
    if not ends:
        return "open" if as_of <= due else "overdue"
    if ends[0].time > due:  # CHOICE: called off only after it was due, it is broken, as with an answer
        return "breached"
    return "met" if ends[0] is done else "cancelled"


def first(facts: list[Fact], types: set[str]) -> Fact | None:
    return next((fact for fact in facts if fact.type in types), None)


# --- calendars ------------------------------------------------------------------------------------------------------


def full_day(calendar: Calendar, zone: ZoneInfo, moment: datetime) -> datetime:
    """Close of the first working day whose first span opens at or after the moment."""
    day = moment.astimezone(zone).date()
    while True:
        # No span of these two desks crosses a midnight of either zone, so those of a date lie within it.
        found = cases.spans(calendar, cases.midnight(day, zone), cases.midnight(day + DAY, zone))
        if found and found[0][0] >= moment:
            return found[-1][1]
        day += DAY


def days_later(calendar: Calendar, zone: ZoneInfo, start: datetime, count: int, reading: object) -> datetime:
    """R11"""
    if reading == "business_hours":
        return cases.add(calendar, start, count * calendar.day_hours * 3600)
    local = start.astimezone(zone)
    day = cases.working_day_after(calendar, zone, local.date(), count)
    if reading == "same_time":
        return cases.local_time(day, local.time(), zone)
    return cases.close_of(calendar, zone, day)


# --- delivery -------------------------------------------------------------------------------------------------------


def delivery(lines: list[Line], seen: Streams, stream: str, as_of: datetime, chosen: dict[str, Any]) -> list[Row]:
    """The one promise of a case, if there is any for its kind. Waiting for access moves nothing here."""
    facts = seen[stream]
    asked = facts[0]
    kind = asked.data["kind"] if asked.type == "ServiceRequested" else "troubleshooting"
    if kind not in DELIVERIES:
        return []
    # CHOICE: an incident that is resolved has been worked on, whether or not somebody noted the start.
    done, cancel = first(facts, STARTS_THE_WORK), first(facts, CALLS_IT_OFF)
    done_at = done.time if done else None
    if kind in WEEKS_NOTICE and (not asked.data.get("wanted_for") or wanted(asked) < asked.time + WEEK):
        return [promise(kind, stream, None, done_at, "short_notice")]  # CHOICE: so is one wanted on no date at all
    due = delivery_due(lines, seen, asked, kind, chosen)
    return [promise(kind, stream, due, done_at, verdict_of(due, done, cancel, as_of))]


def wanted(asked: Fact) -> datetime:
    return cases.instant(asked.data["wanted_for"])


def delivery_due(lines: list[Line], seen: Streams, asked: Fact, kind: str, chosen: dict[str, Any]) -> datetime:
    if kind == "licence_online":
        return asked.time + timedelta(seconds=uptime.seconds_of(chosen["instantly"]))
    if kind in WEEKS_NOTICE:
        return wanted(asked)
    # CHOICE: business hours also under a 24x7 deal, which speaks of support.
    desk = cases.desk_of(seen.get("agreement:" + asked.data["customer"], []))
    calendar, zone = cases.calendar_for(lines, desk, chosen), ZoneInfo(cases.CIVIL_ZONE[desk])
    if kind in FULL_DAY:
        return full_day(calendar, zone, asked.time)
    return days_later(calendar, zone, asked.time, BUSINESS_DAYS[kind], chosen["day_targets"])


# --- notice of maintenance ------------------------------------------------------------------------------------------


def notice(lines: list[Line], stream: str, facts: list[Fact], as_of: datetime, chosen: dict[str, Any]) -> list[Row]:
    """What had to be said beforehand, or at once; a window moved is announced anew."""
    schedules = [fact for fact in facts if fact.type in ("MaintenanceScheduled", "MaintenanceRescheduled")]
    last, cancel = schedules[-1], first(facts, CALLS_IT_OFF)
    begin = cases.instant(last.data["from"])
    later = facts[facts.index(last) + 1 :]
    told = [fact for fact in later if fact.type == "MaintenanceCommunicated" and "customers" in fact.data["audience"]]
    announced = told[0] if told else None

    def row(kind: str, due: datetime, done: Fact | None) -> Row:
        # CHOICE: what is said after the window was called off is shown, and changes nothing.
        return promise(kind, stream, due, done.time if done else None, verdict_of(due, done, cancel, as_of))

    category = facts[0].data["category"]
    if category == "planned":
        return [
            row("planned_scheduled", begin - SCHEDULED_BEFORE, last),
            row("planned_communicated", begin - WEEK, announced),
        ]
    if category == "unplanned":
        tolerance = timedelta(seconds=uptime.seconds_of(chosen["immediately"]))
        return [row("unplanned_communicated", last.time + tolerance, announced)]
    return [row("emergency_announced", announced_by(lines, begin, chosen), announced)]


def announced_by(lines: list[Line], failed: datetime, chosen: dict[str, Any]) -> datetime:
    """In hours by the end of that date, out of hours by the close of the next business day; at the default desk."""
    calendar, zone = cases.calendar_for(lines, DEFAULT_DESK, chosen), ZoneInfo(cases.CIVIL_ZONE[DEFAULT_DESK])
    if cases.is_open(calendar, failed):
        return cases.midnight(failed.astimezone(zone).date() + DAY, zone) - timedelta(seconds=1)  # still that day
    return full_day(calendar, zone, failed)


# --- backups --------------------------------------------------------------------------------------------------------


def backups(seen: Streams, as_of: datetime) -> list[Row]:
    """Two promises of every backup: it is kept, and another of its scope follows within a week."""
    rows: list[Row] = []
    taken = {stream: facts[0] for stream, facts in seen.items() if facts[0].type == "BackupTaken"}
    for stream, backup in taken.items():
        until = backup.time + KEPT_FOR
        deleted = first(seen[stream], {"BackupDeleted"})
        if deleted:
            rows.append(promise("backup_kept", stream, until, deleted.time, verdict_of_age(deleted.time, until)))
        else:
            rows.append(promise("backup_kept", stream, until, None, "met" if as_of >= until else "open"))
        # CHOICE: of two taken in the same second the one recorded later follows the other.
        order = (backup.time, backup.position)
        others = [other for other in taken.values() if other.data["scope"] == backup.data["scope"]]
        after = min((other for other in others if (other.time, other.position) > order), default=None)
        due = backup.time + WEEK
        verdict = verdict_of(due, after, None, as_of)
        rows.append(promise("backup_followed", stream, due, after.time if after else None, verdict))
    return rows


def verdict_of_age(deleted: datetime, until: datetime) -> str:
    return "met" if deleted >= until else "breached"
