"""Which streams have a say in a claim: with them alone it comes out, and came out, as with the whole ledger.

A claim counts by what it has asked for since the entries that its first decision rests on: what an earlier version
asked, before it was corrected, decides nothing. Other streams count by everything that was ever said in them, corrected
or withdrawn since or not: what was known at an earlier entry has to come out too. Each counts whole, so that its
corrections and versions are all there.
§availability-credit; R27.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ledger import events as e
from ledger.entry import Entry, corrected_event
from ledger.errors import NotFound
from ledger.streams.acceptance import effective, kind_of
from projections.history import History

DECISIONS = (e.CreditGranted, e.CreditRefused, e.CreditRevised)
CASES = ("incident", "request")
Pair = tuple[str, str]  # a customer, and a service


@dataclass(frozen=True, slots=True)
class Concern:
    """What a claim depends on: for whom and what it asks, its streams, and those that are another customer's.

    customer: whose claim it is now. foreign: streams that would give something of another customer away, or are none of
    this customer's although the request names them.
    """

    customer: str
    pairs: frozenset[Pair]
    streams: tuple[str, ...]
    foreign: tuple[str, ...]


def concern(history: History, claim: str) -> Concern:
    """Return what a claim depends on; NotFound for an unknown one.

    history: all entries, or those of every kind that has a say in claims and of the streams that the claim names. Other
    claims on the same service count when they were decided, for what they have used up. Of the streams that a request
    names although they are not the customer's, only whether they are known is asked.
    """
    pairs = frozenset(_pairs(history, claim))
    customer, _ = asked(history, claim, history.last_position) or ("", "")
    named = [s for s in _named(history, claim) if history.recorded(s)]
    found = {s for s in history.streams() if s == claim or _has_a_say(history, s, pairs)}
    windows = {
        x.maintenance
        for s in found
        for x in said(history.recorded(s))
        if isinstance(x, e.OutageAttributed) and x.maintenance
    }
    found |= windows.intersection(history.streams())
    cases = {s for s in named if kind_of(s) in CASES and _customers(history, s) <= {customer}}
    found |= cases
    if cases:
        found.update(history.streams("calendar"))  # what a case amounts to rests on the holidays too
    others = {x for s in found if kind_of(s) == "claim" for x in _named(history, s) if kind_of(x) in CASES}
    foreign = {s for s in named if s not in found} | {s for s in others if _customers(history, s) - {customer}}
    foreign |= {s for s in found if _is_anothers(history, s, customer)}
    return Concern(customer, pairs, *(tuple(s for s in history.streams() if s in x) for x in (found, foreign)))


def asked(history: History, claim: str, position: int) -> Pair | None:
    """Return the customer and service of a claim as it read at an entry, None when it was not there yet."""
    return next((pair for at, pair in reversed(_versions(history, claim)) if at <= position), None)


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
    """Return the customers and services of a claim, and of the decided claims that shared one with it."""
    pairs = {s: _asked_since(history, s) for s in history.streams("claim") if s == claim or _is_decided(history, s)}
    found = pairs.get(claim, set())
    if not found:
        raise NotFound(claim, "no such claim is known", "see all claims: sla-ledger log --type CreditRequested")
    before: set[Pair] = set()
    while found != before:
        before = found
        found = before.union(*(x for x in pairs.values() if x & before))
    return found


def _asked_since(history: History, claim: str) -> set[Pair]:
    """Return what a claim has asked for since the entries that the first of its decisions rests on, or now."""
    entries, since = history.recorded(claim), history.last_position
    for x in entries:
        if isinstance(x.event, DECISIONS):
            basis = x.event.decision.get("basis")
            rests_on = basis.get("entries") if isinstance(basis, dict) else None
            since = min(since, x.position, rests_on if type(rests_on) is int else x.position)
    found, then = _versions(history, claim), asked(history, claim, since)
    return {pair for at, pair in found if at > since} | ({then} if then else set())


def _versions(history: History, claim: str) -> list[tuple[int, Pair]]:
    """Return the customer and service of a claim as it read after each of its entries, by their positions."""
    entries, found = history.recorded(claim), list[tuple[int, Pair]]()
    for n, entry in enumerate(entries, 1):
        requests = [x.event for x in effective(entries[:n]) if isinstance(x.event, e.CreditRequested)]
        found += [(entry.position, (x.customer, x.service)) for x in requests]
    return found


def _is_anothers(history: History, stream: str, customer: str) -> bool:
    """Return whether an agreement is another customer's now, or a claim asked for one since it counts."""
    if kind_of(stream) == "claim":
        return any(asked_for != customer for asked_for, _ in _asked_since(history, stream))
    entries = effective(history.recorded(stream)) if kind_of(stream) == "agreement" else ()
    return any(x.event.customer != customer for x in entries if isinstance(x.event, e.AgreementSigned))


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
            return _is_decided(history, stream) and bool(_asked_since(history, stream) & pairs)
    return False


def _hits(outage: e.OutageReported, pairs: frozenset[Pair]) -> bool:
    return any(s in outage.services and (outage.customers == "all" or c in outage.customers) for c, s in pairs)


def _is_decided(history: History, claim: str) -> bool:
    return any(isinstance(x.event, DECISIONS) for x in history.recorded(claim))


def _customers(history: History, stream: str) -> set[str]:
    """Return the customers that a case or an agreement ever named."""
    opening = (e.IncidentReported, e.ServiceRequested, e.AgreementSigned)
    return {x.customer for x in said(history.recorded(stream)) if isinstance(x, opening)}
