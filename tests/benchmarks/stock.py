"""What we compare with: the saves and the projection runner of the stock library, and a bare scan of a ledger."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from eventsourcing.projection import ProjectionRunner

from ledger.book import Ledger
from ledger.instants import instant
from projections import response_times
from projections.history import History
from projections.judgement import Judgement
from tests.benchmarks import history, measure
from tests.benchmarks.stock_library import Compliance, Happened, Stock, View, environment, happened

SECONDS_TO_WAIT = 600


def run(small: bool, folder: Path) -> dict[str, Any]:
    """Return what the stock library does in a second, checked against our own verdicts."""
    count = 600 if small else 20_000
    events = case_events(count)
    path = folder / "stock.db"
    path.unlink(missing_ok=True)
    by_500 = saves(path, events, 500)
    alone = folder / "stock-alone.db"
    alone.unlink(missing_ok=True)
    by_one = saves(alone, events[: count // 10], 1)
    seconds = min(projected(path, count) for _ in range(1 if small else 3))
    compared = check_verdicts(path, folder)
    found = {
        "saves of one, events/s": measure.figure(count // 10 / by_one),
        "saves of 500, events/s": measure.figure(count / by_500),
        "projection runner, events/s": measure.figure(count / seconds, events=count, verdicts_compared=compared),
    }
    try:
        ledger = measure.ledger(folder, measure.entries(small))
        scan = min(bare_scan(ledger, measure.entries(small)) for _ in range(3))
        found["bare scan, entries/s"] = measure.figure(measure.entries(small) / scan)
    except measure.NotThere as missing:
        found["bare scan, entries/s"] = measure.figure(str(missing))
    return found


def case_events(count: int) -> list[Happened]:
    """Return the first that many events of cases of the made-up history, as the stock library keeps them."""
    found: list[Happened] = []
    for _, stream, version, name, state, _ in history.entries(2 * count + 2000):
        if len(found) == count:
            break
        if stream.startswith(("incident:", "request:")):
            line = json.loads(state)
            found.append(happened(stream, version, name, instant(line["time"]), line["data"]))
    return found


def saves(path: Path, events: Sequence[Happened], at_once: int) -> float:
    """Return the seconds that the stock application takes to save events, so many in a transaction.

    Raises WrongResult when not all are there afterwards.
    """
    app = Stock(environment(path))
    try:
        begin = time.perf_counter()
        for first in range(0, len(events), at_once):
            app.save(*cast(Any, events[first : first + at_once]))
        seconds = time.perf_counter() - begin
        if app.recorder.max_notification_id() != len(events):
            raise measure.WrongResult("the stock library did not keep all events")
        return seconds
    finally:
        app.close()


def projected(path: Path, count: int) -> float:
    """Return the seconds that the stock runner takes to project the events saved at a path, that many, from nothing."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS cases")
        connection.execute("DROP TABLE IF EXISTS tracking")
    Compliance.last = count
    Compliance.reached.clear()
    begin = time.perf_counter()
    with ProjectionRunner(application_class=Stock, projection_class=Compliance, view_class=View, env=environment(path)):
        if not Compliance.reached.wait(SECONDS_TO_WAIT):
            raise measure.WrongResult("the stock runner did not come to the end")
        return time.perf_counter() - begin


def bare_scan(path: Path, count: int) -> float:
    """Return the seconds that reading every entry's time, customer and priority out of a ledger takes at the least.

    NotThere without msgspec, WrongResult when the count differs.
    """
    try:
        import msgspec
    except ImportError:
        raise measure.NotThere("msgspec is not installed") from None
    data = msgspec.defstruct("Data", [("customer", str | None, None), ("priority", str | None, None)], gc=False)
    head = msgspec.defstruct("Head", [("time", str), ("data", data)], gc=False)
    decode = msgspec.json.Decoder(head).decode
    statement = "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events ORDER BY rowid"
    begin = time.perf_counter()
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        found = 0
        for _, _, _, _, state in connection.execute(statement):
            decode(state)
            found += 1
    seconds = time.perf_counter() - begin
    if found != count:
        raise measure.WrongResult(f"the scan saw {found} entries, not {count}")
    return seconds


def check_verdicts(path: Path, folder: Path) -> int:
    """Compare the runner's verdicts with ours on cases that both judge alike, and return how many those are."""
    with closing(sqlite3.connect(path)) as connection:
        theirs = dict(connection.execute("SELECT id, verdict FROM cases").fetchall())
        last = dict(connection.execute("SELECT originator_id, max(originator_version) FROM stored_events GROUP BY 1"))
    if len(theirs) != len(last):
        raise measure.WrongResult(f"the stock runner has {len(theirs)} cases of {len(last)}")
    count = 2 * sum(last.values()) + 2000
    ledger = Ledger(measure.ledger(folder, count, "verdicts"), "ro")
    judgement = Judgement(History(list(ledger.entries())), instant("2026-06-01T00:00:00Z"))
    ledger.close()
    compared = 0
    for row in response_times.findings(judgement):
        case, known = row.stream, judgement.history.recorded(row.stream)
        if theirs.get(case) not in ("met", "breached") or last[case] != len(known) or not _is_plain(known):
            continue
        compared += 1
        if row.verdict != theirs[case]:
            raise measure.WrongResult(f"{case}: the stock runner says {theirs[case]}, we {row.as_json()['verdict']}")
    if not compared:
        raise measure.WrongResult("no verdict could be compared")
    return compared


def _is_plain(entries: Sequence[Any]) -> bool:
    """Return whether a case has nothing that the plain projection does not know."""
    names = [entry.name for entry in entries]
    opening = entries[0].event
    beyond = {"AccessRequested", "EntryCorrected", "EntryWithdrawn", "IncidentReopened"}
    in_order = all(a.time < b.time for a, b in zip(entries, entries[1:], strict=False))
    return (
        in_order
        and not beyond & set(names)
        and names.count("PriorityAssigned") <= 1
        and not opening.remote_assistance
        and opening.channel not in ("chat", "on_site", "phone")
        and "ResponseGiven" in names
    )
