"""The history of an Upptime monitor: every change of state of a site, as the commits of its repository tell it.

An outage runs from the first `down` row to the next row that is not `down`; what is merely degraded is up.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args

from ledger import events as e
from ledger.entry import Fact, parsed_event
from ledger.errors import BadLine, LedgerError
from ledger.exchange.batch import Batch, read_bytes
from ledger.exchange.table import CommandIds, Progress, Table, is_reference, named, shown
from ledger.instants import instant, stamp
from ledger.privacy.pseudonyms import Pseudonyms
from ledger.text import clean, strict_json

COLUMNS = ("committed_at", "site", "status", "commit")
DOWN = "down"
STATUSES = ("up", DOWN, "degraded")
MAX_SERVICE = 100  # a reference of 120 characters holds the service and the time its outage began
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEEDS_MORE = ("planned_maintenance", "unplanned_maintenance", "not_covered")

GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "o", "&": "and"})


class Change(NamedTuple):
    """One row: a site was found in a state."""

    at: datetime
    line: int
    service: str
    site: str
    status: str
    commit: str


class Outage(NamedTuple):
    """The row that began an outage and the one that ended it, None while it lasts."""

    begin: Change
    end: Change | None


def read(
    path: str,
    *,
    heads: str | None,
    attribute: str | None,
    decided_by: str | None,
    pseudonyms: Pseudonyms | None = None,
    progress: Progress | None = None,
) -> Batch:
    """Return the outages of a monitor's history and the gaps before it, in order of time over all services.

    path: CSV of the changes, also packed. heads: JSON of the sites by slug, for the start of their monitoring; gaps
    stand on no line of the history, so their facts have line 0. attribute, decided_by: the cause of every outage that
    has ended, and who settles it; with them each also gets its time frame. That frame names the evidence as version
    2 of its stream, which holds as long as nobody else recorded there before the outage ended. pseudonyms: what stands
    for addresses and numbers in the names of sites; None keeps them.
    Raises BadLine for a header or heads that cannot be used, LedgerError for a cause that cannot be given like this.
    """
    attribution = _attribution(path, attribute, decided_by)
    table = Table(path, COLUMNS)
    batch, ids = Batch(raw=table.raw), CommandIds()
    services: dict[str, list[Change]] = {}
    for change in table.rows(batch, lambda line, cells: _change(line, cells, pseudonyms), progress):
        services.setdefault(change.service, []).append(change)
    if heads is not None:
        batch.facts += _gaps(heads, services, ids, pseudonyms)
    for changes in services.values():
        batch.facts += _outage_facts(changes, attribution, batch, ids)
    batch.facts.sort(key=lambda fact: (fact.time, fact.line))
    return batch


def _change(line: int, cells: tuple[str, ...], pseudonyms: Pseudonyms | None) -> Change:
    """Return the change that the cells make; ValueError, naming the column, when one of them cannot be used."""
    committed_at, site, status, commit = cells
    try:
        at = instant(committed_at)
    except ValueError as error:
        raise ValueError(f"committed_at: {error}, not {shown(committed_at)}") from None
    service = named("site", site, pseudonyms)
    if len(service) > MAX_SERVICE:
        raise ValueError(f"site: {shown(site)} gives a service of more than {MAX_SERVICE} characters")
    if status not in STATUSES:
        raise ValueError(f"status: {shown(status)} is none of {', '.join(STATUSES)}")
    if commit and not is_reference(commit):
        raise ValueError(f"commit: {shown(commit)} names no commit")
    return Change(at, line, service, site, status, commit)


# Outages


def _outage_facts(
    changes: list[Change],
    attribution: e.OutageAttributed | None,
    batch: Batch,
    ids: CommandIds,
) -> Iterator[Fact]:
    """Yield the facts of one service's outages, and count in the batch the rows that give none."""
    outages = list(_outages(sorted(changes)))
    batch.passed_over += len(changes) - sum(1 if o.end is None else 2 for o in outages)
    begun: Counter[str] = Counter()
    for outage in outages:
        stream = f"outage:{outage.begin.service}/{outage.begin.at:%Y%m%dT%H%M%SZ}"
        begun[stream] += 1
        again = f"-{begun[stream]}" if begun[stream] > 1 else ""  # down, up and down again within one second
        for change, event in _told(outage, attribution):
            prefix = f"upptime/{change.service}/{stamp(change.at)}"
            yield Fact(stream + again, change.at, event, None, ids.next(prefix, event), change.line)


def _outages(changes: list[Change]) -> Iterator[Outage]:
    """Yield the outages among the changes of one service, given in order of time, then line."""
    begin: Change | None = None
    for change in changes:
        if begin is None and change.status == DOWN:
            begin = change
        elif begin is not None and change.status != DOWN:
            yield Outage(begin, change)
            begin = None
    if begin is not None:
        yield Outage(begin, None)


def _told(outage: Outage, attribution: e.OutageAttributed | None) -> Iterator[tuple[Change, e.Event]]:
    """Yield what an outage's rows say, each event with its row: report, evidence, restoration, frame, cause.

    Evidence comes with the end: open evidence, recorded earlier, would go on saying that the service is down. An
    outage that ends in the second it began has no frame, for nothing lies in it.
    """
    begin, end = outage
    yield (
        begin,
        e.OutageReported(
            services=(begin.service,), customers="all", degree="unavailable", noticed_by="event_monitoring"
        ),
    )
    if end is None:
        return
    frame: dict[str, Any] = {"from": begin.at, "until": end.at}
    if begin.at < end.at:
        yield end, e.EvidenceRecorded(source="event_monitoring", reference=begin.commit or None, **frame)
    yield end, e.ServiceRestored()
    if attribution is None:
        return
    if begin.at < end.at:
        decided_by, reason = attribution.decided_by, "as the monitor saw it"
        yield end, e.TimeframeDetermined(evidence=(2,), decided_by=decided_by, reason=reason, **frame)
    yield end, attribution


def _report(service: str) -> e.OutageReported:
    return e.OutageReported(services=(service,), customers="all", degree="unavailable", noticed_by="event_monitoring")


def _attribution(path: str, cause: str | None, decided_by: str | None) -> e.OutageAttributed | None:
    """Return the cause that every outage gets, None without one; LedgerError when it cannot be given to all."""
    if cause is None and decided_by is None:
        return None
    where, able = clean(path), [c for c in get_args(e.Cause) if c not in NEEDS_MORE]
    if cause is None or decided_by is None:
        raise LedgerError(where, "a cause and who decided it belong together", "give both or neither")
    if cause not in able:
        what = f"{shown(cause)} cannot be the cause of every outage"
        raise LedgerError(where, what, f"give one of: {', '.join(able)}; record other causes one by one")
    data = {"cause": cause, "decided_by": decided_by, "reason": "the cause given for the whole imported history"}
    event = parsed_event("OutageAttributed", data, where)
    assert isinstance(event, e.OutageAttributed)
    return event


# The start of monitoring


def _gaps(
    heads: str, services: dict[str, list[Change]], ids: CommandIds, pseudonyms: Pseudonyms | None
) -> Iterator[Fact]:
    """Yield for each site of the heads the time before its monitoring began, for every service it is known as.

    A site that changed its name in punctuation only has one slug and several services. A site without a row is a
    service named by its slug.
    """
    names: dict[str, set[str]] = {}
    for service, changes in services.items():
        for site in {c.site for c in changes}:
            names.setdefault(_letters(site), set()).add(service)
    starts = {
        (s, at) for slug, at in _starts(heads) for s in names.get(_letters(slug)) or {_slug(slug, heads, pseudonyms)}
    }
    for service, at in sorted(starts):
        if at > EPOCH:
            gap: dict[str, Any] = {"from": EPOCH, "until": at}
            event = e.MonitoringGapRecorded(reason="the monitoring of this service had not begun", **gap)
            prefix = f"upptime/{service}/{stamp(at)}"
            yield Fact(f"monitoring:{service}", at, event, None, ids.next(prefix, event))


def _starts(heads: str) -> Iterator[tuple[str, datetime]]:
    """Yield the slug and the start of monitoring of each site."""
    where = clean(heads)
    try:
        found = strict_json(read_bytes(heads).decode())
    except (ValueError, RecursionError) as error:
        raise BadLine(where, f"not strict JSON: {clean(str(error))}", "mend the file and try again") from None
    if not isinstance(found, dict):
        raise BadLine(where, "expected one JSON object of sites by slug", "mend the file and try again")
    for slug, site in found.items():
        try:
            yield slug, instant(site.get("startTime") if isinstance(site, dict) else None)
        except ValueError as error:
            what = f"{clean(slug)[:60]}.startTime: {error}"
            raise BadLine(where, what, "mend the file and try again") from None


def _slug(slug: str, heads: str, pseudonyms: Pseudonyms | None) -> str:
    try:
        return named("slug", slug, pseudonyms)
    except ValueError as error:
        raise BadLine(clean(heads), str(error), "mend the file and try again") from None


def _letters(name: str) -> str:
    """Return a name or slug without what slugs add to names or take away: the same for "MySQL Site", "my-sql-site"."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFC", name).lower().translate(GERMAN))
    return "".join(c for c in plain if c.isalnum())
