"""Files in and out: import with rejects and counts, export of every entry."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ledger.book import Ledger, Outcome, create
from ledger.entry import to_line
from ledger.errors import BadLine, LedgerError
from ledger.exchange import native
from ledger.exchange.batch import BadRow, Batch
from ledger.privacy.keys import PSEUDONYMS, SECRET_BYTES, Key, KeyFile
from ledger.privacy.pseudonyms import PSEUDONYM, Pseudonyms
from ledger.privacy.sealing import Summaries
from ledger.store import stream_file
from ledger.store.address import is_database, shown
from ledger.text import clean, plain_json
from projections.shell import output
from projections.shell.filters import one_of
from projections.shell.options import reading, writing
from projections.shell.recording import default_actor
from projections.shell.scope import Scope

SOURCES = ("native", "servicenow", "upptime")
SHOWN = 20


@writing
def import_(
    scope: Scope,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="files to bring in; - for standard input")],
    source: Annotated[str, typer.Option("--from", metavar="KIND", help="native, servicenow or upptime")] = "native",
    zone: Annotated[str | None, typer.Option(help="the zone of times without one, like Europe/Oslo")] = None,
    heads: Annotated[str | None, typer.Option(metavar="JSON", help="upptime: the file with each site's start")] = None,
    attribute: Annotated[str | None, typer.Option(metavar="CAUSE", help="upptime: settle frames and cause")] = None,
    decided_by: Annotated[str | None, typer.Option(metavar="WHO", help="upptime: who settles them")] = None,
    rejects: Annotated[
        str | None, typer.Option(metavar="R.jsonl", help="set bad rows aside here, as they came, and take the rest")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="judge everything, add nothing")] = False,
    verbatim: Annotated[bool, typer.Option("--verbatim", help="make the ledger an exact copy of an export")] = False,
    summary: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="servicenow: take summaries from here (default: none)")
    ] = None,
    keep_personal: Annotated[
        bool, typer.Option("--keep-personal", help="take addresses, numbers and names of persons as they are")
    ] = False,
) -> None:
    """Bring in facts from files. The same rows again add nothing.

    Without --rejects one bad row refuses everything; with it the good rows enter together and the bad ones are written
    there, with line and reason, and as they came, persons and all: that file is for its owner alone, who deletes it.
    E-mail addresses, telephone numbers and the persons of a ServiceNow log become
    pseudonyms, the same person the same one, unless --keep-personal is given; a copy changes nothing.

    \b
    Examples:
      sla-ledger import history.jsonl
      sla-ledger import --from servicenow log.csv.gz --zone Europe/Oslo --rejects rejects.jsonl
      sla-ledger import --from upptime status_commits.csv --heads sites_head.json --attribute failure --decided-by ops
      sla-ledger --db copy.db import --verbatim export.jsonl
    """
    one_of("--from", source, SOURCES)
    _check_names(scope, files, heads, rejects)
    if verbatim:
        _copy(scope, files, dry_run)
        return
    if summary is not None and source != "servicenow":
        raise typer.BadParameter("only ServiceNow logs have a column for it", param_hint="--summary")
    ledger = Ledger(scope.path, keys=scope.keys)
    summaries = Summaries(scope.keys, ledger)
    pseudonyms = None if keep_personal else _pseudonyms(scope, dry_run)
    try:
        known = ledger.store.positions_of
        whole = Source(source, zone, heads, attribute, decided_by, summary, pseudonyms, summaries, known)
        batches = {f: _batch(whole, f) for f in files}
        facts = [fact for batch in batches.values() for fact in batch.facts]
        bad = [(f, row) for f, batch in batches.items() for row in batch.bad]
        outcome = ledger.judge(facts, by_content=True, summaries=summaries)
        origin = {id(fact): f for f, batch in batches.items() for fact in batch.facts} if outcome.rejects else {}
        for reject in outcome.rejects:
            file, fact = origin[id(reject.fact)], reject.fact
            reason = f"{fact.stream}, {fact.event.name}: {reject.what} ({reject.reason}); {reject.todo}"
            bad.append((file, BadRow(fact.line, reason, batches[file].raw(fact.line))))
        bad.sort(key=lambda item: (files.index(item[0]), item[1].line))
        if bad and rejects is None:
            raise _refused(bad)
        if not dry_run:
            if rejects is not None:
                _write_rejects(rejects, bad)
            outcome = ledger.commit(outcome)
    finally:
        ledger.close()
    _say_what_changed(pseudonyms, summaries)
    _report(scope, outcome, bad, sum(x.passed_over for x in batches.values()), dry_run)


@reading
def export(
    scope: Scope,
    as_: Annotated[str, typer.Option("--as", metavar="KIND", help="cloudevents")] = "cloudevents",
) -> None:
    """Write every entry: a CloudEvents 1.0 JSON object a line, ready for import --verbatim.

    A copy made of it has the same leaf hashes, so that checkpoints of the original hold for it; they do not travel
    themselves: keep them beside the file, or seal the copy anew.

    \b
    Example:
      sla-ledger export --as cloudevents > history.jsonl
    """
    one_of("--as", as_, ("cloudevents",))
    for entry in scope.history().entries:
        output.write(plain_json(to_line(entry)))


def _check_names(scope: Scope, files: list[str], heads: str | None, rejects: str | None) -> None:
    """Refuse a file that is named twice, and a rejects file that would overwrite the ledger or what is read."""
    for file in files:
        if files.count(file) > 1:
            raise typer.BadParameter(f"{clean(file)} is named twice", param_hint="FILE")
    if rejects is None:
        return
    endings = () if is_database(scope.db) else ("", ".lock", "-journal", "-wal", "-shm")
    beside = [scope.db + ending for ending in endings] + [str(scope.keys.keys), str(scope.keys.kek)]
    for taken in [*beside, *files, *([heads] if heads else [])]:
        if os.path.realpath(taken) == os.path.realpath(rejects):
            raise LedgerError(clean(rejects), "the rejects would overwrite this file", "name another file for them")
    _check_replaceable(rejects)


def _check_replaceable(rejects: str) -> None:
    """Refuse to put rejects in the place of what is there already, unless that is rejects too, or nothing."""
    path = Path(rejects)
    if not os.path.lexists(path):
        return
    try:
        is_rejects = path.is_file() and not path.is_symlink() and _begins_as_rejects(path)
    except OSError as error:
        what = f"the rejects cannot be written there: {error.strerror}"
        raise LedgerError(clean(rejects), what, "name another file for them") from None
    if not is_rejects:
        raise LedgerError(clean(rejects), "there is something else here already", "name another file for the rejects")


def _begins_as_rejects(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(7) in (b"", b'{"file"')


def _copy(scope: Scope, files: list[str], dry_run: bool) -> None:
    if len(files) != 1:
        raise typer.BadParameter("a copy is made of one file", param_hint="--verbatim")
    address, entries = scope.path, stream_file.read(files[0])
    for index, entry in enumerate(entries, 1):
        if entry.position != index:
            where = f"{clean(files[0])}, line {entry.position}"
            raise BadLine(where, f"this is entry {index}: positions would change", "leave out empty and repeated lines")
    if dry_run:
        output.note(f"{shown(address)}: would be an exact copy of {len(entries)} entries")
        return
    create(address, entries)
    output.note(f"{shown(address)}: a new ledger, an exact copy of {len(entries)} entries")


def _pseudonyms(scope: Scope, dry_run: bool) -> Pseudonyms:
    """Return pseudonyms under the ledger's key, which is made when it is needed, or for a dry run under another."""
    keys = KeyFile(scope.keys)

    def key() -> Key:
        known = keys.living().get(PSEUDONYMS)
        if known is None:
            _warn_of_others(scope)
        if dry_run:
            return known or Key("", PSEUDONYMS, os.urandom(SECRET_BYTES))
        return keys.make(PSEUDONYMS, default_actor())[0]

    return Pseudonyms(key)


def _warn_of_others(scope: Scope) -> None:
    """Say so when a ledger holds pseudonyms, and the key that made them is not here."""
    with closing(scope.reader()) as reader:
        found = next((row[0] for row in reader.rows(reader.last_position()) if PSEUDONYM.search(row[4])), None)
    if found is not None:
        output.note(
            f"warning: entry {found} holds a pseudonym, and the key of the pseudonyms is not in {scope.keys.keys}: "
            "the same persons get others now, and rows that came in before come in once more"
        )


@dataclass(frozen=True, slots=True)
class Source:
    """What kind of files come in, and what is done to their facts on the way."""

    kind: str
    zone: str | None
    heads: str | None
    attribute: str | None
    decided_by: str | None
    summary: str | None
    pseudonyms: Pseudonyms | None
    summaries: Summaries
    known: Callable[[list[str]], Container[str]]


def _batch(source: Source, file: str) -> Batch:
    with output.progress(f"reading {file}") as done:
        if source.kind == "servicenow":
            from ledger.exchange import servicenow

            if source.zone is None:
                raise typer.BadParameter("the log's times have no zone; name it, like Europe/Oslo", param_hint="--zone")
            batch = servicenow.read(
                file, zone=source.zone, pseudonyms=source.pseudonyms, summary=source.summary, progress=done
            )
            batch.facts = [*map(source.summaries.sealed, batch.facts)]
            return batch
        if source.kind == "upptime":
            from ledger.exchange import upptime

            if source.attribute is not None and source.decided_by is None:
                raise typer.BadParameter("say who settles them: --decided-by WHO", param_hint="--attribute")
            return upptime.read(
                file,
                heads=source.heads,
                attribute=source.attribute,
                decided_by=source.decided_by,
                pseudonyms=source.pseudonyms,
                progress=done,
            )
        return native.read(file, source.pseudonyms, source.summaries, source.known)


def _refused(bad: list[tuple[str, BadRow]]) -> LedgerError:
    file, row = bad[0]
    more = "".join(f"\n  {clean(f)}, line {r.line}: {clean(r.reason)}" for f, r in bad[1:SHOWN])
    left = f"\n  and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    rows = "row" if len(bad) == 1 else f"{len(bad)} rows"
    todo = f"nothing was added; mend the {rows}, or set them aside: --rejects R.jsonl"
    return LedgerError(f"{clean(file)}, line {row.line}", f"{clean(row.reason)}{more}{left}", todo)


def _write_rejects(path: str, bad: list[tuple[str, BadRow]]) -> None:
    """Write the rejects file whole or not at all, for its owner alone: rows are in it as they came."""
    draft = Path(f"{path}.{os.getpid()}.draft")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            for file, row in bad:
                item = {"file": file, "line": row.line, "reason": row.reason, "row": row.raw}
                out.write(output.json_line(item) + "\n")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise LedgerError(
            path, f"the rejects cannot be written: {error.strerror}", "nothing was added; name another file"
        ) from None


def _say_what_changed(pseudonyms: Pseudonyms | None, summaries: Summaries) -> None:
    """Say where facts are not as their file has them."""
    if pseudonyms is not None and pseudonyms.replaced:
        output.note(f"{pseudonyms.replaced} times a pseudonym stands for what looks like a person")
    if summaries.left_out:
        output.note(f"{summaries.left_out} summaries of customers that were forgotten are left out")


def _report(scope: Scope, outcome: Outcome, bad: list[tuple[str, BadRow]], passed_over: int, dry_run: bool) -> None:
    found: dict[str, Any] = {
        "added": len(outcome.added),
        "already_there": len(outcome.already),
        "rejected": len(bad),
        "passed_over": passed_over,
        "dry_run": dry_run,
        "rejects": [{"file": f, "line": r.line, "reason": r.reason} for f, r in bad],
    }
    would = "would be " if dry_run else ""
    text = [f"{would}added {found['added']}, already there {found['already_there']}, {would}rejected {len(bad)}"]
    if passed_over:
        text[0] += f", passed over {passed_over} rows that change nothing"
    text += [f"  {f}, line {r.line}: {r.reason}" for f, r in bad[:SHOWN]]
    if len(bad) > SHOWN:
        text.append(f"  and {len(bad) - SHOWN} more, all in the rejects file")
    output.thing(scope, found, text)
