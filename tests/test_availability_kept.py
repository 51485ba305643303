"""Availability that is kept says, after any new entries, what the plain rules find from all entries."""

from __future__ import annotations

import re
import tempfile
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from ledger.entry import Entry
from ledger.instants import seconds
from ledger.terms import BUILT_IN, built_in_document
from projections import availability
from projections.downtime import Downtime
from projections.history import History
from projections.judgement import Judgement
from projections.spans import Span
from projections.views import opening, uptime
from projections.views.rejudging import rejudged
from projections.views.tables import NotKept
from tests.oracle.histories import as_ofs, uptime_histories
from tests.support import entries
from tests.test_views import InMemory, views

READINGS = {
    "overlap": ["outage_wins", "maintenance_wins", "maintenance_wins"],
    "short_notice": ["counted", "excluded"],
    "unplanned": ["declared_first", "excluded", "counted"],
    "before_agreement": ["available", "left_out"],
    "uncovered_monitoring": ["available", "unavailable"],
    "evidence": ["two_sources", "any_source", "all_sources", "client_report"],
    "degraded": ["available", "unavailable"],
}
YEARS = [2025, 2026, 2027]
SERVICES = ["licence", "cloud-connect", "support"]


def line(subject: str, kind: str, time: str, **data: Any) -> dict[str, Any]:
    found = {"specversion": "1.0", "type": kind, "subject": subject, "time": time, "data": data}
    return found | {"recordedtime": "2024-12-31T00:00:00Z"}


def signed(services: list[str]) -> dict[str, Any]:
    """An agreement of a customer that nothing else is said of."""
    agreed = [{"service": s, "monthly_fee": {"amount": "1000.00", "currency": "NOK"}} for s in services]
    at = "2024-12-01T00:00:00Z"
    return line("agreement:cirrus", "AgreementSigned", at, customer="cirrus", desk="new_york", services=agreed)


def posted(readings: dict[str, str]) -> dict[str, Any]:
    """The built-in terms with other readings."""
    text = built_in_document()
    for name, reading in readings.items():
        text, count = re.subn(rf'^{name} = "\w+"', f'{name} = "{reading}"', text, flags=re.MULTILINE)
        assert count == 1
    data = {"document": text, "sha256": sha256(text.encode()).hexdigest()}
    return line(f"terms:{BUILT_IN}", "TermsPosted", "2020-09-22T22:00:00Z", **data)


def plain(found: list[Entry], year: int, at: datetime) -> tuple[Downtime, list[availability.Availability]]:
    """A year's findings by the plain rules, from all entries."""
    judgement = Judgement(History(found), at)
    begin, end = date(year, 1, 1), date(year + 1, 1, 1)

    def period(customer: str) -> Span:
        zone = judgement.zone_of(customer, judgement.rules_at(judgement.as_of))
        return judgement.instant_of(begin, zone), judgement.instant_of(end, zone)

    downtime = Downtime(judgement)
    return downtime, availability.findings(downtime, period)


def asked(path: Path, found: list[Entry], year: int, at: datetime) -> list[dict[str, Any]]:
    """A year as a person is told it: from the views, the rest judged again, and kept for the next question."""
    reader = InMemory(found)
    with views(path, found) as connection:
        rows = uptime.kept(connection, year, None, None, seconds(at))
    kept = uptime.Year(year, seconds(at), len(found), rows or [])
    try:
        if rows is None:
            raise NotKept
        if kept.findings is not None:
            event("all of it kept")
            return kept.findings
        downtime, anew = rejudged(reader, kept)
    except NotKept:
        event("all of it judged by the plain rules")
        downtime, anew = plain(found, year, at)
        opening.add(path, reader, len(found), lambda views: uptime.keep(views, year, downtime, anew))
        return [f.as_json() for f in anew]
    event("a part judged again" if len(kept.forgotten) < len(rows) else "all rows judged again")
    opening.add(path, reader, len(found), lambda views: uptime.keep(views, year, downtime, anew, kept.forgotten))
    by_place = {row.place: f.as_json() for row, f in zip(kept.forgotten, anew, strict=True)}
    return [row.finding or by_place[row.place] for row in rows]


@given(st.data())
def test_asked_after_any_new_entries_it_is_what_the_plain_rules_find(data: st.DataObject) -> None:
    """Several years, asked at any later instants between entries, corrections and late evidence among them."""
    readings = data.draw(st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in READINGS.items()}))
    agreed = data.draw(st.sampled_from([SERVICES, SERVICES, SERVICES[:2], SERVICES[:1]]))
    lines = [posted(readings), signed(agreed), *data.draw(uptime_histories())]
    found, years = entries(lines), data.draw(st.lists(st.sampled_from(YEARS), min_size=1, max_size=2, unique=True))
    cuts = data.draw(st.sets(st.integers(2, len(found)), min_size=2, max_size=8)) | {len(found)}
    named = as_ofs(lines)
    with tempfile.TemporaryDirectory() as folder:
        for cut in sorted(cuts):
            known = found[:cut]
            latest = max([x.time for x in known] + [c for x in known if (c := getattr(x.event, "time", None))])
            at = max(data.draw(named), latest + timedelta(seconds=1))
            for year in years:
                expected = [f.as_json() for f in plain(known, year, at)[1]]
                assert asked(Path(folder, "v"), known, year, at) == expected
                assert asked(Path(folder, "v"), known, year, at) == expected
