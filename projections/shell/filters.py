"""Which cases a report shows, as the options say it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import cache

import typer

from ledger.instants import seconds
from projections.shell.options import bound, option_bound
from projections.views.answers import Answers, Wanted


@dataclass(frozen=True, slots=True)
class Filters:
    """Which cases to show; what is not given does not matter."""

    customer: str | None = None
    service: str | None = None
    priority: str | None = None
    channel: str | None = None
    kind: str | None = None
    begin: date | datetime | None = None
    end: date | datetime | None = None

    def wanted(self, views: Answers, verdict: str | None = None) -> Wanted:
        """Return the same filters as the views take them; dates are read in the zone of the customer's desk."""
        if self.begin is None and self.end is None:
            return Wanted(self.customer, self.service, self.priority, self.channel, self.kind, verdict)

        from projections.business_time import zone_named

        grounds = views.grounds

        @cache
        def at(desk: str) -> tuple[int | None, int | None]:
            zone = zone_named(grounds.zones[desk])
            begin, end = (None if b is None else seconds(bound(b, zone)) for b in (self.begin, self.end))
            return begin, end

        def period(customer: str) -> tuple[int | None, int | None]:
            return at(grounds.customer(customer).desk or grounds.rules[-1].default_desk)

        return Wanted(self.customer, self.service, self.priority, self.channel, self.kind, verdict, period)


def filters(
    customer: str | None,
    service: str | None,
    priority: str | None = None,
    channel: str | None = None,
    kind: str | None = None,
    begin: str | None = None,
    end: str | None = None,
) -> Filters:
    """Return the filters that options give; a usage error for a value no case can have."""
    one_of("--priority", priority, ("high", "medium", "low"))
    one_of("--channel", channel, ("phone", "email", "chat", "web", "video", "on_site", "monitoring"))
    first, last = option_bound(begin, "--from"), option_bound(end, "--until")
    return Filters(customer, service, priority, channel, kind, first, last)


def one_of(hint: str, value: str | None, allowed: tuple[str, ...]) -> None:
    """Raise a usage error when an option's value is none of those allowed."""
    if value is not None and value not in allowed:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(allowed)}", param_hint=hint)
