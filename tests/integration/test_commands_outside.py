"""Commands that are given outside of any conversation's thread: in the main timeline of a group's room, and in
somebody's direct chat with the desk."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.base import Effect
from messenger.app.effects.customer import GreetCustomer, SendToCustomer, TellCustomer
from messenger.app.effects.staff import AnswerInRoom, React, SayAnswer, ShowMine, ShowQueue, TellPerson
from messenger.app.effects.thread import PostNotice
from messenger.app.items import ChatReady, StaffSaid
from messenger.channels.messages import Handle
from messenger.domain.conversation import State
from messenger.domain.ids import ConversationId
from messenger.domain.replies import MARKERS, Fate
from messenger.storage.models.people import skill_group, staff
from messenger.storage.rooms import entitled
from tests.integration.staff_desk import AT, DESK, GROUP, ROOM, StaffDesk, customer_says, ready, staff_says

BEN, CLEO, ZOE = "@ben:x", "@cleo:x", "@zoe:x"
OTHER_ROOM, BENS_CHAT = "!other", "!ben-and-desk"


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    return StaffDesk(database)


async def opened(desk: StaffDesk) -> tuple[ConversationId, str]:
    """Ben and Cleo in one group with a waiting conversation; Zoe in another group. Returns its id and number."""
    id = await desk.set_up([BEN, CLEO])
    await desk._change.add_group("Other", is_default=False, languages=(), keywords=(), settings={})
    await desk._change.add_member("Other", ZOE, "agent")
    await desk._change.add_member("Other", CLEO, "agent")
    await give_room(desk, GROUP, ROOM)
    await give_room(desk, "Other", OTHER_ROOM)
    return id, (await desk.state_and_log(id))[0].number


async def give_room(desk: StaffDesk, group: str, room: str) -> None:
    async with desk.engine.begin() as connection:
        await connection.execute(sa.update(skill_group).where(skill_group.c.name == group).values(room_id=room))


def says(sender: str, text: str, *, room: str = ROOM, thread: str | None = None) -> StaffSaid:
    return replace(staff_says(sender, text), room=room, thread=thread)


async def said(desk: StaffDesk, *items: object) -> list[Effect]:
    """The effects of handling these, one after the other."""
    before = len(await desk.effects())
    for item in items:
        await desk.put(item)  # type: ignore[arg-type]
        await desk.work(1)
    return (await desk.effects())[before:]


async def has_direct_chat(desk: StaffDesk, person: str = BEN, chat: str = BENS_CHAT) -> list[Effect]:
    return await said(
        desk, ChatReady(account=DESK, chat=chat, person=Handle(kind="mxid", value=person), name="Ben", at=AT)
    )


def markers(effects: Sequence[Effect]) -> list[str]:
    return [each.key for each in effects if isinstance(each, React)]


def answers(effects: Sequence[Effect]) -> list[str]:
    return [each.text for each in effects if isinstance(each, SayAnswer | AnswerInRoom)]


async def test_a_reference_claims_from_the_main_timeline(desk: StaffDesk) -> None:
    id, number = await opened(desk)
    effects = await said(desk, says(BEN, f"!claim {number.lower()}"))
    state, _ = await desk.state_and_log(id)
    assert state.state is State.OPEN
    assert markers(effects) == [MARKERS[Fate.DONE]]
    assert not [each for each in effects if isinstance(each, SendToCustomer)]


async def test_a_refused_reference_is_explained_beside_the_command_in_the_persons_language(desk: StaffDesk) -> None:
    _, number = await opened(desk)
    await said(desk, says(BEN, f"!claim {number}"))
    command = says(CLEO, f"!übernehmen {number}")
    effects = await said(desk, command)
    lost = next(each for each in effects if isinstance(each, AnswerInRoom))
    assert (lost.text, lost.room, lost.event) == ("S3b", ROOM, command.event)
    assert lost.reader is not None
    assert markers(effects) == [MARKERS[Fate.FAILED]]
    assert not [each for each in effects if isinstance(each, PostNotice)]


async def test_whoever_has_no_seat_in_its_group_does_not_learn_that_it_exists(desk: StaffDesk) -> None:
    id, number = await opened(desk)
    effects = await said(
        desk, says(ZOE, f"!claim {number}", room=OTHER_ROOM), says(ZOE, "!claim K-2222", room=OTHER_ROOM)
    )
    assert answers(effects) == ["S10c.no_such", "S10c.no_such"]
    assert (await desk.state_and_log(id))[0].owner is None


async def test_answers_about_a_conversation_stay_out_of_other_groups_rooms(desk: StaffDesk) -> None:
    """Cleo sits in both groups; who reads along in the other room does not."""
    _, number = await opened(desk)
    effects = await said(desk, says(CLEO, f"!who {number}", room=OTHER_ROOM))
    assert answers(effects) == ["S26.there"]
    assert [each.text for each in effects if isinstance(each, PostNotice)] == ["who.nobody"]


async def test_an_unknown_word_gets_the_same_hint_as_in_a_thread(desk: StaffDesk) -> None:
    await opened(desk)
    effects = await said(desk, says(BEN, "!relese it"), says(BEN, "!frobnicate"))
    assert answers(effects) == ["S10", "S10.plain"]
    assert markers(effects) == [MARKERS[Fate.FAILED]] * 2


@pytest.mark.parametrize(
    ("text", "answer"), [("!note inside", "S10e.thread"), ("!claim", "S10e.reference"), ("!transfer", "S10b")]
)
async def test_what_needs_a_conversation_says_how_to_name_it(desk: StaffDesk, text: str, answer: str) -> None:
    await opened(desk)
    effects = await said(desk, says(BEN, text))
    assert (answers(effects), markers(effects)) == ([answer], [MARKERS[Fate.FAILED]])


async def test_a_stranger_and_a_thread_of_team_chat_command_nothing(desk: StaffDesk) -> None:
    _, number = await opened(desk)
    assert await said(desk, says("@stranger:x", "!help"), says(ZOE, "!help")) == []
    assert await said(desk, says(BEN, f"!claim {number}", thread="$teamchat")) == []


async def test_staff_that_opens_a_chat_with_the_desk_is_no_customer(desk: StaffDesk) -> None:
    await opened(desk)
    effects = await has_direct_chat(desk)
    assert [each.text for each in effects if isinstance(each, TellPerson)] == ["S28.direct"]
    assert not [each for each in effects if isinstance(each, TellCustomer)]
    async with desk.engine.begin() as connection:
        assert await connection.scalar(sa.select(staff.c.direct_room).where(staff.c.address == BEN)) == BENS_CHAT
    assert await has_direct_chat(desk) == [], "the same chat again says nothing anew"
    customers = await said(desk, ready("!kim"))
    assert [type(each) for each in customers] == [GreetCustomer]


async def test_a_direct_chat_obeys_its_person_and_forwards_nothing(desk: StaffDesk) -> None:
    id, number = await opened(desk)
    await has_direct_chat(desk)
    plain = says(BEN, "How is the weather?", room=BENS_CHAT)
    assert await said(desk, plain, says(CLEO, f"!claim {number}", room=BENS_CHAT)) == []
    effects = await said(desk, says(BEN, f"!claim {number}", room=BENS_CHAT), says(BEN, "!help", room=BENS_CHAT))
    assert markers(effects) == [MARKERS[Fate.DONE]] * 2
    assert answers(effects) == ["S33"]
    assert (await desk.state_and_log(id))[0].owner is not None
    in_thread = await said(desk, says(BEN, f"!who {number}", room=BENS_CHAT, thread="$mine"))
    assert answers(in_thread) == ["who.ours"]


async def test_an_older_direct_chat_is_heard_like_the_newest(desk: StaffDesk) -> None:
    _, number = await opened(desk)
    await has_direct_chat(desk)
    newer = await has_direct_chat(desk, chat="!newer:x")
    assert [each.text for each in newer if isinstance(each, TellPerson)] == ["S28.direct"]
    effects = await said(
        desk,
        says(BEN, "!help", room=BENS_CHAT),
        says(BEN, "!help", room="!newer:x"),
        says(CLEO, "!help", room=BENS_CHAT),
    )
    assert [each.room for each in effects if isinstance(each, SayAnswer)] == [BENS_CHAT, "!newer:x"]
    assert markers(effects) == [MARKERS[Fate.DONE]] * 2
    early = await said(desk, customer_says("$early", f"!who {number}", sender=BEN, chat=BENS_CHAT))
    assert answers(early) == ["who.nobody"], "also what was taken for a customer's"
    async with desk.engine.begin() as connection:
        for chat in (BENS_CHAT, "!newer:x"):
            assert await entitled(connection, DESK, chat) == {BEN}


async def test_what_staff_writes_before_the_chat_is_known_is_no_customers_message(desk: StaffDesk) -> None:
    """The sync loop takes it for a customer's: it does not know the room yet."""
    await opened(desk)
    early = customer_says("$early", "!help", sender=BEN, chat=BENS_CHAT)
    words = customer_says("$words", "hello desk", sender=BEN, chat=BENS_CHAT)
    await desk.put(early, words)
    await desk.work(1)
    assert await desk.inbox_states("InboundMessage") == ["done", "new", "new"]
    await has_direct_chat(desk)
    async with desk.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE inbox SET next_at = now() WHERE state = 'new'")
    effects = await said(desk, says(BEN, "plain", room=BENS_CHAT))
    assert answers(effects) == ["S33"]
    assert await desk.inbox_states("InboundMessage") == ["done", "done", "done"]
    assert len(await desk.conversations()) == 1


async def test_a_desk_command_in_a_thread_is_answered_in_that_thread(desk: StaffDesk) -> None:
    await opened(desk)
    command = staff_says(BEN, "!hilfe", event=f"${uuid4().hex}")
    effects = await said(desk, command)
    assert [each.text for each in effects if isinstance(each, PostNotice)] == ["S33"]


async def test_next_gives_each_who_asks_another_one_the_longest_waiting_first(desk: StaffDesk) -> None:
    first, _ = await opened(desk)
    await more_waiting(desk, 3)
    waiting = await desk.conversations()
    await desk.put(*(says(person, "!next") for person in (BEN, CLEO, BEN)))
    await desk.work(4)
    owned = [(await desk.state_and_log(id))[0] for id in waiting]
    assert [state.owner is not None for state in sorted(owned, key=lambda each: each.queued_at)] == [True] * 3 + [False]  # type: ignore[arg-type, return-value]
    assert (await desk.state_and_log(first))[0].owner is not None
    assert answers(await desk.effects()).count("next.yours") == 3


async def test_next_refuses_where_nothing_waits_and_who_never_answers(desk: StaffDesk) -> None:
    id, number = await opened(desk)
    await desk._change.add_member(GROUP, "@dana:x", "clerk")
    assert answers(await said(desk, says("@dana:x", "!next"))) == ["S10c.agent"]
    await said(desk, says(BEN, f"!claim {number}"))
    effects = await said(desk, says(BEN, "!nächste"))
    assert (answers(effects), markers(effects)) == (["queue.none"], [MARKERS[Fate.FAILED]])
    assert (await desk.state_and_log(id))[0].owner is not None


async def test_queue_and_mine_are_read_when_they_are_sent(desk: StaffDesk) -> None:
    """The effect names who reads; what they may see is looked up then."""
    id, _ = await opened(desk)
    await more_waiting(desk, 12)
    effects = await said(desk, says(BEN, "!queue"), says(BEN, "!mine"), says(ZOE, "!queue", room=OTHER_ROOM))
    asked = [each for each in effects if isinstance(each, ShowQueue | ShowMine)]
    assert [type(each) for each in asked] == [ShowQueue, ShowMine, ShowQueue]
    async with desk.units.look() as unit:
        group = (await desk.state_and_log(id))[0].group
        assert group is not None
        rows, total = await unit.lists.waiting([group], 10)
        assert (len(rows), total, rows[0].id) == (10, 13, id)
        assert [row.queued_at for row in rows] == sorted(row.queued_at for row in rows)
        assert rows[0].place is not None and rows[0].place.room == ROOM


async def test_mine_lists_everything_that_is_open_or_paused_and_nothing_else(desk: StaffDesk) -> None:
    await opened(desk)
    await more_waiting(desk, 5)
    await said(desk, *(says(BEN, "!next") for _ in range(4)))
    numbers = [(await desk.state_and_log(id))[0].number for id in await owned_by_somebody(desk)]
    await said(desk, says(BEN, f"!pause {numbers[0]} 2h"), says(BEN, f"!resolve {numbers[1]}"))
    async with desk.units.look() as unit:
        ben = (await unit.people.seats_of(BEN))[0][1].agent
        mine = await unit.lists.of_owner(ben.id)
    assert {row.number for row in mine} == {numbers[0], numbers[2], numbers[3]}
    assert [(row.number, row.is_paused) for row in mine][-1] == (numbers[0], True)
    assert next(row for row in mine if row.is_paused).paused_until is not None


async def more_waiting(desk: StaffDesk, count: int) -> None:
    for number in range(count):
        await desk.put(replace(ready(f"!chat{number}"), person=Handle(kind="mxid", value=f"@customer{number}:x")))
        await desk.work(1)
        await desk.put(customer_says(f"$hello{number}", "Hello", sender=f"@customer{number}:x", chat=f"!chat{number}"))
        await desk.work(1)


async def owned_by_somebody(desk: StaffDesk) -> list[ConversationId]:
    states = [(await desk.state_and_log(id))[0] for id in await desk.conversations()]
    owned = [state for state in states if state.owner is not None]
    return [state.id for state in sorted(owned, key=lambda each: str(each.queued_at))]
