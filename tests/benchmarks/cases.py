"""Lives of made-up cases: who turns to us when, and what happens until the case is closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.instants import DAY, HOUR, MINUTE, Business, Clock, is_weekday, midnight, opening, stamp

Draw = Callable[[], float]
Happening = tuple[int, str, str, str]  # time, name of the event, its data as canonical JSON, actor

BUSINESS, CLOCK = Business(), Clock()
TARGETS = {"high": 8 * HOUR, "medium": 48 * HOUR, "low": 5 * Business.LENGTH}  # business time; only to draw answers by
ENTRIES_A_CASE = 4.757  # on average, measured

CHANNELS = ["phone"] * 35 + ["email"] * 30 + ["web"] * 20 + ["chat"] * 8 + ["monitoring"] * 4 + ["on_site"] * 2
CHANNELS += ["video"]
ACTORS = {"web": "gateway", "email": "gateway", "monitoring": "monitor"}
PRIORITIES = ["high"] * 4 + ["medium"] * 10 + ["low"] * 6
KINDS = ["support"] * 6 + ["licence_online"] * 3 + ["licence_manual"] * 2 + ["meeting_bridge"] * 3 + ["feature"] * 2
KINDS += ["webcast", "easy_number", "endpoint_registration", "meeting_support", "on_site", "outside_hours"]
SUMMARIES = [
    "no meeting can be started from one office",
    "choppy sound in every call",
    "the picture freezes after a minute",
    "recordings cannot be opened",
    "the room's screen stays black",
    "guests are turned away at the door",
    "an invitation leads nowhere",
    "the microphone of the table is not heard",
]
REASONS = ["as the customer describes it", "a quality issue", "the service does not work", "a wish for later"]
SECOND_THOUGHTS = ["several offices are affected", "a way around was found", "the customer called again"]
CANCELLED = ["solved by the customer", "reported twice", "no longer needed"]


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as far as cases need it: its desk, services, first day, and its 24x7 deal (instants; 0 for none)."""

    name: str
    desk: str
    services: tuple[str, ...]
    begins: int
    deal_from: int = 0
    deal_until: int = 0


def receipt(draw: Draw, customer: Customer, day: int) -> int:
    """Return when on a day a case of a customer is received: nine times in ten while its desk is open, if it is."""
    if is_weekday(day) and draw() < 0.9:
        return opening(day, customer.desk) + int(draw() * 8 * HOUR)
    return midnight(day) + int(draw() * DAY)


def life(draw: Draw, incident: bool, customer: Customer, received: int) -> list[Happening]:
    """Return what happens to a case, in order of time; the first is its opening."""
    channel = CHANNELS[int(draw() * 100)]
    remote = draw() < 0.03
    kind = "" if incident else KINDS[int(draw() * len(KINDS))]
    actor = (
        "gateway" if channel in ("web", "email") else "monitor" if channel == "monitoring" else f"desk.{customer.desk}"
    )
    name = "IncidentReported" if incident else "ServiceRequested"
    happened = [(received, name, _opening(draw, kind, customer, received, channel, remote), actor)]
    priority = _triage(draw, received, customer, happened)
    if draw() < 0.0002:
        return happened  # nobody ever answered
    if draw() < 0.1:
        robot = (received + 1 + int(draw() * 20), "ResponseGiven", '{"responder":"automatic"}', "mail-robot")
        happened.append(robot)
    around = channel == "phone" and customer.deal_from <= received < customer.deal_until
    time: Business | Clock = CLOCK if around else BUSINESS
    start = time.passed(received)
    share = 0.97 * draw() ** 1.6 if draw() < 0.92 else 1.05 + draw()
    answer = start + 60 + int(share * TARGETS["high" if remote else priority])
    if kind == "licence_online":
        at = received + 5 + int(draw() * 60)
        return sorted([*happened, (at, "RequestFulfilled", "{}", "web-shop")])
    _handling(draw, incident, customer, time, start, answer, happened)
    happened.sort()
    return _cut_by_cancellation(draw, incident, customer, happened)


def _opening(draw: Draw, kind: str, customer: Customer, received: int, channel: str, remote: bool) -> str:
    service = customer.services[int(draw() * len(customer.services))]
    data = f'{{"customer":"{customer.name}","service":"{service}","channel":"{channel}"'
    if remote:
        data += ',"remote_assistance":true'
    if draw() < 0.3:
        data += f',"summary":"{SUMMARIES[int(draw() * len(SUMMARIES))]}"'
    if kind:
        data += f',"kind":"{kind}"'
    if kind in ("meeting_bridge", "webcast"):
        data += f',"wanted_for":"{stamp((received // HOUR + 24 + int(draw() * 600)) * HOUR)}"'
    return data + "}"


def _triage(draw: Draw, received: int, customer: Customer, happened: list[Happening]) -> str:
    """Add the assignments of a priority, and return the first: high when there is none."""
    if draw() >= 0.8:
        return "high"
    priority = PRIORITIES[int(draw() * 20)]
    at = received + 20 + int(draw() * draw() * 30 * MINUTE)
    happened.append((at, "PriorityAssigned", _assigned(draw, priority, REASONS), f"desk.{customer.desk}"))
    if draw() < 0.05:
        at += 10 * MINUTE + int(draw() * 8 * HOUR)
        other = PRIORITIES[int(draw() * 20)]
        happened.append((at, "PriorityAssigned", _assigned(draw, other, SECOND_THOUGHTS), f"desk.{customer.desk}"))
    return priority


def _assigned(draw: Draw, priority: str, reasons: list[str]) -> str:
    return f'{{"priority":"{priority}","reason":"{reasons[int(draw() * len(reasons))]}"}}'


def _handling(
    draw: Draw,
    incident: bool,
    customer: Customer,
    time: Business | Clock,
    start: int,
    answer: int,
    happened: list[Happening],
) -> None:
    """Add the answer, the work, the pauses and the closing of a case; start and answer as that time has passed."""
    desk = f"desk.{customer.desk}"
    closing = "IncidentResolved" if incident else "RequestFulfilled"
    solved = answer + 10 * MINUTE + int(draw() ** 3 * 4 * Business.LENGTH)
    if draw() < 0.18:
        waited = answer - start
        if draw() < 0.6 and waited > HOUR:
            longer = _pauses(draw, time, start + 120, answer, desk, happened)
            answer, solved = answer + longer, solved + longer
        else:
            solved += _pauses(draw, time, answer + 60, solved, desk, happened)
    at = time.instant(answer)
    if draw() < 0.97:  # the others are closed at once, which answers them
        happened.append((at, "ResponseGiven", '{"responder":"human"}', desk))
    else:
        solved = answer
    if incident and draw() < 0.5 and solved > answer:
        happened.append((time.instant(answer + 60 + int(draw() * HOUR)), "TroubleshootingStarted", "{}", desk))
    if draw() < 0.985:
        done = time.instant(solved)
        happened.append((done, closing, "{}", desk))
        if incident and draw() < 0.01:
            again = done + HOUR + int(draw() * 3 * DAY)
            happened.append((again, "IncidentReopened", '{"reason":"it came back the next day"}', desk))
            happened.append((again + HOUR + int(draw() * 2 * DAY), closing, "{}", desk))


def _pauses(draw: Draw, time: Business | Clock, first: int, last: int, desk: str, happened: list[Happening]) -> int:
    """Add one or two pauses that begin between two points of passed time, and return how long they are together."""
    longer = 0
    begins = first + int(draw() * max(last - first, 0) / 2)
    for _ in range(2 if draw() < 0.3 else 1):
        what = "remote_access" if draw() < 0.5 else "details"
        granted = begins + HOUR + int(draw() ** 2 * 3 * Business.LENGTH)
        happened.append((time.instant(begins), "AccessRequested", f'{{"what":"{what}"}}', desk))
        happened.append((time.instant(granted), "AccessGranted", f'{{"what":"{what}"}}', desk))
        longer += granted - begins
        begins = granted + 5 * MINUTE
    return longer


def _cut_by_cancellation(draw: Draw, incident: bool, customer: Customer, happened: list[Happening]) -> list[Happening]:
    """Return what happens when one case in 70 is withdrawn somewhere on its way."""
    if draw() >= 0.015 or len(happened) < 2:
        return happened
    kept = happened[: 1 + int(draw() * (len(happened) - 1))]
    at = kept[-1][0] + MINUTE + int(draw() * HOUR)
    reason = f'{{"reason":"{CANCELLED[int(draw() * len(CANCELLED))]}"}}'
    return [*kept, (at, "IncidentCancelled" if incident else "RequestCancelled", reason, f"desk.{customer.desk}")]
