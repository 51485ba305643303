"""What the made-up cases live among: agreements, maintenance windows, outages, monitoring gaps, backups, holidays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random

from tests.benchmarks.cases import Customer, Happening
from tests.benchmarks.instants import BASE, BEGINS, DAY, ENDS, HOUR, MINUTE, midnight, number_of, stamp

SERVICES = ("licence", "cloud-connect", "webcast", "easy-number", "recording")
CURRENCIES = {"oslo": "NOK", "new_york": "USD"}
CAUSES = ["failure"] * 11 + ["planned_maintenance"] * 2 + ["unplanned_maintenance", "emergency", "beyond_control"]
CAUSES += ["not_covered", "customer_side", "customer_side", "beyond_control"]
GROUNDS = ("third_party", "foreign_network", "abuse_or_attack", "unsupported", "content")
HOLIDAYS = {"oslo": ("01-01", "05-01", "05-17", "12-25", "12-26"), "new_york": ("01-01", "07-04", "11-11", "12-25")}
NEVER = 2**40

Life = tuple[str, list[Happening]]  # a stream, and what happens to it in order of time


def customers(random: Random, count: int) -> list[tuple[Customer, Life]]:
    """Return that many customers, each with its agreement; nine in ten signed before the first day."""
    return [_customer(random, number) for number in range(1, count + 1)]


def around_all(random: Random, found: list[Customer], outages_a_year: int) -> Iterator[Life]:
    """Yield everything else that happens in the three years."""
    yield from _holidays()
    yield from _backups()
    yield from _gaps(random)
    windows: list[tuple[str, str, str, int, int]] = []
    for number in range(1, 3 * outages_a_year + 1):
        window, life = _maintenance(random, number)
        windows += window
        yield life
    planned = [w for w in windows if w[1] == "planned"]
    unplanned = [w for w in windows if w[1] == "unplanned"]
    for number in range(1, 3 * outages_a_year + 1):
        yield outage(random, number, _any_instant(random), found, planned, unplanned)


def outage(
    random: Random,
    number: int,
    begins: int,
    found: list[Customer],
    planned: list[tuple[str, str, str, int, int]],
    unplanned: list[tuple[str, str, str, int, int]],
) -> Life:
    """Return an outage from its report to its cause; one due to maintenance falls into one of these windows."""
    cause = random.choice(CAUSES)
    service, lasts = random.choice(SERVICES), int(MINUTE * 5 + random.random() ** 4 * 30 * HOUR)
    windows = {"planned_maintenance": planned, "unplanned_maintenance": unplanned}.get(cause)
    more = f',"ground":"{random.choice(GROUNDS)}"' if cause == "not_covered" else ""
    if windows is not None and not windows:
        cause = "failure"
    elif windows:
        stream, _, service, begins, until = random.choice(windows)
        more, lasts = f',"maintenance":"{stream}"', max(until - begins + random.randrange(-HOUR, HOUR // 2), HOUR)
    ends, checked = begins + lasts, begins + lasts + HOUR + random.randrange(DAY)
    names = sorted(c.name for c in random.sample(found, min(len(found), random.randint(1, 10))))
    whom = '"all"' if random.random() < 0.5 else "[" + ",".join(f'"{n}"' for n in names) + "]"
    degree = "unavailable" if random.random() < 0.93 else "degraded"
    reported = f'{{"services":["{service}"],"customers":{whom},"degree":"{degree}","noticed_by":"event_monitoring"}}'
    seen, logged = _frame(begins + 60, ends + 120), _frame(begins, ends)
    frame = f'{{{_frame(begins + 60, ends)},"evidence":[3,4],"decided_by":"operations","reason":"what both cover"}}'
    why = f'{{"cause":"{cause}"{more},"decided_by":"operations","reason":"as the log shows"}}'
    life = [
        (begins + 90, "OutageReported", reported, "monitor"),
        (ends, "ServiceRestored", "{}", "operations"),
        (checked, "EvidenceRecorded", f'{{"source":"event_monitoring",{seen}}}', "operations"),
        (checked + 300, "EvidenceRecorded", f'{{"source":"infrastructure_log",{logged}}}', "operations"),
        (checked + 1800, "TimeframeDetermined", frame, "operations"),
        (checked + 2400, "OutageAttributed", why, "operations"),
    ]
    return f"outage:O-{number:05}", life


def _customer(random: Random, number: int) -> tuple[Customer, Life]:
    name, desk = f"customer-{number:04}", "oslo" if random.random() < 0.7 else "new_york"
    services = tuple(sorted(random.sample(SERVICES, random.randint(1, 3))))
    begins = midnight(number_of(BEGINS)) - random.randrange(1, 120) * DAY + 9 * HOUR
    if number > 3 and random.random() < 0.1:
        begins += random.randrange(150, 500) * DAY
    fees = [f'{{"service":"{s}","monthly_fee":{_money(random, desk)}}}' for s in services]
    data = f'{{"customer":"{name}","desk":"{desk}","services":[{",".join(fees)}]}}'
    life: list[Happening] = [(begins, "AgreementSigned", data, "sales")]
    if random.random() < 0.3:
        at = begins + random.randrange(100, 600) * DAY
        fee = f'{{"service":"{services[0]}","monthly_fee":{_money(random, desk)}}}'
        life.append((at, "MonthlyFeeAgreed", fee, "sales"))
    deal = (0, 0)
    if random.random() < 0.1:
        deal = (begins + random.randrange(10, 400) * DAY + HOUR, NEVER)
        life.append((deal[0], "RoundTheClockSupportAgreed", "{}", "sales"))
        if random.random() < 0.4:
            deal = (deal[0], deal[0] + random.randrange(100, 500) * DAY)
            life.append((deal[1], "RoundTheClockSupportEnded", "{}", "sales"))
    return Customer(name, desk, services, begins, *deal), (f"agreement:{name}", sorted(life))


def _money(random: Random, desk: str) -> str:
    return f'{{"amount":"{random.randrange(20, 400) * 50}.00","currency":"{CURRENCIES[desk]}"}}'


def _holidays() -> Iterator[Life]:
    for desk, days in HOLIDAYS.items():
        life: list[Happening] = []
        for year in range(BEGINS.year, ENDS.year):
            dates = ",".join(f'"{year}-{day}"' for day in days)
            at = midnight(number_of(date(year - 1, 12, 1))) + 10 * HOUR
            life.append((at, "HolidaysPublished", f'{{"desk":"{desk}","dates":[{dates}]}}', f"desk.{desk}"))
        yield f"calendar:{desk}", life


def _backups() -> Iterator[Life]:
    for day in range(number_of(BEGINS), number_of(ENDS), 7):
        taken = midnight(day) + 2 * HOUR
        life = [(taken, "BackupTaken", '{"scope":"all platforms"}', "operations")]
        life.append((taken + 28 * DAY, "BackupDeleted", "{}", "operations"))
        yield f"backup:B-{BASE + timedelta(day):%Y-%m-%d}", life


def _gaps(random: Random) -> Iterator[Life]:
    for service in SERVICES[:3]:
        life: list[Happening] = []
        for begins in sorted(_any_instant(random) for _ in range(4)):
            ends = begins + random.randrange(10 * MINUTE, 5 * HOUR)
            data = f'{{{_frame(begins, ends)},"reason":"the probes were moved"}}'
            life.append((ends + DAY, "MonitoringGapRecorded", data, "monitor"))
        yield f"monitoring:{service}", life


def _maintenance(random: Random, number: int) -> tuple[list[tuple[str, str, str, int, int]], Life]:
    """Return a window's stream, category, service, from and until, when it took place as announced, and its life."""
    stream, service = f"maintenance:M-{number:05}", random.choice(SERVICES)
    category = random.choice(["planned"] * 8 + ["unplanned", "emergency"])
    begins = _any_instant(random) // HOUR * HOUR
    until = begins + random.randint(1, 6) * HOUR
    scheduled = begins - (random.randrange(15, 40) * DAY if category == "planned" else 2 * HOUR)
    told = begins - random.randrange(8, 14) * DAY if category == "planned" else scheduled + 10 * MINUTE
    opening = f'{{"category":"{category}","services":["{service}"],{_frame(begins, until)},"reason":"new versions"}}'
    audience = '{"audience":["customers","partners"]}'
    life = [
        (scheduled, "MaintenanceScheduled", opening, "operations"),
        (told, "MaintenanceCommunicated", audience, "operations"),
    ]
    if random.random() < 0.06:
        life.append((begins - HOUR, "MaintenanceCancelled", '{"reason":"the supplier is not ready"}', "operations"))
        return [], (stream, life)
    if category == "planned" and random.random() < 0.06:
        begins, until = begins + 2 * DAY, until + 2 * DAY
        moved = f'{{{_frame(begins, until)},"reason":"asked for by customers"}}'
        life.append((told + DAY, "MaintenanceRescheduled", moved, "operations"))
    life.append((begins, "MaintenanceStarted", "{}", "operations"))
    life.append((until - 10 * MINUTE, "MaintenanceCompleted", "{}", "operations"))
    return [(stream, category, service, begins, until)], (stream, life)


def _frame(begins: int, until: int) -> str:
    return f'"from":"{stamp(begins)}","until":"{stamp(until)}"'


def _any_instant(random: Random) -> int:
    return random.randrange(midnight(number_of(BEGINS)), midnight(number_of(ENDS)))
