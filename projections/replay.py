"""One pass over the entries of cases: each stream is folded as it goes by, judged, and made a row of the views.

What `response_times` and `handling_order` fold, in whole seconds and written to be quick. §response-times,
§full-access, §order-of-handling.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ledger.errors import LedgerBroken, damaged
from ledger.instants import TAIL
from projections.grounds import Beyond, Grounds, Priority, Unsettled
from projections.quick_verdicts import NOT_JUDGED, encode, judged
from projections.stored_facts import (
    ALONE,
    ANSWERED,
    ASKED,
    ASSIGNED,
    CANCELLED,
    CORRECTED,
    FAR,
    GRANTED,
    HOUR,
    HOURS,
    KNOWN,
    OPENING,
    OTHER,
    PAST,
    SECONDS,
    SHIFT,
    WITHDRAWN,
    Fact,
    Key,
    Moves,
    Stay,
    Stored,
    Wait,
    instant,
    opened_with,
    positions,
)


class Case(msgspec.Struct, gc=False):
    """One case judged.

    row: the values of the columns of the views' table of cases; verdict and unsettled are both None where only the
    plain rules can judge it. unsettled: what an unanswered case's verdict follows from.
    """

    row: tuple[Any, ...]
    moves: Moves
    last_time: int
    entries: int
    is_judged: bool
    unsettled: Unsettled | None


class Emptied(msgspec.Struct):
    """A stream of which nothing is left: its entries were withdrawn, or nothing of it is seen yet."""

    stream: str
    first_position: int
    entries: int
    last_position: int


def cases(rows: Iterable[Stored], grounds: Grounds, as_of: int | None = None) -> Iterator[Case | Emptied]:
    """Yield every case of these entries, each stream's together and in order, as it stands at `as_of`; None: all known.

    Raises LedgerBroken for a stream in which a version is missing, and for an entry that cannot be read.
    """
    hours, seconds, known, hour, past, tail = HOURS, SECONDS, KNOWN, HOUR, PAST, TAIL
    stream, facts, plain, last, at, what, count = "", list[Fact](), True, -1, 0, OTHER, 0
    for entry in rows:
        position, of, version, name, state = entry
        if of != stream:
            if facts:
                yield _case(stream, facts, plain, grounds, as_of)
            stream, facts, plain, last, count = of, [], as_of is None, -FAR, 0
        count += 1
        if version != count:
            what_is_wrong = f"it is version {version} of {of}, after version {count - 1}"
            raise damaged(f"entry {position}", what_is_wrong)
        try:
            at = hours[state[hour]] + seconds[state[past]]
            what, told = known[name]
            if what == OPENING:
                fields = opened_with(state).data
            else:
                fields = None if told is None else told.get(state[tail]) or told.read(state)
            facts.append((at, position, what, fields))
        except (msgspec.MsgspecError, KeyError, ValueError):
            raise unreadable(entry) from None
        if at < last or what >= WITHDRAWN:
            plain = False
        last = at
    if facts:
        yield _case(stream, facts, plain, grounds, as_of)


def unreadable(entry: Stored) -> LedgerBroken:
    """Return the error that says why a stored entry is not what it claims to be."""
    from ledger.store.mapper import from_state

    try:
        from_state(*entry)
    except LedgerBroken as error:
        return error
    return LedgerBroken(f"entry {entry[0]}", "it cannot be read", "restore the ledger from a copy")


def _effective(facts: list[Fact], as_of: int | None) -> tuple[list[Fact], dict[int, list[int]]]:
    """Return the facts as corrections leave them, in order of time, then position, and what corrected each position."""
    found: dict[int, Fact] = {}
    corrections: dict[int, list[int]] = {}
    for version, fact in enumerate(facts, 1):
        _, position, what, fields = fact
        if what == WITHDRAWN:
            found.pop(fields.version, None)
        elif what == CORRECTED:
            if fields.version in found:
                _, target, kind, _ = found[fields.version]
                right = ALONE[kind](fields.data) if kind in ALONE else None
                found[fields.version] = (instant(fields.time), target, kind, right)
                corrections.setdefault(target, []).append(position)
        else:
            found[version] = fact
    kept = sorted(found.values(), key=lambda f: f[:2])
    if as_of is not None and any(f[0] > as_of for f in kept):
        opened = any(f[2] == OPENING and f[0] <= as_of for f in kept)
        kept = [f for f in kept if f[0] <= as_of] if opened else []
    return kept, corrections


def _case(stream: str, recorded: list[Fact], plain: bool, grounds: Grounds, as_of: int | None) -> Case | Emptied:
    """Fold the facts of a case: its priority, its waits, what ended its clock, and where it waited in the meantime."""
    corrections: dict[int, list[int]] = {}
    facts = recorded
    if not plain:
        facts, corrections = _effective(recorded, as_of)
        if not facts:
            return Emptied(stream, recorded[0][1], len(recorded), recorded[-1][1])
    received, position, what, opening = facts[0]
    if what != OPENING:
        raise LedgerBroken(f"entry {position}", f"{stream} does not begin with it", "restore the ledger from a copy")
    rules = grounds.rules[0] if len(grounds.rules) == 1 else grounds.rules_at(received)
    group = priority = rules.unassigned
    enter: Key | None = received << SHIFT | position
    stays: list[Stay] = []
    handled: tuple[Priority, Key] | None = None
    responded: int | None = None
    assigned: list[Fact] = []
    waits: list[Wait] = []
    ended: Fact | None = None
    for fact in facts:
        at, where, what, fields = fact
        if what > GRANTED or (ended is not None and what <= CANCELLED):
            continue
        if what == ANSWERED:
            if fields is None or fields.responder != "automatic" or rules.any_responder:
                ended, responded, second = fact, at, at << SHIFT
                handled = (group, second | where)
                if enter is not None:
                    stays.append((group, enter, second))
                    enter = None
                if stays and ((stays[-1][2] or 0) > second or stays[-1][1] >= second):
                    stays = _left_by(stays, second)
        elif what == ASSIGNED:
            assigned.append(fact)
            priority = fields.priority
            if priority != group:
                if enter is not None:
                    stays.append((group, enter, at << SHIFT | where))
                    enter = at << SHIFT | where
                group = priority
        elif what == ASKED:
            waits.append((fact, None))
            if ended is None and enter is not None:
                stays.append((group, enter, at << SHIFT | where))
                enter = None
        elif what == GRANTED:
            waits = [(a, fact if b is None and a[3].what == fields.what else b) for a, b in waits]
            if ended is None and all(b for _, b in waits):
                enter = at << SHIFT | where
        else:
            ended = fact
            if enter is not None:
                stays.append((group, enter, at << SHIFT | where))
                enter = None
    if enter is not None:
        stays.append((group, enter, None))
    steps = [[position], [f[1] for f in assigned], [] if ended is None else [ended[1]]]
    if corrections:
        steps = [positions(x, corrections) for x in (facts[:1], assigned, (ended,) if ended else ())]
    found, unsettled, is_judged = (None, responded, *NOT_JUDGED), None, False
    if not rules.plain:
        try:  # a context costs more than the verdict's own look-ups
            found, unsettled = judged(
                opening, received, rules, grounds, assigned, waits, ended, responded, steps, corrections
            )
            is_judged = True
        except Beyond:  # years outside the clocks: the plain rules say what they think of that
            pass
    left = received if not stays else FAR if stays[-1][2] is None else stays[-1][2] >> SHIFT
    if handled is not None:
        left = handled[1] >> SHIFT
    last_time = facts[-1][0]
    row = (
        position,
        stream,
        stream[: stream.index(":")],
        opening.kind,
        opening.customer,
        opening.service,
        opening.channel,
        priority,
        received,
        *found,
        last_time,
        recorded[0][1],
        recorded[-1][1],
        encode(steps).decode(),
        None if unsettled is None else encode(unsettled).decode(),
    )
    moves = (received, position, left, stays, handled)
    return Case(row, moves, last_time, len(recorded), is_judged, unsettled)


def _left_by(stays: list[Stay], second: Key) -> list[Stay]:
    """Return the stays of a case that was handled: it waits no more from the beginning of that second."""
    return [(g, a, second if b is None or b > second else b) for g, a, b in stays if a < second]
