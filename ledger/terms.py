"""The agreement's terms as data: every number with its clause, and the readings its words leave open."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from ledger.entry import Entry, problem
from ledger.errors import BadTerms, NotFound
from ledger.events import Channel, TermsPosted
from ledger.text import clean
from ledger.values import Identifier, Instant, distinct

BUILT_IN = "easymeeting-2020-09-23"
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def _duration(text: Any) -> timedelta:
    if isinstance(text, timedelta):
        return text
    number, _, unit = str(text).strip().partition(" ")
    if not number.isascii() or not number.isdigit() or unit not in _UNITS or len(number) > 9:
        raise ValueError("expected a duration like '60 s', '5 min', '1 h' or '14 d'")
    return timedelta(seconds=int(number) * _UNITS[unit])


def _percent(text: Any) -> Decimal:
    if isinstance(text, Decimal):
        return text
    if not isinstance(text, str):
        raise ValueError('expected a percentage in quotes, like "99.0"')
    if not text.replace(".", "", 1).isdigit() or not text.isascii() or len(text) > 20:
        raise ValueError("expected a percentage like 99.0")
    return Decimal(text)


def _positive(value: Any) -> Any:
    if not value > type(value)(0):
        raise ValueError("expected more than zero")
    return value


def _zone(name: str) -> str:
    if "/" not in name and name != "UTC":
        raise ValueError("expected a city's zone like Europe/Oslo; CET and EST mean other things than they seem to")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("there is no such zone") from None
    return name


def _span_of_day(span: list[str]) -> list[str]:
    if len(span) != 2 or not all(re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d|24:00", t) for t in span):
        raise ValueError('expected two times of day like ["08:00", "16:00"]')
    return span


def _cap(text: Any) -> Decimal | None:
    return None if text in (None, "none") else _percent(text)


def _channels(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip() and value.strip() != "none")
    return tuple(value) if isinstance(value, list) else value


def _duration_text(amount: timedelta) -> str:
    seconds = amount // timedelta(seconds=1)
    return f"{seconds // 3600} h" if seconds and seconds % 3600 == 0 else f"{seconds} s"


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(_duration_text, return_type=str)]
Percent = Annotated[Decimal, BeforeValidator(_percent), PlainSerializer(str, return_type=str)]
Cap = Annotated[Decimal | None, BeforeValidator(_cap), PlainSerializer(lambda v: None if v is None else str(v))]
Channels = Annotated[tuple[Channel, ...], BeforeValidator(_channels), AfterValidator(distinct)]
Length = Annotated[Duration, AfterValidator(_positive)]
Share = Annotated[Percent, AfterValidator(_positive)]
Count = Annotated[int, Field(ge=1, le=10_000)]
DayHours = Annotated[list[str], AfterValidator(_span_of_day)]


class Part(BaseModel):
    """A part of the terms: frozen, no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Readings(Part):
    """Which meaning is taken where the words allow several. The first value of each is the default."""

    lost_from: Literal["hundred", "target"] = "hundred"
    lost_steps: Literal["whole", "exact", "begun"] = "whole"
    period: Literal["as_claimed", "calendar_year"] = "as_claimed"
    before_agreement: Literal["available", "left_out"] = "available"
    fee: Literal["period_end", "period_average"] = "period_end"
    cap_percent: Cap = None
    business_hours: Literal["union", "customer_desk", "oslo", "new_york"] = "union"
    zones: Literal["civil", "fixed"] = "civil"
    holidays: Literal["none", "published"] = "none"
    hour_targets: Literal["business", "elapsed"] = "business"
    day_targets: Literal["close_of_last_day", "same_time", "business_hours"] = "close_of_last_day"
    responder: Literal["human", "any"] = "human"
    reclassification: Literal["from_receipt", "from_change"] = "from_receipt"
    order_within: Literal["priority", "all"] = "priority"
    round_the_clock: Literal["phone", "all_channels"] = "phone"
    best_effort: Channels = ("chat", "on_site")
    unplanned: Literal["declared_first", "excluded", "counted"] = "declared_first"
    emergency: Literal["counted", "excluded"] = "counted"
    short_notice: Literal["counted", "excluded"] = "counted"
    overlap: Literal["outage_wins", "maintenance_wins"] = "outage_wins"
    beyond_control: Literal["excluded", "counted"] = "excluded"
    excluded_time: Literal["in_denominator", "left_out"] = "in_denominator"
    degraded: Literal["available", "unavailable"] = "available"
    uncovered_monitoring: Literal["available", "unavailable"] = "available"
    evidence: Literal["two_sources", "any_source", "all_sources", "client_report"] = "two_sources"
    terms_change: Literal["at_event", "period_end"] = "at_event"
    reused_downtime: Literal["once", "again"] = "once"
    instantly: Duration = timedelta(seconds=60)
    immediately: Duration = timedelta(hours=1)
    off_hours_phone: Literal["next_opening", "best_effort"] = "next_opening"

    def as_json(self) -> dict[str, Any]:
        """Return every reading with its value, in the order R1 to R30."""
        return self.model_dump(mode="json")

    def but(self, changes: dict[str, Any]) -> Readings:
        """Return these readings with some changed; raise BadTerms naming what does not exist."""
        if not changes:
            return self
        for key in changes:
            if key not in READING_IDS:
                raise BadTerms(f"reading {clean(key)[:60]}", "there is no such reading", f"readings: {_listed()}")
        for (one, first), (other, second), reason in CONTRADICTIONS:
            if first in _plain(changes.get(one)) and second in _plain(changes.get(other)):
                where = f"readings {one} and {other}"
                raise BadTerms(where, f"they contradict each other: {reason}", "take one of them")
        try:
            return Readings.model_validate({**self.model_dump(), **changes})
        except ValidationError as error:
            key = str(error.errors()[0]["loc"][0])
            raise BadTerms(
                f"reading {key}",
                problem(error, "value"),
                f"values of {READING_IDS[key]} {key}: {', '.join(values(key))}",
            ) from None


# pairs of readings that cannot be chosen together, with the reason
CONTRADICTIONS = (
    (
        ("best_effort", "phone"),
        ("off_hours_phone", "next_opening"),
        "the first measures every call apart, the second gives a call out of hours a due time",
    ),
    (
        ("best_effort", "phone"),
        ("round_the_clock", "phone"),
        "the first measures every call apart, the second gives a call under a 24x7 deal a due time",
    ),
)


def _plain(value: Any) -> tuple[str, ...]:
    """Return the value or values that a reading was given as texts."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else tuple(value or ())


READING_IDS: dict[str, str] = {key: f"R{number}" for number, key in enumerate(Readings.model_fields, 1)}


def values(key: str) -> list[str]:
    """Return the values a reading may take, the default first; of numbers, durations and lists an example."""
    given = Readings.model_fields[key].annotation
    choices = getattr(given, "__args__", ())
    if all(isinstance(c, str) for c in choices) and choices:
        return list(choices)
    return {
        "cap_percent": ["none", "a percentage like 100"],
        "best_effort": ["a list of channels like chat,on_site"],
    }.get(key, ["a duration like 60 s or 1 h"])


def _listed() -> str:
    return ", ".join(READING_IDS)


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

    at_risk_share: str
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
    try:
        return Terms.model_validate(tomllib.loads(document))
    except tomllib.TOMLDecodeError as error:
        raise BadTerms("terms document", f"not TOML: {clean(str(error))}", "mend the document") from None
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
