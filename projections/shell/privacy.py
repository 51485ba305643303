"""Summaries under seal and forgotten customers: who is, since when, and what cannot be reached any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.book import Ledger
from ledger.errors import LedgerError
from ledger.events import EntryCorrected
from ledger.privacy.keys import PSEUDONYMS, KeyFile, KeysUnusable, Trail
from ledger.privacy.sealing import KEY_ID, Summaries
from ledger.store.address import shown
from ledger.store.mapper import from_state
from ledger.store.reading import SEALED_SUMMARY, naming
from ledger.text import clean
from projections.shell import output
from projections.shell.options import writing
from projections.shell.recording import default_actor, identifier_of
from projections.shell.scope import Scope
from projections.shell.single_cases import CASES

if TYPE_CHECKING:
    from ledger.store.reading import Reader, Stored

Customer = Annotated[str, typer.Argument(metavar="CUSTOMER", help="like acme")]
By = Annotated[str | None, typer.Option("--actor", help="who does it (default: cli.USER)")]
SHOWN = 20

privacy = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@privacy.callback()
def families() -> None:
    """Seal the summaries of a customer's cases, so that they can be forgotten. Findings never rest on them.

    \b
    Examples:
      sla-ledger privacy on acme
      sla-ledger privacy list
      sla-ledger forget acme
    """


@writing
def on(scope: Scope, customer: Customer, actor: By = None) -> None:
    """From here on summaries of this customer's cases are sealed before they are recorded or imported.

    The key lies in LEDGER.keys, wrapped by the one in LEDGER.kek, or where SLA_LEDGER_KEYS and SLA_LEDGER_KEK say.
    Every machine that records needs both files. Whoever has them reads the summaries; nobody does without.

    \b
    Example:
      sla-ledger privacy on acme
    """
    holder, by = identifier_of(customer, "CUSTOMER"), identifier_of(actor or default_actor(), "--actor")
    with closing(scope.reader()) as reader:
        key, is_new = KeyFile(scope.keys).make(holder, by, reader.identity())
    since = "from here on" if is_new else "already"
    output.note(f"{scope.keys.keys}: summaries of {holder} are {since} sealed, key {key.id}")


@writing
def list_(scope: Scope) -> None:
    """The customers whose summaries are sealed or forgotten.

    \b
    Example:
      sla-ledger privacy list
    """
    found = [_row(t) for t in KeyFile(scope.keys).trail() if t.holder != PSEUDONYMS]
    output.rows(scope, found, output.FIELDS["privacy"], "privacy")


privacy.command("on")(on)
privacy.command("list")(list_)


@writing
def forget(
    scope: Scope,
    customer: Customer,
    actor: By = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Destroy the key of a customer's sealed summaries: nobody can read them again. Entries and findings stay.

    Exit status 1 when something of them is still readable: summaries that were recorded before they were sealed. Copies
    of the key file, texts that were taken out while there was a key, and files that came in or that imports set aside
    with --rejects are out of reach: destroy those yourself.

    \b
    Examples:
      sla-ledger forget acme
      sla-ledger --db support.db forget acme --yes --actor privacy.officer
    """
    holder, by = identifier_of(customer, "CUSTOMER"), identifier_of(actor or default_actor(), "--actor")
    Ledger(scope.path, "ro").close()  # there is one
    keys = KeyFile(scope.keys)
    every = keys.trail()
    trail = [t for t in every if t.holder == holder]
    found = _summaries(scope, holder, every)
    if not trail:
        raise _nothing_to_destroy(scope, holder, found)
    if any(t.destroyed_at is None for t in trail):
        if not yes:
            _confirm(
                f"{len(found.sealed)} sealed summaries of {holder} will be unreadable for ever. Destroy their key?"
            )
        keys.destroy(holder, by)
    last = next(t for t in reversed(keys.trail()) if t.holder == holder)
    lines = [
        f"{holder}: forgotten at {last.destroyed_at} by {last.destroyed_by}",
        f"no key opens its {len(found.sealed)} sealed summaries any more; no entry and no finding has changed",
        "out of reach are copies of the key file, texts that were taken out before, files that came in, and those where"
        " imports set rejects aside: destroy those too",
    ]
    told = {"forgotten": found.sealed, "sealed_elsewhere": found.elsewhere, "still_readable": found.plain}
    told |= {"sealed_under_others": sorted(found.others)}
    output.thing(scope, _row(last) | told, lines)
    if found.plain or found.others or found.elsewhere:
        todo = "no entry can be changed: restrict who reads the ledger, and forget those whose keys they are, and there"
        raise LedgerError(f"{shown(scope.db)}: {holder}", found.left(), todo)


def _confirm(question: str) -> None:
    with suppress(typer.Abort):  # nobody is there to ask
        if typer.confirm(question, err=True):
            return
    raise LedgerError("forget", "not confirmed; nothing was destroyed", "answer y, or say so beforehand: --yes")


def readable(scope: Scope, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return entries as rows with the summaries that can be opened as text; of the others it is said why not."""
    try:
        return _opened(Summaries(scope.keys), rows)
    except KeysUnusable as error:
        output.note(f"{error.where}: {error.what}; sealed summaries stay sealed")
        return _opened(Summaries(None), rows)


def _opened(summaries: Summaries, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"data": summaries.readable(row["stream"], row["data"])} for row in rows]


def _row(trail: Trail) -> dict[str, Any]:
    is_gone = trail.destroyed_at is not None
    since, by = (trail.destroyed_at, trail.destroyed_by) if is_gone else (trail.made_at, trail.made_by)
    said = "forgotten" if is_gone else "sealed"
    return {"customer": trail.holder, "summaries": said, "since": since, "by": by, "key": trail.id}


@dataclass(slots=True)
class Found:
    """The positions of a customer's summaries: sealed by its keys, by others' that are here, by none here, in plain."""

    sealed: list[int] = field(default_factory=list)
    others: dict[int, str] = field(default_factory=dict)  # by position, whose key it is
    elsewhere: list[int] = field(default_factory=list)
    plain: list[int] = field(default_factory=list)

    def left(self) -> str:
        """Return what a destroyed key does not forget."""
        plain = f"{len(self.plain)} summaries are recorded in plain and stay readable: {_positions(self.plain)}"
        whose = ", ".join(sorted(set(self.others.values())))
        other = f"{len(self.others)} are sealed under the key of {whose}: {_positions(list(self.others))}"
        absent = f"{len(self.elsewhere)} are sealed under keys that are not here: {_positions(self.elsewhere)}"
        left = ((plain, self.plain), (other, self.others), (absent, self.elsewhere))
        return "; ".join(what for what, positions in left if positions)


def _summaries(scope: Scope, customer: str, trail: list[Trail]) -> Found:
    """Return the summaries of all cases that were ever said to be a customer's. trail: of all keys."""
    holders = {t.id: t.holder if t.destroyed_at is None else customer for t in trail}  # nobody reads what is destroyed
    found, sayings = Found(), ((row[1], row[0], _data(row)) for row in _cases(scope))
    for _, of_case in groupby(sayings, key=itemgetter(0)):
        said = [(position, data) for _, position, data in of_case]
        if not any(data.get("customer") == customer for _, data in said):
            continue
        for position, data in said:
            if (sealed := data.get("sealed_summary")) is not None:
                holder = holders.get(str(sealed.get("key"))) if isinstance(sealed, dict) else None
                if holder is None:
                    found.elsewhere.append(position)
                elif holder == customer:
                    found.sealed.append(position)
                else:
                    found.others[position] = holder
            elif data.get("summary") is not None:
                found.plain.append(position)
    for positions in (found.sealed, found.elsewhere, found.plain):
        positions.sort()
    return found


def _cases(scope: Scope) -> Iterator[Stored]:
    """Yield the stored entries that say whose a case is, those of a case together."""
    with closing(scope.reader()) as reader:
        yield from _holding(reader, naming(""))


def _holding(reader: Reader, part: bytes) -> Iterator[Stored]:
    """Yield the stored entries of cases in whose state something stands, those of a case together."""
    last = reader.last_position()
    for kind in CASES:
        yield from (row for row in reader.rows_by_stream(f"{kind}:", f"{kind};", last) if part in row[4])


def keys_in_use(reader: Reader) -> set[str]:
    """Return the ids of the keys under which summaries in a ledger are sealed."""
    found = (KEY_ID.search(row[4]) for row in _holding(reader, SEALED_SUMMARY))
    return {key[1].decode() for key in found if key is not None}


def _data(row: Stored) -> dict[str, Any]:
    """Return what an entry says of its case, also as a correction."""
    event = from_state(*row).event
    return event.data if isinstance(event, EntryCorrected) else event.model_dump()


def _nothing_to_destroy(scope: Scope, customer: str, found: Found) -> LedgerError:
    where = f"{clean(str(scope.keys.keys))}: {customer}"
    if found.others:
        todo = "forget those whose keys they are, or leave it: others' summaries go with them"
        return LedgerError(where, f"there is no key of this customer here; {found.left()}", todo)
    if found.elsewhere:
        todo = "forget it where the key is, or name the key file: SLA_LEDGER_KEYS=FILE"
        return LedgerError(where, f"there is no key of this customer here; {found.left()}", todo)
    if found.plain:
        todo = "no entry can be changed; seal those to come: sla-ledger privacy on CUSTOMER"
        return LedgerError(where, f"there is no key to destroy; {found.left()}", todo)
    return LedgerError(where, "there is nothing to forget: no summary, and no key", "see who has one: privacy list")


def _positions(positions: list[int]) -> str:
    named = ", ".join(map(str, positions[:SHOWN]))
    entry = "entry" if len(positions) == 1 else "entries"
    return f"{entry} {named}" + (f" and {len(positions) - SHOWN} more" if len(positions) > SHOWN else "")
