"""Processes that share a command's work, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, MutableSequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

CAN_FORK = "fork" in multiprocessing.get_all_start_methods()
_CONTEXT = multiprocessing.get_context("fork" if CAN_FORK else "spawn")


def counters(count: int) -> MutableSequence[int]:
    """Return so many numbers that processes of a pool share with this one, when given to it; each has one writer."""
    found: MutableSequence[int] = _CONTEXT.Array("q", count, lock=False)
    return found


def pool(count: int, begin: Callable[..., None] | None = None, *given: Any) -> ProcessPoolExecutor:
    """Return what has work done by processes, forked from this one where the system can. begin: called in each first.

    They end with this one however it ends: what it holds open, a lock too, they hold as well.
    """
    return ProcessPoolExecutor(count, _CONTEXT, _begun, (begin, given))


def _begun(begin: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_together, daemon=True).start()
    if begin is not None:
        begin(*given)


def _end_together() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
