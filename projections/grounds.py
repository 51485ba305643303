"""What cases are judged by, in whole seconds since 1970: rules, desks' clocks, customers' entitlements.

The same rules as `judgement`, laid out for judging many cases quickly and for keeping beside the views: nothing here
needs the event or terms models. `grounding` makes them; instants are seconds, spans are half-open.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any, Literal

import msgspec

Priority = Literal["high", "medium", "low"]
CONTEXT = ("terms", "agreement", "calendar")  # the kinds of streams that every other finding depends on
GENERIC = ""  # the timeline of a service that a customer's agreement never named


class Beyond(Exception):
    """An instant lies outside the years that a clock covers: the calendar itself has to answer."""


class Clock(msgspec.Struct):
    """Business time of one calendar, dates read in one zone. §business-hours

    `sums[i]` is the business time up to `ends[i]`; `starts` and `closes` hold, of every working day, its local midnight
    and the end of the last span that begins on it.
    """

    always: bool
    first: int
    last: int
    begins: list[int]
    ends: list[int]
    sums: list[int]
    starts: list[int]
    closes: list[int]

    def passed(self, at: int) -> int:
        """Return the business time before an instant, counted from the first that is covered."""
        if not self.first <= at < self.last:
            raise Beyond
        if self.always:
            return at
        i = bisect_right(self.begins, at)
        return 0 if i == 0 else self.sums[i - 1] - max(0, self.ends[i - 1] - at)

    def passed_at(self, at: int) -> tuple[int, bool]:
        """Return the business time before an instant, and whether it lies in business hours."""
        if not self.first <= at < self.last:
            raise Beyond
        if self.always:
            return at, True
        i = bisect_right(self.begins, at) - 1
        if i < 0:
            return 0, False
        left = self.ends[i] - at
        return (self.sums[i] - left, True) if left > 0 else (self.sums[i], False)

    def reached(self, passed: int) -> int:
        """Return the first instant at which so much business time has passed."""
        if self.always:
            return passed
        i = bisect_left(self.sums, passed)
        if i == len(self.sums):
            raise Beyond
        return self.ends[i] - (self.sums[i] - passed)

    def spans(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Return the spans of business time in `[begin, end)`."""
        if not self.first <= begin <= end < self.last:
            raise Beyond
        if self.always or begin == end:
            return [(begin, end)] if begin < end else []
        first, until = bisect_right(self.ends, begin), bisect_left(self.begins, end)
        return [(max(self.begins[i], begin), min(self.ends[i], end)) for i in range(first, until)]

    def close_of(self, received: int, days: int) -> int:
        """Return the close of the n-th working day after the date of receipt."""
        i = bisect_right(self.starts, received) + days - 1
        if i >= len(self.closes):
            raise Beyond
        return self.closes[i]

    def agrees_with(self, other: Clock) -> bool:
        """Whether two clocks have the same business time while both cover it."""
        begin, end = max(self.first, other.first), min(self.last, other.last) - 1
        return self.always == other.always and (begin >= end or self.spans(begin, end) == other.spans(begin, end))


class Rules(msgspec.Struct):
    """One version of the terms with its readings, as far as cases need it."""

    id: str
    since: int
    positions: list[int]
    hours: dict[str, int]  # of a priority, in seconds
    days: dict[str, int]
    unassigned: Priority
    remote: Priority
    default_desk: str
    any_responder: bool
    best_effort: list[str]
    all_channels: bool
    by_priority: bool
    plain: bool  # a reading is taken that only the plain rules know
    at_risk: tuple[int, int]
    holidays: list[int]  # positions, when published holidays count
    clocks: dict[str, int]  # by desk
    always: dict[str, int]
    zones: dict[str, str]  # by desk
    readings: dict[str, Any]


class Timeline(msgspec.Struct):
    """What holds for one customer and service: item i from `at[i - 1]` on, item 0 before all."""

    at: list[int]
    deals: list[list[int] | None]  # positions of the 24x7 deal's entry
    doubts: list[list[str]]

    def index(self, at: int) -> int:
        """Return the item that holds at an instant."""
        return bisect_right(self.at, at)


class Customer(msgspec.Struct):
    """One customer: its desk, the entries that say so, and its services' timelines."""

    desk: str | None
    positions: list[int]
    services: dict[str, Timeline]

    def timeline(self, service: str) -> Timeline:
        """Return the timeline of a service, named in the agreement or not."""
        return self.services.get(service) or self.services[GENERIC]


class Grounds(msgspec.Struct):
    """All that the verdict on a case depends on beside its own entries. `last_time` is that of the latest such fact."""

    rules: list[Rules]
    customers: dict[str, Customer]
    stranger: Customer  # a customer without any agreement
    clocks: list[Clock]  # kept apart: an answer needs few of them
    months: dict[str, tuple[list[int], list[str]]]  # by desk: when each month begins, and its name
    zones: dict[str, str]  # by desk, of the last terms: in which dates are read
    last_time: int
    by_priority: bool  # R14 in the terms in force last
    is_movable: bool  # R26 period_end is taken: verdicts depend on the period that is asked for

    def rules_at(self, at: int) -> Rules:
        """Return the rules in force at an instant, before all of them the first."""
        found = self.rules[0]
        for rules in self.rules[1:]:
            if rules.since <= at:
                found = rules
        return found

    def agrees_with(self, other: Grounds) -> bool:
        """Whether grounds are the same in the years that both lay out, which depend on the day it was done."""
        one, another = (msgspec.structs.replace(g, clocks=[], months={}) for g in (self, other))
        clocks = len(self.clocks) == len(other.clocks) and all(map(Clock.agrees_with, self.clocks, other.clocks))
        return one == another and clocks

    def customer(self, name: str) -> Customer:
        """Return a customer, known by an agreement or not."""
        return self.customers.get(name, self.stranger)

    def month(self, desk: str, at: int) -> str:
        """Return the month of an instant in the zone of a desk, like 2026-03."""
        begins, names = self.months[desk]
        i = bisect_right(begins, at) - 1
        if i < 0 or i + 1 == len(names):
            raise Beyond
        return names[i]


class Unsettled(msgspec.Struct, array_like=True):
    """What an unanswered case's verdict at any later instant follows from.

    verdict: paused, best_effort, or open: overdue after `due`. clock: index of its clock. paused: business time of the
    pauses that ended, in seconds. waiting: when the pause began that is open now. due: None while the case is paused or
    measured apart.
    """

    verdict: str
    clock: int
    paused: int
    waiting: int | None = None
    due: int | None = None
