"""What is written down about data through kills: the audit chain, its checkpoints, and what retention orders."""

import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from messenger.bootstrap.audit import check_audit
from messenger.domain.retention import BATCH
from messenger.storage.audit_checkpoints import lines_of
from messenger.storage.models.audit import audit
from messenger.storage.models.rights import erasure
from tests.integration.rights_house import RightsHouse, open_rights_house, settings_for
from tests.integration.staff_desk import CUSTOMER
from tests.integration.test_rights import a_life, conversations_like_it, resolved_days_ago
from tests.support.warm import WarmChild

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("five_times")]
DIED = -signal.SIGKILL


@dataclass
class Records:
    house: RightsHouse

    async def run(self, module: str, *arguments: str, dies_at: str = "") -> None:
        log = self.house.settings.file.with_suffix(".log")
        environment = {"STELLWERK_FAILPOINT": dies_at} if dies_at else {}
        child = WarmChild(module, [sys.executable, "-m", module, *arguments], log=log, env=environment)
        child.start()
        assert await child.wait() == (DIED if dies_at else 0), log.read_text()

    async def retain(self, *, dies_at: str = "") -> None:
        settings = str(self.house.settings.file)
        await self.run("messenger.cli", "--config", settings, "retention", "run", dies_at=dies_at)

    async def witness(self, *, dies_at: str = "") -> None:
        await self.run("tests.crash.witnessing", str(self.house.settings.file), dies_at=dies_at)

    async def ordered(self) -> int:
        return await self._count(sa.select(sa.func.count()).select_from(erasure))

    async def batches_in_the_log(self) -> int:
        counted = sa.select(sa.func.count()).select_from(audit)
        return await self._count(counted.where(audit.c.action == "retention.batch"))

    async def _count(self, query: sa.Select[tuple[int]]) -> int:
        async with self.house.engine.begin() as connection:
            return await connection.scalar(query) or 0

    async def is_whole(self) -> bool:
        return (await check_audit(self.house.settings)).verdict.is_whole

    @property
    def checkpoints(self) -> list[str]:
        return lines_of(self.house.settings.checkpoint_file())


@pytest.fixture
async def records(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> AsyncIterator[Records]:
    settings = settings_for(tmp_path_factory.mktemp("records"), database_url)
    async with open_rights_house(settings) as house:
        await a_life(house)
        yield Records(house)


async def test_what_retention_orders_and_the_row_about_it_are_there_together_or_not_at_all(records: Records) -> None:
    await resolved_days_ago(records.house, 400)
    await conversations_like_it(records.house, BATCH)
    await records.retain(dies_at="audit_appended:1")
    assert (await records.ordered(), await records.batches_in_the_log()) == (0, 0)
    await records.retain(dies_at="retention_batch:1")
    assert (await records.ordered(), await records.batches_in_the_log()) == (BATCH, 1)
    await records.retain()
    assert (await records.ordered(), await records.batches_in_the_log()) == (BATCH + 1, 2), "each once"
    assert await records.is_whole()


async def test_a_checkpoint_that_was_written_before_a_kill_is_followed_by_the_next_one(records: Records) -> None:
    await records.house.rights.hold(CUSTOMER, "court-2026", "dora")
    await records.witness(dies_at="checkpoint_written:1")
    assert len(records.checkpoints) == 1 and await records.is_whole()
    await records.house.rights.hold(CUSTOMER, "court-2027", "dora")
    await records.witness()
    assert len(records.checkpoints) == 2 and await records.is_whole()
