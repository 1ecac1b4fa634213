"""What the sync loop does when the homeserver keeps something from it: other rooms are served, nothing is lost."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.matrix import gaps, http
from messenger.matrix.batch import SyncBatch
from messenger.storage.models.conversations import chat, place
from messenger.storage.models.people import skill_group
from messenger.storage.models.queues import inbox
from messenger.storage.models.rooms import mx_room, room_succession
from tests.integration.staff_desk import StaffDesk
from tests.integration.test_bad_input_fuzz import Lookout, a_lookout
from tests.support.fake_homeserver.faults import FOR_EVER, Handler


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


NO_PAUSE_MS, LONG_MS = 1, 3_600_000
MESSAGES = "/messages$"


async def a_gap(lookout: Lookout, count: int) -> list[str]:
    """The hostile one says more than fits into one answer; returns the events."""
    await lookout.step()
    lookout.server.faults.timeline_limit = 5
    _, hostile = lookout.both()
    return [lookout.hostile.say(hostile, f"long {number}") for number in range(count)]


async def test_a_gap_that_is_throttled_keeps_no_other_room_waiting(
    lookout: Lookout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "GAP_PAGE", 10)
    said, faults, (honest, hostile) = await a_gap(lookout, 40), lookout.server.faults, lookout.both()
    faults.limit(MESSAGES, retry_after_ms=LONG_MS, times=1)
    for count in (0, 2, 8, 1):  # eight are more than fits into one answer
        good = lookout.honest.say(honest, "good")
        assert await lookout.step() == ""
        assert await lookout.has_taken(good) and lookout.loop.is_behind
        said += [lookout.hostile.say(hostile, f"and {count}") for _ in range(count)]
    assert not await lookout.taken(hostile), "before what was said earlier"

    monkeypatch.setattr(lookout.loop._gaps, "_quiet_until", 0.0)
    assert await lookout.step() == ""
    assert not lookout.loop.is_behind
    assert await lookout.taken(hostile) == said


async def test_a_long_gap_of_which_little_may_be_read_at_a_time_is_read_to_its_end(
    lookout: Lookout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "GAP_PAGE", 10)
    said, faults, (_, hostile) = await a_gap(lookout, 45), lookout.server.faults, lookout.both()
    asked = []

    async def every_other(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked.append(request.query["from"])
        if len(asked) % 2:
            return await handler(request)
        return web.json_response({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": NO_PAUSE_MS}, status=429)

    faults.rule(MESSAGES, every_other, times=FOR_EVER)
    for _ in range(5):
        assert await lookout.step() == ""
    assert await lookout.taken(hostile) == said
    assert len(asked) == len(set(asked)) + 3, "what has been read is not read again"


async def test_who_leaves_while_their_gap_waits_is_not_waited_for(lookout: Lookout) -> None:
    await a_gap(lookout, 9)
    faults, (honest, hostile) = lookout.server.faults, lookout.both()
    faults.limit(MESSAGES, retry_after_ms=LONG_MS, times=1)
    assert await lookout.step() == "" and lookout.loop.is_behind
    world = lookout.server.world
    world.emit(world.rooms[hostile], lookout.hostile.user_id, "m.room.member", {"membership": "leave"},
               state_key=lookout.user_id)  # fmt: skip
    good = lookout.honest.say(honest, "good")
    assert await lookout.step() == "" and await lookout.has_taken(good)
    assert not lookout.loop.is_behind and await lookout.cursor() == lookout.loop._since


async def test_a_batch_that_fails_is_not_taken_twice_while_a_gap_waits(
    lookout: Lookout, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, (_, hostile) = await a_gap(lookout, 9), lookout.both()
    lookout.server.faults.limit(MESSAGES, retry_after_ms=LONG_MS, times=1)
    assert await lookout.step() == "" and lookout.loop.is_behind
    said += [lookout.hostile.say(hostile, f"more {number}") for number in range(2)]
    monkeypatch.setattr(lookout.loop._gaps, "_quiet_until", 0.0)
    whole, given = lookout.loop._commit, list[list[str]]()

    async def fail_once(batch: SyncBatch, since: str | None, **more: Any) -> None:
        given.append([event["event_id"] for room in batch.rooms for event in room.timeline])
        if len(given) == 1:
            raise OSError
        await whole(batch, since, **more)

    monkeypatch.setattr(lookout.loop, "_commit", fail_once)
    assert [await lookout.step(), await lookout.step()] == ["OSError", ""]
    assert given == [said, said], "the second time as the first"
    assert await lookout.taken(hostile) == said


async def test_a_process_that_ends_while_a_gap_waits_takes_everything_once(lookout: Lookout) -> None:
    said, faults, (honest, hostile) = await a_gap(lookout, 9), lookout.server.faults, lookout.both()
    good = lookout.honest.say(honest, "good")
    faults.limit(MESSAGES, retry_after_ms=LONG_MS, times=1)
    assert await lookout.step() == "" and await lookout.has_taken(good)
    await lookout.restart()
    assert await lookout.step() == ""
    assert not lookout.loop.is_behind
    assert await lookout.taken(honest) == [good] and await lookout.taken(hostile) == said


async def test_devices_that_must_not_be_asked_for_keep_only_their_own_messages_waiting(lookout: Lookout) -> None:
    await lookout.step()
    honest, hostile = lookout.both()
    lookout.honest.say(honest, "so that the desk knows the device")
    assert await lookout.step() == ""
    limit = lookout.server.faults.limit("/keys/query$", retry_after_ms=LONG_MS, times=FOR_EVER)
    unknown, good = lookout.hostile.say(hostile, "from a new device"), lookout.honest.say(honest, "good")
    assert await lookout.step() == ""
    assert await lookout.has_taken(good) and not await lookout.has_taken(unknown)
    for number in range(3):
        lookout.hostile.say(hostile, f"more of it {number}")
        assert await lookout.step() == ""
    assert limit.left == FOR_EVER - 1, "who asks for a pause gets it"

    limit.left = 0
    lookout.loop._engine._quiet_until = 0.0  # type: ignore[attr-defined]
    assert await lookout.step() == ""  # the answer may bring nothing: the devices are asked for
    assert await lookout.has_taken(unknown)


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
