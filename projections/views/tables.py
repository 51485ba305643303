"""The tables that findings are kept in, and the rows that go into them.

The columns are stable, so that other programs may read them. Times are RFC 3339 in UTC where they are text and seconds
since 1970 where they are numbers; lists and objects are JSON. `seal` is the CRC-32 of the row's other values as compact
JSON: a row that was damaged is noticed when it is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import islice
from typing import Any
from zlib import crc32

import msgspec

FORMAT = 3

SCHEMA = (
    """CREATE TABLE state ( -- what the views are true for
    name TEXT PRIMARY KEY,
    value, -- position: of the last entry seen; last_time: the latest time of a fact seen; others serve the program
    seal INTEGER NOT NULL
) WITHOUT ROWID""",
    """CREATE TABLE cases ( -- response times, a row a case: see the command compliance
    position INTEGER PRIMARY KEY, -- of the entry that opens the case
    stream TEXT NOT NULL,
    kind TEXT NOT NULL, -- incident, request
    request_kind TEXT,
    customer TEXT NOT NULL,
    service TEXT NOT NULL,
    channel TEXT NOT NULL,
    priority TEXT NOT NULL,
    received INTEGER NOT NULL,
    due INTEGER, -- null: paused, or measured apart
    responded INTEGER,
    paused_seconds INTEGER, -- these three: null while the case is unanswered
    business_seconds INTEGER,
    late_by_seconds INTEGER,
    verdict TEXT, -- null while it depends on the instant: overdue after due, otherwise as unsettled says
    terms TEXT NOT NULL,
    clauses TEXT NOT NULL,
    because TEXT NOT NULL,
    doubts TEXT NOT NULL,
    month TEXT NOT NULL, -- of the receipt, in the zone of the customer's desk
    last_time INTEGER NOT NULL, -- of the case's latest fact
    first_position INTEGER NOT NULL, -- of the stream's entries
    last_position INTEGER NOT NULL,
    steps TEXT NOT NULL, -- positions of receipt, assignments that count, and what ended the clock
    unsettled TEXT, -- what an unanswered case's verdict follows from; this and verdict null: only plain rules judge it
    seal INTEGER NOT NULL
)""",
    """CREATE TABLE handling ( -- handling order, a row a case: see the command order
    position INTEGER PRIMARY KEY, -- of the entry that opens the case
    received INTEGER NOT NULL,
    left_at INTEGER NOT NULL, -- when it waited last: a handled one when it was; 1099511627776 while it waits
    overtook INTEGER NOT NULL,
    overtaken_by INTEGER NOT NULL,
    overtook_first INTEGER, -- the first received among those it overtook
    passers TEXT NOT NULL, -- the first to overtake it in each of its stays: when the stay began, and which case
    stays TEXT NOT NULL, -- group, from, until; an instant is seconds * 2147483648 + position
    handled_in TEXT, -- group
    handled_at INTEGER, -- when, and by which entry
    handled_position INTEGER,
    seal INTEGER NOT NULL
)""",
    """CREATE TABLE emptied ( -- streams of cases whose entries were all withdrawn
    stream TEXT PRIMARY KEY,
    first_position INTEGER NOT NULL,
    last_position INTEGER NOT NULL,
    seal INTEGER NOT NULL
) WITHOUT ROWID""",
    """CREATE TABLE totals ( -- how many answered cases of each kind have which verdict: see compliance --by
    grouped TEXT NOT NULL, -- month, customer, service, priority, channel, kind
    item TEXT NOT NULL,
    verdict TEXT NOT NULL,
    cases INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (grouped, item, verdict)
) WITHOUT ROWID""",
    """CREATE TABLE availability ( -- a row a calendar year, customer and service: see the command availability
    year INTEGER NOT NULL,
    place INTEGER NOT NULL, -- in the report
    customer TEXT NOT NULL,
    service TEXT NOT NULL,
    valid_from INTEGER NOT NULL, -- the instants of judgement at which the row holds, half-open; none (0, 0) after
    valid_until INTEGER NOT NULL, -- new entries that reach it, until it is asked for again
    finding TEXT NOT NULL, -- the whole finding; with the doubt cut_at_as_of all that came since is up; null: see above
    basis TEXT NOT NULL, -- what of it does not come from outages, windows and gaps; serves the program
    seal INTEGER NOT NULL,
    PRIMARY KEY (year, customer, service)
) WITHOUT ROWID""",
    """CREATE VIEW response_times AS SELECT -- the cases for people: instants as text
    stream, kind, request_kind, customer, service, channel, priority,
    strftime('%Y-%m-%dT%H:%M:%SZ', received, 'unixepoch') AS received_at,
    strftime('%Y-%m-%dT%H:%M:%SZ', due, 'unixepoch') AS due_at,
    strftime('%Y-%m-%dT%H:%M:%SZ', responded, 'unixepoch') AS responded_at,
    paused_seconds, business_seconds, late_by_seconds, verdict, terms, clauses, because, doubts, month
FROM cases""",
)
INDEXES = (
    "CREATE UNIQUE INDEX cases_by_stream ON cases (stream)",
    "CREATE INDEX cases_by_receipt ON cases (received, customer, last_position, first_position, last_time)",
    "CREATE INDEX unsettled_cases ON cases (received) WHERE verdict IS NULL",
    "CREATE INDEX handling_by_leaving ON handling (left_at, handled_position, received, handled_in)",
)
GROUPED = ("month", "customer", "service", "priority", "channel", "kind")
CASE_COLUMNS = (
    "position, stream, kind, request_kind, customer, service, channel, priority, received, due, responded,"
    " paused_seconds, business_seconds, late_by_seconds, verdict, terms, clauses, because, doubts, month,"
    " last_time, first_position, last_position, steps, unsettled, seal"
)
POSITION, STREAM, KIND, REQUEST_KIND, CUSTOMER, SERVICE, CHANNEL, PRIORITY, RECEIVED, DUE, RESPONDED = range(11)
VERDICT, MONTH, LAST_TIME, FIRST_POSITION, LAST_POSITION, STEPS, UNSETTLED, SEAL = 14, *range(19, 26)
TOGETHER = 32  # rows that one statement inserts: it may have 999 values wherever SQLite runs
GROUP_COLUMN = {"month": 19, "customer": 4, "service": 5, "priority": 7, "channel": 6, "kind": 2}

AMISS = (TypeError, AttributeError, ValueError, OverflowError, RecursionError)  # what entries that are none bring about

encode = msgspec.json.encode
decode = msgspec.json.decode


SUMS = ("handled", "out_of_turn", "overtaken", "overtakings")
KNOWN = ("position", "mark", "last_time", "is_movable", *SUMS)
COMPARED = ("cases", "handling", "emptied", "totals")


class Damaged(Exception):
    """The views cannot be read as what was written; they are made anew."""


class NotKept(Exception):
    """The views do not hold the answer; the entries do."""


def write(
    connection: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, ...]], or_replace: bool = False
) -> None:
    """Insert rows into a table, each with its seal, some by each statement: what one costs beside its rows is much."""
    found, how = iter(rows), "INSERT OR REPLACE" if or_replace else "INSERT"
    while some := list(islice(found, TOGETHER)):
        marks = f"({'?,' * len(some[0])}?)"
        values: list[Any] = []
        for row in some:
            values += row
            values.append(crc32(encode(row)))
        connection.execute(f"{how} INTO {table} VALUES {','.join([marks] * len(some))}", values)


def unsealed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row without its seal; raise Damaged when they do not fit."""
    if crc32(encode(row[:-1])) != row[-1]:
        raise Damaged("a row is not as it was written")
    return row[:-1]
