"""What doctor finds in a ledger or a stream file: entries, the clocks behind them, checkpoints and views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ledger import clock
from ledger.errors import LedgerError
from ledger.instants import seconds, stamp
from projections.shell import diagnosis
from projections.shell.diagnosis import Row, ok, tried, warning, wrong
from projections.shell.scope import Scope

if TYPE_CHECKING:
    from ledger.store.reading import Reader, Record, Stored

_DAY = 86_400
SEAL_WITHIN, SEAL_AT_LAST = 2 * _DAY, 31 * _DAY  # how long an entry may wait for a checkpoint; customers look monthly
_SHOWN = 5


def of_ledger(scope: Scope, key: Path | None) -> Iterator[Row]:
    """Yield what the entries of a ledger, its checkpoints and its views say."""
    with closing(scope.reader()) as reader:
        first, last = reader.first_position(), reader.last_position()
        count = reader.count(last)  # up to it: others may record meanwhile
        if first < 1:
            todo = "restore the ledger from a copy: sla-ledger verify tells more"
            yield wrong("entries", f"entry {first}: no entry is ever given such a position", todo)
        elif count != last:
            todo = "restore the ledger from a copy: sla-ledger verify tells the first that is missing"
            yield wrong("entries", f"{count} entries, the last is entry {last}: {last - count} are missing", todo)
        yield from tried("file", lambda: _file(reader))
        yield from _entries(scope, reader)
        yield from tried("summary keys", lambda: _sealed_under(scope, reader))
        yield from tried("checkpoint", lambda: _checkpoint(reader, key))
        yield from tried("views", lambda: [_views(scope, reader)])


def _file(reader: Reader) -> Iterator[Row]:
    """Yield whether SQLite finds the file sound; with a damaged index entries are there that no question finds."""
    from ledger.store.sqlite_reading import FileReader

    if isinstance(reader, FileReader):
        reader.check_file()
        yield ok("file", "SQLite finds nothing wrong in its pages and indexes")


def of_stream_file(scope: Scope) -> Iterator[Row]:
    """Yield what the lines of a stream file say; it has no views and keeps no checkpoints."""
    with closing(scope.record()) as record:
        yield from _entries(scope, record)


def _entries(scope: Scope, record: Record) -> Iterator[Row]:
    """Yield what entries say of the clocks and people that made them, and which outages they leave open."""
    from ledger.store.reading import EVERYTHING

    yield from tried("entries", lambda: _timeliness(record.rows(EVERYTHING)))
    yield from tried("zone data", lambda: [_zone_data(record.rows_by_stream("claim:", "claim;", EVERYTHING))])
    yield from tried("outages", lambda: _outages(scope, record))


def _sealed_under(scope: Scope, reader: Reader) -> Iterator[Row]:
    """Yield whether the keys can be used, and are those that sealed what is sealed in the ledger."""
    from ledger.privacy.keys import KeyFile
    from projections.shell.privacy import keys_in_use

    file = KeyFile(scope.keys)
    living, known = file.living(), {trail.id for trail in file.trail()}
    used = keys_in_use(reader)
    foreign = sorted(used - known)
    if not foreign:
        if used or living:
            yield ok("summary keys", f"{len(living)} can be used; each that sealed an entry is known")
        return
    found = f"entries are sealed under keys that are not in {file.place.keys}: {_some(foreign)}"
    if known and len(foreign) == len(used) and not any(key.made_for == reader.identity() for key in living.values()):
        yield wrong("summary keys", f"{found}; its keys are of another ledger", "bring those of this ledger back")
    else:
        yield warning("summary keys", found, "bring them back; without, no summary of these customers can be recorded")


def _timeliness(rows: Iterable[Stored]) -> Iterator[Row]:
    """Yield how entries came: how many, how late, and whether recording times run backwards."""
    from projections.condition import timeliness

    found = timeliness(rows)
    since = f", the last recorded at {_stamp(found.last_recorded)}" if found.entries else ""
    yield ok("entries", f"{found.entries}{since}; whether they are as they were recorded: sla-ledger verify")
    late = f", at most {found.latest_by_seconds} s (entry {found.latest}): sla-ledger log --late" if found.late else ""
    yield ok("late entries", f"{found.late} of {found.entries}{late}")
    ahead = found.last_recorded - seconds(clock.now())
    if found.backwards:
        what = f"ran backwards {found.backwards} times, at most {found.backwards_by_seconds} s, first at entry"
        todo = "keep the clocks of those who record with a time server; order is by position, which is not touched"
        yield warning("recording times", f"{what} {found.first_backwards}", todo)
    elif ahead > clock.CLOCK_TOLERANCE.total_seconds():
        todo = "set this machine's clock, or look who recorded with a wrong one"
        yield warning("recording times", f"the last is {ahead} s in the future of this machine's clock", todo)
    else:
        yield ok("recording times", "never run backwards")


def _zone_data(claims: Iterable[Stored]) -> Row:
    from projections.condition import last_decision

    decided = last_decision(claims)
    return diagnosis.of_zone_data(None if decided is None else datetime.fromtimestamp(decided, UTC).year)


def _outages(scope: Scope, record: Record) -> Iterator[Row]:
    """Yield the outages that nobody has ended, and those that lack a time frame or a cause."""
    from ledger.store.mapper import of_streams
    from ledger.store.reading import EVERYTHING
    from projections.condition import unsettled_outages
    from projections.history import History

    rows = [x for kind in ("terms", "outage") for x in record.rows_by_stream(f"{kind}:", f"{kind};", EVERYTHING)]
    history = History(sorted(of_streams(rows), key=lambda x: x.position))
    found = unsettled_outages(scope.judgement(history))
    down = [x for x in found if x.is_open]
    if down:
        each = [f"{x.outage} ({', '.join(x.services)}) since {stamp(x.since)}" for x in down]
        todo = "when it is over: sla-ledger record ServiceRestored OUTAGE"
        yield warning("open outages", f"{len(down)}: {_some(each)}", todo)
    else:
        yield ok("open outages", "none")
    lacking = [f"{x.outage} ({', '.join(x.missing)})" for x in found if x.missing and not x.is_open]
    if lacking:
        todo = "settle them, or claims that they touch cannot be decided: sla-ledger reconcile OUTAGE"
        yield warning("unsettled outages", f"{len(lacking)}: {_some(lacking)}", todo)
    else:
        yield ok("unsettled outages", "none")


def _checkpoint(reader: Reader, key: Path | None) -> Iterator[Row]:
    """Yield how far the last checkpoint reaches, and how long the first entry behind it has waited."""
    from ledger.seal import keys, sealing
    from projections.condition import recorded_at

    kept = sealing.kept(reader)
    last = reader.last_position()  # after the checkpoints: others may record and seal meanwhile
    if not kept:
        todo = "make one and give it to somebody else: sla-ledger seal > checkpoint"
        yield (
            warning("checkpoint", f"none; {last} entries are covered by nothing", todo)
            if last
            else ok("checkpoint", "none, and no entries")
        )
        return
    checkpoint, note = kept[-1]
    behind, found = last - checkpoint.size, f"{checkpoint.origin}, of {checkpoint.size} entries"
    if behind < 0:
        todo = "the end of the ledger is missing: restore it from a copy, then sla-ledger verify"
        yield wrong("checkpoint", f"{found}, and the ledger ends with {last}", todo)
        return
    waiting = reader.at([checkpoint.size + 1])
    if behind and not waiting:
        todo = "restore the ledger from a copy, then sla-ledger verify"
        yield wrong("checkpoint", f"{found}, and entry {checkpoint.size + 1} is missing", todo)
        return
    waited = seconds(clock.now()) - recorded_at(*waiting) if behind else 0
    found += f"; {behind} since" + (f", the first {_days(waited)} ago" if behind else "")
    if waited > SEAL_WITHIN:
        todo = "sla-ledger seal, daily: what no checkpoint covers can be rewritten unseen"
        yield (wrong if waited > SEAL_AT_LAST else warning)("checkpoint", found, todo)
    else:
        yield ok("checkpoint", found)
    with suppress(LedgerError):  # what is wrong with the key is said by a row of its own
        if key is not None and keys.read(key).verifier().verified(note) is None:
            todo = "name the key that has; to go over to this one, let both sign: sla-ledger seal --key OLD --also NEW"
            yield warning("key", f"{key}: has not signed the last checkpoint", todo)


def _views(scope: Scope, reader: Reader) -> Row:
    """Return what the views are true for, or why they are made anew when they are asked for next."""
    import sqlite3

    from projections.views.file import fits, opened
    from projections.views.opening import CHANGED
    from projections.views.place import Unwritable, check, is_as_left
    from projections.views.tables import Damaged

    path = scope.views_path
    try:
        check(path)
    except Unwritable as error:
        return warning("views", f"{error.where}: {error.what}", error.todo)
    if not path.exists():
        return ok("views", f"{path}: none yet; they are built when they are first asked for")
    try:
        with closing(opened(path, "ro")) as connection:
            position = fits(connection, reader)
        if not is_as_left(path):
            raise Damaged(CHANGED)
    except (Damaged, sqlite3.DatabaseError) as error:
        return warning("views", f"{path}: {error}", "they are made anew when they are next asked for, or: rebuild")
    behind = reader.last_position() - position
    return ok("views", f"{path}: true for entry {position}" + (f", {behind} behind; they catch up" if behind else ""))


def _some(names: list[str]) -> str:
    left = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + left


def _days(waited: int) -> str:
    days, hours = divmod(max(waited, 0) // 3600, 24)
    return f"{days} d {hours} h"


def _stamp(at: int) -> str:
    return stamp(datetime.fromtimestamp(at, UTC))
