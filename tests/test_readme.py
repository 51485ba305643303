"""The README's commands and its printed decision are what the program does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```\n<!-- end -->", README, re.DOTALL)
    assert found, name
    return found[1]


def commands() -> list[str]:
    """Every sla-ledger command of the README, comments cut off."""
    found = re.findall(r"^sla-ledger .*$", README, re.MULTILINE)
    return [line.split("  #")[0].split(" #")[0].strip() for line in found]


def test_the_printed_decision_is_what_the_command_prints(request: pytest.FixtureRequest) -> None:
    command, _, printed = block("decision").partition("\n")

    result = CliRunner().invoke(cli.app, shlex.split(command.removeprefix("$ sla-ledger")))

    if request.config.getoption("--renew"):
        text = README.replace(block("decision"), f"{command}\n{result.stdout}")
        (ROOT / "README.md").write_text(text, encoding="utf-8")
    else:
        assert result.stdout == printed


def test_every_command_runs_on_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the README's order, in one folder: the auditors' on the decided sample, the support leads' on a new ledger."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    files(tmp_path)
    sample = runner.invoke(cli.app, ["demo", "sample"])
    assert sample.exit_code == 0, sample.output
    monkeypatch.setenv("SLA_LEDGER_DB", "sample/ledger.db")

    for line in commands():
        if line.startswith("sla-ledger init"):
            monkeypatch.setenv("SLA_LEDGER_DB", "ledger.db")
        command, _, into = line.removeprefix("sla-ledger").partition(" > ")
        result = runner.invoke(cli.app, shlex.split(command))
        assert result.exit_code == 0, f"{line}\n{result.output}"
        if into:
            (tmp_path / into).write_text(result.stdout, encoding="utf-8")


def files(folder: Path) -> None:
    """The files that the README's imports name."""
    import gzip

    header = (
        "number,incident_state,opened_at,sys_updated_at,contact_type,location,priority,made_sla,resolved_at,closed_at"
    )
    row = "INC0000045,New,29/2/2016 01:16,29/2/2016 01:23,Phone,Location 143,3 - Moderate,true,?,?"
    with gzip.open(folder / "log.csv.gz", "wt") as out:
        out.write(f"{header}\n{row}\n")
    (folder / "status_commits.csv").write_text(
        "committed_at,site,status,http_code,response_ms,commit\n2026-01-20T21:28:38+00:00,Shop,down,0,0,e0af6fb\n"
    )
    (folder / "sites_head.json").write_text('{"shop": {"startTime": "2026-01-01T00:00:00.000Z"}}')


def test_the_demo_prints_the_main_job(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = CliRunner().invoke(cli.app, ["demo", str(tmp_path / "demo")])

    printed = result.stdout + capfd.readouterr().out
    assert result.exit_code == 0
    assert "claim:2025: granted, 600.00 NOK" in printed
    assert "claim:2025: reproduced" in printed
    again = CliRunner().invoke(cli.app, ["demo", str(tmp_path / "demo")])
    assert again.exit_code == 1
