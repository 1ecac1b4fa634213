"""What the sync loop does when the homeserver keeps something from it: other rooms are served, nothing is lost."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.matrix import http
from messenger.storage.models.conversations import chat, place
from messenger.storage.models.people import skill_group
from messenger.storage.models.queues import inbox
from messenger.storage.models.rooms import mx_room, room_succession
from tests.integration.staff_desk import StaffDesk
from tests.integration.test_bad_input_fuzz import Lookout, a_lookout


@pytest.fixture
async def lookout(database: AsyncEngine) -> AsyncIterator[Lookout]:
    async with a_lookout(database) as lookout:
        yield lookout


async def test_a_gap_that_must_not_be_read_stops_no_other_room(lookout: Lookout) -> None:
    await lookout.step()
    honest, hostile = lookout.rooms[lookout.honest], lookout.rooms[lookout.hostile]
    lookout.hostile.say(hostile, "then we were thrown out")
    good = lookout.honest.say(honest, "good")
    body = await lookout.answer()
    body["rooms"]["join"][hostile]["timeline"] |= {"limited": True, "prev_batch": "p"}
    lookout.server.world.rooms.pop(hostile)
    lookout.server.answer_sync_with(body)
    assert await lookout.step() == ""
    assert await lookout.has_taken(good)


async def test_more_than_fits_into_one_answer_comes_in_several(
    lookout: Lookout, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lookout.step()
    honest = lookout.rooms[lookout.honest]
    said = [lookout.honest.say(honest, "x" * 1_000 + str(number)) for number in range(60)]
    monkeypatch.setattr(http, "MAX_JSON_BYTES", 30_000)
    monkeypatch.setattr("messenger.matrix.gaps.GAP_PAGE", 10)
    errors = [await lookout.step() for _ in range(4)]
    assert errors == ["AnswerTooLarge", "", "", ""]
    assert [await lookout.has_taken(event) for event in said] == [True] * 60


async def test_the_end_of_a_room_that_was_forgotten_does_not_make_it_known_again(lookout: Lookout) -> None:
    """An erasure leaves the room and forgets it; that it was left comes with the next answer."""
    await lookout.step()
    known, forgotten = lookout.rooms[lookout.honest], lookout.rooms[lookout.hostile]
    body = await lookout.answer()
    body["rooms"] = {"leave": {known: {}, forgotten: {}}}
    async with lookout.database.begin() as connection:
        await connection.execute(mx_room.delete().where(mx_room.c.room_id == forgotten))
    lookout.server.answer_sync_with(body)
    assert await lookout.step() == ""
    async with lookout.database.begin() as connection:
        rooms = (await connection.execute(sa.select(mx_room.c.room_id, mx_room.c.membership))).all()
    assert [tuple(room) for room in rooms] == [(known, "leave")]


async def test_only_a_conversations_own_room_is_closed_by_a_word_that_names_no_other(lookout: Lookout) -> None:
    await lookout.step()
    own, chats = lookout.rooms[lookout.hostile], lookout.rooms[lookout.honest]
    id = await StaffDesk(lookout.database, keys=lookout.keys).set_up([])
    async with lookout.database.begin() as connection:
        await connection.execute(chat.update().where(chat.c.remote == own).values(remote="!elsewhere"))
        group = await connection.scalar(sa.select(skill_group.c.id))
        row = {"conversation_id": id, "number": 2, "group_id": group, "room_id": own, "card": "", "is_room": True}
        await connection.execute(place.insert().values(row))
    world = lookout.server.world
    for room in (own, chats):
        world.emit(world.rooms[room], lookout.hostile.user_id, "m.room.tombstone", {"body": "x"}, state_key="")
    assert await lookout.step() == ""
    async with lookout.database.begin() as connection:
        said = await connection.scalars(sa.select(inbox.c.lane).where(inbox.c.kind == "RoomReplaced"))
        noted = await connection.scalars(sa.select(room_succession.c.room_id))
        assert (list(said), list(noted)) == ([own], [own])


async def test_a_ciphertext_that_comes_again_after_a_restart_is_taken_once(lookout: Lookout) -> None:
    """T16 of the pitfalls: what has been opened is in the database, not in memory."""
    await lookout.step()
    room = lookout.server.world.rooms[lookout.rooms[lookout.honest]]
    first = lookout.honest.say(room.room_id, "once")
    assert await lookout.step() == "" and await lookout.has_taken(first)
    await lookout.restart()
    [old] = [event for event in room.timeline if event["event_id"] == first]
    repeated = lookout.server.world.emit(room, lookout.honest.user_id, old["type"], dict(old["content"]))
    good = lookout.honest.say(room.room_id, "good")
    assert await lookout.step() == ""
    assert [await lookout.has_taken(event) for event in (repeated["event_id"], good)] == [False, True]
