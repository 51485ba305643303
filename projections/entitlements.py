"""What customers are entitled to, and when: desk, services, fees, 24x7 deals. §scope, §phone, §availability-credit."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from ledger import events as e
from ledger.entry import Entry
from ledger.values import Money
from projections.figures import rounded
from projections.history import History
from projections.spans import Span, clip, total


@dataclass(frozen=True, slots=True)
class Change:
    """An agreement fact and the instant from which it holds."""

    at: datetime
    entry: Entry


@dataclass(slots=True)
class Agreement:
    """One customer's agreement: its changes in order of taking effect, then time, then position."""

    customer: str
    desk: str
    desk_entry: Entry
    changes: list[Change] = field(default_factory=list)

    def until(self, at: datetime) -> list[Entry]:
        """Return the facts that hold at an instant, in order of taking effect."""
        return [c.entry for c in self.changes if c.at <= at]

    def is_in_force(self, at: datetime) -> bool:
        """Return whether the customer had an agreement at an instant."""
        signed = False
        for entry in self.until(at):
            if isinstance(entry.event, e.AgreementSigned):
                signed = True
            elif isinstance(entry.event, e.AgreementEnded):
                signed = False
        return signed

    def fee_at(self, service: str, at: datetime) -> tuple[Money, Entry] | None:
        """Return the monthly fee of a service at an instant and the entry that sets it; None without the service."""
        fee: tuple[Money, Entry] | None = None
        for entry in self.until(at):
            fee = _fee_after(fee, entry, service)
        return fee

    def fees(self, service: str) -> list[tuple[Span, Money]]:
        """Return the spans in which the agreement covers a service, each with its fee; the last may be open-ended."""
        found: list[tuple[Span, Money]] = []
        fee: tuple[Money, Entry] | None = None
        since = None
        for change in self.changes:
            after = _fee_after(fee, change.entry, service)
            if after is fee:
                continue
            if fee is not None and since is not None and since < change.at:
                found.append(((since, change.at), fee[0]))
            fee, since = after, change.at
        if fee is not None and since is not None:
            found.append(((since, datetime.max.replace(tzinfo=since.tzinfo)), fee[0]))
        return found

    def deal_at(self, service: str, at: datetime) -> Entry | None:
        """Return the entry of the 24x7 deal that covers a service at an instant, None without one. §phone"""
        deals: dict[str | None, Entry] = {}
        signed = False
        for entry in self.until(at):
            match entry.event:
                case e.AgreementSigned():
                    signed = True
                case e.AgreementEnded():
                    signed = False
                    deals.clear()
                case e.RoundTheClockSupportAgreed(service=named):
                    deals[named] = entry
                case e.RoundTheClockSupportEnded(service=named):
                    deals.pop(named, None)
        return (deals.get(service) or deals.get(None)) if signed else None

    def services(self) -> list[str]:
        """Return every service the agreement ever covered, in order of appearance."""
        found: dict[str, None] = {}
        for change in self.changes:
            match change.entry.event:
                case e.AgreementSigned(services=services):
                    found.update((item.service, None) for item in services)
                case e.ServiceAdded(service=service):
                    found[service] = None
        return list(found)


def _fee_after(fee: tuple[Money, Entry] | None, entry: Entry, service: str) -> tuple[Money, Entry] | None:
    match entry.event:
        case e.AgreementSigned(services=services):
            return next(((item.monthly_fee, entry) for item in services if item.service == service), None)
        case e.ServiceAdded(service=named, monthly_fee=agreed) if named == service:
            return agreed, entry
        case e.MonthlyFeeAgreed(service=named, monthly_fee=agreed) if named == service and fee is not None:
            return agreed, entry
        case e.ServiceEnded(service=named) if named == service:
            return None
        case e.AgreementEnded():
            return None
    return fee


def agreements(history: History, as_of: datetime) -> dict[str, Agreement]:
    """Return the agreements known at an instant, by customer."""
    found: dict[str, Agreement] = {}
    for _, entries in history.all(as_of, "agreement"):
        agreement: Agreement | None = None
        for entry in entries:
            if isinstance(entry.event, e.AgreementSigned):
                agreement = found.setdefault(
                    entry.event.customer, Agreement(entry.event.customer, entry.event.desk, entry)
                )
                if agreement.desk_entry.order <= entry.order:
                    agreement.desk, agreement.desk_entry = entry.event.desk, entry
            assert agreement is not None
            assert isinstance(entry.event, e.AgreementEvent)
            agreement.changes.append(Change(entry.event.effective_from or entry.time, entry))
    for agreement in found.values():
        agreement.changes.sort(key=lambda c: (c.at, c.entry.order))
    return found


def average_fee(agreement: Agreement, service: str, period: Span) -> Money | None:
    """Return the fee's mean over the period's seconds under the agreement; None without such a second. R5

    Fees in another currency than the last one are left out.
    """
    found = [(total(clip([span], *period)), fee) for span, fee in agreement.fees(service)]
    found = [(seconds, fee) for seconds, fee in found if seconds]
    if not found:
        return None
    currency = found[-1][1].currency
    same = [(seconds, fee) for seconds, fee in found if fee.currency == currency]
    weighted = sum((Fraction(fee.amount) * seconds for seconds, fee in same), Fraction())
    return rounded(weighted / sum(seconds for seconds, _ in same), currency)
