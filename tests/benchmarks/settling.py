"""Settling a year for many customers beside few, over the same outages: what a hundred times the customers cost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from ledger.book import create
from ledger.entry import Entry, parsed_event
from ledger.instants import instant, stamp
from ledger.terms import built_in
from projections.settlement import KINDS, Row, Settlement
from projections.shell.scope import Scope
from tests.benchmarks.alike import assert_alike
from tests.benchmarks.measure import figure

YEAR, AS_OF = 2025, "2026-02-01T09:00:00Z"
BEGINS, ENDS = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
SERVICES = ("licence", "cloud-connect", "webcast", "easy-number", "recording")
CAUSES = ["failure"] * 11 + ["emergency", "beyond_control", "customer_side", "not_covered"]
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

Happening = tuple[datetime, str, str, dict[str, Any]]  # time, stream, event, data


def run(small: bool, folder: Path) -> dict[str, Any]:
    """Return seconds for few and for many customers, and their ratio, with one process and with two."""
    few, many = (10, 100) if small else (100, 10_000)
    outages, windows = (200, 50) if small else (2_000, 500)
    paths = {count: folder / f"settling-{count}.db" for count in (few, many)}
    for count, path in paths.items():
        make(path, count, many, outages, windows)
    checked = [_checked(path) for path in paths.values()]
    found: dict[str, Any] = {"outages": outages, "windows": windows, "rows checked": sum(checked)}
    for jobs in (1, 2):
        seconds = {count: _best(path, jobs) for count, path in paths.items()}
        each = [round(seconds[count], 2) for count in (few, many)]
        found[f"time for {many} customers, to that for {few}, jobs {jobs}"] = figure(
            seconds[many] / seconds[few], "<= 20", seconds=each
        )
    return found


def make(path: Path, count: int, of: int, outages: int, windows: int) -> None:
    """Make a ledger with that many customers, evenly chosen `of` all whom the outages hit."""
    happened = [*_agreements(count, of), *_incidents(of, outages, windows)]
    versions: dict[str, int] = {"terms:built-in": 1}
    entries = [Entry(1, "terms:built-in", 1, instant("2020-09-22T22:00:00Z"), BEGINS - 400 * DAY, built_in())]
    for position, (at, stream, name, data) in enumerate(sorted(happened, key=lambda h: h[:2]), 2):
        versions[stream] = version = versions.get(stream, 0) + 1
        entries.append(Entry(position, stream, version, at, at, parsed_event(name, data, stream)))
    create(path, entries)


def _name(number: int) -> str:
    return f"customer-{number:05}"


def _agreements(count: int, of: int) -> Iterator[Happening]:
    for number in range(0, of, of // count):
        random = Random(number)
        name, stream = _name(number), f"agreement:{_name(number)}"
        desk, currency = random.choice([("oslo", "NOK"), ("oslo", "NOK"), ("new_york", "USD")])
        services = random.sample(SERVICES, 2)
        fees = [{"amount": f"{random.randrange(20, 400) * 50}.00", "currency": currency} for _ in range(3)]
        signed = BEGINS - random.randrange(1, 300) * DAY
        if random.random() < 0.2:
            signed = BEGINS + random.randrange(1, 300) * DAY
        both = [{"service": s, "monthly_fee": fee} for s, fee in zip(services, fees, strict=False)]
        yield signed, stream, "AgreementSigned", {"customer": name, "desk": desk, "services": both}
        if random.random() < 0.2:
            changed = signed + random.randrange(1, 60) * DAY
            yield changed, stream, "MonthlyFeeAgreed", {"service": services[0], "monthly_fee": fees[2]}
        if random.random() < 0.1:
            yield signed + 10 * DAY, stream, "RoundTheClockSupportAgreed", {}
        if random.random() < 0.1:
            yield max(signed, BEGINS) + random.randrange(100, 360) * DAY, stream, "AgreementEnded", {}


def _incidents(of: int, outages: int, windows: int) -> Iterator[Happening]:
    random = Random(0)
    planned: list[tuple[str, str, datetime, datetime]] = []
    for number in range(windows):
        stream, service, begins = f"maintenance:M-{number:05}", random.choice(SERVICES), _instant(random)
        until = begins + random.randint(1, 6) * HOUR
        planned.append((stream, service, begins, until))
        what = {"category": "planned", "services": [service], "reason": "new versions"}
        yield begins - 20 * DAY, stream, "MaintenanceScheduled", what | _frame(begins, until)
        told = begins - random.choice([10, 10, 10, 3]) * DAY
        yield told, stream, "MaintenanceCommunicated", {"audience": ["customers"]}
    for number in range(outages):
        stream, service, begins = f"outage:O-{number:05}", random.choice(SERVICES), _instant(random)
        until, cause = begins + random.random() ** 8 * 12 * HOUR + 5 * MINUTE, {"cause": random.choice(CAUSES)}
        if random.random() < 0.15:
            window, service, begins, until = random.choice(planned)
            until, cause = until + HOUR, {"cause": "planned_maintenance", "maintenance": window}
        elif cause["cause"] == "not_covered":
            cause["ground"] = "third_party"
        named = sorted(_name(n) for n in random.sample(range(of), random.randint(1, max(1, of // 50))))
        hit = {"services": [service], "customers": "all" if random.random() < 0.2 else named}
        settled = {"decided_by": "operations", "reason": "as the log shows"}
        until = until.replace(microsecond=0)
        yield begins, stream, "OutageReported", hit | {"degree": "unavailable", "noticed_by": "event_monitoring"}
        for minutes, source in enumerate(("event_monitoring", "infrastructure_log")):
            seen = {"source": source} | _frame(begins - minutes * MINUTE, until)
            yield until + HOUR, stream, "EvidenceRecorded", seen
        yield until + 2 * HOUR, stream, "TimeframeDetermined", settled | _frame(begins, until) | {"evidence": [2, 3]}
        yield until + 3 * HOUR, stream, "OutageAttributed", settled | cause


def _frame(begins: datetime, until: datetime) -> dict[str, Any]:
    return {"from": stamp(begins), "until": stamp(until)}


def _instant(random: Random) -> datetime:
    return BEGINS + timedelta(minutes=random.randrange(365 * 24 * 60))


def _checked(path: Path) -> int:
    """Return how many rows were compared with the findings made one by one."""
    scope = Scope(str(path), as_of=instant(AS_OF))
    settlement = Settlement(scope.judgement(scope.history(*KINDS)), YEAR)
    customers = sorted(settlement.judgement.agreements)
    rows: list[Row] = []
    for customer in customers[:: -(-len(customers) // 10)]:
        rows += [settlement.row(customer, s) for s in settlement.judgement.agreements[customer].services()]
    for row in rows:
        assert_alike(settlement.judgement, YEAR, row)
    return len(rows)


def _best(path: Path, jobs: int) -> float:
    command = [sys.executable, "-m", "cli", "--db", str(path), "--as-of", AS_OF, "--json", "settle"]
    command += ["--year", str(YEAR), "--jobs", str(jobs)]
    return min(_seconds(command) for _ in range(3))


def _seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun
