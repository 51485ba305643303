"""One pass over the entries of cases: each stream is folded and judged as it goes by, in whole seconds.

Judges what `response_times` and `handling_order` judge, by the same rules, for hundreds of thousands of cases; what it
does not know (a reading of `grounding.ORDINARY`, years outside a clock) it leaves to them. Written to be quick: times
are read where the canonical state holds them, and of the rest only the few fields that judging needs.
§response-times, §business-hours, §full-access, §order-of-handling.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import timegm
from collections.abc import Callable, Iterable, Iterator
from time import gmtime, strptime
from typing import Any, Literal

import msgspec

from ledger.errors import LedgerBroken
from ledger.store.reading import HAPPENED_AT
from projections.clauses import DOUBTED, in_order
from projections.grounds import GENERIC, Beyond, Clock, Customer, Grounds, Rules, Unsettled

Stored = tuple[int, str, int, str, bytes]  # position, stream, version, name, state
Fact = tuple[int, int, int, Any]  # time, position, what, and the fields that matter
Wait = tuple[Fact, Fact | None]
Key = int  # an instant and a position, in this order
Stay = tuple[str, Key, Key | None]  # the group a case waits in, from when until when; None: it still does

SHIFT = 31
FAR = 1 << 40  # later than any instant
OPENING, ASSIGNED, ANSWERED, ASKED, GRANTED, CANCELLED, OTHER, WITHDRAWN, CORRECTED = range(9)


class Opening(msgspec.Struct, gc=False):
    """What a case begins with."""

    customer: str
    service: str
    channel: Literal["phone", "email", "chat", "web", "video", "on_site", "monitoring"]
    kind: str | None = None
    remote_assistance: bool = False


class Assigned(msgspec.Struct, gc=False):
    """A priority."""

    priority: Literal["high", "medium", "low"]


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


BY_PERSON = Answered()
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


def _reader(fields: type[msgspec.Struct] | None) -> Callable[[bytes], Any] | None:
    if fields is None:
        return None
    return msgspec.json.Decoder(msgspec.defstruct(f"{fields.__name__}State", [("data", fields)], gc=False)).decode


KNOWN = {name: (what, _reader(fields)) for name, (what, fields) in _FIELDS.items()}
_ALONE = {
    OPENING: msgspec.json.Decoder(Opening).decode,
    ASSIGNED: msgspec.json.Decoder(Assigned).decode,
    ANSWERED: msgspec.json.Decoder(Answered).decode,
    ASKED: msgspec.json.Decoder(Waited).decode,
    GRANTED: msgspec.json.Decoder(Waited).decode,
}
_DAY = slice(HAPPENED_AT[0] - 1, HAPPENED_AT[0] + 9)
_TIME = slice(HAPPENED_AT[0] + 10, HAPPENED_AT[0] + 18)


class _Days(dict[bytes, int]):
    def __missing__(self, day: bytes) -> int:
        found = self[day] = timegm(strptime(day.decode(), "%Y-%m-%d"))
        return found


class _Times(dict[bytes, int]):
    def __missing__(self, time: bytes) -> int:
        if len(time) != 8:
            raise ValueError("no time of day")
        found = self[time] = int(time[:2]) * 3600 + int(time[3:5]) * 60 + int(time[6:])
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


_DAYS, _TIMES, _DATES, _CLOCKS = _Days(), _Times(), _Dates(), _Clocks()
_encode = msgspec.json.encode


def instant(stamp: str) -> int:
    """Return the seconds since 1970 of an instant as it is stored, in UTC."""
    text = stamp.encode()
    return _DAYS[text[:10]] + _TIMES[text[11:19]]


def stamped(at: int) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC."""
    day, second = divmod(at, 86400)
    return _DATES[day] + _CLOCKS[second]


class Case(msgspec.Struct, gc=False):
    """One case judged.

    row: the values of the columns of the views' table of cases; verdict and unsettled are both None where only the
    plain rules can judge it. unsettled: what an unanswered case's verdict follows from.
    """

    row: tuple[Any, ...]
    position: int  # of the entry that opens it: what the case is known by in the views
    received: int
    last_time: int
    entries: int
    stays: list[Stay]
    handled: tuple[str, Key] | None
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
    days, times, known, day, time = _DAYS, _TIMES, KNOWN, _DAY, _TIME
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
            todo = "restore the ledger from a copy; something else than this program wrote to it"
            raise LedgerBroken(f"entry {position}", what_is_wrong, todo)
        try:
            at = days[state[day]] + times[state[time]]
            what, read = known[name]
            facts.append((at, position, what, read and read(state).data))
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
                right = _ALONE[kind](fields.data) if kind in _ALONE else None
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
    handled: tuple[str, Key] | None = None
    assigned: list[Fact] = []
    waits: list[Wait] = []
    asked: set[str] = set()
    ended: Fact | None = None
    for fact in facts:
        at, where, what, fields = fact
        if what == ANSWERED:
            if ended is None and (fields is None or fields.responder != "automatic" or rules.any_responder):
                ended, second = fact, at << SHIFT
                handled = (group, second | where)
                if enter is not None:
                    stays.append((group, enter, second))
                    enter = None
                if stays and ((stays[-1][2] or 0) > second or stays[-1][1] >= second):
                    stays = _left_by(stays, second)
        elif what == ASSIGNED:
            if ended is None:
                assigned.append(fact)
                priority = fields.priority
                if priority != group:
                    if enter is not None:
                        stays.append((group, enter, at << SHIFT | where))
                        enter = at << SHIFT | where
                    group = priority
        elif what == ASKED:
            waits.append((fact, None))
            asked.add(fields.what)
            if ended is None and enter is not None:
                stays.append((group, enter, at << SHIFT | where))
                enter = None
        elif what == GRANTED:
            waits = [(a, fact if b is None and a[3].what == fields.what else b) for a, b in waits]
            asked.discard(fields.what)
            if ended is None and not asked:
                enter = at << SHIFT | where
        elif what == CANCELLED and ended is None:
            ended = fact
            if enter is not None:
                stays.append((group, enter, at << SHIFT | where))
                enter = None
    if enter is not None:
        stays.append((group, enter, None))
    if corrections:
        own = [_positions(x, corrections) for x in (facts[:1], assigned, (ended,) if ended else ())]
        steps, flat = str(own), [p for step in own for p in step]
    else:
        flat = [position, *[f[1] for f in assigned], *((ended[1],) if ended else ())]
        steps = f"[[{position}], {[f[1] for f in assigned]}, {'[]' if ended is None else [ended[1]]}]"
    judged, unsettled = _NOT_JUDGED, None
    if not rules.plain:
        try:  # noqa: SIM105 a context costs more than the verdict's own look-ups
            judged, unsettled = _judged(
                opening, received, rules, grounds, assigned, waits, ended, handled is not None, flat, corrections
            )
        except Beyond:  # years outside the clocks: the plain rules say what they think of that
            pass
    due_at, figures, month = judged[0], judged[1:-1], judged[-1]
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
        stamped(received),
        due_at,
        stamped(ended[0]) if handled is not None and ended is not None else None,
        *figures,
        month,
        received,
        last_time,
        recorded[0][1],
        recorded[-1][1],
        steps,
        None if unsettled is None else _encode(unsettled).decode(),
    )
    is_judged = judged is not _NOT_JUDGED
    return Case(row, position, received, last_time, len(recorded), stays, handled, is_judged, unsettled)


_NOT_JUDGED: tuple[Any, ...] = (None, None, None, None, None, "", "[]", "[]", "[]", "")


def _positions(facts: Iterable[Fact], corrections: dict[int, list[int]]) -> list[int]:
    return [p for f in facts for p in (f[1], *corrections.get(f[1], ()))]


def _left_by(stays: list[Stay], second: Key) -> list[Stay]:
    """Return the stays of a case that was handled: it waits no more from the beginning of that second."""
    return [(g, a, second if b is None or b > second else b) for g, a, b in stays if a < second]


def _judged(
    opening: Opening,
    received: int,
    rules: Rules,
    grounds: Grounds,
    assigned: list[Fact],
    waits: list[Wait],
    last: Fact | None,
    is_answered: bool,
    own: list[int],
    corrections: dict[int, list[int]],
) -> tuple[tuple[Any, ...], Unsettled | None]:
    """Return due time, paused, business and late seconds, verdict, terms, clauses, entries, doubts and month."""
    customer = grounds.customers.get(opening.customer, grounds.stranger)
    desk = customer.desk or rules.default_desk
    timeline = customer.services.get(opening.service) or customer.services[GENERIC]
    index = bisect_right(timeline.at, received)
    deal = timeline.deals[index] if rules.all_channels or opening.channel == "phone" else None
    number = rules.clocks[desk] if deal is None else rules.always[desk]
    clock = grounds.clocks[number]
    passed, is_open = clock.passed_at(received)
    ended = None if last is None else last[0]
    apart = opening.channel in rules.best_effort
    remote = opening.remote_assistance
    open_since: int | None = None
    paused, locked = 0, False
    due: int | None = None
    if waits:
        pauses, open_since = _pauses(waits, received, ended)
        paused = sum(clock.passed(b) - clock.passed(a) for a, b in pauses)
        if not apart:
            due, locked = _due(rules, clock, received, passed, pauses, open_since, () if remote else assigned, remote)
    elif not apart:
        current = rules.remote if remote else rules.unassigned
        due = _plain_due(rules, clock, received, passed, current)
        for at, _, _, fields in () if remote else assigned:
            if fields.priority != current:
                if at > due:
                    break
                current = fields.priority
                due = _plain_due(rules, clock, received, passed, current)
    verdict: str | None = None
    late: int | None = None
    unsettled: Unsettled | None = None
    business: int | None = None
    if ended is not None:
        business = clock.passed(ended) - passed - paused
        if due is not None and ended > due:
            verdict, late = "breached", ended - due
        else:
            verdict = "best_effort" if apart else "met" if is_answered else "cancelled"
    else:
        waiting = open_since is not None and not apart and not locked and (due is None or open_since <= due)
        due = None if waiting else due
        state = "best_effort" if apart else "paused" if waiting else "open"
        unsettled = Unsettled(state, number, paused, open_since, due)
    doubts = tuple(timeline.doubts[index])
    if received < grounds.rules[0].since:
        doubts = (*sorted([*doubts, "before_first_terms"]),)
    waited = bool(waits) and any(ended is None or a[0] <= ended for a, _ in waits)
    out_of_hours = deal is None and opening.channel in CHANNELS and not is_open
    key = (opening.channel, remote, deal is not None, bool(assigned), waited, out_of_hours, doubts)
    texts = _TEXTS.get(key)
    if texts is None:
        texts = _TEXTS[key] = _written(*key)
    settled = verdict is not None
    return (
        None if due is None else stamped(due),
        paused if settled else None,
        business,
        late,
        verdict,
        rules.id,
        texts[0],
        _because(rules, customer, deal, own, waits, ended, corrections),
        texts[1],
        grounds.month(desk, received),
    ), unsettled


def _because(
    rules: Rules,
    customer: Customer,
    deal: list[int] | None,
    own: list[int],
    waits: list[Wait],
    ended: int | None,
    corrections: dict[int, list[int]],
) -> str:
    """Return the positions of all entries that a verdict rests on, as JSON; mostly its grounds come first."""
    key = (id(rules), id(customer), id(deal))
    known = _GROUNDS.get(key)
    if known is None:
        found = sorted({*rules.positions, *customer.positions, *rules.holidays, *(deal or ())})
        known = _GROUNDS[key] = (found, found[-1] if found else 0, str(found)[1:-1], (rules, customer, deal))
    for wait in waits:
        own = own + _positions((f for f in wait if f and (ended is None or f[0] <= ended)), corrections)
    own.sort()
    if own[0] > known[1]:
        return f"[{known[2]}, {str(own)[1:]}" if known[0] else str(own)
    return str(sorted({*known[0], *own}))


_GROUNDS: dict[tuple[int, int, int], tuple[list[int], int, str, Any]] = {}  # what the ids are of is kept with them


def _plain_due(rules: Rules, clock: Clock, received: int, passed: int, priority: str) -> int:
    """Return when a case without pauses is due under the target of a priority."""
    wanted = rules.hours.get(priority)
    return clock.close_of(received, rules.days[priority]) if wanted is None else clock.reached(passed + wanted)


def _pauses(waits: list[Wait], received: int, ended: int | None) -> tuple[list[tuple[int, int]], int | None]:
    """Return the pauses that ended, merged and clipped to receipt and the clock's end, and when an open one began."""
    until = ended if ended is not None else FAR
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
    rules: Rules,
    clock: Clock,
    received: int,
    passed: int,
    pauses: list[tuple[int, int]],
    open_since: int | None,
    assigned: Iterable[Fact],
    remote: bool,
) -> tuple[int | None, bool]:
    """Return when the answer was due, None while an open pause moves that, and whether a late change of priority
    was without effect."""

    def due_under(priority: str) -> tuple[int, bool]:
        wanted = rules.hours.get(priority)
        due = first = _plain_due(rules, clock, received, passed, priority)
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

    current = rules.remote if remote else rules.unassigned
    due, moves = due_under(current)
    for at, _, _, fields in assigned:
        if fields.priority == current:
            continue
        held = any(a <= due and a <= at < b for a, b in pauses)
        if at > due and not held and not (moves and open_since is not None and open_since <= at):
            return due, True
        current = fields.priority
        due, moves = due_under(current)
    return (None if moves else due), False


_TEXTS: dict[tuple[Any, ...], tuple[str, str]] = {}
CHANNELS = {"phone": "§phone", "email": "§email"}
APART = {"chat": "§chat", "on_site": "§on-site"}


def _written(
    channel: str, remote: bool, deal: bool, assigned: bool, waited: bool, out_of_hours: bool, doubts: tuple[str, ...]
) -> tuple[str, str]:
    """Return the clauses of a verdict, and its doubts, as JSON; few cases differ in them."""
    clauses = {"§response-times", *(("§phone", "§outside-hours") if deal else ("§business-hours",))}
    clauses |= {CHANNELS[channel]} if out_of_hours else set()
    clauses |= {APART[channel]} if channel in APART else set()
    clauses |= {"§remote-assistance"} if remote else set()
    clauses |= {"§prioritisation"} if assigned else set()
    clauses |= {"§customer-duties", "§full-access"} if waited else set()
    clauses.update(DOUBTED[d] for d in doubts)
    return _encode(in_order(clauses)).decode(), _encode(doubts).decode()
