"""The agreement's terms: listed, shown, compared, and a new version posted."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Any

import typer

from ledger.entry import Fact
from ledger.errors import BadTerms, NotFound
from ledger.events import TermsPosted
from ledger.files import content
from ledger.instants import stamp
from ledger.readings import READING_IDS, values
from ledger.terms import BUILT_IN, MAX_DOCUMENT, Terms, Version, parse
from ledger.text import clean
from projections.judgement import Judgement
from projections.shell import output
from projections.shell.options import option_instant, reading, writing
from projections.shell.recording import Actor, append, built_in_fact, default_actor
from projections.shell.scope import Scope

terms = typer.Typer(
    rich_markup_mode=None, add_completion=False, no_args_is_help=True, help="The agreement's terms and readings."
)


@terms.command("list")
@reading
def list_(scope: Scope) -> None:
    """All versions of the terms that are known, in order of taking effect."""
    judgement = scope.judgement(scope.history("terms"))
    in_force = judgement.rules_at(judgement.as_of)
    found = [
        {
            "terms": v.terms.id,
            "effective_at": stamp(v.effective_at),
            "in_force": v is in_force,
            "contradicts_its_document": v.effective_at != v.terms.effective_from,
            "posted_by": list(v.positions),
            "title": v.terms.title,
        }
        for v in judgement.terms_book.versions
    ]
    output.rows(scope, found)


@terms.command("show")
@reading
def show(
    scope: Scope,
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", help="a version (default: the one in force)")] = None,
    diff: Annotated[
        tuple[str, str] | None, typer.Option(metavar="A B", help="what changed between two versions")
    ] = None,
) -> None:
    """Every clause, number and reading, and where it is judged.

    \b
    Examples:
      sla-ledger terms show easymeeting-2020-09-23
      sla-ledger terms show --diff easymeeting-2020-09-23 easymeeting-2026-07-01
    """
    judgement = scope.judgement(scope.history("terms"))
    if diff:
        before, after = (_version(judgement, name) for name in diff)
        output.rows(scope, list(_changes(_terms_json(before), _terms_json(after), "")), ("term", "before", "after"))
        return
    chosen = judgement.rules_at(judgement.as_of) if id_ is None else _version(judgement, id_)
    output.thing(scope, _terms_json(chosen), _terms_text(chosen.terms, chosen))


@terms.command()
@writing
def post(
    scope: Scope,
    file: Annotated[str, typer.Argument(metavar="FILE", help="the whole document as TOML")],
    at: Annotated[
        str | None, typer.Option(metavar="T", help="when it takes effect, if the document is to agree")
    ] = None,
    actor: Actor = None,
) -> None:
    """Post a new version of the terms.

    It takes effect at the document's `effective_from`.

    \b
    Example:
      sla-ledger terms post easymeeting-2026-07-01.toml
    """
    try:
        document = content(file, 4 * MAX_DOCUMENT).decode()
    except UnicodeDecodeError:
        raise BadTerms(clean(file), "not UTF-8", "name a TOML file in UTF-8") from None
    posted = parse(document.replace("\r\n", "\n"))
    wanted = option_instant(at, "--at")
    if wanted is not None and wanted != posted.effective_from:
        what = f"the document takes effect at {stamp(posted.effective_from)}, not at {stamp(wanted)}"
        raise BadTerms(clean(file), what, "make both agree, or leave out --at")
    digest = sha256(document.encode()).hexdigest()
    before, who = Scope(db=scope.path), actor or default_actor()
    judgement = before.judgement(before.history("terms"))
    _refuse_contradiction(judgement, file, posted, digest)
    event = TermsPosted(document=document, sha256=digest)
    facts = [Fact(f"terms:{posted.id}", posted.effective_from, event, who)]
    if not judgement.history.streams("terms") and posted.id != BUILT_IN:  # what judged so far goes on judging the past
        facts.insert(0, built_in_fact(who))
    append(scope, *facts)


def _refuse_contradiction(judgement: Judgement, file: str, posted: Terms, digest: str) -> None:
    """Raise BadTerms when a document contradicts what is posted: its version, its hash, or when it takes effect."""
    for entry in judgement.history.entries:
        if not isinstance(entry.event, TermsPosted):
            continue
        known = parse(entry.event.document)
        if known.id == posted.id:
            same = entry.event.sha256 == digest
            what = (
                "is posted already" if same else f"is posted already with another document, {entry.event.sha256[:12]}"
            )
            raise BadTerms(clean(file), f"{posted.id} {what} (entry {entry.position})", "give the new version a new id")
        if entry.time == posted.effective_from:
            what = f"{known.id} takes effect at the same instant, {stamp(entry.time)} (entry {entry.position})"
            raise BadTerms(clean(file), what, "let one follow the other")


def _version(judgement: Judgement, name: str) -> Version:
    for version in judgement.terms_book.versions:
        if version.terms.id == name:
            return version
    known = ", ".join(v.terms.id for v in judgement.terms_book.versions)
    raise NotFound(clean(name), "no such version of the terms is known", f"known versions: {known}")


def _changes(before: Any, after: Any, path: str) -> Iterator[dict[str, Any]]:
    """Yield a row for every term that differs between two versions, with both its values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(k for k in after if k not in before)]:
            yield from _changes(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list) and _are_named(before) and _are_named(after):
        ids = {x["id"]: x for x in before}, {x["id"]: x for x in after}
        for key in dict.fromkeys([*ids[0], *ids[1]]):
            yield from _changes(ids[0].get(key), ids[1].get(key), f"{path}.{key}")
    elif before != after:
        yield {"term": path, "before": before, "after": after}


def _are_named(items: list[Any]) -> bool:
    return all(isinstance(x, dict) and "id" in x for x in items)


def _terms_json(version: Version) -> dict[str, Any]:
    found = version.terms.model_dump(mode="json", exclude_none=True)
    found["readings"] = version.readings.as_json()
    return found | {"effective_at": stamp(version.effective_at), "posted_by": list(version.positions)}


def _terms_text(terms: Terms, version: Version) -> list[str]:
    lines = [f"{terms.id}: {terms.title}", f"in force from {stamp(version.effective_at)}", "", "clauses"]
    for clause in terms.clauses:
        lines += [f"  {clause.id}  {clause.says}", f"      judged by: {clause.judged_by}"]
    lines += ["", "numbers"]
    for name, part in _parts(terms.model_dump(mode="json", exclude_none=True), ""):
        figures = ", ".join(
            f"{k.replace('_', ' ')} {output.cell(v)}" for k, v in part.items() if k not in ("clause", "says")
        )
        lines.append(f"  {name}: {figures}" + (f"   [{part['clause']}]" if "clause" in part else ""))
    lines += ["", "readings"]
    for key, value in version.readings.as_json().items():
        others = ", ".join(values(key))
        lines.append(f"  {READING_IDS[key]:<4}{key} = {output.cell(value) or 'none'}   (values: {others})")
    return lines


def _parts(found: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every part of the terms that says what it means, with its path."""
    for key, value in found.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict) and "says" in value:
            yield here, value
        elif isinstance(value, dict) and key != "readings":
            yield from _parts(value, here)
