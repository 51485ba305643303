"""The agreement's terms as data: every number with its clause, and the versions that were posted."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    model_validator,
)

from ledger.entry import Entry, problem
from ledger.errors import BadTerms, NotFound
from ledger.events import TermsPosted
from ledger.readings import Length, Part, Readings, Share
from ledger.text import clean
from ledger.values import Identifier, Instant
from ledger.zones import ZoneInfo, ZoneInfoNotFoundError

BUILT_IN = "easymeeting-2020-09-23"
MAX_DOCUMENT = 1_000_000  # characters
MAX_DOTS = 100  # in a line: reading a dotted key takes the square of its parts


def _zone(name: str) -> str:
    if "/" not in name and name != "UTC":
        raise ValueError("expected a city's zone like Europe/Oslo; CET and EST mean other things than they seem to")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("there is no such zone") from None
    return name


def _span_of_day(span: list[str]) -> list[str]:
    if len(span) != 2 or not all(re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d|24:00", t) for t in span):
        raise ValueError('expected two times of day like ["08:00", "16:00"]')
    return span


def _share(text: str) -> str:
    if not re.fullmatch(r"\d{1,9}/[1-9]\d{0,8}|\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        raise ValueError('expected a fraction like "1/4" or "0.25"')
    return text


Count = Annotated[int, Field(ge=1, le=10_000)]
DayHours = Annotated[list[str], AfterValidator(_span_of_day)]


class DeskTerms(Part):
    """A support desk: where it is, when it is open, and its offset under the reading zones=fixed."""

    zone: Annotated[str, AfterValidator(_zone)]
    fixed_utc_offset_hours: Annotated[int, Field(ge=-14, le=14)]
    hours: Annotated[
        dict[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], Annotated[list[DayHours], Field(min_length=1)]],
        Field(min_length=1),
    ]
    clause: str
    says: str


class Target(Part):
    """A response target: hours of business time, or working days."""

    hours: Count | None = None
    working_days: Count | None = None
    clause: str
    says: str


class Delivery(Part):
    """A delivery metric: at once, in business days, one full business day, or at the time wished for."""

    at_once: bool = False
    business_days: Count | None = None
    full_business_days: Count | None = None
    notice: Length | None = None
    clause: str
    says: str


class Notice(Part):
    """How long before its window planned work must be scheduled and communicated."""

    scheduled_before: Length
    communicated_before: Length
    clause: str
    says: str


class Availability(Part):
    """The availability target over a number of months."""

    target_percent: Share
    months: Count
    clause: str
    says: str


class Credit(Part):
    """What is credited: a percentage of the monthly fee for every so many percent lost."""

    percent_of_monthly_fee: Share
    for_every_percent_lost: Share
    clause: str
    says: str


class Backup(Part):
    """How often the infrastructure is backed up, and how long a backup is kept."""

    at_least_every: Length
    kept_for: Length
    clause: str
    says: str


class Priorities(Part):
    """What holds before a priority is assigned, and for remote assistance."""

    unassigned: Literal["high", "medium", "low"]
    remote_assistance: Literal["high", "medium", "low"]
    clause: str
    says: str


class Queue(Part):
    """When an open case is at risk: this share or less of its business time is left. Ours, not the agreement's."""

    at_risk_share: Annotated[str, AfterValidator(_share)]
    says: str

    @property
    def share(self) -> Fraction:
        """The share as an exact fraction."""
        return Fraction(self.at_risk_share)


class Clause(Part):
    """One clause: its id, what it says in our words, and where it is judged."""

    id: Annotated[str, Field(pattern="^§[a-z0-9-]+$")]
    says: str
    judged_by: str


class Terms(Part):
    """One version of the agreement."""

    id: Identifier
    title: str
    effective_from: Instant
    default_desk: Literal["oslo", "new_york"]
    desks: dict[str, DeskTerms]
    targets: dict[Literal["high", "medium", "low"], Target]
    priorities: Priorities
    queue: Queue
    planned_maintenance: Notice
    availability: Availability
    credit: Credit
    backup: Backup
    delivery: dict[str, Delivery]
    clauses: list[Clause]
    readings: Readings

    @model_validator(mode="after")
    def _is_whole(self) -> Terms:
        if set(self.desks) != {"oslo", "new_york"} or len(self.targets) != 3:
            raise ValueError("expected both desks, and a target for each priority")
        for name, target in self.targets.items():
            if (target.hours is None) == (target.working_days is None):
                raise ValueError(f"targets.{name}: expected either hours or working_days")
        return self


@lru_cache(maxsize=64)
def parse(document: str) -> Terms:
    """Return the terms that a TOML document states, or raise BadTerms naming the key."""
    if len(document) > MAX_DOCUMENT:
        raise BadTerms("terms document", f"longer than {MAX_DOCUMENT:,} characters", "mend the document")
    for number, line in enumerate(document.split("\n"), 1):
        if line.count(".") > MAX_DOTS:
            raise BadTerms("terms document", f"line {number}: more than {MAX_DOTS} dots", "mend the document")
    try:
        found = tomllib.loads(document)
    except RecursionError:
        raise BadTerms("terms document", "not TOML: too many levels deep", "mend the document") from None
    except ValueError as error:
        raise BadTerms("terms document", f"not TOML: {clean(str(error))}", "mend the document") from None
    try:
        return Terms.model_validate(found)
    except ValidationError as error:
        raise BadTerms("terms document", problem(error, "terms"), "mend the document") from None


@lru_cache(maxsize=1)
def built_in_document() -> str:
    """Return the text of the terms that the program brings along."""
    return (files("ledger") / "posted" / f"{BUILT_IN}.toml").read_text(encoding="utf-8")


def built_in() -> TermsPosted:
    """Return the event that posts the built-in terms."""
    document = built_in_document()
    return TermsPosted(document=document, sha256=sha256(document.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class Version:
    """Terms as they were posted: from when they hold, the readings taken, and the entries that say so."""

    terms: Terms
    effective_at: datetime
    readings: Readings
    positions: tuple[int, ...] = ()


@dataclass(frozen=True)
class TermsBook:
    """All versions that are known, in order of taking effect, and what a reader chose in their place."""

    versions: tuple[Version, ...]
    chosen: str | None = None

    @staticmethod
    def of(entries: list[Entry], changes: dict[str, Any] | None = None, chosen: str | None = None) -> TermsBook:
        """Return the versions that entries post; the built-in one when they post none.

        entries: `TermsPosted` only, corrections applied. changes: readings by key, taken in place of the posted ones.
        chosen: the id of the one version to judge everything by. Raises BadTerms or NotFound when they do not exist.
        """
        changed = changes or {}
        found = []
        for entry in entries:
            assert isinstance(entry.event, TermsPosted)
            try:
                terms = parse(entry.event.document)
            except BadTerms as error:
                command = f"sla-ledger record EntryWithdrawn {entry.stream} --version {entry.version} --reason TEXT"
                where = f"{entry.stream} (entry {entry.position})"
                raise BadTerms(where, error.what, f"withdraw it: {command}") from None
            found.append(Version(terms, entry.time, terms.readings.but(changed), entry.positions))
        known = [v.terms.id for v in found]
        if not found or (chosen == BUILT_IN and chosen not in known):
            terms = parse(built_in_document())
            found.append(Version(terms, terms.effective_from, terms.readings.but(changed)))
            known.append(terms.id)
        if chosen is not None and chosen not in known:
            todo = f"known versions: {', '.join(known)}"
            raise NotFound(f"terms {clean(chosen)}", "no such version is posted", todo)
        return TermsBook(tuple(sorted(found, key=lambda v: (v.effective_at, v.positions))), chosen)

    def in_force(self, at: datetime) -> Version:
        """Return the version in force at an instant: the last to take effect, before all of them the first."""
        if self.chosen is not None:
            return next(v for v in reversed(self.versions) if v.terms.id == self.chosen)
        found = self.versions[0]
        for version in self.versions:
            if version.effective_at <= at:
                found = version
        return found

    def is_before_first(self, at: datetime) -> bool:
        """Return whether no terms had been posted at an instant."""
        return at < self.versions[0].effective_at
