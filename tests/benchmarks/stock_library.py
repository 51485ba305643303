"""A compliance projection as the stock library `eventsourcing` means it: plain events, its recorders, its runner."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import Notification, Subscription, Tracking
from eventsourcing.projection import Projection
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteTrackingRecorder
from eventsourcing.utils import get_topic

from projections.business_time import Calendar, Desk

WEEK = {day: [("08:00", "16:00")] for day in ("mon", "tue", "wed", "thu", "fri")}
TARGETS = {"high": timedelta(hours=8), "medium": timedelta(hours=48)}  # the plain ones of the built-in terms


@dataclass(frozen=True)
class Happened:
    """Something that happened to a case, as the stock library keeps it."""

    originator_id: str
    originator_version: int
    time: datetime


@dataclass(frozen=True)
class Reported(Happened):
    """A case was received."""

    customer: str
    channel: str


@dataclass(frozen=True)
class PriorityAssigned(Happened):
    """A case got its priority."""

    priority: str


@dataclass(frozen=True)
class ResponseGiven(Happened):
    """A case was answered."""

    responder: str


@dataclass(frozen=True)
class Closed(Happened):
    """A case was resolved, fulfilled or cancelled."""


class Polling(Subscription["PollingRecorder"]):
    """A subscription that asks for what is new, since SQLite tells nobody."""

    _found: list[Notification] = []

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            if not self._found:
                after = self._last_notification_id
                found = self._recorder.select_notifications(after, 500, topics=self._topics, inclusive_of_start=False)
                self._found = list(reversed(found))
            if self._found:
                self._last_notification_id = self._found[-1].id
                return self._found.pop()
            time.sleep(0.005)
        raise StopIteration


class PollingRecorder(SQLiteApplicationRecorder):
    """The stock recorder with a subscription."""

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[Any]:
        """Return a subscription to what comes after a position."""
        return Polling(self, gt, topics)


class Stock(Application[str]):
    """The stock application."""


class View(SQLiteTrackingRecorder):
    """One row a case: receipt, priority, answer, verdict."""

    def construct_create_table_statements(self) -> list[str]:
        """Return the statements that make the tables."""
        cases = "CREATE TABLE IF NOT EXISTS cases (id TEXT PRIMARY KEY, customer TEXT, channel TEXT, received TEXT,"
        cases += " priority TEXT DEFAULT 'high', answered TEXT, closed TEXT, verdict TEXT DEFAULT 'open')"
        return [*super().construct_create_table_statements(), cases]

    def take(self, tracking: Tracking, statement: str = "", values: tuple[object, ...] = ()) -> None:
        """Note the position and change a case in one transaction."""
        with self.datastore.transaction(commit=True) as c:
            self._insert_tracking(c, tracking)
            if statement:
                c.execute(statement, values)

    def case(self, case: str) -> tuple[str, str, str | None]:
        """Return receipt, priority and answer of a case."""
        with self.datastore.transaction(commit=False) as c:
            c.execute("SELECT received, priority, answered FROM cases WHERE id = ?", (case,))
            found = c.fetchone()
            return found["received"], found["priority"], found["answered"]


class Compliance(Projection[View]):
    """Response times of cases without pauses: met or breached at the first answer of a person."""

    name = "compliance"
    last = 0
    reached = threading.Event()

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._calendar = Calendar([Desk("Europe/Oslo", WEEK), Desk("America/New_York", WEEK)])

    @singledispatchmethod
    def process_event(self, _: Any, tracking: Tracking) -> None:
        """Only note the position."""
        self._take(tracking)

    @process_event.register
    def _(self, event: Reported, tracking: Tracking) -> None:
        row = (event.originator_id, event.customer, event.channel, event.time.isoformat())
        self._take(tracking, "INSERT INTO cases (id, customer, channel, received) VALUES (?, ?, ?, ?)", row)

    @process_event.register
    def _(self, event: PriorityAssigned, tracking: Tracking) -> None:
        self._take(tracking, "UPDATE cases SET priority = ? WHERE id = ?", (event.priority, event.originator_id))

    @process_event.register
    def _(self, event: ResponseGiven, tracking: Tracking) -> None:
        received, priority, answered = self.view.case(event.originator_id)
        if event.responder != "human" or answered is not None:
            self._take(tracking)
            return
        verdict = "other"
        if priority in TARGETS:
            due = self._calendar.add(datetime.fromisoformat(received), TARGETS[priority])
            verdict = "met" if event.time <= due else "breached"
        row = (event.time.isoformat(), verdict, event.originator_id)
        self._take(tracking, "UPDATE cases SET answered = ?, verdict = ? WHERE id = ?", row)

    @process_event.register
    def _(self, event: Closed, tracking: Tracking) -> None:
        row = (event.time.isoformat(), event.originator_id)
        self._take(tracking, "UPDATE cases SET closed = ? WHERE id = ?", row)

    def _take(self, tracking: Tracking, statement: str = "", values: tuple[object, ...] = ()) -> None:
        self.view.take(tracking, statement, values)
        if tracking.notification_id == Compliance.last:
            Compliance.reached.set()


def environment(path: Path) -> dict[str, str]:
    """Return the library's configuration for a file of its own; it syncs fully, like ours."""
    return {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(path),
        "ORIGINATOR_ID_TYPE": "text",
        "APPLICATION_RECORDER_TOPIC": get_topic(PollingRecorder),
    }


def happened(stream: str, version: int, name: str, at: datetime, data: dict[str, Any]) -> Happened:
    """Return a row of the made-up history as one of these events."""
    if name in ("IncidentReported", "ServiceRequested"):
        return Reported(stream, version, at, data["customer"], data["channel"])
    if name == "PriorityAssigned":
        return PriorityAssigned(stream, version, at, data["priority"])
    if name == "ResponseGiven":
        return ResponseGiven(stream, version, at, data["responder"])
    if name in ("IncidentResolved", "RequestFulfilled", "IncidentCancelled", "RequestCancelled"):
        return Closed(stream, version, at)
    return Happened(stream, version, at)
