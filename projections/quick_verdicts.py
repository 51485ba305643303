"""The verdict on a case in whole seconds: what `response_times` judges, for hundreds of thousands of cases.

Readings that `grounding.ORDINARY` does not list, and years outside a clock, are left to the plain rules. What many
cases have in common - clauses, doubts, the entries of their grounds - is written once. §response-times,
§business-hours, §full-access; R10-R13.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

import msgspec

from projections.clauses import DOUBTED, in_order
from projections.grounds import GENERIC, Clock, Customer, Grounds, Rules, Unsettled
from projections.stored_facts import FAR, Fact, Opening, Wait, positions

encode = msgspec.json.encode
Columns = tuple[Any, ...]  # of a case's row, from when it is due to the month of its receipt
NOT_JUDGED: Columns = (None, None, None, None, "", "[]", "[]", "[]", "")  # those that follow the answer


def judged(
    opening: Opening,
    received: int,
    rules: Rules,
    grounds: Grounds,
    assigned: list[Fact],
    waits: list[Wait],
    last: Fact | None,
    responded: int | None,
    steps: list[list[int]],
    corrections: dict[int, list[int]],
) -> tuple[Columns, Unsettled | None]:
    """Return due and response time; paused, business and late seconds, verdict, terms, clauses, entries, doubts, month.

    steps: the entries of receipt, assignments that count, and what ended the clock.
    """
    customer = grounds.customers.get(opening.customer, grounds.stranger)
    desk = customer.desk or rules.default_desk
    timeline = customer.services.get(opening.service) or customer.services[GENERIC]
    index = bisect_right(timeline.at, received)
    channel, remote = opening.channel, opening.remote_assistance
    deal = timeline.deals[index] if rules.all_channels or channel == "phone" else None
    number = rules.clocks[desk] if deal is None else rules.always[desk]
    clock = grounds.clocks[number]
    passed, is_open = clock.passed_at(received)
    ended = None if last is None else last[0]
    apart = channel in rules.best_effort
    pauses: list[tuple[int, int]] = []
    open_since: int | None = None
    paused, locked, waited = 0, False, False
    due: int | None
    if waits:
        waited = ended is None or waits[0][0][0] <= ended
        pauses, open_since = _pauses(waits, received, ended)
        for begin, end in pauses:
            paused += clock.passed(end) - clock.passed(begin)
    if apart:
        due = None
    elif pauses or open_since is not None:
        due, locked = _due(rules, clock, received, passed, pauses, open_since, () if remote else assigned, remote)
    else:
        current = rules.remote if remote else rules.unassigned
        for at, _, _, fields in () if remote else assigned:
            if fields.priority != current:
                if at - received > rules.hours.get(current, 0) and at > _plain_due(
                    rules, clock, received, passed, current
                ):  # no more business time than time has passed: mostly the clock need not be asked
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
            verdict = "best_effort" if apart else "cancelled" if responded is None else "met"
    else:
        waiting = open_since is not None and not apart and not locked and (due is None or open_since <= due)
        due = None if waiting else due
        state = "best_effort" if apart else "paused" if waiting else "open"
        unsettled = Unsettled(state, number, paused, open_since, due)
    doubts = tuple(timeline.doubts[index])
    if received < grounds.rules[0].since:
        doubts = (*sorted([*doubts, "before_first_terms"]),)
    out_of_hours = not is_open and deal is None and channel in CHANNELS
    key = (channel, remote, deal is not None, bool(assigned), waited, out_of_hours, doubts)
    clauses, doubted = _TEXTS.get(key) or _written(key)
    because = _because(rules, customer, deal, steps, waits, ended, corrections)
    month = grounds.month(desk, received)
    pause = None if verdict is None else paused
    return (due, responded, pause, business, late, verdict, rules.id, clauses, because, doubted, month), unsettled


def _because(
    rules: Rules,
    customer: Customer,
    deal: list[int] | None,
    steps: list[list[int]],
    waits: list[Wait],
    ended: int | None,
    corrections: dict[int, list[int]],
) -> str:
    """Return the positions of all entries that a verdict rests on, as JSON; mostly its grounds come first."""
    key = (id(rules), id(customer), id(deal))
    known = _GROUNDS.get(key)
    if known is None:
        found = sorted({*rules.positions, *customer.positions, *rules.holidays, *(deal or ())})
        begun = encode(found)[:-1] + (b"," if found else b"")
        known = _GROUNDS[key] = (found, found[-1] if found else 0, begun, (rules, customer, deal))
    own = [*steps[0], *steps[1], *steps[2]]
    if waits:
        until = FAR if ended is None else ended
        own += positions([f for wait in waits for f in wait if f and f[0] <= until], corrections)
    own.sort()
    if own[0] > known[1]:
        return (known[2] + encode(own)[1:]).decode()
    return encode(sorted({*known[0], *own})).decode()


_GROUNDS: dict[tuple[int, int, int], tuple[list[int], int, bytes, Any]] = {}  # what the ids are of is kept with them


def _plain_due(rules: Rules, clock: Clock, received: int, passed: int, priority: str) -> int:
    """Return when a case without pauses is due under the target of a priority."""
    wanted = rules.hours.get(priority)
    return clock.close_of(received, rules.days[priority]) if wanted is None else clock.reached(passed + wanted)


def _pauses(waits: list[Wait], received: int, ended: int | None) -> tuple[list[tuple[int, int]], int | None]:
    """Return the pauses that ended, merged and clipped to receipt and the clock's end, and when an open one began."""
    until = ended if ended is not None else FAR
    spans = sorted((max(a[0], received), min(b[0] if b else until, until)) for a, b in waits if a[0] < until)
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


def _written(key: tuple[str, bool, bool, bool, bool, bool, tuple[str, ...]]) -> tuple[str, str]:
    """Return the clauses of a verdict, and its doubts, as JSON, and keep them; few cases differ in them."""
    channel, remote, deal, assigned, waited, out_of_hours, doubts = key
    clauses = {"§response-times", *(("§phone", "§outside-hours") if deal else ("§business-hours",))}
    clauses |= {CHANNELS[channel]} if out_of_hours else set()
    clauses |= {APART[channel]} if channel in APART else set()
    clauses |= {"§remote-assistance"} if remote else set()
    clauses |= {"§prioritisation"} if assigned else set()
    clauses |= {"§customer-duties", "§full-access"} if waited else set()
    clauses.update(DOUBTED[d] for d in doubts)
    found = _TEXTS[key] = encode(in_order(clauses)).decode(), encode(doubts).decode()
    return found
