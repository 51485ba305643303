"""A settled year: its rows are what the commands say one by one, whatever the readings, the parts and the processes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.book import create
from ledger.instants import instant, stamp
from ledger.store.stream_file import read
from ledger.streams.acceptance import kind_of
from projections import availability, claims, credits
from projections.downtime import Downtime
from projections.judgement import Judgement
from projections.settlement import FIELDS, Row, Settlement, Totals, parts, settled
from projections.shell import settlements
from projections.shell.scope import Scope
from projections.spans import Span, clip, minus, union
from projections.used_downtime import Granted
from tests.benchmarks import settling
from tests.benchmarks.alike import SUMS, assert_alike
from tests.oracle.histories import as_ofs, uptime_histories
from tests.support import do, judged
from tests.test_uptime_laws import CHOICES, readings

ROOT = Path(__file__).resolve().parents[1]
ACME = ROOT / "fixtures" / "streams" / "a-year-of-acme.jsonl"
DAY = timedelta(days=1)
NOW = "2026-02-01T09:00:00Z"


def check(judgement: Judgement, year: int) -> list[Row]:
    settlement = Settlement(judgement, year)
    agreements = judgement.agreements
    rows = settled(settlement, sorted(agreements))
    assert [(r["customer"], r["service"]) for r in rows] == [
        (c, s) for c in sorted(agreements) for s in agreements[c].services()
    ]
    for row in rows:
        assert_alike(judgement, year, row)
    return rows


years = st.sampled_from([2025, 2026, 2027])


@given(st.data())
def test_rows_equal_the_one_by_one_findings(data: st.DataObject) -> None:
    lines = data.draw(uptime_histories())
    check(judged(lines, data.draw(as_ofs(lines))), data.draw(years))


@given(st.data())
def test_rows_equal_the_one_by_one_findings_under_any_readings(data: st.DataObject) -> None:
    lines, chosen = data.draw(uptime_histories()), data.draw(readings)
    check(judged(lines, data.draw(as_ofs(lines)), **chosen), data.draw(years))


@given(st.data())
def test_downtime_that_granted_claims_used_up_is_credited_once(data: st.DataObject) -> None:
    lines, chosen = data.draw(uptime_histories()), data.draw(readings)
    at = max(instant(line["recordedtime"]) for line in lines) + 800 * DAY
    pairs = [(c, s) for c, agreement in judged(lines, at).agreements.items() for s in agreement.services()]
    for number, (customer, service) in enumerate(2 * pairs):
        begin = data.draw(st.dates(date(2024, 6, 1), date(2027, 6, 1)))
        asked = {"customer": customer, "service": service, "from": f"{begin}", "until": f"{begin + DAY * 365}"}
        lines = [*lines, said(f"claim:G-{number}", at, "CreditRequested", asked)]
        decision = credits.assess(judged(lines, at, **chosen), f"claim:G-{number}").as_json() | {"verdict": "granted"}
        granted = {"decision": decision, "decided_by": "finance"}
        lines = [*lines, said(f"claim:G-{number}", at, "CreditGranted", granted)]

    judgement, year = judged(lines, at + DAY, **chosen), data.draw(years)
    rows = check(judgement, year)

    assert_used_alike(judgement)
    event(f"credited already: {any(r['already_credited_seconds'] for r in rows)}")


EVERY = [{}, *({key: value} for key, values in CHOICES.items() for value in values)]


@pytest.mark.parametrize("chosen", EVERY, ids=[" ".join(f"{k}={v}" for k, v in one.items()) for one in EVERY])
def test_a_year_with_everything_in_it_is_settled_as_one_by_one_under_each_reading(chosen: dict[str, Any]) -> None:
    """With a gap in monitoring, exclusions, an outage not settled, a corrected one, and half of it credited already."""
    lines = [json.loads(line) for line in ACME.read_text().splitlines()]
    lines = [line for line in lines if not line["subject"].startswith("claim:")]
    at, gap = instant(NOW), {"from": "2025-03-01T00:00:00Z", "until": "2025-03-03T00:00:00Z", "reason": "moved"}
    down = {"services": ["licence"], "degree": "unavailable", "noticed_by": "staff"}
    lines.append(said("monitoring:licence", at, "MonitoringGapRecorded", gap))
    lines.append(said("outage:OPEN", instant("2025-12-30T00:00:00Z"), "OutageReported", down | {"customers": "all"}))
    lines.append(
        said("outage:OURS", instant("2025-03-02T12:00:00Z"), "OutageReported", down | {"customers": ["other"]})
    )
    lines.append(said("outage:OURS", instant("2025-03-04T00:00:00Z"), "ServiceRestored", {}))
    right = {"time": "2025-03-02T12:00:00Z", "data": down | {"customers": ["acme"]}}
    lines.append(said("outage:OURS", at, "EntryCorrected", {"version": 1, "reason": "another customer", **right}))
    lines = [{k: v for k, v in line.items() if k not in ("id", "sequence")} for line in lines]
    asked = {"customer": "acme", "service": "licence", "from": "2024-07-01", "until": "2025-07-01"}
    lines.append(said("claim:HALF", at, "CreditRequested", asked))
    for line in lines[-6:]:
        line["recordedtime"] = NOW
    assert settled(Settlement(judged(lines, at, **chosen), 2025), ["acme"])[0]["already_credited_seconds"] == 0
    decision = credits.assess(judged(lines, at, **chosen), "claim:HALF").as_json() | {"verdict": "granted"}
    lines.append(said("claim:HALF", at, "CreditGranted", {"decision": decision, "decided_by": "finance"}))

    asked = asked | {"from": "2025-01-01", "until": "2026-01-01"}
    lines.append(said("claim:YEAR", at, "CreditRequested", asked))

    rows = check(judged(lines, at, **chosen), 2025)

    assert_used_alike(judged(lines, at, **chosen))
    assert (rows[0]["already_credited_seconds"] > 0) == (chosen != {"reused_downtime": "again"})
    assert (rows[0]["unknown_seconds"] > 0) == (chosen != {"uncovered_monitoring": "unavailable"})


def assert_used_alike(judgement: Judgement) -> None:
    """Assert that of every claim's downtime others have used what they are found to have used one by one."""
    for stream, _ in judgement.history.all(judgement.as_of, "claim"):
        request = claims.claim(judgement, stream).request
        span = claims.period(judgement, request)
        found = [(u.claim, list(u.spans)) for u in Granted(judgement).used_by_others(stream, request, span)]
        assert found == [(c, clip(spans, *span)) for c, spans in used_one_by_one(judgement, stream)]


def used_one_by_one(judgement: Judgement, claim: str) -> list[tuple[str, list[Span]]]:
    """What other granted claims used up, each made again on everything that was known."""
    asked, found = claims.claim(judgement, claim).request, list[tuple[int, str, list[Span]]]()
    for stream, _ in judgement.history.all(judgement.as_of, "claim"):
        state = claims.claim(judgement, stream)
        decision, same = state.recorded(), state.request
        if decision and state.decision and (same.customer, same.service) == (asked.customer, asked.service):
            position = state.decision.position
            then = claims.judgement_of(judgement.history, decision, position)
            period = claims.period(then, same)
            finding = availability.availability(Downtime(then), same.customer, same.service, *period)
            found.append((position, stream, finding.counted))
    used, others = list[Span](), []
    for _, stream, counted in sorted(found):
        own = minus(counted, used)
        used = union([*used, *own])
        if stream != claim:
            others.append((stream, own))
    return others


def said(stream: str, at: datetime, name: str, data: dict[str, Any]) -> dict[str, Any]:
    """A line of a stream file, recorded when it happened."""
    head = {"specversion": "1.0", "type": name, "subject": stream, "time": stamp(at), "recordedtime": stamp(at)}
    return {**head, "data": data}


@given(st.lists(st.integers()), st.integers(1, 9))
def test_parts_follow_each_other_and_are_as_even_as_can_be(customers: list[int], n: int) -> None:
    found = parts([str(c) for c in customers], n)

    assert [int(c) for part in found for c in part] == customers
    assert len(found) == min(n, len(customers))
    assert not found or max(map(len, found)) - min(map(len, found)) <= 1


def test_totals_of_parts_are_the_totals_of_the_whole() -> None:
    judgement = Scope(str(ACME), as_of=instant(NOW)).judgement()
    rows = settled(Settlement(judgement, 2025), ["acme"])
    whole, joined = Totals(), Totals()
    for row in rows:
        part = Totals()
        whole.add(row)
        part.add(row)
        joined.join(part)

    assert joined.as_json() == whole.as_json()
    assert whole.as_json() == {
        "customers": 1,
        "rows": 2,
        "met": 1,
        "below_target": 1,
        "provisional": 0,
        "granted": 1,
        "credit": [{"amount": "600.00", "currency": "NOK"}],
        "counted_seconds": 1085400,
    }


# What is read


@pytest.mark.parametrize("story", ["a-year-of-acme", "withdrawn-and-recorded-anew"])
def test_reading_some_kinds_of_streams_reads_what_reading_all_does(tmp_path: Path, story: str) -> None:
    path, entries = tmp_path / "ledger.db", read(str(ROOT / "fixtures" / "streams" / f"{story}.jsonl"))
    create(path, [*entries[:-9], *reversed_times(entries[-9:])])
    whole = Scope(str(path)).history()
    cuts: list[dict[str, Any]] = [{}, *({"at_entry": n} for n in range(len(entries) + 1))]
    for entry in whole.entries:
        for at in (entry.recorded_at, entry.recorded_at - timedelta(seconds=1)):
            cuts += [{"known_at": at}, {"known_at": at, "at_entry": len(entries) // 2}]

    for cut in cuts:
        part, full = Scope(str(path), **cut).history("outage", "agreement"), Scope(str(path), **cut).history()
        assert part.entries == [x for x in full.entries if kind_of(x.stream) in ("outage", "agreement")]
        assert part.last_position == full.last_position


def reversed_times(entries: list[Any]) -> list[Any]:
    """The entries with the last recorded first, as only an exact copy of another ledger can hold them."""
    times = [x.recorded_at for x in entries]
    return [replace(x, recorded_at=at) for x, at in zip(entries, reversed(times), strict=True)]


def test_a_position_beyond_the_last_is_refused_whatever_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    create(path, read(str(ACME)))

    for command in ("availability", "settle"):
        refused = do(path, command, "--year", "2025", "--at-entry", "204", code=1)
        assert refused.stderr.splitlines()[:2] == ["entry 204", "the last entry is 203"]


def test_a_missing_version_breaks_the_ledger_whatever_is_read(tmp_path: Path) -> None:
    path, entries = tmp_path / "ledger.db", read(str(ACME))
    create(path, [x for x in entries if x.stream != "outage:O-02" or x.version != 2])

    assert "version 3 of outage:O-02, after version 1" in do(path, "settle", "--year", "2025", code=4).stderr


# The command


def one_row(path: Path, service: str, *options: str) -> Row:
    found = json.loads(do(path, "--json", "settle", "--year", "2025", "--service", service, *options, now=NOW).stdout)
    assert len(found) == 1
    return dict(found[0])


@pytest.mark.parametrize("options", [(), ("--reading", "lost_steps=exact"), ("--reading", "reused_downtime=again")])
def test_a_row_is_what_the_commands_say_of_a_claim_that_is_really_submitted(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = tmp_path / "ledger.db"
    create(path, [x for x in read(str(ACME)) if kind_of(x.stream) != "claim"])
    ask = ("--customer", "acme", "--service", "licence")
    half = ("claim", "submit", "HALF", *ask, "--from", "2024-07-01", "--until", "2025-07-01")
    do(path, "record", "MonthlyFeeAgreed", "agreement:acme", "--service", "licence", "--monthly-fee", "9000.00 NOK")

    for decided in (False, True):
        if decided:
            do(path, *half)
            do(path, "claim", "decide", "HALF", "--decided-by", "finance")
        row = one_row(path, "licence", *options)
        alone = json.loads(do(path, "--json", "availability", "--year", "2025", *ask, *options).stdout)[0]
        copy = tmp_path / f"{decided}.db"
        copy.write_bytes(path.read_bytes())
        do(copy, "claim", "submit", "YEAR", *ask, "--from", "2025-01-01", "--until", "2026-01-01")
        claim = json.loads(do(copy, "--json", "claim", "assess", "YEAR", "--provisional", *options).stdout)

        assert [row[k] for k in ("verdict", "steps", "rate_percent", "monthly_fee", "credit", "doubts")] == [
            claim[k] for k in ("verdict", "steps", "rate_percent", "monthly_fee", "credit", "doubts")
        ]
        assert row["availability"] == claim["availability"]["availability"]
        assert sum(row[k] for k in SUMS) == alone["counted_seconds"]
        assert row["excluded_seconds"] == alone["excluded_seconds"]
        assert bool(row["already_credited_seconds"]) == (decided and "reused_downtime=again" not in options)
    assert len(Scope(str(path)).history().entries) == len(Scope(str(copy)).history().entries) - 1


def test_a_year_that_has_not_ended_and_an_outage_that_is_not_settled_give_no_credit_yet(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    create(path, read(str(ACME)))

    early = one_row(path, "licence", "--as-of", "2025-12-01T00:00:00Z")
    do(path, "record", "OutageReported", "outage:NEW", "--services", "licence", "--customers", "all",
       "--degree", "unavailable", "--noticed-by", "staff", "--at", "2025-12-30T00:00:00Z")  # fmt: skip
    open_one = one_row(path, "licence")

    assert (early["verdict"], early["credit"]) == ("refused", {"amount": "0.00", "currency": "NOK"})
    assert "cut_at_as_of" in early["doubts"]
    assert (open_one["provisional"], open_one["verdict"]) == (True, None)
    assert open_one["credit"]["amount"] == "900.00"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of 450 customers: three parts."""
    path = tmp_path_factory.mktemp("settling") / "ledger.db"
    settling.make(path, 450, 450, 60, 20)
    return path


def settle(path: Path, *options: str, **more: Any) -> bytes:
    """What the command prints, run by itself."""
    command = [sys.executable, "-m", "cli", "--db", str(path), "--as-of", NOW, "settle", "--year", "2025", *options]
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, cwd=ROOT, **more
    )
    return done.stdout


def test_the_made_up_ledger_is_one_that_every_stream_accepts(many: Path, tmp_path: Path) -> None:
    exported = tmp_path / "ledger.jsonl"
    exported.write_text(do(many, "export").stdout)

    assert len(read(str(exported))) == len(Scope(str(many)).history().entries)


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "tsv", "table"])
def test_more_processes_print_the_same_bytes(many: Path, form: str) -> None:
    alone = settle(many, "--format", form)

    assert settle(many, "--format", form, "--jobs", "2") == alone
    assert settle(many, "--totals", "--format", form, "--jobs", "3") == settle(many, "--totals", "--format", form)
    if form == "json":
        found = json.loads(alone)
        assert (json.dumps(found, indent=2, ensure_ascii=False) + "\n").encode() == alone
        assert [r["customer"] for r in found] == sorted(r["customer"] for r in found)
        assert len(found) == 900
    if form == "jsonl":
        rows = json.loads(settle(many, "--json"))
        assert [json.loads(line) for line in alone.splitlines()] == rows
    if form == "csv":
        assert alone.splitlines()[0].decode() == ",".join(FIELDS)
        assert len(alone.splitlines()) == 901


def test_progress_and_totals_go_to_the_terminal_and_rows_to_the_file(many: Path) -> None:
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as seen:
        rows = settle(many, "--json", "--jobs", "2", stderr=slave)
        os.close(slave)
        shown = seen.read(65536).decode()

    assert rows == settle(many, "--json")
    assert "settling" in shown


def test_a_table_is_followed_by_its_totals(many: Path) -> None:
    table = do(many, "--format", "table", "settle", "--year", "2025", "--customer", "customer-00007")

    assert [line.split()[0] for line in table.stdout.splitlines()] == ["customer", "customer-00007", "customer-00007"]
    assert table.stderr.startswith("customers: 1; rows: 2; met: ")


def test_nobody_has_an_empty_report(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    do(path, "init")

    assert do(path, "--json", "settle", "--year", "2025").stdout == "[]\n"
    assert do(path, "--format", "jsonl", "settle", "--year", "2025").stdout == ""
    assert do(path, "--format", "csv", "settle", "--year", "2025", "--jobs", "2").stdout == ",".join(FIELDS) + "\n"
    assert json.loads(do(path, "--json", "settle", "--year", "2025", "--totals").stdout)["credit"] == []


def test_a_process_that_is_killed_gives_three_lines(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("without fork the processes do not inherit what this test puts in their way")
    parent = os.getpid()
    monkeypatch.setattr(settlements, "piece", lambda *_: os._exit(9) if os.getpid() != parent else None)

    assert do(many, "settle", "--year", "2025", "--jobs", "2", code=1).stderr.startswith("settle\none of its processes")


@pytest.mark.parametrize("options", ["", "--year 20", "--year 2025 --jobs 0", "--year 2025 --jobs many"])
def test_wrong_usage_exits_2(many: Path, options: str) -> None:
    do(many, "settle", *options.split(), code=2)


def test_the_benchmark_of_settling_finds_ratios(tmp_path: Path) -> None:
    found = settling.run(True, tmp_path)

    assert found["rows checked"] == 40
    assert all(found[f"time for 100 customers, to that for 10, jobs {jobs}"]["value"] > 0 for jobs in (1, 2))
