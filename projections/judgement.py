"""What every projection is handed: the history, the instant, the terms, and the calendars made of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any

from ledger import events as e
from ledger.terms import TermsBook, Version
from projections.business_time import (
    DAY,
    AlwaysOpen,
    Calendar,
    Desk,
    begin_of,
    local_instant,
    working_day_after,
    zone_named,
)
from projections.clauses import CLAUSES, DOUBTED, in_order
from projections.entitlements import Agreement, agreements
from projections.history import History

__all__ = ["ALWAYS_OPEN", "CLAUSES", "DOUBTED", "Judgement", "Rules", "in_order"]
ALWAYS_OPEN = AlwaysOpen()
_CALENDARS: dict[tuple[Any, ...], Calendar] = {}


Rules = Version  # the terms that judge one thing, with the readings taken


class Judgement:
    """Entries, terms and an instant: all that a finding depends on."""

    def __init__(
        self,
        history: History,
        as_of: datetime,
        *,
        changes: dict[str, Any] | None = None,
        terms: str | None = None,
    ) -> None:
        self.history, self.as_of = history, as_of
        self.changes, self.chosen = changes or {}, terms

    @cached_property
    def terms_book(self) -> TermsBook:
        """The versions of the terms that are known."""
        posted = [x for _, entries in self.history.all(self.as_of, "terms") for x in entries]
        return TermsBook.of(posted, self.changes, self.chosen)

    @cached_property
    def agreements(self) -> dict[str, Agreement]:
        """The agreements known, by customer."""
        return agreements(self.history, self.as_of)

    def rules_at(self, at: datetime) -> Rules:
        """Return the rules in force at an instant."""
        return self.terms_book.in_force(at)

    def desk_of(self, customer: str, rules: Rules) -> str:
        """Return the desk that serves a customer: that of the agreement last signed, else the default one."""
        agreement = self.agreements.get(customer)
        return agreement.desk if agreement else rules.terms.default_desk

    def zone_of(self, customer: str, rules: Rules) -> tzinfo:
        """Return the civil zone of a customer's desk, in which its dates are read."""
        return self.zone_at(self.desk_of(customer, rules), rules)

    def zone_at(self, desk: str, rules: Rules) -> tzinfo:
        """Return the civil zone of a desk."""
        return zone_named(rules.terms.desks[desk].zone)

    def instant_of(self, on: date, zone: tzinfo) -> datetime:
        """Return the instant at which a local date begins."""
        return begin_of(on, zone)

    def desks_for(self, desk: str, rules: Rules) -> tuple[str, ...]:
        """Return the desks whose hours count for a customer of that desk. R7"""
        reading = rules.readings.business_hours
        if reading == "union":
            return tuple(rules.terms.desks)
        return (desk if reading == "customer_desk" else reading,)

    def calendar(self, desk: str, rules: Rules) -> Calendar:
        """Return the business calendar for a customer of that desk. R7, R8, R9"""
        closed = self._closed if rules.readings.holidays == "published" else {}
        desks = self.desks_for(desk, rules)
        key = (rules.terms.id, id(rules.terms), desks, rules.readings.zones, tuple(closed.get(d) for d in desks))
        if key not in _CALENDARS:
            _CALENDARS[key] = Calendar(_desk(rules, d, closed.get(d, frozenset())) for d in desks)
        return _CALENDARS[key]

    def doubts_about(self, customer: str, service: str, at: datetime) -> list[str]:
        """Return what is doubtful about a case by itself: no agreement, a service out of its scope, no terms yet."""
        found, agreement = [], self.agreements.get(customer)
        if agreement is None or not agreement.is_in_force(at):
            found.append("no_agreement")
        elif agreement.fee_at(service, at) is None:
            found.append("out_of_scope")
        if self.terms_book.is_before_first(at):
            found.append("before_first_terms")
        return sorted(found)

    def desk_positions(self, customer: str, rules: Rules) -> list[int]:
        """Return the entries that the calendar of a customer rests on: its desk, and holidays when they count."""
        agreement = self.agreements.get(customer)
        found = list(agreement.desk_entry.positions) if agreement else []
        return found + (self.holiday_positions if rules.readings.holidays == "published" else [])

    def working_days_after(self, calendar: Calendar, desk: str, rules: Rules, begin: datetime, days: int) -> datetime:
        """Return when so many working days after an instant are over, dates read in the zone of the desk. R11"""
        zone, reading = zone_named(rules.terms.desks[desk].zone), rules.readings.day_targets
        if reading == "business_hours":
            ordinary = DAY if calendar is ALWAYS_OPEN else self.ordinary_day(desk, rules)
            return calendar.add(begin, days * ordinary)
        local = begin.astimezone(zone).replace(tzinfo=None)
        on, last = working_day_after(calendar, local.date(), days, zone)
        return local_instant(datetime.combine(on, local.time()), zone) if reading == "same_time" else last[1]

    def ordinary_day(self, desk: str, rules: Rules) -> timedelta:
        """Return the business time of an ordinary working day: that of a Wednesday in January without holidays."""
        calendar = Calendar(_desk(rules, d, frozenset()) for d in self.desks_for(desk, rules))
        day = datetime(2021, 1, 13, tzinfo=UTC)
        return calendar.between(day, day + timedelta(days=1))

    @cached_property
    def _closed(self) -> dict[str, frozenset[date]]:
        """Return the dates each desk is closed on: those recorded before the day began in the desk's zone. R9"""
        found: dict[str, set[date]] = {}
        terms = self.terms_book.versions[-1].terms
        for _, entries in self.history.all(self.as_of, "calendar"):
            for entry in entries:
                assert isinstance(entry.event, e.HolidaysPublished)
                if entry.event.desk in terms.desks:
                    zone = zone_named(terms.desks[entry.event.desk].zone)
                    known = {d for d in entry.event.dates if entry.recorded_at < self.instant_of(d, zone)}
                    found.setdefault(entry.event.desk, set()).update(known)
        return {desk: frozenset(dates) for desk, dates in found.items()}

    @cached_property
    def holiday_positions(self) -> list[int]:
        """The positions of all published holidays."""
        return [p for _, entries in self.history.all(self.as_of, "calendar") for x in entries for p in x.positions]


def _desk(rules: Rules, name: str, closed: frozenset[date]) -> Desk:
    desk = rules.terms.desks[name]
    zone = desk.zone if rules.readings.zones == "civil" else f"UTC{desk.fixed_utc_offset_hours:+d}"
    return Desk(zone, {k: [(a, b) for a, b in v] for k, v in desk.hours.items()}, closed)
