"""A member whom the database does not know, on a real homeserver: nothing leaves in that room and everything in others,
until a person has decided."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.channels.errors import Undecided
from messenger.demo.synapse import Synapse
from messenger.domain.people import DevicePolicy
from messenger.matrix.engine import Doubt
from messenger.storage.models.trust import trust_alert
from tests.support.hands import DeskHands
from tests.support.people import People


@pytest.fixture
async def hands(synapse: Synapse, database: AsyncEngine) -> AsyncIterator[DeskHands]:
    account = await synapse.register("desk-trust")
    hands = DeskHands(synapse.url, account.user_id, database)
    await hands.open(account.password)
    async with hands.encrypting():
        yield hands
    await hands.http.close()


async def test_a_member_whom_nobody_knows_stops_the_room_and_no_other(hands: DeskHands, people: People) -> None:
    ben, ghost = await people.person("ben"), await people.person("ghost")
    group = await hands.group("Claims", ben.user_id)
    room = await hands.group_room(group, ben.user_id)
    other = await hands.desk.provide_case_room(group.id, "K-1", 1)  # type: ignore[arg-type]
    seen: list[frozenset[Doubt]] = []
    hands.sender._on_doubts = lambda room, doubts: seen.append(doubts)

    async def send(where: str, txn: str, **options: bool) -> str:
        content = {"msgtype": "m.text", "body": "hello"}
        return await hands.sender.send(where, "m.room.message", content, txn=txn, policy=DevicePolicy.ANY, **options)

    assert await send(room, "t1")
    await hands.invite(room, ghost.user_id)
    await hands.received()
    for txn in ("t2", "t2"):
        with pytest.raises(Undecided):
            await send(room, txn)
    assert await send(other, "t3") and await send(room, "t4", despite_doubts=True)
    [doubts] = seen
    assert {(doubt.user, doubt.cause) for doubt in doubts} == {(ghost.user_id, "unexpected_member")}

    async with hands.database.begin() as connection:
        decided = {"account": hands.user_id, "room_id": room, "user_id": ghost.user_id, "cause": "unexpected_member"}
        await connection.execute(sa.insert(trust_alert).values(**decided, state="trusted"))
    await hands.desk.decide(room, ghost.user_id, "", "unexpected_member", trusted=True, key="")
    assert await send(room, "t2")
    assert seen[1:] == [frozenset()]
    await hands.leaves("Claims", ben.user_id)  # and is still in the room: no key, and no alarm
    assert await send(room, "t5") and (await hands.book.encrypted(room)).recipients == {hands.user_id}
    assert ghost.user_id not in (await hands.book.encrypted(room)).recipients
