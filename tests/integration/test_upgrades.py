"""What becomes of conversations and groups when their rooms are replaced, on a real database."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.base import Effect
from messenger.app.effects.customer import FollowRoom, FollowRoomLater, LeaveRoom, SendToCustomer, TellCustomer
from messenger.app.effects.groups import OpenNewRoom, SeatMember, TellGroup
from messenger.app.effects.places import EditFormerCard, PostCard, ProvideCaseRoom, SeatCase
from messenger.app.effects.staff import TellPerson
from messenger.app.effects.thread import PostNotice, PostPack, ShowFiles, ShowTranscript
from messenger.app.items import ChatReady, GroupMoved, RoomFollowed, RoomReplaced
from messenger.app.records import OutboxRow
from messenger.channels.messages import Handle
from messenger.domain.case_room import MOST_RENEWALS
from messenger.domain.events import CardRenewed, MovedToRoom
from messenger.storage import leases
from messenger.storage.models.conversations import conversation, event_log, place
from messenger.storage.models.people import skill_group
from messenger.storage.models.queues import outbox
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.storage.successions import note_replaced
from tests.integration.staff_desk import (
    AT,
    CARD,
    CHAT,
    CUSTOMER,
    DESK,
    GROUP,
    ROOM,
    StaffDesk,
    customer_says,
    staff_says,
)

BEN, LEA, NEW = "@ben:x", "@lea:x", "!new"


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.set_up([BEN])
    await desk.add_member(GROUP, LEA, "lead")
    await desk.says(BEN, "!claim")
    return desk


def found(
    code: str = "",
    *,
    room: str = CHAT,
    people: Sequence[str] = (CUSTOMER, DESK),
    is_led: bool = False,
    asked_in: bool = False,
) -> RoomFollowed:
    person = Handle(kind="mxid", value=CUSTOMER)
    ready = ChatReady(account=DESK, chat=NEW, person=person, name="Anna", at=AT) if asked_in else None
    return RoomFollowed(
        account=DESK, room=room, successor=NEW, by=CUSTOMER, code=code, people=people, is_led=is_led, ready=ready
    )


async def look(desk: StaffDesk, item: RoomFollowed | RoomReplaced | GroupMoved) -> list[Effect]:
    """What it makes happen."""
    before = len(await desk.effects())
    await desk.put(item)
    await desk.work(1)
    return (await desk.effects())[before:]


async def room_of_chat(desk: StaffDesk) -> str:
    async with desk.units() as unit:
        return (await unit.chats.get((await desk.only_conversation())[0].chat)).remote


async def test_a_tombstone_makes_the_desk_look_and_nothing_else(desk: StaffDesk) -> None:
    said = RoomReplaced(account=DESK, room=CHAT, successor=NEW, by=CUSTOMER)
    [effect] = await look(desk, said)
    assert effect == FollowRoom(account=DESK, room=CHAT, successor=NEW, by=CUSTOMER)
    assert await room_of_chat(desk) == CHAT


async def test_a_chat_goes_on_in_the_room_that_took_its_place(desk: StaffDesk) -> None:
    effects = await look(desk, found(asked_in=True))
    assert await room_of_chat(desk) == NEW
    assert [each.text for each in effects if isinstance(each, PostNotice)] == ["S36.chat"]
    assert not [each for each in effects if isinstance(each, TellCustomer)], "nobody is greeted twice"
    await desk.put(customer_says("$late", "said in the old room"), customer_says("$new", "in the new", chat=NEW))
    await desk.work(1)
    assert len(await desk.conversations()) == 1
    assert await look(desk, found()) == [], "the same news again"


async def test_a_second_upgrade_is_followed_and_both_old_rooms_still_belong_to_the_conversation(
    desk: StaffDesk,
) -> None:
    await look(desk, found())
    again = RoomFollowed(account=DESK, room=NEW, successor="!newest", by=CUSTOMER, people=[CUSTOMER])
    await look(desk, again)
    assert await room_of_chat(desk) == "!newest"
    await desk.put(customer_says("$1", "first"), customer_says("$2", "second", chat=NEW))
    await desk.work(1)
    assert len(await desk.conversations()) == 1


@pytest.mark.parametrize("code", ["no_right", "elsewhere", "not_replaced"])
async def test_a_false_word_is_refused_told_to_the_leads_and_changes_nothing(desk: StaffDesk, code: str) -> None:
    effects = await look(desk, found(code))
    assert await room_of_chat(desk) == CHAT
    told = [each.text for each in effects if isinstance(each, PostNotice | TellPerson)]
    assert told == [f"S36.{code}"] * 2
    assert LeaveRoom(room=NEW) in effects
    assert not [each for each in effects if isinstance(each, FollowRoom)], "once is enough"
    assert not [each for each in await look(desk, found(code)) if isinstance(each, PostNotice)], "said once"


async def test_a_room_without_the_customer_is_waited_with_and_looked_at_again(desk: StaffDesk) -> None:
    effects = await look(desk, found(people=["@eve:x", DESK]))
    assert await room_of_chat(desk) == CHAT
    assert [each.text for each in effects if isinstance(each, PostNotice)] == ["S36.person_absent"]
    assert [type(each) for each in effects if isinstance(each, FollowRoom)] == [FollowRoomLater]
    await look(desk, found())
    assert await room_of_chat(desk) == NEW


async def test_whoever_is_asked_into_a_room_that_lies_about_its_past_meets_a_new_chat(desk: StaffDesk) -> None:
    effects = await look(desk, found("no_right", asked_in=True))
    assert await room_of_chat(desk) == CHAT
    assert [each.text for each in effects if isinstance(each, TellCustomer)] == ["C1"]


async def group_room(desk: StaffDesk, room: str = ROOM) -> None:
    """As if the group's room and the card were there."""
    id = (await desk.only_conversation())[0]
    async with desk.engine.begin() as connection:
        await connection.execute(skill_group.update().values(room_id=room))
        row = {"conversation_id": id.id, "number": 1, "group_id": id.group, "room_id": room, "card": CARD}
        await connection.execute(place.insert().values(**row, is_room=False))
        await connection.execute(conversation.update().values(card_room=room, card_event=CARD))


async def test_a_group_moves_with_its_people_and_each_open_conversation_gets_a_card(desk: StaffDesk) -> None:
    await group_room(desk)
    effects = await look(desk, found(room=ROOM, people=[LEA, DESK], is_led=True))
    assert [type(each) for each in effects] == [SeatMember, SeatMember, OpenNewRoom]
    last = effects[-1]
    assert isinstance(last, OpenNewRoom)
    effects = await look(desk, GroupMoved(group=last.group, former=last.former))
    assert [each.text for each in effects if isinstance(each, TellGroup)] == ["S36.group"]
    assert [each.place for each in effects if isinstance(each, PostCard)] == [2]
    state, log = await desk.only_conversation()
    assert (state.place, type(log[-1].event)) == (2, CardRenewed)
    async with desk.units() as unit:
        assert (await unit.people.group_of_room(NEW)) is not None


async def test_a_group_does_not_move_to_where_the_desk_has_no_power(desk: StaffDesk) -> None:
    await group_room(desk)
    effects = await look(desk, found(room=ROOM, people=[LEA, DESK], is_led=False))
    assert [each.text for each in effects if isinstance(each, TellPerson)] == ["S36.no_power"]
    async with desk.units() as unit:
        assert (await unit.people.group_of_room(ROOM)) is not None


async def test_a_conversation_that_is_over_is_reopened_in_the_new_room(desk: StaffDesk) -> None:
    await group_room(desk)
    await desk.says(BEN, "!resolve")
    await look(desk, found(room=ROOM, people=[LEA, DESK], is_led=True))
    assert (await desk.only_conversation())[0].place == 1
    await desk.put(customer_says("$again", "One more thing"))
    await desk.work(1)
    assert (await desk.only_conversation())[0].place == 2


async def test_the_audit_log_says_who_was_followed(desk: StaffDesk) -> None:
    await look(desk, found("no_right"))
    await look(desk, found())
    async with desk.engine.begin() as connection:
        actions = list(await connection.scalars(sa.text("SELECT action FROM audit WHERE action LIKE 'room.%'")))
    assert actions == ["room.object", "room.follow"]


async def test_what_was_tried_in_the_old_room_is_looked_for_there_before_it_is_sent_again(desk: StaffDesk) -> None:
    await desk.says(BEN, "An answer")
    lease = await leases.acquire(desk.engine, f"desk:{DESK}", "test", timedelta(minutes=5))
    assert lease is not None
    queue = SqlOutboxQueue(desk.engine, desk.keys, desk=DESK, device="D", lease=lease)

    async def answer() -> OutboxRow:
        found = [row for _ in range(5) for row in await queue.claim(10) if isinstance(row.effect, SendToCustomer)]
        return found[0]

    async with desk.engine.begin() as connection:  # the greeting before it in the chat is over
        greeting = outbox.update().where(outbox.c.kind != "SendToCustomer")
        await connection.execute(greeting.values(state="sent"))
    row = await answer()
    assert not row.has_moved
    await queue.retry(row, timedelta(0), "unreachable")
    await look(desk, found())
    row = await answer()
    assert row.has_moved
    async with desk.units() as unit:
        assert await unit.successions.former_rooms(DESK, NEW) == [CHAT]


# A room of its own


CASE = "!case"


async def in_own_room(desk: StaffDesk, named: str = "") -> None:
    """The desk has made it, and its card in the group's room."""
    await group_room(desk)
    await desk.says(BEN, f"!room {named}".strip())
    await _case_room(desk, number=2, room=CASE)


async def _case_room(desk: StaffDesk, *, number: int, room: str) -> None:
    id = (await desk.only_conversation())[0]
    row = {"conversation_id": id.id, "number": number, "group_id": id.group, "room_id": room, "card": f"${number}"}
    async with desk.engine.begin() as connection:
        await connection.execute(place.insert().values(**row, is_room=True))


def closed(room: str = CASE, to: str = "!trap") -> RoomReplaced:
    return RoomReplaced(account=DESK, room=room, successor=to, by="@eve:x")


async def test_a_closed_room_of_its_own_gets_another_of_the_desks_for_the_same_people(desk: StaffDesk) -> None:
    await in_own_room(desk, named=LEA)
    effects = await look(desk, closed())
    kinds = [type(each) for each in effects if not isinstance(each, PostPack | ShowFiles | ShowTranscript)]
    room = [ProvideCaseRoom, SeatCase, PostCard, PostNotice, EditFormerCard, PostNotice]
    assert kinds == [PostCard, EditFormerCard, *room], "first the card in the group's room that leads there"
    assert [each.place for each in effects if isinstance(each, PostCard)] == [3, 4]
    assert not [each for each in effects if isinstance(each, FollowRoom)], "nobody is led anywhere"
    state, _ = await desk.only_conversation()
    assert (state.place, state.is_in_room) == (4, True)
    async with desk.units() as unit:
        assert [member.address for member in await unit.case_members.of(state.id)] == [BEN, LEA]
    assert await look(desk, closed(to="!other")) == [], "once is enough"


async def test_what_was_said_in_a_room_of_its_own_before_it_was_closed_is_an_answer_yet(desk: StaffDesk) -> None:
    await in_own_room(desk)
    lane = f"{CASE}|main"
    await desk.put(closed(), lane=CASE)
    await desk.put(replace(staff_says(BEN, "before it was closed"), room=CASE, thread=None), lane=lane)
    await desk.work(1)
    assert [each for each in await desk.effects() if isinstance(each, SendToCustomer)]


async def test_a_word_in_a_closed_room_of_its_own_stays_inside_and_is_answered_with_the_way(desk: StaffDesk) -> None:
    await in_own_room(desk)
    await look(desk, closed())
    await _case_room(desk, number=4, room="!another")
    await desk.put(replace(staff_says(BEN, "who reads this?"), room=CASE, thread=None))
    await desk.work(1)
    assert not [each for each in await desk.effects() if isinstance(each, SendToCustomer)]
    assert (await desk.notices())[-1].text == "S26.former"
    await desk.put(replace(staff_says(BEN, "from the new one"), room="!another", thread=None))
    await desk.work(1)
    assert [each for each in await desk.effects() if isinstance(each, SendToCustomer)]


async def test_a_room_of_its_own_that_was_left_before_is_closed_without_a_word(desk: StaffDesk) -> None:
    await in_own_room(desk)
    await look(desk, closed())
    await _case_room(desk, number=4, room="!another")
    assert await look(desk, closed(to="!once more")) == []
    assert [type(each) for each in await look(desk, closed("!another"))][:1] == [PostCard]


async def _next_room_is_closed(desk: StaffDesk, round: int, to: str = "!trap") -> list[Effect]:
    """The desk has made the room that it wanted to make, and somebody closes it again."""
    state, _ = await desk.only_conversation()
    room = f"!case{round}"
    await _case_room(desk, number=state.place - 1, room=f"!pointer{round}")
    await _case_room(desk, number=state.place, room=room)
    async with desk.engine.begin() as connection:
        await connection.execute(place.update().where(place.c.room_id == f"!pointer{round}").values(is_room=False))
        await note_replaced(connection, DESK, {room: to})
    return await look(desk, closed(room, to))


async def closed_too_often(desk: StaffDesk) -> list[Effect]:
    """The effects of the last time."""
    await in_own_room(desk)
    await look(desk, closed())
    return [await _next_room_is_closed(desk, round) for round in range(MOST_RENEWALS)][-1]


async def test_whoever_closes_every_room_of_a_conversation_gets_no_more_of_them(desk: StaffDesk) -> None:
    effects = await closed_too_often(desk)
    state, log = await desk.only_conversation()
    assert sum(isinstance(each.event, MovedToRoom) for each in log) == 1 + MOST_RENEWALS
    assert not [each for each in effects if isinstance(each, ProvideCaseRoom | PostCard)]
    [beside] = [each for each in effects if isinstance(each, PostNotice)]
    assert (beside.text, beside.place) == ("S36.case_stays", state.place - 1), (
        "in the group's room, where one can write"
    )
    assert [each.text for each in effects if isinstance(each, TellPerson)] == ["S31.room_closed"]
    assert state.is_in_room, "nobody reads it who could not before"


async def test_the_owner_asks_for_another_room_once_it_is_known_who_closes_them(desk: StaffDesk) -> None:
    await closed_too_often(desk)
    state, _ = await desk.only_conversation()
    before = len(await desk.effects())
    await desk.put(replace(staff_says(BEN, f"!room {state.number} {LEA}"), thread=None))
    await desk.work(1)
    assert [each.place for each in (await desk.effects())[before:] if isinstance(each, ProvideCaseRoom)] == [
        state.place + 2
    ]
    async with desk.units() as unit:
        assert [member.address for member in await unit.case_members.of(state.id)] == [BEN, LEA]


async def test_on_another_day_the_desk_makes_rooms_by_itself_again(desk: StaffDesk) -> None:
    await closed_too_often(desk)
    async with desk.engine.begin() as connection:
        await connection.execute(event_log.update().values(at=event_log.c.at - timedelta(days=1)))
    effects = await look(desk, closed(f"!case{MOST_RENEWALS - 1}", to="!elsewhere"))
    assert [each for each in effects if isinstance(each, ProvideCaseRoom)]


async def test_a_room_of_its_own_that_is_closed_without_a_successor_is_closed(desk: StaffDesk) -> None:
    await in_own_room(desk)
    assert [each for each in await look(desk, closed(to="")) if isinstance(each, ProvideCaseRoom)]
