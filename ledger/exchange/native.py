"""Stream files: lines that say facts already, of which each gets an id of its own and persons a pseudonym."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import lru_cache

from msgspec.structs import replace

from ledger.entry import Fact, from_line
from ledger.errors import BadLine
from ledger.exchange.batch import BadRow, Batch, digest, fact_prefix, id_made_of
from ledger.memory import without_cycles
from ledger.privacy.pseudonyms import Pseudonyms, names_nobody
from ledger.privacy.sealing import MOVED, Summaries
from ledger.store import stream_file
from ledger.store.ordinary_line import Ordinary, event_of, ordinary

_is_nobody = lru_cache(4096)(names_nobody)  # actors and data, which come again


@without_cycles()
def read(
    file: str,
    pseudonyms: Pseudonyms | None = None,
    summaries: Summaries | None = None,
    known: Callable[[list[str]], Container[str]] = lambda ids: (),
) -> Batch:
    """Return the facts of a stream file; a line without a command id gets one made of its content.

    pseudonyms: what stands for persons; None keeps them. summaries: where those are sealed that are to be, before an id
    could tell what they say; those that came in plain before are `known` by the ids they got then.
    """
    batch, lines, seen = Batch(), dict[int, bytes](), dict[str, int]()
    before, seen_before = dict[int, str](), dict[str, int]()
    name = "standard input" if file == "-" else file
    masked = str if pseudonyms is None else pseudonyms.line
    facts = batch.facts
    for number, text in stream_file.raw_lines(file):
        batch.rows += 1
        found = ordinary(text, number)
        if found is not None and (pseudonyms is None or _concerns_nobody(found)):
            said = found.line.fact
        else:
            found = None
            try:
                said = from_line(masked(stream_file.decoded(text, name, number)), name, number).fact
            except BadLine as error:
                batch.bad.append(BadRow(number, error.what, text.decode("utf-8", "backslashreplace")))
                continue
        if summaries is not None and summaries.is_moved(said):
            batch.bad.append(BadRow(number, MOVED, text.decode()))
            continue
        lines[number] = text
        fact = said if summaries is None else summaries.sealed(said)
        if said.command_id is None:
            if fact is not said:
                before[len(facts)] = str(_identified(said, seen_before).command_id)
            fact = _identified(fact, seen, found if fact is said else None)
        facts.append(fact)
    there = known([*before.values()]) if before else ()
    for index, earlier in before.items():
        if earlier in there:
            facts[index] = replace(facts[index], command_id=earlier)
    batch.raw = lambda line: lines[line].decode()
    return batch


def _concerns_nobody(found: Ordinary) -> bool:
    """Return whether it is plain to see that no part of a line that holds facts would be masked."""
    fact = found.line.fact
    return (
        _is_nobody(found.data)
        and (fact.actor is None or _is_nobody(fact.actor.encode()))
        and (fact.command_id is None or names_nobody(fact.command_id.encode(), free=False))
    )


@lru_cache(4096)
def _digest(name: str, data: bytes) -> str:
    return digest(event_of(name, data))


def _identified(fact: Fact, seen: dict[str, int], found: Ordinary | None = None) -> Fact:
    """Return a fact without a command id with one made of its content; `seen` counts those made before.

    found: the line that says it.
    """
    if found is None:
        prefix, content = fact_prefix(fact), digest(fact.event)
    else:
        prefix, content = f"{fact.stream}/{found.happened_at}", _digest(fact.event.name, found.data)
    command_id = id_made_of(prefix, fact.event, content)
    times = seen[command_id] = seen.get(command_id, 0) + 1
    if times > 1:
        command_id = id_made_of(prefix, fact.event, content, times - 1)
    return Fact(fact.stream, fact.time, fact.event, fact.actor, command_id, fact.line)
