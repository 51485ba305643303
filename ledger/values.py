"""The small values that events are made of: instants, identifiers, text, money, time frames."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    model_validator,
)

from ledger.instants import day, instant, stamp

_AMOUNT = re.compile(r"\d{1,15}(\.\d{1,4})?", re.ASCII)
STREAM_PATTERN = r"^[a-z]{1,20}:[A-Za-z0-9](\.?[A-Za-z0-9_/-])*\.?$"
MAX_SUMMARY = 500
MAX_SEALED = 2704  # nonce, four bytes a character, and tag, in base64
REFERENCE = r"[A-Za-z0-9](\.?[A-Za-z0-9_/-])*\.?"

# ISO 4217: currencies whose minor unit is not a hundredth
_NO_DECIMALS = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)
_THREE_DECIMALS = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])


def minor_digits(currency: str) -> int:
    """Return how many decimals the currency's minor unit has (ISO 4217)."""
    return 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2


def _amount(text: Any) -> Decimal:
    if isinstance(text, Decimal):
        return text
    if isinstance(text, str) and _AMOUNT.fullmatch(text):
        return Decimal(text)
    raise ValueError('expected an amount as text, like "1000.00"')


def _short_reference(stream: str) -> str:
    if len(stream.partition(":")[2]) > 120:
        raise ValueError("a reference has 120 characters at most")
    return stream


def _one_notation(text: str) -> str:
    if b64encode(b64decode(text, validate=True)).decode() != text:
        raise ValueError("expected standard base64")
    return text


def distinct(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the items, or raise ValueError when one of them stands twice."""
    if len(set(items)) != len(items):
        raise ValueError("an item stands twice")
    return items


Instant = Annotated[datetime, BeforeValidator(instant), PlainSerializer(stamp, return_type=str)]
Day = Annotated[date, BeforeValidator(day), PlainSerializer(date.isoformat, return_type=str)]
Identifier = Annotated[str, StringConstraints(pattern=f"^{REFERENCE}$", max_length=120)]
StreamId = Annotated[str, StringConstraints(pattern=STREAM_PATTERN), AfterValidator(_short_reference)]
Flag = Annotated[bool, BeforeValidator(lambda v: False if v is None else v)]
Summary = Annotated[str, StringConstraints(max_length=MAX_SUMMARY)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Document = Annotated[str, StringConstraints(min_length=1, max_length=1_000_000)]
CommandId = Annotated[str, StringConstraints(min_length=1, max_length=400, pattern=r"^[\x21-\x7e]+$")]
Version = Annotated[int, Field(ge=1)]
Identifiers = Annotated[
    tuple[Identifier, ...], Field(strict=False, min_length=1, max_length=10_000), AfterValidator(distinct)
]
Days = Annotated[tuple[Day, ...], Field(strict=False, min_length=1, max_length=10_000), AfterValidator(distinct)]
Streams = Annotated[
    tuple[StreamId, ...], Field(strict=False, min_length=1, max_length=10_000), AfterValidator(distinct)
]


class Value(BaseModel):
    """A value inside an event: frozen, strict, no unknown field."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        allow_inf_nan=False,
        defer_build=True,
    )


class Money(Value):
    """An amount of one currency, exact to its minor unit. Never negative, never a float."""

    amount: Annotated[Decimal, BeforeValidator(_amount), Field(ge=0), PlainSerializer(str, return_type=str)]
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]

    @model_validator(mode="before")
    @classmethod
    def _to_minor_unit(cls, data: Any) -> Any:
        currency = data.get("currency") if isinstance(data, dict) else None
        if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency) or "amount" not in data:
            return data
        amount = _amount(data["amount"])
        exact = amount.quantize(Decimal(1).scaleb(-minor_digits(data["currency"])))
        if exact != amount:
            raise ValueError(f"{data['currency']} has {minor_digits(data['currency'])} decimals")
        return data | {"amount": exact}

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


class ServiceFee(Value):
    """One service of an agreement and its monthly fee."""

    service: Identifier
    monthly_fee: Money


class SealedText(Value):
    """A text that only the holder of a key can read: the key's id; nonce, ciphertext and tag of AES-256-GCM."""

    key: Annotated[str, StringConstraints(pattern="^[a-z2-7]{16}$")]
    sealed: Annotated[str, StringConstraints(min_length=40, max_length=MAX_SEALED), AfterValidator(_one_notation)]


class Frame(Value):
    """A half-open span of time, `until` after `from`."""

    from_: Instant = Field(alias="from")
    until: Instant

    @model_validator(mode="after")
    def _forwards(self) -> Frame:
        return ordered(self)


_Holder = TypeVar("_Holder")


def ordered(holder: _Holder) -> _Holder:
    """Return what holds `from_` and `until`, or raise ValueError when the first is not before the second."""
    begins, ends = getattr(holder, "from_", None), getattr(holder, "until", None)
    if begins is not None and ends is not None and not begins < ends:
        raise ValueError("'from' must come before 'until'")
    return holder
