"""Every way in which the program can say no. One root; a message has three lines: where, what, what to do."""

from __future__ import annotations

from shlex import quote
from typing import Any


class LedgerError(Exception):
    """Something was refused or failed."""

    exit_status = 1

    def __init__(self, where: str, what: str, todo: str) -> None:
        super().__init__(where, what, todo)
        self.where, self.what, self.todo = where, what, todo

    def __reduce__(self) -> Any:
        """Let an error pass from one process to another, whatever its class is made of."""
        return type(self).__new__, (type(self), *self.args), self.__dict__

    def __str__(self) -> str:
        return f"{self.where}\n{self.what}\n{self.todo}"


def said(error: Exception) -> str:
    """Return the first line of what a library's error says; a server adds details and hints in further lines."""
    return str(error).partition("\n")[0].strip()


class BadLine(LedgerError):
    """A line of a stream file, or the data of a fact, cannot be read."""

    def __init__(self, where: str, what: str, todo: str = "mend the line and try again") -> None:
        super().__init__(where, what, todo)


class Refused(LedgerError):
    """A stream did not accept a fact; `reason` is the refusal's name."""

    def __init__(self, where: str, reason: str, what: str, todo: str) -> None:
        super().__init__(where, f"refused: {what} ({reason})", todo)
        self.reason = reason


class Conflict(LedgerError):
    """Another writer recorded to the same stream in between."""

    def __init__(self, where: str) -> None:
        super().__init__(
            where, "another writer recorded to this stream in between; nothing was added", "look again, then try again"
        )


class StorageFailed(LedgerError):
    """The store could not be read or written."""


class NoLedger(LedgerError):
    """There is no ledger at the place that was named."""

    def __init__(self, where: str) -> None:
        super().__init__(where, "there is no ledger here", f"create one: sla-ledger --db {quote(where)} init")


class NotFound(LedgerError):
    """A stream, an entry or a terms version was named that does not exist."""


class Undecided(LedgerError):
    """A claim cannot be decided yet; `missing` lists what has to be recorded first."""

    def __init__(self, where: str, missing: list[str]) -> None:
        super().__init__(
            where,
            "cannot be decided yet, missing:\n  " + "\n  ".join(missing),
            "record what is missing, or see the provisional figures: claim assess --provisional",
        )
        self.missing = missing


class BadTerms(LedgerError):
    """A document of terms, or a reading, cannot be used."""


class CalendarExhausted(LedgerError):
    """Business time was asked for outside the years the calendar covers."""


class LedgerBroken(LedgerError):
    """An entry that is stored cannot be read as what it claims to be."""

    exit_status = 4


RESTORE = "restore the ledger from a copy; something else than this program wrote to it"


def damaged(where: str, what: str) -> LedgerBroken:
    """Return the error of a ledger that is not as this program wrote it."""
    return LedgerBroken(where, what, RESTORE)
