"""The grounds of a judgement: its terms, calendars and agreements laid out in whole seconds for judging many cases."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import accumulate, pairwise

from ledger.instants import seconds
from ledger.terms import Version
from projections.business_time import DAY, FIRST_YEAR, LAST_YEAR, local_instant
from projections.entitlements import Agreement
from projections.grounds import CONTEXT, GENERIC, Clock, Customer, Grounds, Rules, Timeline
from projections.judgement import Judgement

ORDINARY = {  # the readings that judging in bulk knows; any other value leaves a case to the plain rules
    "hour_targets": "business",
    "day_targets": "close_of_last_day",
    "reclassification": "from_receipt",
    "off_hours_phone": "next_opening",
    "terms_change": "at_event",
}


def grounds(judgement: Judgement, years: range) -> Grounds:
    """Return what cases are judged by; clocks cover these calendar years, inside the years of the calendar."""
    covered = range(max(years.start, FIRST_YEAR), min(years.stop, LAST_YEAR + 1))
    made = _Clocks(judgement, covered)
    versions = judgement.terms_book.versions
    rules = [made.rules(v) for v in versions]
    agreements = judgement.agreements
    stranger = Customer(None, [], {GENERIC: Timeline([], [None], [["no_agreement"]])})
    customers = {name: _customer(judgement, a) for name, a in agreements.items()}
    times = [seconds(x.time) for _, entries in judgement.history.all(judgement.as_of, *CONTEXT) for x in entries]
    desks = versions[0].terms.desks
    return Grounds(
        rules=rules,
        customers=customers,
        stranger=stranger,
        clocks=made.clocks,
        months={desk: _months(judgement, judgement.zone_at(desk, versions[0]), covered) for desk in desks},
        zones={desk: terms.zone for desk, terms in versions[-1].terms.desks.items()},
        last_time=max(times, default=0),
        by_priority=judgement.rules_at(judgement.as_of).readings.order_within == "priority",
        is_movable=any(v.readings.terms_change == "period_end" for v in versions),
    )


class _Clocks:
    """The clocks that rules name, each made once."""

    def __init__(self, judgement: Judgement, years: range) -> None:
        self.judgement, self.years = judgement, years
        self.clocks: list[Clock] = []
        self._known: dict[tuple[int, str, str] | tuple[str, str], int] = {}
        self._midnights: dict[str, list[int]] = {}

    def rules(self, version: Version) -> Rules:
        """Return the rules of a version of the terms."""
        terms, readings = version.terms, version.readings
        plain = any(getattr(readings, key) != value for key, value in ORDINARY.items())
        published = readings.holidays == "published"
        targets = {str(name): target for name, target in terms.targets.items()}
        return Rules(
            id=terms.id,
            since=seconds(version.effective_at),
            positions=list(version.positions),
            hours={name: t.hours * 3600 for name, t in targets.items() if t.hours is not None},
            days={name: t.working_days for name, t in targets.items() if t.working_days is not None},
            unassigned=terms.priorities.unassigned,
            remote=terms.priorities.remote_assistance,
            default_desk=terms.default_desk,
            any_responder=readings.responder == "any",
            best_effort=list(readings.best_effort),
            all_channels=readings.round_the_clock == "all_channels",
            by_priority=readings.order_within == "priority",
            plain=plain,
            at_risk=(terms.queue.share.numerator, terms.queue.share.denominator),
            holidays=self.judgement.holiday_positions if published else [],
            clocks={desk: self._clock(version, desk) for desk in terms.desks},
            always={
                desk: self._always(terms.desks[desk].zone, self.judgement.zone_at(desk, version))
                for desk in terms.desks
            },
            zones={desk: terms.desks[desk].zone for desk in terms.desks},
            readings=readings.as_json(),
        )

    def _clock(self, version: Version, desk: str) -> int:
        zone, name = self.judgement.zone_at(desk, version), version.terms.desks[desk].zone
        calendar = self.judgement.calendar(desk, version)
        key = (id(calendar), name, desk)
        if key not in self._known:
            first, last = datetime(self.years.start, 1, 1, tzinfo=UTC), datetime(self.years.stop, 1, 1, tzinfo=UTC)
            spans = [(seconds(a), seconds(b)) for a, b in calendar.spans(first, last)]
            self._known[key] = self._add(False, name, zone, spans)
        return self._known[key]

    def _always(self, name: str, zone: tzinfo) -> int:
        if ("always", name) not in self._known:
            self._known["always", name] = self._add(True, name, zone, [])
        return self._known["always", name]

    def _add(self, always: bool, name: str, zone: tzinfo, spans: list[tuple[int, int]]) -> int:
        if name not in self._midnights:
            self._midnights[name] = _midnights(zone, self.years)
        days = self._midnights[name]
        begins, ends = [a for a, _ in spans], [b for _, b in spans]
        sums = list(accumulate(b - a for a, b in spans))
        closes = dict[int, int]()
        for begin, end in spans:  # the last that begins on a day closes it
            if days[0] <= begin < days[-1]:
                closes[days[bisect_right(days, begin) - 1]] = end
        working = list(pairwise(days)) if always else list(closes.items())
        self.clocks.append(
            Clock(
                always,
                days[1],
                days[-2],
                begins,
                ends,
                sums,
                [start for start, _ in working],
                [close for _, close in working],
            )
        )
        return len(self.clocks) - 1


def _midnights(zone: tzinfo, years: range) -> list[int]:
    """Return when each local date of these years begins."""
    on, found = date(years.start, 1, 1), []
    while on.year < years.stop:
        found.append(seconds(local_instant(datetime.combine(on, time()), zone)))
        on += DAY
    return found


def _months(judgement: Judgement, zone: tzinfo, years: range) -> tuple[list[int], list[str]]:
    months = [date(y, m, 1) for y in years for m in range(1, 13)]
    return [seconds(judgement.instant_of(on, zone)) for on in months], [f"{on:%Y-%m}" for on in months]


def _customer(judgement: Judgement, agreement: Agreement) -> Customer:
    """Return a customer's desk and timelines, asked of the plain rules at every instant at which they can change."""
    at = sorted({c.at for c in agreement.changes})
    instants = [at[0] - timedelta(seconds=1), *at]
    services = {}
    named = {str(getattr(c.entry.event, "service", None) or GENERIC) for c in agreement.changes}
    for service in sorted({GENERIC, *named, *agreement.services()}):
        deals = [agreement.deal_at(service, t) for t in instants]
        doubts = [
            [d for d in judgement.doubts_about(agreement.customer, service, t) if d != "before_first_terms"]
            for t in instants
        ]
        services[service] = Timeline(
            [seconds(t) for t in at], [list(d.positions) if d else None for d in deals], doubts
        )
    return Customer(agreement.desk, list(agreement.desk_entry.positions), services)
