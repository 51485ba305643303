"""Views say what the entries say: built from nothing, caught up at any points, settled at any later instant."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.entry import Entry
from ledger.instants import seconds
from ledger.store.mapper import to_state
from ledger.store.reading import Stored
from projections import handling_order, response_times, totals
from projections.history import History
from projections.judgement import Judgement
from projections.views import answers, opening
from projections.views.file import State
from projections.views.tables import KNOWN
from tests.oracle.histories import case_histories
from tests.support import entries

TABLES = ("cases", "handling", "emptied", "totals", "availability")


class InMemory:
    """Entries as a store would give them."""

    def __init__(self, found: Iterable[Entry]) -> None:
        self.found = [(x.position, x.stream, x.version, x.name, to_state(x)) for x in found]

    def last_position(self) -> int:
        return len(self.found)

    def count(self) -> int:
        return len(self.found)

    def rows(self, up_to: int, after: int = 0) -> Iterator[Stored]:
        return iter([r for r in self.found if after < r[0] <= up_to])

    def rows_by_stream(self, first: str, until: str, up_to: int) -> Iterator[Stored]:
        return iter(sorted((r for r in self.found if first <= r[1] < until and r[0] <= up_to), key=lambda r: r[1:3]))

    def streams_after(self, after: int, up_to: int) -> list[str]:
        return list(dict.fromkeys(r[1] for r in self.rows(up_to, after)))

    def at(self, positions: Iterable[int]) -> list[Stored]:
        return [self.found[p - 1] for p in positions]

    def bounds(self, first: str, until: str, parts: int) -> list[str]:
        ids = sorted(r[1] for r in self.found if first <= r[1] < until)
        return list(dict.fromkeys(ids[len(ids) * k // parts] for k in range(1, parts) if ids))

    def close(self) -> None:
        pass


@contextlib.contextmanager
def views(path: Path, found: list[Entry], notices: list[str] | None = None) -> Iterator[sqlite3.Connection]:
    said = [] if notices is None else notices
    with contextlib.closing(opening.current(path, InMemory(found), said.append, lambda a, b: None)) as connection:
        yield connection


def kept(connection: sqlite3.Connection) -> dict[str, Any]:
    """All that the views hold, whatever way they came to it."""
    found: dict[str, Any] = {t: connection.execute(f"SELECT * FROM {t} ORDER BY 1, 2, 3, 4").fetchall() for t in TABLES}  # noqa: S608
    state = State(connection)
    grounds = state.grounds()
    found["state"] = [state.get(name) for name in KNOWN]
    found["grounds"] = (grounds.customers, grounds.last_time, grounds.by_priority)
    return found


def check(connection: sqlite3.Connection, found: list[Entry], later: timedelta) -> None:
    """The views give the findings that the plain rules give, at an instant after every fact."""
    last = max([x.time for x in found] + [c for x in found if (c := getattr(x.event, "time", None))])
    as_of = last + max(later, timedelta(seconds=1))
    judgement = Judgement(History(found), as_of)
    asked, everything = answers.Answers(connection, seconds(as_of)), answers.Wanted()
    verdicts, handled = response_times.findings(judgement), handling_order.findings(judgement)

    assert list(asked.compliance(everything)) == [v.as_json() for v in verdicts]
    assert list(asked.order(everything)) == [h.as_json() for h in handled]
    assert asked.order_totals(everything) == handling_order.totals(handled)
    assert asked.queue(everything) == handling_order.queue(judgement, verdicts)
    for by in totals.GROUPS:
        assert asked.totals(by, everything) == totals.totals(verdicts, by)


@given(st.data())
def test_built_from_nothing_they_equal_the_plain_rules(data: st.DataObject) -> None:
    found = entries(data.draw(case_histories()))
    later = data.draw(st.integers(1, 40 * 86400))
    with tempfile.TemporaryDirectory() as folder, views(Path(folder, "v"), found) as connection:
        check(connection, found, timedelta(seconds=later))


@given(st.data())
def test_caught_up_at_any_points_they_equal_a_rebuild(data: st.DataObject) -> None:
    found = entries(data.draw(case_histories()))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(found) - 1)), max_size=6)))
    with tempfile.TemporaryDirectory() as folder:
        for cut in cuts:
            with views(Path(folder, "v"), found[:cut]):
                pass
        with views(Path(folder, "v"), found) as caught_up, views(Path(folder, "w"), found) as rebuilt:
            assert kept(caught_up) == kept(rebuilt)
            check(caught_up, found, timedelta(days=1))


def test_time_between_is_whole() -> None:
    assert seconds(datetime.fromisoformat("2026-01-01T00:00:00+00:00")) == 1767225600
