"""The command line: global options and a table of commands, each loaded when it is called. No rule lives here."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ledger.errors import LedgerError

gc.set_threshold(50_000, 20, 20)  # starting makes many objects, and all of them stay
atexit.register(gc.freeze)  # at the end there is nothing to look for

# name: (module of projections.shell, attribute, what it does)
TABLE: dict[str, tuple[str, str, str]] = {
    "init": ("recording", "init", "create a ledger and post the built-in terms"),
    "demo": ("demo", "demo", "a year of one customer, and one credit decided and explained"),
    "record": ("recording", "record", "append one fact"),
    "import": ("exchange", "import_", "bring in facts from files, each row once"),
    "export": ("exchange", "export", "write every entry"),
    "log": ("entries", "log", "entries as they were recorded"),
    "show": ("entries", "show", "one stream: its entries, and what they amount to"),
    "compliance": ("reports", "compliance", "response times: findings, or totals"),
    "queue": ("reports", "queue", "unanswered cases in the order to handle them"),
    "order": ("reports", "order", "whether cases were handled in the order they came"),
    "availability": ("reports", "availability", "availability per customer and service"),
    "settle": ("settlements", "settle", "a year's availability and would-be credit of everybody"),
    "commitments": ("reports", "commitments", "delivery, troubleshooting, maintenance notice, backups"),
    "reconcile": ("entries", "reconcile", "the evidence of an outage side by side"),
    "claim": ("claims", "claim", "submit, assess and decide service credits"),
    "explain": ("explanations", "explain", "how a verdict or a decision comes about"),
    "readings": ("claims", "readings", "a claim under the other readings of the agreement"),
    "audit": ("claims", "audit", "make a recorded decision again and compare"),
    "seal": ("custody", "seal", "sign a checkpoint of all entries, for others to hold"),
    "witness": ("witnessing", "witness", "keep the log's checkpoints outside, and see that each continues the last"),
    "receipt": ("witnessing", "receipt", "a stream's entries with the proof that the log holds them"),
    "bundle": ("evidence_bundle", "bundle", "what an outsider needs to check a decision and make it again"),
    "rebuild": ("upkeep", "rebuild", "build the views from nothing"),
    "verify": ("verification", "verify", "read everything again: what holds, and what cannot be known"),
    "doctor": ("doctor", "doctor", "what is wrong with the installation or the ledger, and what to do"),
    "backup": ("backup", "backup", "a verified copy, while others go on recording"),
    "privacy": ("privacy", "privacy", "summaries under seal: turn it on, see for whom it is"),
    "forget": ("privacy", "forget", "destroy the key of a customer's sealed summaries"),
    "terms": ("agreement_terms", "terms", "the agreement's terms and readings"),
}
EXAMPLES = """
Examples:

\b
  sla-ledger init
  sla-ledger record IncidentReported incident:INC-1 --customer acme --service licence --channel phone
  sla-ledger compliance --by month --customer acme
  sla-ledger --as-of 2026-03-31T22:00:00Z queue
  sla-ledger --db history.jsonl explain claim:C-1
"""


class Commands(TyperGroup):
    """The table of commands, loaded one at a time, and the three lines that every error becomes."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the table."""
        return list(TABLE)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, importing its module; None for an unknown name."""
        if cmd_name not in TABLE:
            self.commands = {name: TyperCommand(name) for name in TABLE}  # so that a near miss is suggested
            return None
        module, attribute, _ = TABLE[cmd_name]
        found = getattr(importlib.import_module(f"projections.shell.{module}"), attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        if not callable(getattr(found, "make_context", None)):
            single = typer.Typer(rich_markup_mode=None, add_completion=False)
            single.command(cmd_name)(found)
            return typer.main.get_command(single)
        return found

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the table without importing what stands in it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, does) for name, (_, _, does) in TABLE.items()])

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what it refuses becomes three lines and an exit status, never a traceback."""
        try:
            return super().invoke(ctx)
        except LedgerError as error:
            _complain(error.where, *error.what.split("\n"), error.todo)
            raise typer.Exit(error.exit_status) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone; say no more
            raise typer.Exit(0) from None
        except (typer.Exit, typer.Abort):
            raise
        except OSError as error:
            _complain(error.filename or "sla-ledger", error.strerror or str(error), "check the file or disk, try again")
            raise typer.Exit(1) from None
        except Exception as error:
            if hasattr(error, "exit_code") or os.environ.get("SLA_LEDGER_DEBUG"):  # usage errors speak for themselves
                raise
            what = f"a fault of this program: {type(error).__name__}: {error}"
            _complain(f"sla-ledger {ctx.invoked_subcommand}", what, "report it, with SLA_LEDGER_DEBUG=1 set")
            raise typer.Exit(1) from None


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sla-ledger {version('sla-ledger')}")
        raise typer.Exit


def _complain(*lines: str) -> None:
    from ledger.text import clean

    for line in lines:
        typer.echo(clean(line), err=True)


app = typer.Typer(
    cls=Commands,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    epilog=EXAMPLES,
    help="An incident ledger that can make every response time and every credit again from its entries.",
)


@app.callback()
def options(
    ctx: typer.Context,
    db: str = typer.Option("ledger.db", envvar="SLA_LEDGER_DB", help="a ledger, a *.jsonl stream file, a bundle, or -"),
    as_of: str = typer.Option(None, metavar="T", help="judge at this instant; what happened later is not seen"),
    known_at: str = typer.Option(None, metavar="T", help="only what had been recorded by then"),
    at_entry: int = typer.Option(None, metavar="N", help="only entries up to this position"),
    terms: str = typer.Option(None, metavar="ID", help="judge everything by this version of the terms"),
    reading: list[str] = typer.Option([], metavar="KEY=VALUE", help="take another reading; repeatable"),
    views: str = typer.Option(None, metavar="FILE", envvar="SLA_LEDGER_VIEWS", help="where findings are kept"),
    format: str = typer.Option(None, metavar="FORMAT", help="table, json, jsonl, csv or tsv"),
    json: bool = typer.Option(False, "--json", help="short for --format json"),
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_say_version, help="print the version and stop"
    ),
) -> None:
    """Keep the options that concern reading; every command takes them after its name too."""
    ctx.obj = {
        "db": db,
        "as_of": as_of,
        "known_at": known_at,
        "at_entry": at_entry,
        "terms": terms,
        "reading": reading,
        "views": views,
        "format": "json" if json else format,
    }


if __name__ == "__main__":
    app(prog_name="sla-ledger")
