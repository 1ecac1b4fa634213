"""What a thread tells about itself: tags, history, fates, who has it; and what is taken back. On a real database."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.deliver import Deliverer
from messenger.app.effects.base import Effect
from messenger.app.effects.places import EditCard
from messenger.app.effects.staff import React
from messenger.app.effects.thread import PostNotice, RelayToThread, ShowFiles, ShowHistory
from messenger.app.records import Trace
from messenger.domain.conversation import State, fold
from messenger.domain.ids import ConversationId
from messenger.domain.replies import MARKERS, Fate
from messenger.storage.models.conversations import conversation, event_log
from messenger.storage.outbox_queue import SqlOutboxQueue
from tests.integration.staff_desk import CARD, DESK, ROOM, StaffDesk, customer_says, staff_says
from tests.integration.test_boards import Town, Wall
from tests.integration.test_commands_outside import said

BEN, CLEO = "@ben:x", "@cleo:x"


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    return StaffDesk(database)


def told(effects: Sequence[Effect]) -> list[str]:
    return [each.text for each in effects if isinstance(each, PostNotice) and each.reader is not None]


async def claimed(desk: StaffDesk, **settings: object) -> ConversationId:
    id = await desk.set_up([BEN, CLEO], **settings)
    await said(desk, staff_says(BEN, "!claim"))
    return id


async def test_tags_are_sealed_and_stand_on_the_card(desk: StaffDesk) -> None:
    id = await claimed(desk)
    async with desk.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE outbox SET state = 'sent'")
    effects = await said(desk, staff_says(CLEO, "!stichwort +Rechnung +eilig"), staff_says(BEN, "!tag -eilig +Kasse"))
    assert [type(each) for each in effects if isinstance(each, EditCard)], "the card changes"
    async with desk.units.look() as unit:
        assert await unit.conversations.tags(id) == ("Rechnung", "Kasse")
        assert (await unit.conversations.case(id)).tags == ("Rechnung", "Kasse")
    async with desk.engine.begin() as connection:
        sealed = await connection.scalar(sa.select(conversation.c.enc_tags))
        assert b"Rechnung" not in sealed
    effects = await said(
        desk, staff_says(CLEO, "!tag"), staff_says(CLEO, "!tag -rechnung -kasse"), staff_says(CLEO, "!tag")
    )
    assert told(effects) == ["tag.list", "tag.none"]
    async with desk.engine.begin() as connection:
        assert await connection.scalar(sa.select(conversation.c.enc_tags)) is None


async def test_history_shows_so_many_messages_or_the_files_again(desk: StaffDesk) -> None:
    await claimed(desk)
    effects = await said(desk, staff_says(CLEO, "!history"), staff_says(CLEO, "!verlauf 999"))
    assert [each.most for each in effects if isinstance(each, ShowHistory)] == [10, 50]
    effects = await said(desk, staff_says(CLEO, "!history Dateien"), staff_says(CLEO, "!history yesterday"))
    assert told(effects) == ["history.no_files", "S10b"]
    assert not [each for each in effects if isinstance(each, ShowFiles)]


async def test_fate_says_in_words_what_became_of_a_message(desk: StaffDesk) -> None:
    await claimed(desk, hold_seconds=60)
    assert told(await said(desk, staff_says(BEN, "!fate"))) == ["fate.none"]
    await said(desk, staff_says(BEN, "Good morning", event="$answer"), staff_says(BEN, "// inside"))
    assert told(await said(desk, staff_says(BEN, "!fate"))) == ["fate.kept"]
    asked = replace(staff_says(CLEO, "!verbleib"), reply_to="$answer")
    assert told(await said(desk, asked)) == ["fate.queued"]
    assert told(await said(desk, replace(asked, event="$again", reply_to="$first"))) == ["fate.customer"]


async def test_who_says_whose_turn_it_is_and_what_rests(desk: StaffDesk) -> None:
    await desk.set_up([BEN, CLEO])
    seen = []
    for order in ("", "!claim", "Good morning", "!pause 2h", "!resolve"):
        if order:
            await said(desk, staff_says(BEN, order))
        seen += told(await said(desk, staff_says(CLEO, "!who")))
    assert seen == ["who.nobody", "who.ours", "who.theirs", "who.paused", "who.resolved"]


@pytest.mark.parametrize(
    ("order", "before"), [("!release", State.OPEN), ("!pause 2h", State.OPEN), ("!resolve", State.OPEN)]
)
async def test_undo_takes_back_the_last_own_step(desk: StaffDesk, order: str, before: State) -> None:
    id = await claimed(desk)
    owner = (await desk.state_and_log(id))[0].owner
    await said(desk, staff_says(BEN, order))
    await said(desk, staff_says(BEN, "!undo"))
    state, log = await desk.state_and_log(id)
    assert (state.state, state.owner, state.pause) == (before, owner, None)
    assert fold(log) == state


async def test_undo_of_a_claim_gives_it_back_but_not_after_two_minutes(desk: StaffDesk) -> None:
    id = await claimed(desk)
    async with desk.engine.begin() as connection:
        await connection.execute(sa.update(event_log).values(at=event_log.c.at - sa.text("interval '3 minutes'")))
    effects = await said(desk, staff_says(BEN, "!undo"))
    assert told(effects) == ["undo.late"]
    assert [each.key for each in effects if isinstance(each, React)] == [MARKERS[Fate.FAILED]]
    assert told(await said(desk, staff_says(CLEO, "!undo"))) == ["undo.nothing"]
    await said(desk, staff_says(BEN, "!release"), staff_says(CLEO, "!claim"), staff_says(CLEO, "!rückgängig"))
    assert (await desk.state_and_log(id))[0].state is State.QUEUED


async def test_undo_stops_an_answer_that_has_not_left_before_it_touches_anything_else(desk: StaffDesk) -> None:
    id = await claimed(desk, hold_seconds=60)
    await said(desk, staff_says(BEN, "Wrong words"))
    effects = await said(desk, staff_says(BEN, "!undo"))
    assert "S15" in [each.text for each in effects if isinstance(each, PostNotice)]
    state, _ = await desk.state_and_log(id)
    assert state.state is State.OPEN and state.waiting_since is not None
    async with desk.engine.begin() as connection:
        rows = await connection.exec_driver_sql("SELECT state FROM outbox WHERE kind = 'SendToCustomer'")
        assert [row.state for row in rows] == ["cancelled"]


async def test_the_first_unanswered_message_is_known(desk: StaffDesk) -> None:
    await claimed(desk)
    await said(desk, customer_says("$second", "and more"), staff_says(BEN, "An answer"))
    await said(desk, customer_says("$third", "thanks"), customer_says("$fourth", "bye"))
    async with desk.units.look() as unit:
        shown = {}
        for event in ("$first", "$second", "$third", "$fourth"):
            trace = await unit.messages.find_trace(DESK, event)
            assert isinstance(trace, Trace) and trace.message is not None
            shown[event] = await unit.messages.is_first_unanswered(trace.message)
    assert shown == {"$first": True, "$second": False, "$third": True, "$fourth": False}


@pytest.mark.parametrize(("mention", "ringing"), [("each", [1, 1]), ("first_unanswered", [1, 0]), ("never", [0, 0])])
async def test_the_owner_is_rung_as_the_group_wishes(desk: StaffDesk, mention: str, ringing: list[int]) -> None:
    id = await claimed(desk, mention_owner=mention)
    async with desk.engine.begin() as connection:
        await connection.execute(sa.update(conversation).values(card_room=ROOM, card_event=CARD))
    await said(desk, customer_says("$second", "and more"))
    wall = Wall()
    town = Town(desk, wall, cast(SqlOutboxQueue, None))
    async with desk.units.look() as unit:
        traces = [await unit.messages.find_trace(DESK, event) for event in ("$first", "$second")]
    for trace in traces:
        assert trace is not None and trace.message is not None
        await Deliverer(town.hands).deliver(RelayToThread(conversation=id, message=trace.message), str(trace.message))
    assert [len(each.mentions) for each in wall.said] == ringing
