"""Instants and dates as they are written: RFC 3339 in UTC, and YYYY-MM-DD."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

# Where the stored state of an entry, whose head is canonical, holds its times: from which byte (from 1), how many.
HAPPENED_AT = (len('{"time":"') + 1, len("2026-03-27T14:00:00Z"))
RECORDED_AT = (HAPPENED_AT[0] + HAPPENED_AT[1] + len('","recordedtime":"'), HAPPENED_AT[1])
HAPPENED_IN, RECORDED_IN = (slice(at - 1, at - 1 + length) for at, length in (HAPPENED_AT, RECORDED_AT))
TAIL = slice(RECORDED_IN.stop, None)  # what follows both

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_FRACTION = re.compile(r"\.\d+")


def instant(text: Any) -> datetime:
    """Return the instant that an RFC 3339 text names: UTC, fractions of a second dropped. ValueError if it is naive."""
    if isinstance(text, datetime):
        if text.tzinfo is None:
            raise ValueError("a time without a zone names no instant")
        found = text
    elif isinstance(text, str) and _INSTANT.fullmatch(text):
        try:
            if len(text) == 20:  # whole seconds in UTC already
                return datetime.fromisoformat(text.upper())
            found = datetime.fromisoformat(_FRACTION.sub("", text.upper()))
        except ValueError:
            raise ValueError("there is no such time of day, date or offset") from None
    else:
        raise ValueError("expected an instant with a zone, like 2026-03-27T14:00:00Z or 2026-03-27T15:00:00+01:00")
    try:
        found = found.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the years 1 to 9999") from error
    return datetime(found.year, found.month, found.day, found.hour, found.minute, found.second, tzinfo=UTC)


def stamp(at: datetime) -> str:
    """Return an instant as RFC 3339 in UTC, ending in Z."""
    return f"{at.isoformat()[:19]}Z"


def day(text: Any) -> date:
    """Return the date that YYYY-MM-DD names."""
    if isinstance(text, date) and not isinstance(text, datetime):
        return text
    if isinstance(text, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return date.fromisoformat(text)
    raise ValueError("expected a date like 2026-03-27")


def seconds(at: datetime) -> int:
    """Return an instant as whole seconds since 1970."""
    return (at - _EPOCH) // _SECOND
