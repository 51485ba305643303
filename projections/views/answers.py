"""What reports ask of the views: rows in their fixed shapes, verdicts settled at the instant of the question."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from projections.clauses import RANKS, in_order
from projections.figures import percent_of
from projections.grounds import Beyond, Clock, Grounds, Unsettled
from projections.stored_facts import stamped
from projections.totals import COUNTED, summed
from projections.views.file import State
from projections.views.tables import (
    CASE_COLUMNS,
    CUSTOMER,
    DUE,
    GROUP_COLUMN,
    POSITION,
    PRIORITY,
    RECEIVED,
    REQUEST_KIND,
    RESPONDED,
    STEPS,
    SUMS,
    UNSETTLED,
    VERDICT,
    Damaged,
    NotKept,
    decode,
    unsealed,
)

if TYPE_CHECKING:
    from projections.views.uptime import Year

_unsettled = msgspec.json.Decoder(Unsettled).decode
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases to show; what is None does not matter. period: of a customer, the instants of receipt, half-open."""

    customer: str | None = None
    service: str | None = None
    priority: str | None = None
    channel: str | None = None
    kind: str | None = None
    verdict: str | None = None
    period: Callable[[str], tuple[int | None, int | None]] | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Wanted()

    def where(self) -> tuple[str, list[Any]]:
        """Return the condition on the columns of a case, and its values; a period is looked at row by row."""
        terms, values = ["1"], list[Any]()
        for column in ("customer", "service", "priority", "channel"):
            if getattr(self, column) is not None:
                terms.append(f"c.{column} = ?")
                values.append(getattr(self, column))
        if self.kind is not None:
            terms.append("(c.kind = ? OR c.request_kind = ?)")
            values += [self.kind, self.kind]
        return " AND ".join(terms), values

    def in_period(self, row: Row) -> bool:
        """Return whether a case was received in the period."""
        if self.period is None:
            return True
        begin, end = self.period(row[CUSTOMER])
        return (begin is None or begin <= row[RECEIVED]) and (end is None or row[RECEIVED] < end)

    def passes(self, row: Row) -> bool:
        """Return whether a case is one of those wanted."""
        return (
            self.customer in (None, row[CUSTOMER])
            and self.service in (None, row[5])
            and self.priority in (None, row[PRIORITY])
            and self.channel in (None, row[6])
            and self.kind in (None, row[2], row[REQUEST_KIND])
            and self.in_period(row)
        )


class Answers:
    """The views of a ledger, asked at an instant later than every fact they know.

    then: what cases were judged by when the views are asked as they were, laid out by `then.prepare`.
    """

    def __init__(self, connection: sqlite3.Connection, as_of: int, then: Grounds | None = None) -> None:
        self._connection, self.as_of = connection, as_of
        self._state = State(connection)
        self._grounds, self._is_then = then, then is not None
        self._asked, self._handling = ("asked", "asked_handling") if self._is_then else ("cases", "handling")
        self._clocks: dict[int, Clock] = {}

    @property
    def grounds(self) -> Grounds:
        """What the cases were judged on."""
        if self._grounds is None:
            self._grounds = self._state.grounds_without_clocks()
        return self._grounds

    @property
    def position(self) -> int:
        """The position of the last entry that the views know."""
        return int(self._state.get("position"))

    def clock(self, index: int) -> Clock:
        """Return one of the clocks."""
        if index not in self._clocks:
            self._clocks[index] = self.grounds.clocks[index] if self._is_then else self._state.clock(index)
        return self._clocks[index]

    def compliance(self, wanted: Wanted) -> Iterator[dict[str, Any]]:
        """Yield the finding on every case wanted, in order of receipt."""
        for row in self._cases(wanted):
            found = self.finding(row)
            if wanted.verdict in (None, found["verdict"]):
                yield found

    def totals(self, by: str, wanted: Wanted) -> list[dict[str, Any]]:
        """Return a row for each value of `by` and a last one for all."""
        counts: dict[str, dict[str, int]] = {}

        def count(item: str, verdict: str, cases: int = 1) -> None:
            if wanted.verdict in (None, verdict):
                counts.setdefault(item, dict.fromkeys(COUNTED, 0))[verdict] += cases

        if wanted.is_everything:
            for item, verdict, cases in self._totals(by):
                count(item, verdict, cases)
            rows = self._cases(wanted, "c.verdict IS NULL")
        else:
            rows = self._cases(wanted)
        for case in rows:
            count(case[GROUP_COLUMN[by]], case[VERDICT] or self.settled(case)["verdict"])
        return summed(by, counts)

    def queue(self, wanted: Wanted) -> list[dict[str, Any]]:
        """Return the unanswered cases in the order to handle them, paused ones last and without rank."""
        cases = [(case, self.settled(case)) for case in self._cases(wanted, "c.verdict IS NULL")]
        by_priority = self.grounds.by_priority
        cases.sort(key=lambda c: (c[1]["verdict"] == "paused", RANKS[c[0][PRIORITY]] if by_priority else 0))
        rows, rank = list[dict[str, Any]](), 0
        for case, now in cases:
            rank += now["verdict"] != "paused"
            rows.append(
                {
                    "rank": None if now["verdict"] == "paused" else rank,
                    "case": case[1],
                    "customer": case[CUSTOMER],
                    "priority": case[PRIORITY],
                    "received_at": stamped(case[RECEIVED]),
                    "due_at": _shown(case[DUE]),
                    "remaining_seconds": now["remaining"],
                    "at_risk": now["at_risk"],
                    "verdict": now["verdict"],
                    "doubts": decode(case[18]),
                }
            )
        return rows

    def order(self, wanted: Wanted) -> Iterator[dict[str, Any]]:
        """Yield how many cases each case wanted overtook, and by how many it was overtaken, in order of receipt."""
        clauses = in_order(["§prioritisation", "§order-of-handling"])
        for case, kept in self._handled(wanted):
            steps = decode(case[STEPS])
            because = {p for step in steps for p in step}
            if kept[5] is not None:
                because.update(self._steps_of(kept[5])[0])
            for _, passer in decode(kept[6]):
                receipt, _, ended = self._steps_of(passer)
                because.update(receipt, ended)
            yield {
                "case": case[1],
                "priority": case[PRIORITY],
                "received_at": stamped(case[RECEIVED]),
                "handled_at": _shown(case[RESPONDED]),
                "overtook": kept[3],
                "overtaken_by": kept[4],
                "terms": self.grounds.rules_at(case[RECEIVED]).id,
                "clauses": clauses,
                "because": sorted(because),
                "doubts": [],
            }

    def case(self, stream: str) -> Row | None:
        """Return the row of a case, None without one."""
        statement = f"SELECT {CASE_COLUMNS} FROM {self._asked} WHERE stream = ?"
        row = self._connection.execute(statement, (stream,)).fetchone()
        return None if row is None else unsealed(row)

    def streams(self, wanted: Wanted) -> list[str]:
        """Return the cases wanted, in order of receipt."""
        return [str(row[1]) for row in self._cases(wanted)]

    def beside(self, stream: str) -> tuple[list[Row], list[Row]]:
        """Return the handling of the cases that one overtook and of those that overtook it, in order of receipt."""
        from projections.views.beside import Beside

        beside = Beside(self._connection, self._asked, self._handling, by_priority=self.grounds.by_priority)
        return beside.of(stream)

    def stream_of(self, position: int) -> str:
        """Return the case that an entry opens."""
        row = self._connection.execute(f"SELECT stream FROM {self._asked} WHERE position = ?", (position,)).fetchone()
        if row is None:
            raise Damaged(f"the case that entry {position} opens is missing")
        return str(row[0])

    def order_totals(self, wanted: Wanted) -> dict[str, Any]:
        """Return how many cases wanted were handled, and how many of them in turn."""
        if wanted.is_everything and not self._is_then:
            sums = {name: self._state.get(name) for name in SUMS}
        elif wanted.is_everything:
            sums = handled_sums(map(unsealed, self._connection.execute("SELECT * FROM asked_handling")))
        else:
            sums = handled_sums(kept for _, kept in self._handled(wanted))
        handled, in_turn = sums["handled"], sums["handled"] - sums["out_of_turn"]
        return {**sums, "in_turn_percent": percent_of(in_turn, handled, 2) if handled else None}

    def availability(self, year: int, customer: str | None, service: str | None) -> Year:
        """Return the availability of a calendar year, a row a customer and service."""
        from projections.views import uptime

        found = None if self._is_then else uptime.kept(self._connection, year, customer, service, self.as_of)
        if found is None:
            raise NotKept
        return uptime.Year(year, self.as_of, self.position, found)

    def finding(self, case: Row) -> dict[str, Any]:
        """Return the finding on a case in its fixed shape."""
        now = self.settled(case) if case[VERDICT] is None else None
        return {
            "case": case[1],
            "kind": case[2],
            "request_kind": case[REQUEST_KIND],
            "customer": case[CUSTOMER],
            "service": case[5],
            "channel": case[6],
            "priority": case[PRIORITY],
            "received_at": stamped(case[RECEIVED]),
            "due_at": _shown(case[DUE]),
            "responded_at": _shown(case[RESPONDED]),
            "paused_seconds": case[11] if now is None else now["paused"],
            "business_seconds": case[12] if now is None else now["business"],
            "late_by_seconds": case[13] if now is None else now["late"],
            "verdict": case[VERDICT] if now is None else now["verdict"],
            "terms": case[15],
            "clauses": decode(case[16]),
            "because": decode(case[17]),
            "doubts": decode(case[18]),
        }

    def settled(self, case: Row) -> dict[str, Any]:
        """Return verdict, business time, lateness, time left and risk of an unanswered case at the instant asked."""
        if case[UNSETTLED] is None:
            raise NotKept
        u, at, received = _unsettled(case[UNSETTLED]), self.as_of, case[RECEIVED]
        clock = self.clock(u.clock)
        try:
            now, begun = clock.passed(at), clock.passed(received)
            paused = u.paused + (now - clock.passed(u.waiting) if u.waiting is not None else 0)
            due = None if u.due is None else clock.passed(u.due)
        except Beyond:
            raise NotKept from None
        late = at - u.due if u.due is not None and at > u.due else None
        left = None if due is None else due - now if late is None else -late
        share, of = self.grounds.rules_at(received).at_risk
        return {
            "verdict": "overdue" if late is not None else u.verdict,
            "paused": paused,
            "business": now - begun - paused,
            "late": late,
            "remaining": left,
            "at_risk": due is not None and left is not None and (left < 0 or left * of <= share * (due - begun)),
        }

    def _totals(self, by: str) -> Iterator[tuple[str, str, int]]:
        """Yield how many answered cases of each kind have which verdict."""
        if not self._is_then:
            for kept in self._connection.execute("SELECT * FROM totals WHERE grouped = ?", (by,)):
                yield unsealed(kept)[1:]
            return
        for case in self._cases(Wanted(), "c.verdict IS NOT NULL"):
            yield case[GROUP_COLUMN[by]], case[VERDICT], 1

    def _cases(self, wanted: Wanted, condition: str = "1") -> Iterator[Row]:
        where, values = wanted.where()
        columns = ", ".join(f"c.{name.strip()}" for name in CASE_COLUMNS.split(","))
        statement = (
            f"SELECT {columns} FROM {self._asked} c WHERE {where} AND {condition} ORDER BY c.received, c.position"
        )
        for case in self._connection.execute(statement, values):
            found = unsealed(case)
            if wanted.in_period(found):
                yield found

    def _handled(self, wanted: Wanted) -> Iterator[tuple[Row, Row]]:
        statement = f"SELECT * FROM {self._handling} WHERE position = ?"
        for case in self._cases(wanted):
            kept = self._connection.execute(statement, (case[POSITION],)).fetchone()
            if kept is None:
                raise Damaged(f"the handling of {case[1]} is missing")
            yield case, unsealed(kept)

    def _steps_of(self, position: int) -> Any:
        statement = f"SELECT {CASE_COLUMNS} FROM {self._asked} WHERE position = ?"
        row = self._connection.execute(statement, (position,)).fetchone()
        if row is None:
            raise Damaged(f"the case that entry {position} opens is missing")
        return decode(unsealed(row)[STEPS])


def _shown(at: int | None) -> str | None:
    return None if at is None else stamped(at)


def handled_sums(rows: Iterable[tuple[Any, ...]]) -> dict[str, int]:
    """Return what handling rows add up to."""
    sums = dict.fromkeys(SUMS, 0)
    for row in rows:
        handled = row[8] is not None
        sums["handled"] += handled
        sums["out_of_turn"] += handled and row[3] > 0
        sums["overtaken"] += row[4] > 0
        sums["overtakings"] += row[3]
    return sums
