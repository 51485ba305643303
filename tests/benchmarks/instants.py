"""Instants of the made-up history as seconds since 1970: quick to write down, and quick to count in business time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE, HOUR, DAY = 60, 3600, 86_400
BASE = date(2022, 1, 1)
BEGINS, ENDS = date(2023, 1, 2), date(2026, 1, 1)
ZONES = {"oslo": ZoneInfo("Europe/Oslo"), "new_york": ZoneInfo("America/New_York")}

_BASE_DAY = (BASE - date(1970, 1, 1)).days
_DATES = [BASE + timedelta(n) for n in range((date(2035, 1, 1) - BASE).days)]
_DATE_TEXTS = [day.isoformat() for day in _DATES]
_CLOCK_TEXTS = [f"T{s // HOUR:02}:{s // MINUTE % 60:02}:{s % MINUTE:02}Z" for s in range(DAY)]
_NEVER = 2**62


def stamp(at: int) -> str:
    """Return an instant as RFC 3339 in UTC, ending in Z."""
    return _DATE_TEXTS[at // DAY - _BASE_DAY] + _CLOCK_TEXTS[at % DAY]


def number_of(day: date) -> int:
    """Return how many days after the base a date is."""
    return (day - BASE).days


def day_of(at: int) -> int:
    """Return how many days after the base an instant's date is, in UTC."""
    return at // DAY - _BASE_DAY


def midnight(day: int) -> int:
    """Return the instant at which a day begins, in UTC."""
    return (day + _BASE_DAY) * DAY


def seconds(text: str) -> int:
    """Return the instant that RFC 3339 in UTC names."""
    return int(datetime.fromisoformat(text).timestamp())


def is_weekday(day: int) -> bool:
    """Return whether a day is a Monday to Friday."""
    return _DATES[day].weekday() < 5


def opening(day: int, desk: str) -> int:
    """Return the instant at which it is eight o'clock at a desk."""
    here = _DATES[day]
    return int(datetime(here.year, here.month, here.day, 8, tzinfo=ZONES[desk]).astimezone(UTC).timestamp())


class Business:
    """Business time of both desks together, near enough to draw answers that are mostly in time: 14 h a weekday."""

    LENGTH = 14 * HOUR

    def __init__(self) -> None:
        self._rank: list[int] = []
        self._begins: list[int] = []
        self._openings: list[int] = []
        for day in range(len(_DATES)):
            self._rank.append(len(self._openings))
            self._begins.append(opening(day, "oslo") if is_weekday(day) else _NEVER)
            if is_weekday(day):
                self._openings.append(self._begins[-1])

    def passed(self, at: int) -> int:
        """Return the business seconds from the base until an instant."""
        day = at // DAY - _BASE_DAY
        return self._rank[day] * self.LENGTH + min(max(at - self._begins[day], 0), self.LENGTH)

    def instant(self, passed: int) -> int:
        """Return the instant at which so many business seconds have passed."""
        days, rest = divmod(passed, self.LENGTH)
        return self._openings[days] + rest


class Clock:
    """The time of the clock, for customers served around it."""

    def passed(self, at: int) -> int:
        """Return the instant itself."""
        return at

    def instant(self, passed: int) -> int:
        """Return the instant itself."""
        return passed
