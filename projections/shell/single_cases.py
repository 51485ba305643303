"""One case as it is now, answered for by the views and its stored entries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from projections.shell.scope import Scope

if TYPE_CHECKING:
    from projections.views.answers import Answers
    from projections.views.single import Single

CASES = ("incident", "request")
_Told = TypeVar("_Told")


def case_of(scope: Scope, names: list[str], question: Callable[[Single], _Told]) -> _Told | None:
    """Return what is told of the first of these cases that is there; None when the plain rules have to be asked."""

    def ask(views: Answers) -> _Told:
        from projections.views.single import read

        with closing(scope.reader()) as reader:
            return question(read(views, reader, names))

    sound = all(name.isascii() and name.isprintable() for name in names)
    return scope.ask(ask, as_it_is=True) if sound else None
