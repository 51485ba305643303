"""Which streams have a say in a claim: with them alone it comes out, and came out, as with the whole ledger.

A stream counts by everything that was ever said in it, corrected or withdrawn since or not: what was known at an
earlier entry has to come out too. It counts whole, so that its corrections and versions are all there.
§availability-credit; R27.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ledger import events as e
from ledger.entry import Entry, corrected_event
from ledger.errors import NotFound
from ledger.streams.acceptance import kind_of
from projections.history import History

DECISIONS = (e.CreditGranted, e.CreditRefused, e.CreditRevised)
CASES = ("incident", "request")
Pair = tuple[str, str]  # a customer, and a service


@dataclass(frozen=True, slots=True)
class Concern:
    """What a claim depends on: for whom and what it asks, its streams, and those that are another customer's."""

    pairs: frozenset[Pair]
    streams: tuple[str, ...]
    foreign: tuple[str, ...]


def concern(history: History, claim: str) -> Concern:
    """Return what a claim depends on; NotFound for an unknown one.

    history: all entries, or those of every kind that has a say in claims and of the streams that the claim names. Other
    claims on the same service count when they were decided, for what they have used up. `foreign` are streams that the
    request names although they are not the customer's: only whether they are known is asked of them.
    """
    pairs = frozenset(_pairs(history, claim))
    named = [s for s in _named(history, claim) if history.recorded(s)]
    found = {s for s in history.streams() if s == claim or _has_a_say(history, s, pairs)}
    windows = {
        x.maintenance
        for s in found
        for x in said(history.recorded(s))
        if isinstance(x, e.OutageAttributed) and x.maintenance
    }
    found |= windows.intersection(history.streams())
    customers = {customer for customer, _ in pairs}
    cases = {s for s in named if kind_of(s) in CASES and _customers(history, s) <= customers}
    found |= cases
    if cases:
        found.update(history.streams("calendar"))  # what a case amounts to rests on the holidays too
    foreign = tuple(s for s in named if s not in found)
    return Concern(pairs, tuple(s for s in history.streams() if s in found), foreign)


def said(entries: list[Entry]) -> Iterator[e.Event]:
    """Yield what was ever said in a stream, each correction as the event that it puts in the place of another.

    entries: all of the stream's, in order of version.
    """
    for entry in entries:
        if not isinstance(entry.event, e.EntryCorrected):
            yield entry.event
        elif 1 <= entry.event.version <= len(entries):
            where = f"{entry.stream}, entry {entry.position}"
            yield corrected_event(entry.event, entries[entry.event.version - 1], where)


def _pairs(history: History, claim: str) -> set[Pair]:
    """Return the customers and services of a claim, and of the decided claims that ever shared one with it."""
    asked = {
        stream: {(x.customer, x.service) for x in said(history.recorded(stream)) if isinstance(x, e.CreditRequested)}
        for stream in history.streams("claim")
        if stream == claim or _is_decided(history, stream)
    }
    found = asked.get(claim, set())
    if not found:
        raise NotFound(claim, "no such claim is known", "see all claims: sla-ledger log --type CreditRequested")
    before: set[Pair] = set()
    while found != before:
        before = found
        found = before.union(*(pairs for pairs in asked.values() if pairs & before))
    return found


def _named(history: History, claim: str) -> list[str]:
    """Return the streams that a claim ever named as those that told us."""
    requests = [x for x in said(history.recorded(claim)) if isinstance(x, e.CreditRequested)]
    return list(dict.fromkeys(s for x in requests for s in x.notified or ()))


def _has_a_say(history: History, stream: str, pairs: frozenset[Pair]) -> bool:
    kind, entries = kind_of(stream), history.recorded(stream)
    services = {service for _, service in pairs}
    match kind:
        case "terms":
            return True
        case "monitoring":
            return stream.partition(":")[2] in services
        case "agreement":
            return bool(_customers(history, stream) & {customer for customer, _ in pairs})
        case "maintenance":
            return any(isinstance(x, e.MaintenanceScheduled) and services & {*x.services} for x in said(entries))
        case "outage":
            return any(isinstance(x, e.OutageReported) and _hits(x, pairs) for x in said(entries))
        case "claim":
            asked = {(x.customer, x.service) for x in said(entries) if isinstance(x, e.CreditRequested)}
            return _is_decided(history, stream) and bool(asked & pairs)
    return False


def _hits(outage: e.OutageReported, pairs: frozenset[Pair]) -> bool:
    return any(s in outage.services and (outage.customers == "all" or c in outage.customers) for c, s in pairs)


def _is_decided(history: History, claim: str) -> bool:
    return any(isinstance(x.event, DECISIONS) for x in history.recorded(claim))


def _customers(history: History, stream: str) -> set[str]:
    """Return the customers that a case or an agreement ever named."""
    opening = (e.IncidentReported, e.ServiceRequested, e.AgreementSigned)
    return {x.customer for x in said(history.recorded(stream)) if isinstance(x, opening)}
