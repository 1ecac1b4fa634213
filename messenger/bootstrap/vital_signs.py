"""What tells others how this process is: the listener of health and metrics, the watchdog of the service manager, what
readiness asks of the databases, and the look into them every few seconds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.bootstrap.database import Storage, status_of
from messenger.bootstrap.sampling import Sampler, name_what_may_be_seen
from messenger.config import Settings
from messenger.observability.health import Health, keep_ticking
from messenger.observability.service_manager import notify_service_manager
from messenger.storage.database import at_once
from messenger.web.operations import listening
from messenger.workers.supervise import for_ever

READY_EVERY_S = 10.0


@asynccontextmanager
async def watched(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Health]:
    """From before anything else is opened until everything is closed. Raises CannotListen."""
    name_what_may_be_seen(settings)
    health, address = Health(stop.is_set), settings.web.listens_at()
    async with listening(*address, health) if address else nullcontext(), _alongside("pulse", _ticking(health)):
        yield health


@asynccontextmanager
async def sampled(settings: Settings, storage: Storage, health: Health) -> AsyncIterator[None]:
    """While the databases are open. Without a listener nobody asks, and nothing is looked up."""
    health.watch("database", _answers(storage.engine))
    health.watch("key_database", _answers(storage.keys.subjects.engine))
    health.watch("schema", _schema_fits(storage))
    if settings.web.listens_at() is None:
        yield
        return

    async def look_whether_ready() -> None:
        await health.readiness()
        await asyncio.sleep(READY_EVERY_S)

    sampler = Sampler(storage.engine)
    async with (
        _alongside("metrics", for_ever("metrics", sampler.step)),
        _alongside("readiness", for_ever("readiness", look_whether_ready)),
    ):
        yield


async def _ticking(health: Health) -> None:
    await keep_ticking(health, each=lambda: notify_service_manager("WATCHDOG=1"))


def _answers(engine: AsyncEngine) -> Callable[[], Awaitable[str]]:
    async def check() -> str:
        async with at_once(engine) as connection:
            await connection.execute(sa.text("SELECT 1"))
        return ""

    return check


def _schema_fits(storage: Storage) -> Callable[[], Awaitable[str]]:
    async def check() -> str:
        """Somebody may migrate the database while we serve; what we need must stay."""
        status = await status_of(storage.engine, storage.keys.subjects.engine)
        return "" if status.fits else "newer" if status.is_newer else "old"

    return check


@asynccontextmanager
async def _alongside(name: str, work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    if isinstance(task, asyncio.Task):
        task.set_name(name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
