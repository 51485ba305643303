"""One pass over the entries of cases: each stream is folded and judged as it goes by, in whole seconds.

Judges what `response_times` and `handling_order` judge, by the same rules, for hundreds of thousands of cases; what it
does not know (a reading of `grounding.ORDINARY`, years outside a clock) it leaves to them. §response-times,
§business-hours, §full-access, §order-of-handling.
"""

from __future__ import annotations

from calendar import timegm
from collections.abc import Iterable, Iterator
from time import gmtime, strptime
from typing import Literal

import msgspec

from ledger.errors import LedgerBroken
from projections.clauses import DOUBTED
from projections.grounds import Beyond, Clock, Grounds, Rules, Unsettled

Stored = tuple[int, str, int, str, bytes]  # position, stream, version, name, state
Fact = tuple[int, int, int, "Row"]  # time, position, what, and what is stored of it
Key = int  # an instant and a position, in this order
Stay = tuple[str, Key, Key | None]  # waits in a group from (exclusive of nothing) until; None: still does

SHIFT = 31
OPENING, ASSIGNED, ANSWERED, STARTED, ASKED, GRANTED, CANCELLED, WITHDRAWN, CORRECTED, OTHER = range(10)
WHAT = {
    "IncidentReported": OPENING,
    "ServiceRequested": OPENING,
    "PriorityAssigned": ASSIGNED,
    "ResponseGiven": ANSWERED,
    "IncidentResolved": ANSWERED,
    "RequestFulfilled": ANSWERED,
    "TroubleshootingStarted": STARTED,
    "AccessRequested": ASKED,
    "AccessGranted": GRANTED,
    "IncidentCancelled": CANCELLED,
    "RequestCancelled": CANCELLED,
    "IncidentReopened": OTHER,
    "EntryWithdrawn": WITHDRAWN,
    "EntryCorrected": CORRECTED,
}


class Data(msgspec.Struct, gc=False):
    """The few fields of cases' events that judging needs."""

    customer: str = ""
    service: str = ""
    channel: Literal["", "phone", "email", "chat", "web", "video", "on_site", "monitoring"] = ""
    kind: str | None = None
    remote_assistance: bool = False
    wanted_for: str | None = None
    priority: Literal["", "high", "medium", "low"] = ""
    responder: Literal["", "human", "automatic"] = ""
    what: Literal["", "remote_access", "details"] = ""
    version: int = 0
    time: str = ""
    data: msgspec.Raw = msgspec.Raw()


class Row(msgspec.Struct, gc=False):
    """An entry's state, as far as judging needs it."""

    time: str
    data: Data


_row = msgspec.json.Decoder(Row).decode
_data = msgspec.json.Decoder(Data).decode


class _Days(dict[str, int]):
    def __missing__(self, day: str) -> int:
        found = self[day] = timegm(strptime(day, "%Y-%m-%d"))
        return found


class _Clocks(dict[str, int]):
    def __missing__(self, clock: str) -> int:
        found = self[clock] = int(clock[:2]) * 3600 + int(clock[3:5]) * 60 + int(clock[6:8])
        return found


class _Dates(dict[int, str]):
    def __missing__(self, day: int) -> str:
        at = gmtime(day * 86400)
        found = self[day] = f"{at.tm_year:04d}-{at.tm_mon:02d}-{at.tm_mday:02d}T"
        return found


_DAYS, _CLOCKS, _DATES = _Days(), _Clocks(), _Dates()


def instant(stamp: str) -> int:
    """Return the seconds since 1970 of an instant as it is stored, in UTC."""
    return _DAYS[stamp[:10]] + _CLOCKS[stamp[11:19]]


def stamped(at: int) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC."""
    day, second = divmod(at, 86400)
    minute, second = divmod(second, 60)
    return f"{_DATES[day]}{minute // 60:02d}:{minute % 60:02d}:{second:02d}Z"


class Case(msgspec.Struct, gc=False):
    """One case judged. `figures` are None where only the plain rules can judge it."""

    position: int  # of the entry that opens it: what the case is known by in the views
    stream: str
    first_position: int  # of the stream's entries
    entries: int
    last_position: int
    last_time: int
    received: int
    opening: Data
    received_at: str
    priority: str
    steps: list[list[int]]  # positions of the receipt, the assignments that count, and what ended the clock
    answered_at: str | None
    ended: int | None
    stays: list[Stay]
    handled: tuple[str, Key] | None
    figures: Figures | None


class Figures(msgspec.Struct, gc=False):
    """The figures of a verdict. An unanswered case has `unsettled` in place of verdict and business time."""

    rules: Rules
    month: str
    due: int | None
    paused: int
    passed: int
    late: int | None
    verdict: str | None
    clauses: frozenset[str]
    because: list[int]
    doubts: tuple[str, ...]
    unsettled: Unsettled | None


class Emptied(msgspec.Struct):
    """A stream of which nothing is left: its entries were withdrawn, or nothing of it is seen yet."""

    stream: str
    first_position: int
    entries: int
    last_position: int


def cases(rows: Iterable[Stored], grounds: Grounds, as_of: int | None = None) -> Iterator[Case | Emptied]:
    """Yield every case of these entries, each stream's together and in order, as it stands at `as_of`; None: all known.

    Raises LedgerBroken for a stream in which a version is missing.
    """
    stream, facts, plain, last = "", list[Fact](), True, -1
    for position, of, version, name, state in rows:
        if of != stream:
            if facts:
                yield _case(stream, facts, plain, grounds, as_of)
            stream, facts, plain, last = of, [], as_of is None, -1
        if version != len(facts) + 1:
            raise LedgerBroken(
                f"entry {position}",
                f"it is version {version} of {of}, after version {len(facts)}",
                "restore the ledger from a copy; something else than this program wrote to it",
            )
        try:
            row = _row(state)
            stamp = row.time
            at = _DAYS[stamp[:10]] + _CLOCKS[stamp[11:19]]
            what = WHAT[name]
        except (msgspec.MsgspecError, KeyError, ValueError):
            raise unreadable((position, of, version, name, state)) from None
        if at < last or what >= WITHDRAWN:
            plain = plain and what == OTHER and at >= last
        last = at
        facts.append((at, position, what, row))
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
    for version, (at, position, what, row) in enumerate(facts, 1):
        if what == WITHDRAWN:
            found.pop(row.data.version, None)
        elif what == CORRECTED:
            if row.data.version in found:
                _, target, kind, _ = found[row.data.version]
                right = Row(row.data.time, _data(row.data.data))
                found[row.data.version] = (instant(right.time), target, kind, right)
                corrections.setdefault(target, []).append(position)
        else:
            found[version] = (at, position, what, row)
    kept = sorted(found.values(), key=lambda f: f[:2])
    if as_of is not None and any(f[0] > as_of for f in kept):
        opened = any(f[2] == OPENING and f[0] <= as_of for f in kept)
        kept = [f for f in kept if f[0] <= as_of] if opened else []
    return kept, corrections


def _case(stream: str, recorded: list[Fact], plain: bool, grounds: Grounds, as_of: int | None) -> Case | Emptied:
    corrections: dict[int, list[int]] = {}
    facts = recorded
    if not plain:
        facts, corrections = _effective(recorded, as_of)
        if not facts:
            return Emptied(stream, recorded[0][1], len(recorded), recorded[-1][1])
    received, position, what, row = facts[0]
    opening = row.data
    if what != OPENING or not (opening.customer and opening.service and opening.channel):
        raise LedgerBroken(f"entry {position}", f"{stream} does not begin with it", "restore the ledger from a copy")
    rules = grounds.rules_at(received)
    group = priority = rules.unassigned
    enter: Key | None = received << SHIFT | position
    stays: list[Stay] = []
    handled: tuple[str, Key] | None = None
    assigned: list[Fact] = []
    asked: set[str] = set()
    waits: list[tuple[Fact, Fact | None]] = []
    ended: Fact | None = None
    is_answered = False
    for fact in facts[1:]:
        at, where, what, row = fact
        data = row.data
        if what == ASSIGNED:
            if ended is None:
                assigned.append(fact)
                priority = data.priority
                if data.priority != group:
                    if enter is not None:
                        stays.append((group, enter, at << SHIFT | where))
                        enter = at << SHIFT | where
                    group = data.priority
        elif what == ANSWERED:
            if ended is None and (data.responder != "automatic" or rules.any_responder):
                ended, is_answered = fact, True
                handled = (group, at << SHIFT | where)
                if enter is not None:
                    stays.append((group, enter, None))
                    enter = None
                stays = _left_by(stays, at << SHIFT)
        elif what == ASKED:
            waits.append((fact, None))
            asked.add(data.what)
            if ended is None and enter is not None:
                stays.append((group, enter, at << SHIFT | where))
                enter = None
        elif what == GRANTED:
            waits = [(a, fact if b is None and a[3].data.what == data.what else b) for a, b in waits]
            asked.discard(data.what)
            if ended is None and not asked:
                enter = at << SHIFT | where
        elif what == CANCELLED and ended is None:
            ended = fact
            if enter is not None:
                stays.append((group, enter, at << SHIFT | where))
                enter = None
    if enter is not None:
        stays.append((group, enter, None))
    found = Case(
        position=position,
        stream=stream,
        first_position=recorded[0][1],
        entries=len(recorded),
        last_position=recorded[-1][1],
        last_time=facts[-1][0],
        received=received,
        opening=opening,
        received_at=facts[0][3].time,
        priority=priority,
        steps=[_positions(x, corrections) for x in ((facts[0],), assigned, (ended,) if ended else ())],
        answered_at=ended[3].time if ended and is_answered else None,
        ended=ended[0] if ended else None,
        stays=stays,
        handled=handled,
        figures=None,
    )
    if not rules.plain:
        try:
            found.figures = _figures(found, rules, grounds, assigned, waits, is_answered, corrections)
        except Beyond:
            found.figures = None
    return found


def _positions(facts: Iterable[Fact], corrections: dict[int, list[int]]) -> list[int]:
    if not corrections:
        return [f[1] for f in facts]
    return [p for f in facts for p in (f[1], *corrections.get(f[1], ()))]


def _left_by(stays: list[Stay], second: Key) -> list[Stay]:
    """Return the stays of a case that was handled: it waits no more from the beginning of that second."""
    return [(g, a, second if b is None or b > second else b) for g, a, b in stays if a < second]


def _figures(
    case: Case,
    rules: Rules,
    grounds: Grounds,
    assigned: list[Fact],
    waits: list[tuple[Fact, Fact | None]],
    is_answered: bool,
    corrections: dict[int, list[int]],
) -> Figures:
    opening, received, ended = case.opening, case.received, case.ended
    customer = grounds.customer(opening.customer)
    desk = customer.desk or rules.default_desk
    timeline = customer.timeline(opening.service)
    index = timeline.index(received)
    deal = timeline.deals[index] if rules.all_channels or opening.channel == "phone" else None
    clock = grounds.clocks[rules.clocks[desk] if deal is None else rules.always[desk]]
    passed = clock.passed(received)
    pauses, open_since = _pauses(waits, received, ended) if waits else ([], None)
    paused = sum(clock.passed(b) - clock.passed(a) for a, b in pauses) if pauses else 0
    apart = opening.channel in rules.best_effort
    due: int | None = None
    locked = False
    if not apart:
        due, locked = _due(case, rules, clock, passed, pauses, open_since, assigned)
    waiting = open_since is not None and not apart and not locked and (due is None or open_since <= due)
    verdict: str | None = None
    late: int | None = None
    unsettled: Unsettled | None = None
    business = 0
    if ended is not None:
        business = clock.passed(ended) - passed - paused
        if due is not None and ended > due:
            verdict, late = "breached", ended - due
        else:
            verdict = "best_effort" if apart else "met" if is_answered else "cancelled"
    else:
        due = None if waiting else due
        unsettled = Unsettled(
            "best_effort" if apart else "paused" if waiting else "open",
            rules.clocks[desk] if deal is None else rules.always[desk],
            paused,
            open_since,
            due,
        )
    doubts = timeline.doubts[index]
    if received < grounds.rules[0].since:
        doubts = sorted([*doubts, "before_first_terms"])
    return Figures(
        rules,
        grounds.month(desk, received),
        due,
        paused,
        business,
        late,
        verdict,
        _clauses(case, clock, deal is not None, bool(assigned), waits, doubts),
        _because(case, rules, customer.positions, deal, waits, corrections),
        tuple(doubts),
        unsettled,
    )


def _pauses(
    waits: list[tuple[Fact, Fact | None]], received: int, ended: int | None
) -> tuple[list[tuple[int, int]], int | None]:
    """Return the pauses that ended, merged and clipped to receipt and the clock's end, and when an open one began."""
    until = ended if ended is not None else 1 << 40
    spans = sorted((max(a[0], received), min(b[0] if b else until, until)) for a, b in waits)
    merged: list[tuple[int, int]] = []
    for begin, end in spans:
        if begin >= end:
            continue
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    if ended is None and merged and merged[-1][1] == until:
        return merged[:-1], merged[-1][0]
    return merged, None


def _due(
    case: Case,
    rules: Rules,
    clock: Clock,
    passed: int,
    pauses: list[tuple[int, int]],
    open_since: int | None,
    assigned: list[Fact],
) -> tuple[int | None, bool]:
    """Return when the answer was due, None while an open pause moves that, and whether a late change of priority
    was without effect."""

    def due_under(priority: str) -> tuple[int, bool]:
        wanted = rules.hours.get(priority)
        due = first = (
            clock.close_of(case.received, rules.days[priority]) if wanted is None else clock.reached(passed + wanted)
        )
        moved = 0
        for begin, end in pauses:
            if begin > due:
                return due, False
            moved += clock.passed(end) - clock.passed(begin)
            if wanted is not None:
                due = clock.reached(passed + wanted + moved)
            elif moved:
                due = clock.reached(clock.passed(first) + moved)
        return due, open_since is not None and open_since <= due

    remote = case.opening.remote_assistance
    current = rules.remote if remote else rules.unassigned
    due, moves = due_under(current)
    for at, _, _, row in () if remote else assigned:
        if row.data.priority == current:
            continue
        held = any(a <= due and a <= at < b for a, b in pauses)
        if at > due and not held and not (moves and open_since is not None and open_since <= at):
            return due, True
        current = row.data.priority
        due, moves = due_under(current)
    return (None if moves else due), False


_CLAUSES: dict[tuple[object, ...], frozenset[str]] = {}
CHANNELS = {"phone": "§phone", "email": "§email"}
APART = {"chat": "§chat", "on_site": "§on-site"}


def _clauses(
    case: Case, clock: Clock, deal: bool, assigned: bool, waits: list[tuple[Fact, Fact | None]], doubts: list[str]
) -> frozenset[str]:
    channel, remote = case.opening.channel, case.opening.remote_assistance
    waited = any(case.ended is None or a[0] <= case.ended for a, _ in waits)
    out_of_hours = channel in CHANNELS and not deal and not clock.is_open(case.received)
    key = (channel, remote, deal, assigned, waited, out_of_hours, *doubts)
    found = _CLAUSES.get(key)
    if found is None:
        clauses = {"§response-times", *(("§phone", "§outside-hours") if deal else ("§business-hours",))}
        clauses |= {CHANNELS[channel]} if out_of_hours else set()
        clauses |= {APART[channel]} if channel in APART else set()
        clauses |= {"§remote-assistance"} if remote else set()
        clauses |= {"§prioritisation"} if assigned else set()
        clauses |= {"§customer-duties", "§full-access"} if waited else set()
        clauses.update(DOUBTED[d] for d in doubts)
        found = _CLAUSES[key] = frozenset(clauses)
    return found


def _because(
    case: Case,
    rules: Rules,
    desk: list[int],
    deal: list[int] | None,
    waits: list[tuple[Fact, Fact | None]],
    corrections: dict[int, list[int]],
) -> list[int]:
    found = {*rules.positions, *desk, *rules.holidays, *(deal or ())}
    for step in case.steps:
        found.update(step)
    for wait in waits:
        found.update(_positions((f for f in wait if f and (case.ended is None or f[0] <= case.ended)), corrections))
    return sorted(found)
