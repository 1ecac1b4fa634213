"""The same traffic on an honest homeserver: everything arrives, and nobody is alarmed."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa

from messenger.storage.models.queues import inbox
from tests.hostile.oracle import assert_unharmed
from tests.hostile.scene import Member, Office, Scene
from tests.support.device import Device, new_device_id
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def office(scene: Scene) -> AsyncIterator[Office]:
    """Afterwards nobody was alarmed, and nothing waits for a second look."""
    yield await scene.office()
    await eventually(lambda: _has_looked(scene), what="what seemed to be missing was looked at")
    assert [(row.cause, row.user_id) for row in await scene.alerts()] == []
    assert_unharmed(scene)


async def _has_looked(scene: Scene) -> bool:
    async with scene.database.begin() as connection:
        open_ = sa.select(sa.func.count()).where(inbox.c.kind == "MessagesMissing", inbox.c.state == "new")
        return not await connection.scalar(open_)


async def test_people_talk_and_keys_change(office: Office) -> None:
    for author in (office.customer, office.agent):
        author.device.rotate(office.chat)
        author.device.rotate(office.room)
        await office.ask()
        await office.answer()


async def test_a_colleague_who_comes_later_reads_the_past(scene: Scene, office: Office) -> None:
    newcomer = Member(scene.world, f"newcomer{office.name}")
    async with scene.product.admin() as admin:
        await admin.add_agent(newcomer.user_id, "Newcomer")
        await admin.add_member(office.name, newcomer.user_id, "agent")
    room = scene.world.rooms[office.room]
    await eventually(lambda: room.membership(newcomer.user_id) == "invite", what="the newcomer is invited")
    record = next(iter(newcomer.account.devices.values()))
    waiting, record.to_device = record.to_device, []
    opened = [newcomer.device.receive_to_device(event) for _, event in waiting]
    assert "m.room_key_bundle" in {plain["type"] for plain in opened if plain}
    newcomer.join_invites()
    mark = await office.ask()
    assert any(mark in seen.body for seen in newcomer.read(office.room))


async def test_a_colleague_leaves_and_comes_back(scene: Scene, office: Office) -> None:
    room = scene.world.rooms[office.room]
    async with scene.product.admin() as admin:
        await admin.remove_member(office.name, office.agent.user_id)
        await eventually(lambda: room.membership(office.agent.user_id) == "leave", what="the colleague is out")
        await admin.add_member(office.name, office.agent.user_id, "agent")
    await eventually(lambda: room.membership(office.agent.user_id) == "invite", what="the colleague is back")
    office.agent.join_invites()
    await office.ask()


async def test_a_new_device_that_its_owner_signs_is_served(scene: Scene, office: Office) -> None:
    record = scene.world.log_in(office.agent.account, new_device_id())
    device = Device(office.agent.user_id, record.device_id)
    record.keys, record.one_time_keys = device.device_keys(), device.new_one_time_keys(20)
    office.agent.sign(record.device_id)
    await office.ask()
    assert any(device.receive_to_device(event) for _, event in record.to_device)


async def test_a_message_that_was_overtaken_or_deleted_is_not_missed(scene: Scene, office: Office) -> None:
    late = office.mark(office.customer)
    office.customer.share_key(office.chat)
    sealed = office.customer.device.encrypt(office.chat, "m.room.message", {"msgtype": "m.text", "body": late})
    await office.ask()
    scene.put(office.chat, office.customer.user_id, "m.room.encrypted", sealed)
    await office.is_asked(late)
    deleted = scene.put(office.chat, office.customer.user_id, "m.room.encrypted", {})
    office.customer.device.encrypt(office.chat, "m.room.message", {"msgtype": "m.text", "body": "x"})
    assert deleted
    await office.ask()


async def test_a_wave_of_new_people_needs_more_keys_than_there_are(scene: Scene, office: Office) -> None:
    device = next(each for each in scene.desk_account.devices.values() if each.keys)
    for _ in range(2):
        device.one_time_keys.clear()
        scene.world.wake(scene.product.desk)
        await office.ask()
        await eventually(lambda: len(device.one_time_keys) > 20, what="the pool is full again")


@pytest.mark.long
async def test_many_write_at_once(scene: Scene, office: Office) -> None:
    others = await asyncio.gather(*(scene.office() for _ in range(2)))
    await asyncio.gather(*(each.ask() for each in (office, *others)))
    await asyncio.gather(*(each.answer() for each in (office, *others)))
