"""A stream's entries, one after the other, into the state that they lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ledger.entry import Entry

_State = TypeVar("_State")


def folded(evolve: Callable[[_State | None, Entry], _State], entries: Iterable[Entry]) -> _State:
    """Return the state that the entries of a stream lead to; there is at least one."""
    state: _State | None = None
    for entry in entries:
        state = evolve(state, entry)
    assert state is not None
    return state
