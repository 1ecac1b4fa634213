"""What the desk and the Matrix channel can do, on a real homeserver and with clients of another make: answers, edits,
deletions, reactions, menus, case rooms."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.erasure_ports import Target
from messenger.app.items import CustomerReacted, StaffSaid
from messenger.app.records import File, Place, Said
from messenger.channels.errors import Rejected
from messenger.channels.messages import Content, Handle, InboundMessage, MessageDeleted, OutboundMessage, RemoteId
from messenger.demo.synapse import Synapse
from messenger.domain.ids import ConversationId
from messenger.domain.people import DevicePolicy
from messenger.matrix.desk import MatrixDesk
from messenger.matrix.erasure import MatrixErasure
from messenger.storage.administration import Administration
from tests.support.hands import NAMESPACE, DeskHands
from tests.support.homeservers import branches_of
from tests.support.people import People, Person
from tests.support.timeline import Seen
from tests.support.waiting import eventually

_Kind = TypeVar("_Kind")
ANY = DevicePolicy.ANY
PDF = File(data=b"%PDF", name="a.pdf", mime="application/pdf", type="m.file")


@dataclass
class World:
    hands: DeskHands
    people: People

    async def chat(self) -> "Chat":
        anna = await self.people.person("anna")
        room = await anna.start_direct_chat(self.hands.user_id, wait_until_joined=False)
        await self.hands.enter(room, anna.user_id, farewell="")
        await anna.wait_for_members(room, [self.hands.user_id])
        await self.hands.received()
        return Chat(self.hands, anna, room)

    async def team(self) -> tuple[Person, str]:
        """Somebody of the staff in the group's room."""
        ben = await self.people.person("ben")
        group = await self.hands.group("General", ben.user_id)
        room = await self.hands.group_room(group, ben.user_id)
        await eventually(lambda: room in ben.rooms, what="Ben is in the room")
        await self.hands.received()
        return ben, room


@dataclass
class Chat:
    hands: DeskHands
    anna: Person
    room: str

    @property
    def to(self) -> Handle:
        return Handle(kind="mxid", value=self.anna.user_id)

    def message(self, text: str, *, buttons: Any = (), **more: Any) -> OutboundMessage:
        content = Content(text=text, buttons=buttons)
        return OutboundMessage(key=uuid4().hex, to=self.to, content=content, reply_token=self.room, **more)

    async def sent(self, text: str) -> RemoteId:
        return (await self.hands.channel.send(self.message(text))).remote_ids[0]

    async def react(self, event: RemoteId, *now: str) -> None:
        key = uuid4().hex
        for _ in range(2):
            await self.hands.channel.react(event, self.to, frozenset(now), key=key, reply_token=self.room)

    async def delete(self, event: RemoteId) -> None:
        for _ in range(2):
            await self.hands.channel.delete(event, self.to, key=uuid4().hex, reply_token=self.room)

    async def received(self, kind: type[_Kind]) -> _Kind:
        async def came() -> _Kind | None:
            return next((item for item in await self.hands.received() if isinstance(item, kind)), None)

        return await eventually(came, what=f"the desk receives {kind.__name__}")


@pytest.fixture
async def world(synapse: Synapse, database: AsyncEngine, people: People) -> AsyncIterator[World]:
    account = await synapse.register(f"desk-{uuid4().hex[:6]}")
    hands = DeskHands(synapse.url, account.user_id, database)
    await hands.open(account.password)
    async with hands.encrypting():
        yield World(hands, people)
    await hands.http.close()


async def seen(person: Person, room: str, event: str) -> Seen:
    return await person.wait_for(room, lambda each: each.event_id == event and each.is_readable)


async def test_what_leaves_for_one_room_all_at_once_does_not_branch_it(world: World, synapse: Synapse) -> None:
    """The homeserver would work on every branch with every later event."""
    chat = await world.chat()
    event = await chat.sent("much to react to")
    sender = world.hands.sender
    keys = [f"{number}" for number in range(40)]
    reactions = [{"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": key}} for key in keys]
    await asyncio.gather(*(sender.send_clear(chat.room, "m.reaction", each, txn=uuid4().hex) for each in reactions))
    await eventually(lambda: len(chat.anna.reactions(chat.room)) == 40, what="all reactions are there")
    assert branches_of(synapse, chat.room) <= 10


async def test_a_customer_sees_answers_edits_and_what_is_taken_back(world: World) -> None:
    chat = await world.chat()
    first = await chat.sent("frist")
    answer = (await world.hands.channel.send(chat.message("more", reply_to=first))).remote_ids[0]
    assert (await seen(chat.anna, chat.room, answer)).reply_to == first
    edit = (await world.hands.channel.edit(first, chat.message("first"))).remote_ids[0]
    await seen(chat.anna, chat.room, edit)
    assert chat.anna.latest_text(chat.room, first) == "first"
    await chat.delete(first)
    left = [each for each in await chat.anna.read_back(chat.room) if each.event_id in (first, edit)]
    assert [each.is_redacted for each in left] == [True, True]


async def test_what_was_never_there_counts_as_taken_back(world: World) -> None:
    chat = await world.chat()
    await chat.delete(RemoteId("$" + "A" * 43))
    with pytest.raises(Rejected) as refused:
        await chat.react(RemoteId("$" + "A" * 43), "👍")
    assert refused.value.code == "expired"


async def test_our_reactions_become_exactly_what_they_shall_be_and_the_customers_stay(world: World) -> None:
    chat = await world.chat()
    first = await chat.sent("hello")
    await chat.anna.react(chat.room, first, "👍")
    for now in (("👍",), ("👍", "❤️"), ("❤️",), (), ("👍",)):
        await chat.react(first, *now)
        ours = [r.key for r in await chat.anna.standing_reactions(chat.room) if r.sender == world.hands.user_id]
        assert sorted(ours) == sorted(now)
    theirs = [r.key for r in await chat.anna.standing_reactions(chat.room) if r.sender == chat.anna.user_id]
    assert theirs == ["👍"]


async def test_a_customers_reaction_comes_with_its_event_and_goes_by_it(world: World) -> None:
    chat = await world.chat()
    first = await chat.sent("hello")
    reaction = await chat.anna.react(chat.room, first, "❤️")
    came = await chat.received(CustomerReacted)
    assert (came.event, came.target, came.key, came.sender) == (reaction, first, "❤️", chat.to)
    await chat.anna.redact(chat.room, reaction)
    assert (await chat.received(MessageDeleted)).target == reaction


async def test_a_vote_in_our_menu_comes_back_as_its_id(world: World) -> None:
    chat = await world.chat()
    buttons = [("billing", "A bill"), ("other", "Something else")]
    menu = (await world.hands.channel.send(chat.message("Which matter?", buttons=buttons))).remote_ids[0]
    poll = await seen(chat.anna, chat.room, menu)
    assert poll.was_encrypted and poll.choices == {"billing": "A bill", "other": "Something else"}
    await chat.anna.vote(chat.room, menu, "other")
    vote = await chat.received(InboundMessage)
    assert (vote.content.text, vote.signals["button"], vote.reply_to) == ("other", "other", menu)
    end = (await world.hands.channel.end_menu(menu, chat.message("Thank you"))).remote_ids[0]
    assert (await seen(chat.anna, chat.room, end)).type == "org.matrix.msc3381.poll.end"


async def test_in_a_thread_a_true_reply_differs_from_the_next_line(world: World) -> None:
    ben, room = await world.team()
    desk = world.hands.desk
    card = await desk.post(Place(room=room), Said(plain="card", html=""), txn="c", policy=ANY)
    place = Place(room=room, thread=card)
    line = await desk.post(place, Said(plain="line", html=""), txn="l", policy=ANY)
    answer = await desk.post(place, Said(plain="answer", html="", reply_to=line), txn="a", policy=ANY)
    shown = [await seen(ben, room, event) for event in (line, answer)]
    assert [(each.thread, each.reply_to, each.is_falling_back) for each in shown] == [
        (card, card, True),
        (card, line, False),
    ]


async def test_an_edit_keeps_the_name_and_the_file_and_is_made_once(world: World) -> None:
    ben, room = await world.team()
    desk, place = world.hands.desk, Place(room=room)
    said = Said(plain="lok", html="", file=PDF, profile=("p1", "Anna"), mentions=[ben.user_id])
    first = await desk.post(place, said, txn="f", policy=ANY)
    better = replace(said, plain="look")
    edits = {await desk.edit(place, first, better, txn="e", policy=ANY) for _ in range(2)}
    edit = await seen(ben, room, edits.pop())
    assert not edits and edit.replaces == first and edit.content["m.mentions"] == {}
    new = edit.content["m.new_content"]
    assert (new["body"], new["filename"], edit.content["body"]) == ("look", "a.pdf", "* look")
    assert new["com.beeper.per_message_profile"]["displayname"] == "Anna"
    assert await ben.download(replace(edit, content=new)) == PDF.data
    await desk.take_back(room, first, txn="t")
    redacted = {each.event_id for each in await ben.read_back(room) if each.is_redacted}
    assert redacted == {first, edit.event_id}


async def test_an_edit_of_staff_comes_as_the_new_words(world: World) -> None:
    ben, room = await world.team()
    said = await ben.say(room, "frist")
    edit = await ben.edit(room, said, "first")

    async def came() -> StaffSaid | None:
        items = [item for item in await world.hands.received() if isinstance(item, StaffSaid)]
        return next((item for item in items if item.event == edit), None)

    item = await eventually(came, what="the edit")
    assert (item.edits, item.reply_to, item.content.text, item.type) == (said, None, "first", "m.text")


async def test_a_case_room_is_made_once_closed_and_says_no_more_than_its_number(world: World) -> None:
    desk, id = world.hands.desk, ConversationId(UUID(int=uuid4().int))
    room = await desk.provide_case_room(id, "K-4F7Q", 2)
    assert await desk.provide_case_room(id, "K-4F7Q", 2) == room
    cleo = await world.people.person("cleo")
    await world.hands.invite(room, cleo.user_id)
    await eventually(lambda: room in cleo.rooms, what="Cleo is in the room")
    states = {kind: await cleo.state(room, kind) for kind in ("m.room.name", "m.room.create", "m.room.join_rules")}
    assert states["m.room.name"] == {"name": "Case K-4F7Q"} and states["m.room.join_rules"]["join_rule"] == "invite"
    assert (states["m.room.create"]["room_version"], states["m.room.create"]["m.federate"]) == ("12", False)
    assert (await cleo.state(room, "m.room.encryption"))["algorithm"] == "m.megolm.v1.aes-sha2"
    assert (await cleo.state(room, "m.room.history_visibility"))["history_visibility"] == "shared"
    levels = await cleo.state(room, "m.room.power_levels")
    assert (levels["invite"], levels["users_default"], levels["events_default"]) == (100, 0, 0)


async def test_a_card_that_was_never_noted_is_found_by_the_id_under_which_it_went(world: World) -> None:
    """With all that stands in its thread: an erasure must find it."""
    _, room = await world.team()
    hands = world.hands
    card = await hands.desk.post(Place(room=room), Said(plain="card", html=""), txn="tried", policy=ANY)
    line = await hands.desk.post(Place(room=room, thread=card), Said(plain="line", html=""), txn="l", policy=ANY)
    parts: dict[str, Any] = {name: getattr(hands, name) for name in ("http", "engine", "store", "lookup", "book")}
    erasing = MatrixErasure(**parts, backup=None, admin=None)  # type: ignore[arg-type]  # no keys are forgotten
    target = Target(kind="thread", place="group_room", room=room, subject="tried")
    assert {card, line} == set((await erasing.look(target)).events)
    assert not (await erasing.look(replace(target, subject="never"))).events


class MeanwhileSaid:
    """Says something between the moment in which the past is shared and the invitation."""

    def __init__(self, world: World, room: str) -> None:
        self._world, self._room, self.event = world, room, ""
        self.user_id = world.hands.user_id

    async def share_history(self, room: str, user_id: str, *, policy: str) -> None:
        place, said = Place(room=self._room), Said(plain="meanwhile", html="")
        self.event = await self._world.hands.desk.post(place, said, txn="m", policy=ANY)


async def test_what_is_said_while_somebody_comes_in_is_for_them(world: World) -> None:
    """Their device is not signed: of what was said before they would be given nothing."""
    _, room = await world.team()
    hands, cleo = world.hands, await world.people.person("cleo")
    change = Administration(hands.database, hands.keys, namespace=NAMESPACE, desk=hands.user_id)
    await change.add_member("General", cleo.user_id, "agent")
    meanwhile = MeanwhileSaid(world, room)
    desk = MatrixDesk(hands.http, hands.sender, None, hands.book, meanwhile, None)  # type: ignore[arg-type]
    await desk.seat(room, cleo.user_id, policy=DevicePolicy.CROSS_SIGNED_TOFU)
    assert (await seen(cleo, room, meanwhile.event)).body == "meanwhile"


async def test_pins_are_set_once(world: World) -> None:
    ben, room = await world.team()
    first, second = [await ben.say(room, text) for text in ("one", "two")]
    for events in ([first], [first], [second, first], [second, first]):
        await world.hands.desk.pin(room, events)
        assert (await ben.state(room, "m.room.pinned_events"))["pinned"] == events
    pins = [each for each in await ben.read_back(room) if each.type == "m.room.pinned_events"]
    assert len(pins) == 2
