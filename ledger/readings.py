"""The readings R1 to R30: which meaning is taken where the agreement's words allow several."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from ledger.entry import problem
from ledger.errors import BadTerms
from ledger.events import Channel
from ledger.text import clean
from ledger.values import distinct

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


class Part(BaseModel):
    """A part of the terms: frozen, no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


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
