"""`stellwerk serve`: everything that runs, started in order, ended in order."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from messenger.app.ports import StorageAway
from messenger.bootstrap.database import Storage, open_storage
from messenger.bootstrap.desk_process import DeskProcess
from messenger.bootstrap.erasures import reapply_erasures
from messenger.bootstrap.vital_signs import sampled, watched
from messenger.config import Desk, Settings
from messenger.observability.health import Health
from messenger.storage import leases

log = logging.getLogger(__name__)

STANDBY_LOOK_S = 1.0


class TooManyDesks(Exception):
    """The settings name more desks than one installation can serve yet."""


class DeskEnded(Exception):
    """A desk stopped by itself: another process took it over, or a worker could not go on. The log says which."""


async def serve(settings: Settings, *, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Runs until `stop`. Raises what makes a start impossible, in words for the operator, and DeskEnded."""
    if len(settings.matrix.desks) > 1:
        raise TooManyDesks("this version serves one desk for each database: give the others databases of their own")
    async with AsyncExitStack() as stack:
        health = await stack.enter_async_context(watched(settings, stop))
        storage = await stack.enter_async_context(open_storage(settings, is_serving=True))
        await stack.enter_async_context(sampled(settings, storage, health))
        await reapply_erasures(storage, settings)
        for desk in settings.matrix.desks:
            await stack.enter_async_context(_running(storage, settings, desk, stop, health))
        if not stop.is_set():
            health.has_started = True
            ready()
        await stop.wait()


@asynccontextmanager
async def _running(
    storage: Storage, settings: Settings, desk: Desk, stop: asyncio.Event, health: Health
) -> AsyncIterator[None]:
    """A desk at work. If one of its workers ends, the whole service stops: the next process takes over."""
    health.watch("lease", _standby)
    lease = await _wait_for_lease(storage, settings, desk, stop)
    if lease is None:
        yield
        return
    process = DeskProcess(storage, settings, desk, lease)
    try:
        await process.start()
        process.watched_by(health)
        workers = asyncio.create_task(process.work(), name=f"desk {desk.user_id}")
        workers.add_done_callback(lambda _: stop.set())
        try:
            yield
        finally:
            await process.stop(workers)
    finally:
        await process.close()
    if not workers.cancelled() and (cause := workers.exception()) is not None:
        raise DeskEnded(f"{desk.user_id} stopped by itself: see the log; the next process takes over") from cause


async def _standby() -> str:
    return "standby"


async def _wait_for_lease(storage: Storage, settings: Settings, desk: Desk, stop: asyncio.Event) -> leases.Lease | None:
    """A second process of the same desk waits here as its standby."""
    owner, lasting = f"{socket.gethostname()}:{os.getpid()}", timedelta(seconds=settings.limits.lease_seconds)
    waits = False
    while not stop.is_set():
        try:
            lease = await leases.acquire(storage.engine, f"desk:{desk.user_id}", owner, lasting)
        except StorageAway as away:
            if not waits:
                raise away.__cause__ or away from None  # in words for the operator
            lease = None  # what stands still may hold a lock for a minute, and a database comes back
        if lease is not None:
            return lease
        if not waits:
            log.info("another process is this desk; waiting as its standby", extra={"account": desk.user_id})
        waits = True
        await asyncio.sleep(standby_pause_s(settings.limits.lease_seconds))
    return None


def standby_pause_s(lease_s: float) -> float:
    """Seconds between two looks of a standby at the lease: so much later than it ends it may be taken."""
    return min(STANDBY_LOOK_S, lease_s / 3)
