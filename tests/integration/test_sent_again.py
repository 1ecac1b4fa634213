"""A homeserver that was restored from an older backup lacks what was said last. What it lacks is said once more, what
it has is not, and what is done about it later goes to the events that are there."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.base import Effect
from messenger.app.effects.customer import WarnCustomer
from messenger.app.effects.places import PostCard
from messenger.channels.messages import Content, RemoteId
from messenger.domain.replies import Fate
from messenger.observability.time import utc_now
from messenger.storage.models.conversations import place
from messenger.storage.models.queues import outbox
from messenger.storage.sent_again import SentEvent, load_sent, save_sent, send_again
from tests.integration.staff_desk import CARD, DESK, ROOM, customer_says, staff_says
from tests.integration.test_answers_changed import edits, says
from tests.integration.test_files_wait import World, a_world, ben_sends, customer_edits, customer_sends, show_files

BEN = "@ben:x"


class Restored:
    """A world whose homeserver is brought back to an older state."""

    def __init__(self, world: World) -> None:
        self.world, self.since = world, utc_now()
        self.markers: dict[str, str] = {}
        self._react = world.board.react
        world.board.react = self._note_marker  # type: ignore[method-assign]

    async def _note_marker(self, room: str, event: str, key: str, *, txn: str) -> str:
        marker = f"$reaction{len(self.markers)}"
        self.markers[marker] = key
        return marker

    def loses(self, is_lost: Callable[[str], bool]) -> None:
        """Of what stands at either side, by its words (a file by its name, too)."""
        board, peer = self.world.board, self.world.peer
        for event, said in list(board.shown.items()):
            if is_lost(f"{said.plain} {said.file.name if said.file else ''}"):
                del board.shown[event]
        board.by_txn = {txn: event for txn, event in board.by_txn.items() if event in board.shown}
        for n, message in enumerate(peer.delivered):
            if is_lost(message.text or "photo.png"):
                peer.delivered[n] = replace(message, deleted=True, key="", remote_id=RemoteId(f"lost-{n}"))

    def loses_markers(self) -> None:
        self.markers.clear()

    async def recovers(self, *, since: datetime | None = None) -> int:
        """And all that was lost has been sent."""
        world = self.world
        has = [message for message in world.peer.delivered if message.key]
        events = [*world.board.shown, *self.markers, *(message.remote_id for message in has)]
        txns = [*world.board.by_txn, *(message.key for message in has)]
        count = await send_again(
            world.desk.engine, world.desk.keys, DESK, since=since or self.since, events=events, txns=txns
        )
        await world.go_on(with_waiting=True)
        assert not await world.waits()
        return count

    async def says(self, *effects: Effect) -> None:
        async with self.world.desk.units() as unit:
            await unit.outbox.put(uuid4().hex, effects)
        await self.world.go_on(with_waiting=True)


@pytest.fixture
async def restored(database: AsyncEngine, socket_folder: Path) -> AsyncIterator[Restored]:
    async with a_world(database, socket_folder) as world:
        yield Restored(world)


async def chat_of(world: World) -> Any:
    [id] = await world.desk.conversations()
    return (await world.desk.state_and_log(id))[0].chat


async def test_two_lost_warnings_of_one_kind_both_come_again(restored: Restored) -> None:
    chat = await chat_of(restored.world)
    for _ in range(2):
        await restored.says(WarnCustomer(chat=chat, text="C16"))
    warnings = restored.world.customer_has()[-2:]
    assert warnings[0] == warnings[1]
    restored.loses(lambda words: words in warnings)
    assert warnings[0] not in restored.world.customer_has()
    assert await restored.recovers() == 2
    assert restored.world.customer_has()[-2:] == warnings


async def a_file_behind_its_words(restored: Restored, side: str) -> Callable[[], tuple[int, int]]:
    """Sent while the scanner was away. Returns how often the words and the file stand there."""
    world = restored.world
    world.clamd.mood = "cut"
    send = customer_sends if side == "customer" else ben_sends
    await world.happens(send("photo", "look at this"))
    await world.scanner_comes_back()

    def stand() -> tuple[int, int]:
        if side == "customer":
            return len(world.board.lines("look at this")), len(world.board.files())
        has = world.customer_has()
        return sum("look at this" in text for text in has), sum(not text for text in has)

    assert stand() == (1, 1)
    return stand


SIDES = pytest.mark.parametrize("side", ["customer", "staff"])


@SIDES
async def test_lost_words_whose_file_is_there_come_again_without_it(restored: Restored, side: str) -> None:
    stand = await a_file_behind_its_words(restored, side)
    restored.loses(lambda words: "look at this" in words)
    assert stand() == (0, 1)
    assert await restored.recovers() == 1
    assert stand() == (1, 1)


@SIDES
async def test_a_lost_file_whose_words_are_there_comes_again_without_them(restored: Restored, side: str) -> None:
    stand = await a_file_behind_its_words(restored, side)
    restored.loses(lambda words: "photo.png" in words and "being checked" not in words)
    assert stand() == (1, 0)
    assert await restored.recovers() == 1
    assert stand() == (1, 1)


@SIDES
async def test_words_and_file_that_are_both_lost_come_again_as_one(restored: Restored, side: str) -> None:
    stand = await a_file_behind_its_words(restored, side)
    restored.loses(lambda words: "look at this" in words or ("photo.png" in words and "being checked" not in words))
    assert stand() == (0, 0)
    await restored.recovers()
    assert stand() == ((1, 1) if side == "customer" else (1, 0)), "the file bears the words"


async def test_lost_words_whose_file_was_refused_come_again_and_nobody_hears_of_the_file_again(
    restored: Restored,
) -> None:
    world = restored.world
    world.clamd.mood = "cut"
    await world.happens(ben_sends("eicar", "my letter"))
    await world.scanner_comes_back()
    refused = len(world.board.lines("a virus was found in your file"))
    restored.loses(lambda words: "my letter" in words)
    assert await restored.recovers() == 1
    assert sum("my letter" in text for text in world.customer_has()) == 1
    assert len(world.board.lines("a virus was found in your file")) == refused == 1
    assert await world.fate("$bens") is Fate.FAILED


async def test_an_edit_after_the_restore_edits_the_new_event(restored: Restored) -> None:
    world = restored.world
    await world.happens(customer_says("$file", "first words"))
    restored.loses(lambda words: "first words" in words)
    await restored.recovers()
    [event] = [event for event, said in world.board.shown.items() if "first words" in said.plain]
    await world.happens(replace(customer_edits("photo", "other words"), content=Content(text="other words")))
    assert "other words" in world.board.shown[event].plain
    assert len(world.board.lines("other words")) == 1 and not world.board.lines("first words")


async def test_an_answer_that_is_changed_after_the_restore_is_changed_where_it_is(restored: Restored) -> None:
    world = restored.world
    await world.happens(says("my answer", "$answer"))
    restored.loses(lambda words: "my answer" in words)
    await restored.recovers()
    await world.happens(edits("my better answer", "$answer"))
    assert [text for text in world.customer_has() if "my " in text] == ["ben: my better answer"]


async def test_the_marker_of_an_answer_comes_again_once(restored: Restored) -> None:
    world = restored.world
    await world.happens(staff_says(BEN, "my answer", event="$answer"))
    assert restored.markers
    restored.loses_markers()
    assert await restored.recovers() == 1
    assert list(restored.markers.values()) == ["✅"]
    assert await restored.recovers() == 0


async def test_who_cannot_be_reached_any_more_when_it_is_sent_again_makes_the_answer_fail(restored: Restored) -> None:
    world = restored.world
    await world.happens(staff_says(BEN, "my answer", event="$answer"))
    assert await world.fate("$answer") is Fate.DELIVERED
    restored.loses(lambda words: "my answer" in words)
    world.peer.break_next_send("rejected")
    await restored.recovers()
    assert await world.fate("$answer") is Fate.FAILED


async def test_nothing_that_is_there_is_sent_twice(restored: Restored) -> None:
    world = restored.world
    chat = await chat_of(world)
    await restored.says(WarnCustomer(chat=chat, text="C16"))
    await a_file_behind_its_words(restored, "customer")
    await a_file_behind_its_words(restored, "staff")
    await world.happens(staff_says(BEN, "my answer", event="$answer"))
    await show_files(world)
    before = dict(world.board.shown), world.customer_has(), dict(restored.markers)
    assert await restored.recovers() == 0
    assert (world.board.shown, world.customer_has(), restored.markers) == before


async def test_what_was_tried_long_before_and_ended_since_then_is_looked_for(restored: Restored) -> None:
    """A part of it may be there from before."""
    world = restored.world
    await world.happens(customer_says("$long", "a word of before"))
    async with world.desk.engine.begin() as connection:
        long_ago = utc_now() - timedelta(hours=10)
        await connection.execute(outbox.update().values(first_try_at=long_ago))
    looked_for: list[str] = []

    async def find(room: str, txn: str) -> str | None:
        looked_for.append(txn)
        return None

    world.board.find = find  # type: ignore[method-assign]
    restored.loses(lambda words: "a word of before" in words)
    assert await restored.recovers() == 1
    assert len(looked_for) == 1 and world.board.lines("a word of before")


async def test_only_the_card_that_is_lost_is_forgotten(restored: Restored) -> None:
    world = restored.world
    [id] = await world.desk.conversations()
    group = (await world.desk.state_and_log(id))[0].group
    new = {"conversation_id": id, "group_id": group, "room_id": ROOM}
    async with world.desk.engine.begin() as connection:
        await connection.execute(place.insert(), [{**new, "number": 2, "card": "$second"}])
        await connection.execute(place.update().where(place.c.number == 1).values(card="$of before"))
    async with world.desk.units() as unit:
        await unit.outbox.put("again", [PostCard(conversation=id, place=2)])
    async with world.desk.engine.begin() as connection:
        await connection.execute(outbox.update().where(outbox.c.kind == "PostCard").values(state="sent"))
        await connection.execute(outbox.update().where(outbox.c.txn != await _newest(connection)).values(enc_body=b""))
    found: dict[str, Any] = {"since": utc_now() - timedelta(hours=1), "events": [CARD], "txns": []}
    assert await send_again(world.desk.engine, world.desk.keys, DESK, **found) == 1
    async with world.desk.engine.begin() as connection:
        cards = {row.number: row.card for row in await connection.execute(sa.select(place))}
    assert cards == {1: "$of before", 2: ""}


async def _newest(connection: Any) -> str:
    return str(await connection.scalar(sa.select(outbox.c.txn).order_by(outbox.c.id.desc()).limit(1)))


async def test_what_an_earlier_recovery_found_and_the_homeserver_has_lost_since_is_found_no_more(
    restored: Restored,
) -> None:
    world = restored.world
    await world.happens(customer_says("$twice", "said again"))
    [(txn, event)] = [
        (txn, event) for txn, event in world.board.by_txn.items() if "said again" in world.board.shown[event].plain
    ]
    engine = world.desk.engine
    await save_sent(engine, DESK, [SentEvent(txn=txn, room_id=ROOM, event_id=event)])
    restored.loses(lambda words: "said again" in words)
    assert await restored.recovers() == 1
    assert txn not in await load_sent(engine, DESK)
    await save_sent(engine, DESK, [SentEvent(txn=txn, room_id=ROOM, event_id="$1")])
    await save_sent(engine, DESK, [SentEvent(txn=txn, room_id=ROOM, event_id="$2")])
    assert (await load_sent(engine, DESK))[txn] == (ROOM, "$2")
