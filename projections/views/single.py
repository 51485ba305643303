"""One case told by the views and its entries as they are stored, as it is now. §response-times, §order-of-handling.

Here nothing is judged and no event is made: what does not fit together, or has been corrected, is left to the plain
rules, which name what is damaged.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from ledger.clock import CLOCK_TOLERANCE, EPOCH
from ledger.instants import instant, seconds
from ledger.store.reading import Reader, Stored
from projections.business_time import zone_named
from projections.explain_case import Account, Assigned, Order
from projections.grounds import Beyond, Clock, Customer, Rules
from projections.spans import SECOND, Span, clip, union
from projections.views.answers import Answers
from projections.views.tables import (
    CUSTOMER,
    FIRST_POSITION,
    LAST_POSITION,
    POSITION,
    PRIORITY,
    RECEIVED,
    STEPS,
    NotKept,
    decode,
)

NAMES = (  # of what a case consists of
    *("IncidentReported", "IncidentResolved", "IncidentReopened", "IncidentCancelled"),
    *("ServiceRequested", "RequestFulfilled", "RequestCancelled"),
    *("PriorityAssigned", "ResponseGiven", "TroubleshootingStarted", "AccessRequested", "AccessGranted"),
    *(CORRECTIONS := ("EntryWithdrawn", "EntryCorrected")),
)


class State(msgspec.Struct, forbid_unknown_fields=True):
    """What is stored of an entry beside its position, stream, version and name."""

    time: str
    recordedtime: str
    data: dict[str, Any]
    actor: str | None = None
    commandid: str | None = None


class Said(msgspec.Struct):
    """An entry of a case."""

    position: int
    version: int
    name: str
    at: datetime
    recorded_at: datetime
    state: State


_state = msgspec.json.Decoder(State).decode


class Single:
    """One case: its entries in order of recording, and its row in the views. NotKept where they do not agree."""

    def __init__(self, views: Answers, rows: list[Stored]) -> None:
        found = views.case(rows[0][1]) if rows else None
        if found is None:
            raise NotKept
        self.views, self.stream, self.row = views, rows[0][1], found
        self.entries = [_said(row) for row in rows]
        self._check()

    def _check(self) -> None:
        row, last = self.row, self.entries[-1]
        opening = next((x for x in self.entries if x.position == row[POSITION]), None)
        versions = [x.version for x in self.entries]
        if versions != list(range(1, len(versions) + 1)) or opening is None:
            raise NotKept
        if (self.entries[0].position, last.position) != (row[FIRST_POSITION], row[LAST_POSITION]):
            raise NotKept
        said = opening.state.data
        named = (said.get("customer"), said.get("service"), said.get("channel"))
        if not self.is_corrected and (seconds(opening.at), *named) != (row[RECEIVED], *row[CUSTOMER:PRIORITY]):
            raise NotKept

    @property
    def is_corrected(self) -> bool:
        """Whether an entry was withdrawn or corrected."""
        return any(x.name in CORRECTIONS for x in self.entries)

    def as_rows(self) -> list[dict[str, Any]]:
        """Return the entries as rows, late or not."""
        return [
            {
                "position": x.position,
                "recorded_at": x.state.recordedtime,
                "time": x.state.time,
                "late_by_seconds": (x.recorded_at - x.at) // SECOND if x.recorded_at - x.at > CLOCK_TOLERANCE else None,
                "stream": self.stream,
                "version": x.version,
                "type": x.name,
                "actor": x.state.actor,
                "command_id": x.state.commandid,
                "data": x.state.data,
            }
            for x in self.entries
        ]

    def finding(self) -> dict[str, Any]:
        """Return the verdict in its fixed shape."""
        return self.views.finding(self.row)

    def account(self) -> Account:
        """Return how the verdict came about."""
        if self.is_corrected:
            raise NotKept
        try:
            return self._account(self.finding())
        except (Beyond, KeyError):
            raise NotKept from None

    def _account(self, finding: dict[str, Any]) -> Account:
        grounds, row = self.views.grounds, self.row
        facts = sorted(self.entries, key=lambda x: (x.at, x.position))
        said, received = facts[0].state.data, row[RECEIVED]
        customer, rules = grounds.customer(row[CUSTOMER]), grounds.rules_at(received)
        desk, remote = customer.desk or rules.default_desk, bool(said.get("remote_assistance"))
        deal = _deal(customer, rules, said, received)
        clock = self.views.clock((rules.clocks if deal is None else rules.always)[desk])
        ended, [receipt, _, by] = None, decode(row[STEPS])
        if by:
            ended = next(x for x in facts if x.position == by[0])
        ended_at = ended.at if ended else EPOCH + timedelta(seconds=self.views.as_of)
        assigned = [
            Assigned(x.at, x.state.data["priority"], x.state.data["reason"], [x.position])
            for x in facts
            if x.name == "PriorityAssigned" and x.at <= ended_at
        ]
        due_at = None if finding["due_at"] is None else instant(finding["due_at"])
        if facts[0].position != row[POSITION] or (due_at and not remote and any(x.at > due_at for x in assigned)):
            raise NotKept  # the change of priority may have been without effect
        waits = _waits(facts)
        pauses = clip(union((a.at, b.at if b else ended_at) for a, b in waits), facts[0].at, ended_at)
        target, reading = rules.remote if remote else row[PRIORITY], rules.readings["business_hours"]
        return Account(
            customer=row[CUSTOMER],
            channel=said["channel"],
            is_remote=remote,
            received_at=facts[0].at,
            receipt=receipt,
            desk=desk,
            desks=list(rules.clocks) if reading == "union" else [desk if reading == "customer_desk" else reading],
            zone=zone_named(rules.zones[desk]),
            signed=None if customer.desk is None else sorted(customer.positions),
            deal=deal,
            readings=rules.readings,
            priority=row[PRIORITY],
            target=target,
            hours=rules.hours[target] // 3600 if target in rules.hours else None,
            days=rules.days.get(target),
            assigned=assigned,
            has_waits=bool(waits),
            waits=[x.position for pair in waits for x in pair if x and x.at <= ended_at],
            pauses=[(s, clock.passed(seconds(s[1])) - clock.passed(seconds(s[0]))) for s in pauses],
            spans=lambda begin, end: _spans(clock, begin, end),
            ended=None if ended is None else "answer" if finding["responded_at"] else "cancellation",
            ended_at=ended_at,
            ended_by=by,
            verdict=finding["verdict"],
            due_at=due_at,
            locked_by=None,
            paused_seconds=finding["paused_seconds"],
            business_seconds=finding["business_seconds"],
            late_by_seconds=finding["late_by_seconds"],
            order=self._order(),
        )

    def _order(self) -> Order:
        overtook, by = ([row[0] for row in rows] for rows in self.views.beside(self.stream))
        return Order([*map(self.views.stream_of, overtook)], [*map(self.views.stream_of, by)], sorted({*overtook, *by}))


def read(views: Answers, reader: Reader, names: list[str]) -> Single:
    """Return the first case of these names that is there at all."""
    up_to = views.position
    return Single(views, next((rows for n in names if (rows := [*reader.rows_by_stream(n, f"{n} ", up_to)])), []))


def _said(row: Stored) -> Said:
    try:
        state = _state(row[4])
        if row[3] not in NAMES:
            raise NotKept
        return Said(row[0], row[2], row[3], instant(state.time), instant(state.recordedtime), state)
    except ValueError:  # of msgspec too
        raise NotKept from None


def _deal(customer: Customer, rules: Rules, said: dict[str, Any], received: int) -> list[int] | None:
    timeline = customer.timeline(said["service"])
    covered = rules.all_channels or said["channel"] == "phone"
    return timeline.deals[timeline.index(received)] if covered else None


def _waits(facts: list[Said]) -> list[tuple[Said, Said | None]]:
    waits: list[tuple[Said, Said | None]] = []
    for x in facts:
        if x.name == "AccessRequested":
            waits.append((x, None))
        elif x.name == "AccessGranted":
            what = x.state.data["what"]
            waits = [(a, x if b is None and a.state.data["what"] == what else b) for a, b in waits]
    return waits


def _spans(clock: Clock, begin: datetime, end: datetime) -> list[Span]:
    found = clock.spans(seconds(begin), seconds(end))
    return [(EPOCH + timedelta(seconds=a), EPOCH + timedelta(seconds=b)) for a, b in found]
