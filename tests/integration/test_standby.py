"""A standby outlasts an owner that stands still in the middle of a transaction, with the lease's row locked."""

import asyncio
import logging
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.bootstrap.service import _wait_for_lease
from messenger.config import Desk, Settings
from messenger.storage import leases
from messenger.storage.database import connect
from messenger.storage.models.queues import lease
from tests.support.waiting import eventually

DESK = "@desk:x"


async def test_a_standby_outlasts_a_lock_on_its_desk(
    database: AsyncEngine, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "messenger.bootstrap.service")
    settings: Any = SimpleNamespace(limits=Settings.model_fields["limits"].get_default(call_default_factory=True))
    impatient = connect(database_url, patience_s=0.2)
    storage: Any = SimpleNamespace(engine=impatient)
    assert await leases.acquire(database, f"desk:{DESK}", "first", timedelta(hours=1))
    waiting = asyncio.create_task(_wait_for_lease(storage, settings, Desk(user_id=DESK), asyncio.Event()))
    await eventually(lambda: "waiting as its standby" in caplog.text)
    gave_up = asyncio.Event()
    sa.event.listen(impatient.sync_engine, "handle_error", lambda _: gave_up.set())
    sa.event.listen(impatient.sync_engine, "rollback", lambda _: gave_up.set())
    async with database.begin() as standing_still:
        await standing_still.execute(sa.select(lease).with_for_update(read=True))
        await standing_still.execute(sa.text("SET idle_in_transaction_session_timeout = 0"))
        async with asyncio.timeout(60):
            await gave_up.wait()
        assert not waiting.done()
    async with database.begin() as connection:
        await connection.execute(lease.update().values(until=sa.func.now() - timedelta(seconds=1)))
    async with asyncio.timeout(60):
        followed = await waiting
    assert followed is not None and followed.epoch == 2
    await impatient.dispose()
