"""Downtime that granted claims have used up: a second that earned a credit can earn no other. R27"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ledger import events as e
from ledger.entry import Entry
from ledger.errors import LedgerError
from ledger.streams.acceptance import kind_of
from projections.availability import availability
from projections.claims import claim, evolve, judgement_of, period
from projections.downtime import ANYBODY, Downtime
from projections.history import History, folded
from projections.judgement import Judgement
from projections.spans import Span, clip, minus, union


@dataclass(frozen=True, slots=True)
class Used:
    """The downtime that a granted claim has used up, and the position of the decision that says so."""

    claim: str
    position: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """A decision in force that grants a claim, and the position of the entry that records it."""

    position: int
    claim: str
    decision: dict[str, Any]


class Granted:
    """The claims that were granted, by customer and service."""

    def __init__(self, judgement: Judgement) -> None:
        self._judgement = judgement
        self._grants: dict[tuple[str, str], list[Grant]] = {}
        for stream, entries in judgement.history.all(judgement.as_of, "claim"):
            state = folded(evolve, entries)
            decision, request = state.recorded(), state.request
            if state.decision and decision and decision.get("verdict") == "granted":
                grant = Grant(state.decision.position, stream, decision)
                self._grants.setdefault((request.customer, request.service), []).append(grant)

    def used_by_others(self, stream: str, request: e.CreditRequested, within: Span) -> list[Used]:
        """Return what other claims of the customer and service have used up of the downtime in a span.

        Each decision in force is made again on its own basis, in order of recording; a second belongs to the first.
        """
        used: list[Span] = []
        others: list[Used] = []
        grants = self._grants.get((request.customer, request.service), [])
        for grant in sorted(grants, key=lambda g: g.position):
            try:
                own = minus(self._counted_then(grant, within), used)
            except LedgerError:
                if grant.claim != stream:
                    raise
                continue  # its own decision cannot be made again: it has used nothing that could be named
            used = union([*used, *own])
            if grant.claim != stream:
                others.append(Used(grant.claim, grant.position, tuple(own)))
        return others

    def _counted_then(self, grant: Grant, within: Span) -> list[Span]:
        """Return the downtime in a span that counted for a claim on the basis of its recorded decision."""
        alone = self._judgement.history.of_streams([grant.claim])
        asked = claim(judgement_of(alone, grant.decision, grant.position), grant.claim).request
        then = judgement_of(self._about(asked, grant.claim), grant.decision, grant.position)
        asked_for = period(then, asked)
        if not clip([asked_for], *within):
            return []
        return clip(availability(Downtime(then), asked.customer, asked.service, *asked_for).counted, *within)

    def _about(self, asked: e.CreditRequested, claim: str) -> History:
        """Return what is known of the streams that can have a say in a claim."""
        keys = ((), (asked.customer,), (asked.service, ANYBODY), (asked.service, asked.customer))
        streams = [s for key in keys for s in self._concerned.get(key, ())]
        return self._judgement.history.of_streams([claim, *streams])

    @cached_property
    def _concerned(self) -> dict[tuple[str, ...], list[str]]:
        """The streams that concern everybody, a customer, a service, or a service of a customer, by these names."""
        found: dict[tuple[str, ...], list[str]] = {}
        history = self._judgement.history
        for stream in history.streams("agreement", "outage", "maintenance", "monitoring", "terms"):
            for key in _concerned_by(stream, history.recorded(stream)):
                found.setdefault(key, []).append(stream)
        return found


def _concerned_by(stream: str, entries: Iterable[Entry]) -> set[tuple[str, ...]]:
    """Return whom a stream concerns, whatever of it was known when; one that was corrected concerns everybody."""
    kind, said = kind_of(stream), [x.event for x in entries]
    if kind in ("maintenance", "terms") or any(isinstance(x, e.EntryCorrected) for x in said):
        return {()}
    if kind == "monitoring":
        return {(stream.partition(":")[2], ANYBODY)}
    found: set[tuple[str, ...]] = {(x.customer,) for x in said if isinstance(x, e.AgreementSigned)}
    for x in said:
        if isinstance(x, e.OutageReported):
            hit = (ANYBODY,) if x.customers == "all" else x.customers
            found |= {(service, customer) for service in x.services for customer in hit}
    return found
