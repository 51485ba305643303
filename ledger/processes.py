"""Processes that share a command's work, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

CAN_FORK = "fork" in multiprocessing.get_all_start_methods()


def pool(count: int, begin: Callable[..., None] | None = None, *given: Any) -> ProcessPoolExecutor:
    """Return what has work done by processes, forked from this one where the system can. begin: called in each first.

    They end with this one however it ends: what it holds open, a lock too, they hold as well.
    """
    context = multiprocessing.get_context("fork" if CAN_FORK else "spawn")
    return ProcessPoolExecutor(count, context, _begun, (begin, given))


def _begun(begin: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_together, daemon=True).start()
    if begin is not None:
        begin(*given)


def _end_together() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
