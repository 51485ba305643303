"""The rows of a year that new entries reached, judged again: from the streams that they rest on, by the plain rules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from ledger.clock import EPOCH
from ledger.store.mapper import of_streams
from ledger.store.reading import Reader, Stored
from projections.availability import Availability, availability
from projections.downtime import Downtime
from projections.history import History
from projections.judgement import Judgement
from projections.views.reach import reaches
from projections.views.uptime import Year, year_in_seconds


def rejudged(reader: Reader, kept: Year) -> tuple[Downtime, list[Availability]]:
    """Return the findings on the rows that were forgotten, in their order, and the downtime that they were made of."""
    history = History(sorted(of_streams(_rows(reader, kept)), key=lambda x: x.position), kept.position)
    judgement = Judgement(history, EPOCH + timedelta(seconds=kept.as_of))
    downtime, found = Downtime(judgement), []
    for row in kept.forgotten:
        zone = judgement.zone_of(row.customer, judgement.rules_at(judgement.as_of))
        begin, end = (judgement.instant_of(date(year, 1, 1), zone) for year in (kept.year, kept.year + 1))
        found.append(availability(downtime, row.customer, row.service, begin, end))
    return downtime, found


def _rows(reader: Reader, kept: Year) -> Iterator[Stored]:
    """Yield the entries that the forgotten rows rest on, stream by stream; agreements and terms come whole."""
    period, services = year_in_seconds(kept.year), {row.service for row in kept.forgotten}
    windows = set[str]()
    for kind in ("outage", "monitoring"):
        for found, rows in reaches(reader, f"{kind}:", f"{kind};", kept.position):
            if found.meets(*period) and any(found.hits(row.customer, row.service) for row in kept.forgotten):
                windows |= found.windows
                yield from rows
    for found, rows in reaches(reader, "maintenance:", "maintenance;", kept.position):
        if found.stream in windows or services & found.services:
            yield from rows
    for kind in ("agreement", "terms"):
        yield from reader.rows_by_stream(f"{kind}:", f"{kind};", kept.position)
