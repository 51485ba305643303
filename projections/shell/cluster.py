"""Work spread over a Dask cluster: a pure function over parts, its results in the order of the parts.

Scheduler and workers import this program, and workers are handed nothing but the parts: what they work on they read
themselves, by address.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from ledger.errors import LedgerError
from ledger.text import clean

CONNECT_SECONDS = 4
LOST_SECONDS = 30  # how long the scheduler may be without a worker before the work is given up
Part = TypeVar("Part")
Result = TypeVar("Result")


def spread(
    address: str,
    work: Callable[[Part], Result],
    parts: Sequence[Part],
    done: Callable[[int], None] = lambda count: None,
) -> list[Result]:
    """Return what `work` makes of each part, in their order, made by the workers of the scheduler at an address.

    work: a module's function or a partial of one; what it raises is raised here. done: called with the count of parts
    that are ready. A part whose worker dies is made by another. Raises LedgerError when Dask is not installed, the
    scheduler is out of reach, or no worker is left.
    """
    _prepare()
    return asyncio.run(_spread(address, work, parts, done))


def workers(address: str) -> int:
    """Return how many workers the scheduler at an address has now; raises what `spread` raises."""
    _prepare()
    return asyncio.run(_workers(address))


def _prepare() -> None:
    """Import Dask and keep it quiet; LedgerError when it is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise LedgerError("--scheduler", "Dask is not installed", "pip install 'sla-ledger[dask]'") from None
    for name in ("distributed", "distributed.client", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # three lines say it better


async def _workers(address: str) -> int:
    async with _client(address) as client:
        return len(await client.nthreads())


async def _spread(
    address: str, work: Callable[[Part], Result], parts: Sequence[Part], done: Callable[[int], None]
) -> list[Result]:
    async with _client(address) as client:
        futures = client.map(work, parts, pure=False)
        await _ready(client, address, futures, done)
        found: list[Result] = await client.gather(futures)
        return found


@asynccontextmanager
async def _client(address: str) -> AsyncIterator[Any]:
    """Yield a connection to a scheduler; what fails between here and there becomes three lines."""
    import distributed

    client = distributed.Client(address, asynchronous=True, timeout=CONNECT_SECONDS)
    try:
        try:
            await asyncio.wait_for(client, CONNECT_SECONDS + 1)
        except Exception as error:  # whatever answers there need not be a scheduler
            said = str(error).partition("\n")[0] or type(error).__name__
            todo = "start one: dask scheduler; or check the address"
            raise LedgerError(
                f"--scheduler {clean(address)}", f"no scheduler answers there: {clean(said)}", todo
            ) from None
        yield client
    except distributed.scheduler.KilledWorker:
        what = "every worker that took up one of the parts died"
        raise LedgerError(
            f"--scheduler {clean(address)}", what, "look at the workers' logs; give them more memory"
        ) from None
    except RuntimeError as error:
        if "deserialization" not in str(error):
            raise
        what, todo = "this program is missing there, or is another version", "install the same one there"
        raise LedgerError(f"--scheduler {clean(address)}", what, f"{todo} and on every worker") from None
    except (asyncio.CancelledError, concurrent.futures.CancelledError, distributed.comm.CommClosedError):
        raise LedgerError(
            f"--scheduler {clean(address)}", "the scheduler went away", "start it again, then try again"
        ) from None
    finally:
        with suppress(TimeoutError):  # whatever was wanted of it is here
            await client.close(timeout=CONNECT_SECONDS)


async def _ready(client: Any, address: str, futures: list[Any], done: Callable[[int], None]) -> None:
    """Return when every part is ready or one has failed; raise LedgerError when no worker is there to make them."""
    import distributed

    missed, lack = 0.0, ""  # seconds, and what is missed
    while not all(f.done() for f in futures) and not any(f.status in ("error", "cancelled") for f in futures):
        done(sum(f.done() for f in futures))
        try:
            await distributed.wait([f for f in futures if not f.done()], timeout=1, return_when="FIRST_COMPLETED")
        except TimeoutError:
            try:
                known = await asyncio.wait_for(client.scheduler.identity(), CONNECT_SECONDS)
                missed, lack = 0 if known["workers"] else missed + 1, "had no worker"
            except TimeoutError:  # a busy machine; a scheduler that is gone says so
                missed, lack = missed + 1 + CONNECT_SECONDS, "not answered"
        if missed >= LOST_SECONDS:
            what = f"it has {lack} for {LOST_SECONDS} s"
            todo = f"start one where this program is installed: dask worker {clean(address)}"
            raise LedgerError(f"--scheduler {clean(address)}", what, todo)
    done(len(futures))
