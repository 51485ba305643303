"""The event log of a ServiceNow instance: one row an update of an incident, times of one local clock without zone.

`opened_at`, `resolved_at` and `closed_at` stand on every row, copied back from the end of the incident. So only
`opened_at` is believed, as the receipt; what happened afterwards is read from the state of each row at its update time.
Columns that name persons are looked at only to know a person who stands where the customer should.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

from ledger import events as e
from ledger.entry import Fact
from ledger.errors import NotFound
from ledger.exchange.batch import Batch
from ledger.exchange.table import CommandIds, Progress, Table, is_reference, named, shown
from ledger.instants import stamp
from ledger.privacy.pseudonyms import Pseudonyms
from ledger.text import clean
from ledger.values import MAX_SUMMARY
from ledger.zones import ZoneInfo

COLUMNS = ("number", "incident_state", "opened_at", "sys_updated_at", "contact_type", "location", "priority")
PERSONS = ("caller_id", "opened_by", "sys_created_by", "sys_updated_by", "assigned_to", "resolved_by")
MISSING = ("", "?")
CHANNELS: dict[str, e.Channel] = {
    "Phone": "phone",
    "Email": "email",
    "Self service": "web",
    "IVR": "phone",
    "Direct opening": "web",
}
PRIORITIES: dict[str, e.Priority] = {"1": "high", "2": "high", "3": "medium", "4": "low"}

NEW, ACTIVE, WAITING, RESOLVED, NO_STATE = "New", "Active", "Awaiting User Info", "Resolved", "-100"
STATES = {
    *(NEW, ACTIVE, WAITING, RESOLVED, NO_STATE),
    *("Awaiting Vendor", "Awaiting Problem", "Awaiting Evidence", "Closed"),
}

ASSIGNED = {p: e.PriorityAssigned(priority=p, reason="priority in the imported log") for p in PRIORITIES.values()}
RESPONSE = e.ResponseGiven(responder="human")
REQUEST, GRANT = e.AccessRequested(what="details"), e.AccessGranted(what="details")
RESOLUTION = e.IncidentResolved()
REOPENING = e.IncidentReopened(reason="open again in the imported log")

_LOCAL = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d\d)", re.ASCII)

Clock = Callable[[str], datetime]


class Update(NamedTuple):
    """One row of the log."""

    updated_at: datetime
    line: int
    number: str
    state: str
    opened_at: datetime
    channel: e.Channel
    customer: str
    priority: e.Priority
    summary: str | None


@dataclass(slots=True)
class Progressed:
    """How far an incident got with the rows read so far."""

    priority: e.Priority | None = None
    answered: bool = False
    waiting: bool = False
    resolved: bool = False

    def events(self, update: Update) -> Iterator[e.Event]:
        """Yield what one more row says, in order: priority, grant, response, request, resolution or reopening.

        Reopening stands where resolution does: no row is both, and by then the case has been answered.
        """
        if update.priority != self.priority:
            self.priority = update.priority
            yield ASSIGNED[update.priority]
        if update.state == NO_STATE:  # the log knows no state at that moment, so nothing follows from it
            return
        if self.waiting and update.state != WAITING:
            self.waiting = False
            yield GRANT
        if not self.answered and update.state != NEW:
            self.answered = True
            yield RESPONSE
        if not self.waiting and update.state == WAITING:
            self.waiting = True
            yield REQUEST
        if not self.resolved and update.state == RESOLVED:
            self.resolved = True
            yield RESOLUTION
        if self.resolved and update.state in (NEW, ACTIVE):
            self.resolved = False
            yield REOPENING


def read(
    path: str,
    *,
    zone: str,
    pseudonyms: Pseudonyms | None = None,
    summary: str | None = None,
    progress: Progress | None = None,
) -> Batch:
    """Return the incidents of an event log: those that appear first come first, each in order of time.

    path: CSV, also packed with gzip. zone: the IANA name of the zone of the log's clock; a local time that it skips
    makes a bad row, of a doubled one the first is meant. An incident is opened by its first good row. Rows count at
    their update time, never before the receipt; those that say nothing new are passed over. pseudonyms: what stands
    for persons; None keeps them. summary: the column that incidents take their summary from; None leaves it empty.
    Raises BadLine for a header without the needed columns, NotFound for a file or a zone that is not there.
    """
    needed = COLUMNS if summary is None else (*COLUMNS, summary)
    clock, table = local_clock(zone), Table(path, needed, PERSONS)
    batch = Batch(raw=table.raw)
    incidents: dict[str, list[Update]] = {}

    def parse(line: int, cells: tuple[str, ...]) -> Update:
        return _update(line, cells, clock, pseudonyms, has_summary=summary is not None)

    for update in table.rows(batch, parse, progress):
        incidents.setdefault(update.number, []).append(update)
    ids = CommandIds()
    for updates in incidents.values():
        updates.sort()  # by update time, then line
        for update, events in _told(updates):
            batch.facts += [_fact(updates[0].opened_at, update, event, ids) for event in events]
            batch.passed_over += not events
    return batch


def local_clock(zone: str) -> Clock:
    """Return what turns a local time like 29/2/2016 01:16 into the UTC instant, and raises ValueError if it cannot."""
    try:
        found = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise NotFound(clean(zone)[:80], "no zone has this name", "name one like Europe/Oslo") from None
    return cache(lambda text: _instant(text, found))  # updates come in the same minutes, receipts are copied


def _instant(text: str, zone: ZoneInfo) -> datetime:
    parts = _LOCAL.fullmatch(text)
    if parts is None:
        raise ValueError(f"{shown(text)} is no time like 29/2/2016 01:16")
    day, month, year, hour, minute = map(int, parts.groups())
    try:
        local = datetime(year, month, day, hour, minute)  # noqa: DTZ001  the zone comes in the next line
        found = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
        exists = found.astimezone(zone).replace(tzinfo=None) == local
    except (ValueError, OverflowError):
        raise ValueError(f"{shown(text)} is not in the calendar") from None
    if not exists:
        raise ValueError(f"{shown(text)} does not exist in {zone.key}, the clock skips it")
    return found


def _update(
    line: int, cells: tuple[str, ...], clock: Clock, pseudonyms: Pseudonyms | None, *, has_summary: bool
) -> Update:
    """Return the row that the cells make; ValueError, naming the column, when one of them cannot be used."""
    number, state, opened, updated, contact, location, priority = cells[: len(COLUMNS)]
    persons = cells[-len(PERSONS) :]
    if not is_reference(number):
        raise ValueError(f"number: {shown(number)} is no reference")
    if state not in STATES:
        raise ValueError(f"incident_state: {shown(state)} is no known state")
    if contact not in CHANNELS:
        raise ValueError(f"contact_type: {shown(contact)} is no known channel")
    rank = priority.partition(" - ")[0]
    if rank not in PRIORITIES:
        raise ValueError(f"priority: {shown(priority)} is none of 1 to 4")
    customer = "unknown" if location in MISSING else named("location", location, pseudonyms, persons)
    opened_at, updated_at = _time("opened_at", opened, clock), _time("sys_updated_at", updated, clock)
    summary = _summary(cells[len(COLUMNS)], pseudonyms) if has_summary else None
    return Update(updated_at, line, number, state, opened_at, CHANNELS[contact], customer, PRIORITIES[rank], summary)


def _summary(text: str, pseudonyms: Pseudonyms | None) -> str | None:
    """Return a cell as a summary, without addresses and numbers of persons; None when it is empty."""
    text = text if pseudonyms is None else pseudonyms.masked(text, free=True)
    return None if text in MISSING else text[:MAX_SUMMARY]


def _time(column: str, text: str, clock: Clock) -> datetime:
    try:
        return clock(text)
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from None


def _told(updates: list[Update]) -> Iterator[tuple[Update, list[e.Event]]]:
    """Yield each row of an incident with the events it adds; the first row opens it."""
    opening, progressed = updates[0], Progressed()
    yield opening, [_report(opening), *progressed.events(opening)]
    for update in updates[1:]:
        yield update, list(progressed.events(update))


def _report(update: Update) -> e.IncidentReported:
    return e.IncidentReported(
        customer=update.customer,
        service="support",
        channel=update.channel,
        summary=update.summary,
        source="servicenow",
    )


def _fact(received_at: datetime, update: Update, event: e.Event, ids: CommandIds) -> Fact:
    opens = isinstance(event, e.IncidentReported)
    time = received_at if opens else max(update.updated_at, received_at)
    prefix = f"servicenow/{update.number}/{stamp(time)}"
    told = event.model_copy(update={"summary": None}) if opens else event  # an id tells nothing that is to be sealed
    return Fact(f"incident:{update.number}", time, event, None, ids.next(prefix, told), update.line)
