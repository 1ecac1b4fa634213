"""A conversation in a room of its own: who may read it, who may answer there, and what stays inside."""

from dataclasses import replace
from typing import TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.base import Effect
from messenger.app.effects.customer import SendToCustomer
from messenger.app.effects.places import EditFormerCard, PostCard, ProvideCaseRoom, SeatCase, SeatInCase, UnseatFromCase
from messenger.app.effects.staff import AnswerInRoom, React, SayAnswer
from messenger.app.effects.thread import PostNotice, PostPack, RelayToThread, ShowFiles, ShowTranscript, ToThread
from messenger.app.items import StaffSaid, Unreadable
from messenger.app.records import Trace
from messenger.domain import events as e
from messenger.domain.ids import AgentId, ConversationId
from messenger.domain.people import Role
from messenger.domain.replies import MARKERS, Fate
from messenger.storage.administration import Administration
from messenger.storage.models.conversations import place
from messenger.storage.models.people import skill_group, staff
from messenger.storage.rooms import entitled
from tests.integration.staff_desk import AT, CARD, DESK, GROUP, ROOM, StaffDesk, customer_says, staff_reacts, staff_says

Kind = TypeVar("Kind", bound=Effect)
BEN, CLEO, WU, PAT = "@ben:x", "@cleo:x", "@wu:x", "@pat:x"
CASE, CASE_CARD = "!case", "$case"


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    return StaffDesk(database)


def administration(desk: StaffDesk) -> Administration:
    return Administration(desk.engine, desk.keys, namespace=desk.namespace, desk=DESK)


async def other_group(desk: StaffDesk, **people: str) -> None:
    """Pharmacy, with these people by their names and roles."""
    await administration(desk).add_group("Pharmacy", is_default=False, languages=(), keywords=(), settings={})
    for name, role in people.items():
        await administration(desk).add_member("Pharmacy", f"@{name}:x", role)


async def in_own_room(desk: StaffDesk, *, named: str = "") -> ConversationId:
    """Ben's conversation, which he has moved; the desk has made the room."""
    id = await desk.set_up([BEN, CLEO])
    await desk.put(staff_says(BEN, "!claim"))
    await desk.work(1)
    await say(desk, staff_says(BEN, f"!room {named}".strip()))
    await room_is_made(desk, id, number=2)
    return id


async def room_is_made(desk: StaffDesk, id: ConversationId, *, number: int) -> None:
    """What the desk notes when it has posted the cards."""
    places = [(number - 1, ROOM, CARD, False), (number, CASE, CASE_CARD, True)]
    async with desk.engine.begin() as connection:
        group = await connection.scalar(sa.select(skill_group.c.id).where(skill_group.c.name == GROUP))
        for which, room, card, is_room in places:
            row = {"conversation_id": id, "number": which, "group_id": group, "room_id": room, "card": card}
            await connection.execute(place.insert().values(**row, is_room=is_room))


async def say(desk: StaffDesk, *items: StaffSaid | Unreadable) -> None:
    for item in items:
        await desk.put(item)
        await desk.work(1)


def in_room(sender: str, text: str, *, thread: str | None = None) -> StaffSaid:
    return replace(staff_says(sender, text), room=CASE, thread=thread)


async def readers(desk: StaffDesk) -> set[str]:
    async with desk.engine.begin() as connection:
        return set(await entitled(connection, DESK, CASE))


async def agent(desk: StaffDesk, address: str) -> AgentId:
    async with desk.engine.begin() as connection:
        return AgentId(await connection.scalar(sa.select(staff.c.id).where(staff.c.address == address)))


async def of_kind(desk: StaffDesk, kind: type[Kind]) -> list[Kind]:
    return [effect for effect in await desk.effects() if isinstance(effect, kind)]


async def notices(desk: StaffDesk) -> list[str]:
    return [effect.text for effect in await of_kind(desk, PostNotice)]


async def test_a_room_is_made_and_filled_before_the_first_word_and_the_old_card_points_to_it(desk: StaffDesk) -> None:
    id = await in_own_room(desk)
    thread = [effect for effect in await desk.effects() if isinstance(effect, ToThread)]
    start = thread.index(ProvideCaseRoom(conversation=id, place=2))
    assert [type(effect) for effect in thread[start:]] == [
        ProvideCaseRoom,
        SeatCase,
        PostCard,
        PostNotice,
        EditFormerCard,
        PostPack,
        ShowFiles,
        ShowTranscript,
    ]
    assert thread[start + 2] == PostCard(conversation=id, place=2, is_room=True)
    assert len({effect.lane for effect in thread}) == 1, "one after the other"


async def test_only_the_owner_and_the_people_named_may_read_a_case_room(desk: StaffDesk) -> None:
    await other_group(desk, wu="agent")
    await in_own_room(desk, named="@wu:x")
    assert await readers(desk) == {BEN, WU}, "Cleo has a seat in the group and is not told"


async def test_the_main_timeline_is_the_conversation_and_threads_are_internal(desk: StaffDesk) -> None:
    await in_own_room(desk)
    await say(desk, in_room(BEN, "Good morning"), in_room(BEN, "between us", thread=CASE_CARD), in_room(BEN, "// note"))
    sent = await of_kind(desk, SendToCustomer)
    async with desk.units() as unit:
        assert [(await unit.messages.get(each.message)).content.text for each in sent] == ["Good morning"]  # type: ignore[arg-type]


def unreadable(sender: str, *, room: str = CASE, thread: str | None = None) -> Unreadable:
    return Unreadable(
        account=DESK, room=room, thread=thread, event=f"$dark{room}{thread}", sender=sender, at=AT, reason="late"
    )


async def test_what_cannot_be_read_is_remarked_on_where_it_was_written(desk: StaffDesk) -> None:
    id = await in_own_room(desk)
    async with desk.engine.begin() as connection:
        await connection.execute(skill_group.update().values(room_id=ROOM))
    before = len(await of_kind(desk, PostNotice))
    in_thread = unreadable(CLEO, room=ROOM, thread=CARD)
    await say(desk, unreadable(BEN), in_thread, unreadable(BEN, thread=CASE_CARD), unreadable("@stranger:x"))
    told = (await of_kind(desk, PostNotice))[before:]
    assert [(each.conversation, each.text, each.place) for each in told] == [
        (id, "S25.staff", None),
        (id, "S25.staff", 1),
    ], "in the room, where the conversation is; in the thread it has left; threads in the room are team chat"
    readers = {await agent(desk, BEN), await agent(desk, CLEO)}
    assert {each.reader for each in told} == readers
    assert await desk.inbox_states("Unreadable") == ["done"] * 4, "nobody is waited for"


async def test_text_in_the_former_thread_stays_a_note_and_is_answered_with_the_way(desk: StaffDesk) -> None:
    id = await in_own_room(desk)
    await say(desk, staff_says(BEN, "where am I"))
    assert not await of_kind(desk, SendToCustomer)
    last = (await of_kind(desk, PostNotice))[-1]
    assert (last.text, last.place) == ("S26.former", 1)
    assert isinstance((await desk.state_and_log(id))[1][-1].event, e.NoteKept)


async def test_a_member_is_invited_and_removed_by_the_owner_and_each_is_in_the_log(desk: StaffDesk) -> None:
    await other_group(desk, wu="agent")
    id = await in_own_room(desk)
    await say(desk, in_room(BEN, "!invite @wu:x"))
    assert await readers(desk) == {BEN, WU}
    await say(desk, in_room(BEN, "!remove @wu:x"))
    assert await readers(desk) == {BEN}
    ben, wu = await agent(desk, BEN), await agent(desk, WU)
    log = [entry.event for entry in (await desk.state_and_log(id))[1]]
    assert log[-2:] == [e.MemberInvited(agent=wu, by=ben), e.MemberRemoved(agent=wu, by=ben)]
    effects = await desk.effects()
    assert SeatInCase(conversation=id, agent=wu) in effects
    assert UnseatFromCase(conversation=id, agent=wu) in effects


@pytest.mark.parametrize(
    ("sender", "order", "text"),
    [
        (BEN, "!invite @nobody:x", "S10c.nobody_named"),
        (BEN, "!invite @ben:x", "S10c.member"),
        (BEN, "!remove @cleo:x", "S10c.no_member"),
        (BEN, "!remove @ben:x", "S10c.owner_stays"),
        (BEN, "!room", "S10c.in_room"),
        (WU, "!invite @cleo:x", "S10c.owner"),
        (WU, "!remove @ben:x", "S10c.owner"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_reason_and_changes_nothing(
    desk: StaffDesk, sender: str, order: str, text: str
) -> None:
    await other_group(desk, wu="agent")
    id = await in_own_room(desk, named="@wu:x")
    before = await desk.state_and_log(id)
    await say(desk, in_room(sender, order))
    assert (await notices(desk))[-1] == text
    assert (await of_kind(desk, React))[-1].key == MARKERS[Fate.FAILED]
    assert (await desk.state_and_log(id), await readers(desk)) == (before, {BEN, WU})


@pytest.mark.parametrize("order", ["!invite @cleo:x", "!remove @cleo:x"])
async def test_in_a_thread_nobody_can_be_let_in_or_taken_out(desk: StaffDesk, order: str) -> None:
    await desk.set_up([BEN, CLEO])
    await say(desk, staff_says(BEN, "!claim"), staff_says(BEN, order))
    assert (await notices(desk))[-1] == "S10c.no_room"


async def test_only_who_speaks_for_the_conversation_moves_it(desk: StaffDesk) -> None:
    id = await desk.set_up([BEN, CLEO])
    await say(desk, staff_says(BEN, "!claim"), staff_says(CLEO, "!room"))
    assert (await notices(desk))[-1] == "S10c.owner"
    assert not (await desk.state_and_log(id))[0].is_in_room


async def test_a_member_from_another_group_notes_claims_and_answers_if_they_are_an_agent_there(desk: StaffDesk) -> None:
    await other_group(desk, wu="agent", pat="clerk")
    id = await in_own_room(desk, named="@wu:x @pat:x")
    await say(desk, in_room(WU, "a thought"), in_room(BEN, "!release"), in_room(PAT, "!claim"))
    assert (await notices(desk))[-1] == "S10c.agent"
    await say(desk, in_room(WU, "!claim"), in_room(WU, "Hello from the pharmacy"), in_room(PAT, "noted"))
    assert (await desk.state_and_log(id))[0].owner == await agent(desk, WU)
    assert len(await of_kind(desk, SendToCustomer)) == 1


async def test_a_guest_who_owns_it_is_not_taken_for_somebody_who_has_left(desk: StaffDesk) -> None:
    await other_group(desk, wu="agent")
    id = await in_own_room(desk, named="@wu:x")
    await say(desk, in_room(BEN, "!assign @wu:x"), in_room(BEN, "!claim"))
    assert (await notices(desk))[-1] == "S3b"
    assert (await desk.state_and_log(id))[0].owner == await agent(desk, WU)


async def test_a_group_member_who_is_not_in_the_room_is_not_heard_there(desk: StaffDesk) -> None:
    id = await in_own_room(desk)
    before = await desk.state_and_log(id)
    await say(desk, in_room(CLEO, "!release"), in_room(CLEO, "hello"))
    assert await desk.state_and_log(id) == before


async def test_whoever_claims_at_the_card_that_points_there_is_let_in(desk: StaffDesk) -> None:
    id = await in_own_room(desk)
    await say(desk, in_room(BEN, "!release"))
    await desk.put(staff_reacts(CLEO, "👀"))
    await desk.work(1)
    cleo = await agent(desk, CLEO)
    assert (await desk.state_and_log(id))[0].owner == cleo
    assert (await readers(desk), SeatInCase(conversation=id, agent=cleo) in await desk.effects()) == (
        {BEN, CLEO},
        True,
    )


async def test_who_is_late_at_the_card_that_points_there_hears_it_there(desk: StaffDesk) -> None:
    await in_own_room(desk)
    await desk.put(staff_reacts(CLEO, "👀"))
    await desk.work(1)
    told = (await of_kind(desk, AnswerInRoom))[-1]
    assert (told.text, told.room) == ("S3b", ROOM)
    assert "S3b" not in await notices(desk)


@pytest.mark.parametrize("order", ["!history", "!who", "!tag heart", "!resume"])
async def test_the_group_learns_by_no_command_what_is_said_in_a_case_room(desk: StaffDesk, order: str) -> None:
    id = await in_own_room(desk)
    async with desk.engine.begin() as connection:
        await connection.execute(skill_group.update().values(room_id=ROOM))
    before = await desk.state_and_log(id)
    word, _, rest = order.partition(" ")
    await say(desk, replace(staff_says(CLEO, f"{word} {before[0].number} {rest}".strip()), thread=None))
    assert [each.text for each in await of_kind(desk, SayAnswer)] == ["S10c.own_room"]
    assert await desk.state_and_log(id) == before


async def test_a_new_owner_by_hand_over_becomes_a_member(desk: StaffDesk) -> None:
    await in_own_room(desk)
    await say(desk, in_room(BEN, "!assign @cleo:x"))
    assert await readers(desk) == {BEN, CLEO}


async def test_a_transfer_to_another_group_leaves_the_room(desk: StaffDesk) -> None:
    await other_group(desk, wu="agent")
    id = await in_own_room(desk)
    await say(desk, in_room(BEN, "!transfer Pharmacy for you"))
    state = (await desk.state_and_log(id))[0]
    assert (state.is_in_room, state.place) == (False, 3)
    await say(desk, in_room(BEN, "still here?"))
    assert not await of_kind(desk, SendToCustomer)
    assert (await notices(desk))[-1] == "S26.former"


async def test_a_second_room_does_not_take_over_the_readers_of_the_first(desk: StaffDesk) -> None:
    await other_group(desk, wu="agent", pat="clerk")
    id = await in_own_room(desk, named="@pat:x")
    await say(desk, in_room(BEN, "!transfer @wu:x"))
    card = "$third"
    async with desk.units() as unit:
        trace = Trace(account=DESK, room="!pharmacy", remote_id=card, kind="card", conversation=id, part=3)
        await unit.messages.add_trace(trace)
    await say(desk, replace(staff_says(WU, "!room"), room="!pharmacy", thread=card))
    assert ProvideCaseRoom(conversation=id, place=4) in await desk.effects()
    async with desk.units() as unit:
        assert [member.address for member in await unit.case_members.of(id)] == [WU]


async def test_who_leaves_the_group_leaves_the_rooms_of_its_conversations(desk: StaffDesk) -> None:
    await other_group(desk, cleo="agent")
    id = await in_own_room(desk, named="@cleo:x")
    await administration(desk).remove_member(GROUP, CLEO)
    assert await readers(desk) == {BEN}
    cleo = await agent(desk, CLEO)
    assert UnseatFromCase(conversation=id, agent=cleo) in await desk.effects()


async def test_who_has_left_every_group_cannot_be_invited(desk: StaffDesk) -> None:
    await other_group(desk, pat="agent")
    await in_own_room(desk)
    await administration(desk).remove_member("Pharmacy", PAT)
    await say(desk, in_room(BEN, "!invite @pat:x"))
    assert (await notices(desk))[-1] == "S10c.no_seat"


async def test_where_the_group_has_rooms_a_new_conversation_is_in_its_own_from_the_start(desk: StaffDesk) -> None:
    id = await desk.set_up([BEN, CLEO], desk_layout="rooms")
    state = (await desk.state_and_log(id))[0]
    assert (state.is_in_room, state.place) == (True, 2)
    thread = [effect for effect in await desk.effects() if isinstance(effect, ToThread)]
    assert [type(effect) for effect in thread] == [
        PostCard,
        ProvideCaseRoom,
        SeatCase,
        PostCard,
        PostNotice,
        EditFormerCard,
        RelayToThread,
    ]
    await room_is_made(desk, id, number=2)
    await desk.put(staff_reacts(BEN, "👀"))
    await desk.work(1)
    assert await readers(desk) == {BEN}


async def test_what_comes_from_another_group_into_one_with_rooms_is_told_in_the_room_only(desk: StaffDesk) -> None:
    id = await desk.set_up([BEN, CLEO])
    await other_group(desk, wu="agent")
    await administration(desk).change_settings("Pharmacy", {"desk_layout": "rooms"})
    await say(desk, staff_says(BEN, "!claim"), staff_says(BEN, "!transfer Pharmacy"))
    state = (await desk.state_and_log(id))[0]
    assert (state.is_in_room, state.place) == (True, 3)
    thread = [effect for effect in await desk.effects() if isinstance(effect, ToThread)]
    kinds = [type(effect) for effect in thread[thread.index(PostCard(conversation=id, place=2)) :]]
    assert kinds.index(ProvideCaseRoom) < kinds.index(PostPack)


async def test_an_agents_seat_in_a_case_room_is_a_clerks_without_a_group_to_answer_in(desk: StaffDesk) -> None:
    await other_group(desk, wu="lead", pat="clerk")
    id = await in_own_room(desk, named="@wu:x, @pat:x")
    async with desk.units() as unit:
        seats = [await unit.case_members.seat(id, address) for address in (WU, PAT, CLEO)]
    assert [seat.role if seat else None for seat in seats] == [Role.AGENT, Role.CLERK, None]


async def test_the_customers_word_is_relayed_at_the_new_place(desk: StaffDesk) -> None:
    id = await in_own_room(desk)
    await desk.put(customer_says("$more", "and another thing"))
    await desk.work(1)
    relayed = (await of_kind(desk, RelayToThread))[-1]
    async with desk.units() as unit:
        message = await unit.messages.get(relayed.message)  # type: ignore[arg-type]
    assert (message.conversation, message.content.text) == (id, "and another thing")
