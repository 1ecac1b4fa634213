"""Over 03:14:07 UTC on 19 January 2038, where a second no longer fits into 32 bits. Database and program live there
(libfaketime moves the database's clock); the homeserver stays in our days."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from messenger.demo.synapse import Synapse
from messenger.storage.database import at_once, connect
from messenger.storage.models.conversations import conversation
from messenger.storage.models.queues import lease
from messenger.storage.models.rights import erasure
from tests.faults.jumping import CLOCK, jump
from tests.integration.staff_house import House, open_house
from tests.support.absent import absent
from tests.support.databases import TestDatabases
from tests.support.debian import file_of
from tests.support.waiting import eventually
from tests.support.warm import run_warm

pytestmark = pytest.mark.long

MOMENT = datetime.fromtimestamp(2**31, UTC)
BEFORE = timedelta(seconds=60)  # for how a conversation begins; on a slower machine it begins behind the moment
RETENTION = timedelta(days=400)
JUMPING = "tests.faults.jumping"


@dataclass
class Late:
    """A house in another time."""

    house: House
    ahead: timedelta

    async def value(self, query: sa.Select[tuple[object]]) -> object:
        engine = connect(self.house.product.database_url)
        async with at_once(engine) as connection:
            found: object = await connection.scalar(query)
        await engine.dispose()
        return found

    async def stellwerk(self, *arguments: str, later: timedelta = timedelta(0)) -> str:
        """What the verb prints. It must end well."""
        product = self.house.product
        environment = _clock(product.folder / "clock-of-verbs", self.ahead + later)
        code, said = await run_warm(JUMPING, "--config", str(product.settings_file), *arguments, env=environment)
        assert code == 0, said
        return said

    async def begin_again(self) -> None:
        environment = _clock(self.house.product.folder / "clock", self.ahead)
        await self.house.product.start(program=("-m", JUMPING), environment=environment)


def _clock(file: Path, ahead: timedelta) -> dict[str, str]:
    file.write_text(str(ahead.total_seconds()))
    return {CLOCK: str(file)}


@pytest.fixture
async def late(tmp_path: Path, synapse: Synapse, test_databases: TestDatabases) -> AsyncIterator[Late]:
    library = file_of("libfaketime", "usr/lib/*/faketime/libfaketime.so.1")
    if library is None:
        absent("libfaketime cannot be had: it is unpacked from Debian's package where the tests run as root")
    ahead = MOMENT - BEFORE - datetime.now(UTC)
    databases = TestDatabases(tmp_path / "postgres")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LD_PRELOAD", str(library))
        patched.setenv("FAKETIME", f"{ahead.total_seconds():+.0f}s")
        for switch in ("FAKETIME_DISABLE_SHM", "NO_FAKE_STAT", "DONT_FAKE_MONOTONIC"):
            patched.setenv(switch, "1")
        await databases.open()
    with jump(ahead):  # the test writes settings, and they are in the audit chain
        async with open_house(tmp_path, synapse, databases, staff=["ben"], environment={}) as house:
            await house.product.stop()
            late = Late(house, ahead)
            await late.begin_again()
            yield late
    await databases.close()


async def test_a_desk_works_on_over_the_last_second_of_32_bits(late: Late) -> None:
    house = late.house
    thread = await house.conversation(owner=house.ben)
    await thread.say(house.ben, "!pause 1m")
    await thread.told(house.ben, "Paused")

    async def is_awake() -> bool:
        is_behind = await late.value(sa.select(sa.func.now() > sa.literal(MOMENT, sa.DateTime(timezone=True))))
        return bool(is_behind) and await late.value(sa.select(conversation.c.state)) == "open"

    await eventually(is_awake, 150, what="the pause has ended, behind the moment")
    await thread.say(house.ben, "We are still here")
    await thread.received("We are still here")

    house.product.kill()
    epoch = await late.value(sa.select(lease.c.epoch))
    await late.begin_again()
    assert await late.value(sa.select(lease.c.epoch)) == int(str(epoch)) + 1, "a lease of 2038 was over in 2038"
    await thread.customer.say(thread.chat, "So are we")
    await thread.told(house.ben, "So are we")

    await thread.say(house.ben, "!resolve solved")
    await eventually(lambda: late.value(sa.select(conversation.c.state == "resolved")), what="it is resolved")
    assert json.loads(await late.stellwerk("retention", "run", "--json"))["ordered"] == 0, "too early"
    assert json.loads(await late.stellwerk("retention", "run", "--json", later=RETENTION))["ordered"] == 1
    await eventually(lambda: late.value(sa.select(erasure.c.done_at.is_not(None))), 60, what="its words are gone")

    certificate = house.product.folder / "certificate.json"
    await late.stellwerk("contact", "erase", thread.customer.user_id, "--yes", "-o", str(certificate))
    await late.stellwerk("contact", "verify-certificate", str(certificate))
    assert '"2038-01-19T03:' in certificate.read_text()
    await late.stellwerk("audit", "verify")
    assert await house.nothing_is_left()
