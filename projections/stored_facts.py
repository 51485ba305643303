"""What cases' entries say, read from where the store keeps it: times, and of the rest the few fields that matter.

Times are read where the canonical state holds them; instants are whole seconds since 1970.
"""

from __future__ import annotations

from calendar import timegm
from collections.abc import Callable, Iterable
from time import gmtime, strptime
from typing import Any, Literal

import msgspec

from ledger.instants import HAPPENED_AT, TAIL
from projections.grounds import Priority

Stored = tuple[int, str, int, str, bytes]  # position, stream, version, name, state
Fact = tuple[int, int, int, Any]  # time, position, what, and the fields that matter
Wait = tuple[Fact, Fact | None]
Key = int  # an instant and a position, in this order
Stay = tuple[Priority, Key, Key | None]  # the group a case waits in, from when until when; None: it still does
# What a case does: when it was received, by which entry; when it waited last, where it waits, and its handling.
Moves = tuple[int, int, int, list[Stay], tuple[Priority, Key] | None]

SHIFT = 31
FAR = 1 << 40  # later than any instant
ANSWERED, ASSIGNED, CANCELLED, ASKED, GRANTED, OPENING, OTHER, WITHDRAWN, CORRECTED = range(
    9
)  # up to CANCELLED: of a clock that runs


class Opening(msgspec.Struct, gc=False):
    """What a case begins with."""

    customer: str
    service: str
    channel: Literal["phone", "email", "chat", "web", "video", "on_site", "monitoring"]
    kind: str | None = None
    remote_assistance: bool = False


class Assigned(msgspec.Struct, gc=False):
    """A priority."""

    priority: Priority


class Answered(msgspec.Struct, gc=False):
    """An answer; resolving and fulfilling are a person's."""

    responder: Literal["human", "automatic"] = "human"


class Waited(msgspec.Struct, gc=False):
    """What is waited for."""

    what: Literal["remote_access", "details"]


class Withdrawn(msgspec.Struct, gc=False):
    """Which version is set aside."""

    version: int


class Corrected(msgspec.Struct, gc=False):
    """Which version reads so from here on."""

    version: int
    time: str
    data: msgspec.Raw


_FIELDS: dict[str, tuple[int, type[msgspec.Struct] | None]] = {
    "IncidentReported": (OPENING, Opening),
    "ServiceRequested": (OPENING, Opening),
    "PriorityAssigned": (ASSIGNED, Assigned),
    "ResponseGiven": (ANSWERED, Answered),
    "IncidentResolved": (ANSWERED, None),
    "RequestFulfilled": (ANSWERED, None),
    "TroubleshootingStarted": (OTHER, None),
    "AccessRequested": (ASKED, Waited),
    "AccessGranted": (GRANTED, Waited),
    "IncidentCancelled": (CANCELLED, None),
    "RequestCancelled": (CANCELLED, None),
    "IncidentReopened": (OTHER, None),
    "EntryWithdrawn": (WITHDRAWN, Withdrawn),
    "EntryCorrected": (CORRECTED, Corrected),
}


def _decoder(fields: type[msgspec.Struct]) -> Callable[[bytes], Any]:
    """Return what reads the fields, as `data`, from the state of an entry."""
    return msgspec.json.Decoder(msgspec.defstruct(f"{fields.__name__}State", [("data", fields)], gc=False)).decode


class Told(dict[bytes, Any]):
    """The fields of one kind of event by what follows the times in a state: all but openings mostly say the same."""

    def __init__(self, fields: type[msgspec.Struct]) -> None:
        self._decode = _decoder(fields)

    def read(self, state: bytes) -> Any:
        """Return the fields of a state, remembered while there are few."""
        found = self._decode(state).data
        if len(self) < REMEMBERED:
            self[state[TAIL]] = found
        return found


KNOWN = {name: (what, None if fields in (None, Opening) else Told(fields)) for name, (what, fields) in _FIELDS.items()}
opened_with = _decoder(Opening)
ALONE = {
    OPENING: msgspec.json.Decoder(Opening).decode,
    ASSIGNED: msgspec.json.Decoder(Assigned).decode,
    ANSWERED: msgspec.json.Decoder(Answered).decode,
    ASKED: msgspec.json.Decoder(Waited).decode,
    GRANTED: msgspec.json.Decoder(Waited).decode,
}
# Where an instant stands, in two pieces: facts fall into few of a year's hours, and a table of 3600 stays at hand.
HOUR = slice(HAPPENED_AT[0] - 1, HAPPENED_AT[0] + 12)
PAST = slice(HAPPENED_AT[0] + 13, HAPPENED_AT[0] + 18)


REMEMBERED = 1000  # of a kind of event


class _Days(dict[bytes, int]):
    def __missing__(self, day: bytes) -> int:
        found = self[day] = timegm(strptime(day.decode(), "%Y-%m-%d"))
        return found


class _Hours(dict[bytes, int]):
    def __missing__(self, hour: bytes) -> int:
        if len(hour) != 13:
            raise ValueError("no hour of a day")
        found = self[hour] = _DAYS[hour[:10]] + int(hour[11:]) * 3600
        return found


class _Seconds(dict[bytes, int]):
    def __missing__(self, past: bytes) -> int:
        if len(past) != 5:
            raise ValueError("no minute and second")
        found = self[past] = int(past[:2]) * 60 + int(past[3:])
        return found


class _Dates(dict[int, str]):
    def __missing__(self, day: int) -> str:
        at = gmtime(day * 86400)
        found = self[day] = f"{at.tm_year:04d}-{at.tm_mon:02d}-{at.tm_mday:02d}T"
        return found


class _Clocks(dict[int, str]):
    def __missing__(self, second: int) -> str:
        minute, rest = divmod(second, 60)
        found = self[second] = f"{minute // 60:02d}:{minute % 60:02d}:{rest:02d}Z"
        return found


HOURS, SECONDS = _Hours(), _Seconds()  # since 1970 up to an hour, and past it
_DAYS, _DATES, _CLOCKS = _Days(), _Dates(), _Clocks()


def instant(stamp: str) -> int:
    """Return the seconds since 1970 of an instant as it is stored, in UTC."""
    text = stamp.encode()
    return HOURS[text[:13]] + SECONDS[text[14:19]]


def stamped(at: int) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC."""
    day, second = divmod(at, 86400)
    return _DATES[day] + _CLOCKS[second]


def positions(facts: Iterable[Fact], corrections: dict[int, list[int]]) -> list[int]:
    """Return the positions of facts and of what corrected them."""
    if not corrections:
        return [f[1] for f in facts]
    return [p for f in facts for p in (f[1], *corrections.get(f[1], ()))]
