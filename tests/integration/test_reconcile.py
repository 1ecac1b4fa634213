"""A message that was accepted by the homeserver just before the process died, and is repeated by another device: the
homeserver's memory of transaction ids does not help there, our own id inside the ciphertext does. Of a text in several
parts each is looked for."""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.models.people import skill_group
from messenger.storage.models.queues import desk, outbox
from tests.support.people import People, Person
from tests.support.product import Product
from tests.support.timeline import Seen
from tests.support.waiting import eventually

LONG = " ".join(f"word{number:06}" for number in range(3_300))  # too long for one event


async def test_a_repeat_from_a_new_device_finds_the_first_message(
    product: Product, people: People, database: AsyncEngine
) -> None:
    agent, customer = await people.person("ben"), await people.person("anna")
    await product.add_group("General", [(agent.user_id, "Ben Li", "agent")], default=True)
    await product.start()
    room = await product.group_room("General")
    chat = await customer.start_direct_chat(product.desk)
    await customer.say(chat, "first")
    await agent.wait_for(room, lambda seen: seen.body.endswith(": first"))
    await eventually(lambda: _nothing_open(database), what="the next start has nothing to send before the long text")
    await product.stop()
    async with database.begin() as connection:  # the board keeps still: nothing else is sent before the long text
        await connection.execute(skill_group.update().values(board_edit_at=sa.func.now() + timedelta(hours=1)))

    await product.start(environment={"STELLWERK_FAILPOINT": "http_answered:1"})
    await customer.say(chat, LONG)
    await product.wait_until_ended()
    await agent.wait_for(room, _is_a_part)
    async with database.begin() as connection:
        await connection.execute(desk.delete())  # the login is lost: the next start makes a new device
    await product.start()
    await customer.say(chat, "third")
    await agent.wait_for(room, lambda seen: seen.body.endswith(": third"))

    assert [await _count(agent, room, text) for text in ("first", "third")] == [1, 1]
    shown = [seen.body.partition(": ")[2] for seen in await agent.read_back(room) if seen.thread and _is_a_part(seen)]
    assert len(shown) == 2 and " ".join(shown).split() == LONG.split(), "the part that was sent, and the other one"
    await eventually(lambda: _nothing_open(database))


def _is_a_part(seen: Seen) -> bool:
    return "word0" in seen.body


async def _count(agent: Person, room: str, text: str) -> int:
    return len([seen for seen in await agent.read_back(room) if seen.thread and seen.body.endswith(f": {text}")])


async def _nothing_open(database: AsyncEngine) -> bool:
    async with database.begin() as connection:
        count = await connection.scalar(sa.select(sa.func.count()).where(outbox.c.state.in_(("new", "claimed"))))
    return count == 0
