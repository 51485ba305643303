"""The rows of a year that new entries reached, judged again by the rules: from the streams that they rest on alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from ledger.clock import EPOCH
from ledger.store.reading import Reader, Stored
from projections.availability import Availability
from projections.downtime import Downtime
from projections.views.basis import Basis, decode
from projections.views.reach import reaches
from projections.views.said import Heard, heard
from projections.views.tables import NotKept
from projections.views.uptime import Year, year_in_seconds

if TYPE_CHECKING:
    from projections.judgement import Judgement


class _Judging:
    """What downtime asks of a judgement: entries, and an instant."""

    def __init__(self, history: Heard, as_of: datetime) -> None:
        self.history, self.as_of = history, as_of


def rejudged(reader: Reader, kept: Year) -> tuple[Downtime, list[Availability]]:
    """Return the findings on the rows that were forgotten, in their order, and the downtime that they were made of.

    Raises NotKept when more than the rows' own streams have a say in them.
    """
    as_of = EPOCH + timedelta(seconds=kept.as_of)
    found = [(row, decode(row.basis)) for row in kept.forgotten]
    if any(basis is None or not basis.since <= kept.as_of < basis.until for _, basis in found):
        raise NotKept
    history = heard(_rows(reader, kept), as_of)
    downtime = Downtime(cast("Judgement", _Judging(history, as_of)))
    return downtime, [cast("Basis", basis).judged(downtime, row.customer, row.service) for row, basis in found]


def _rows(reader: Reader, kept: Year) -> Iterator[Stored]:
    """Yield the entries of outages, windows and gaps that the forgotten rows rest on, stream by stream."""
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
