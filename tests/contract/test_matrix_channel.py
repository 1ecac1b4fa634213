"""Matrix as a customer channel: the parts of the contract that it shares with every bridge, and how it enters chats."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.items import ChatReady, ChatRefused
from messenger.app.outside_ports import EditsFiles
from messenger.app.records import File
from messenger.channels.capabilities import Support
from messenger.channels.contract import DeletesMessages, EditsMessages, EndsMenus, SendsReactions
from messenger.channels.errors import Rejected
from messenger.channels.messages import Content, Handle, OutboundMessage, RemoteId
from tests.support.crowd import Writer
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_homeserver.faults import Handler
from tests.support.hands import DeskHands
from tests.support.timeline import Seen, reactions

FAREWELL = "Please go on in the other chat."


class Door(DeskHands):
    """The channel of one desk on a fake homeserver, and a customer."""

    def __init__(self, server: FakeHomeserver, database: AsyncEngine) -> None:
        account = server.register("desk")
        super().__init__(server.url, account.user_id, database)
        self.server, self.password = server, account.password
        self.customer = Writer(server.world, "anna")

    async def chat(self) -> str:
        """A chat that the core knows."""
        room = self.customer.start_direct_chat(self.user_id)
        await self.enter(room, self.customer.user_id, farewell=FAREWELL)
        return room

    def message(self, room: str, text: str, *, key: str = "m1") -> OutboundMessage:
        person = Handle(kind="mxid", value=self.customer.user_id)
        return OutboundMessage(key=key, to=person, content=Content(text=text), reply_token=room)

    async def sent(self, room: str, text: str, *, key: str = "m1") -> RemoteId:
        return (await self.channel.send(self.message(room, text, key=key))).remote_ids[0]

    async def react(self, room: str, event: RemoteId, *now: str, key: str) -> None:
        person = Handle(kind="mxid", value=self.customer.user_id)
        await self.channel.react(event, person, frozenset(now), key=key, reply_token=room)

    async def delete(self, room: str, event: RemoteId, *, key: str) -> None:
        await self.channel.delete(event, Handle(kind="mxid", value=self.customer.user_id), key=key, reply_token=room)

    def read(self, room: str) -> list[Seen]:
        """What the customer has of us."""
        return [seen for seen in self.customer.read(room) if seen.sender == self.user_id]

    def our_keys(self, room: str) -> list[str]:
        return sorted(reaction.key for reaction in reactions(self.read(room)))


@pytest.fixture
async def door(database: AsyncEngine) -> AsyncIterator[Door]:
    server = FakeHomeserver()
    await server.start()
    door = Door(server, database)
    await door.open(door.password)
    yield door
    await door.http.close()
    await server.stop()


@pytest.fixture
async def encrypting(door: Door) -> AsyncIterator[None]:
    async with door.encrypting():
        yield


async def test_addresses_are_normalised_once_and_nonsense_is_refused(door: Door) -> None:
    for raw in ("@anna:example.org", " @anna:example.org ", "https://matrix.to/#/@anna:example.org"):
        handle = door.channel.normalise(raw)
        assert handle == Handle(kind="mxid", value="@anna:example.org")
        assert door.channel.normalise(handle.value) == handle
    for nonsense in ("", "anna", "@anna", "anna@example.org", "#room:example.org"):
        with pytest.raises(ValueError, match="looks like"):
            door.channel.normalise(nonsense)


async def test_its_health_says_who_must_act(door: Door) -> None:
    assert (await door.channel.check()).state.value == "connected"
    token, door.http.token = door.http.token, "wrong"
    assert (await door.channel.check()).action == "relogin"
    door.http.token = token


@pytest.mark.usefixtures("encrypting")
async def test_the_same_key_is_sent_once(door: Door) -> None:
    room = await door.chat()
    first, again = [await door.channel.send(door.message(room, "hello")) for _ in range(2)]
    assert first.remote_ids == again.remote_ids
    assert [seen.body for seen in door.customer.read(room) if seen.body] == ["hello"]


@pytest.mark.usefixtures("encrypting")
async def test_what_was_sent_is_found_by_its_key(door: Door) -> None:
    room = await door.chat()
    sent = await door.channel.send(door.message(room, "hello"))
    assert await door.channel.find_sent(door.message(room, "", key="m1")) == sent
    assert await door.channel.find_sent(door.message(room, "", key="m2")) is None


async def test_nothing_is_sent_to_a_room_that_is_not_encrypted(door: Door) -> None:
    room = door.customer.create_room(invite=[door.user_id], encrypted=False)
    door.server.world.join(door.server.world.rooms[room], door.user_id)
    with pytest.raises(Rejected) as refused:
        await door.channel.send(door.message(room, "secret"))
    assert refused.value.code == "no_key"
    assert door.server.sent_to("/send/") == []


async def test_a_customer_who_left_is_not_written_to(door: Door) -> None:
    room = await door.chat()
    door.server.world.remove(door.server.world.rooms[room], door.customer.user_id, door.customer.user_id)
    with pytest.raises(Rejected) as refused:
        await door.channel.send(door.message(room, "are you there?"))
    assert refused.value.code == "left"


# ── Answers, changes, reactions, menus ──


async def test_what_it_declares_is_what_it_can(door: Door) -> None:
    can = door.channel.capabilities()
    assert (
        can.edit >= Support.PARTIAL and isinstance(door.channel, EditsMessages) and isinstance(door.channel, EditsFiles)
    )
    assert can.delete >= Support.PARTIAL and isinstance(door.channel, DeletesMessages)
    assert can.reaction >= Support.PARTIAL and isinstance(door.channel, SendsReactions)
    assert can.buttons and isinstance(door.channel, EndsMenus)


@pytest.mark.usefixtures("encrypting")
async def test_an_answer_names_what_it_answers(door: Door) -> None:
    room = await door.chat()
    first = await door.sent(room, "hello")
    await door.channel.send(replace(door.message(room, "and this", key="m2"), reply_to=first))
    assert [seen.reply_to for seen in door.read(room) if seen.body == "and this"] == [first]


@pytest.mark.usefixtures("encrypting")
async def test_an_edit_replaces_the_words_once_and_rings_nobody(door: Door) -> None:
    room = await door.chat()
    first = await door.sent(room, "frist")
    ids = {(await door.channel.edit(first, door.message(room, "first", key="m2"))).remote_ids[0] for _ in range(2)}
    edits = [seen for seen in door.read(room) if seen.replaces == first]
    assert {edit.event_id for edit in edits} == ids and len(edits) == 1
    content = edits[0].content
    assert (content["body"], content["m.new_content"]["body"], content["m.mentions"]) == ("* first", "first", {})
    assert await door.channel.find_sent(door.message(room, "", key="m2"))


@pytest.mark.usefixtures("encrypting")
async def test_an_edit_of_a_caption_bears_the_file(door: Door) -> None:
    room = await door.chat()
    file = File(data=b"%PDF", name="a.pdf", mime="application/pdf", type="m.file")
    first = (await door.channel.send_file(door.message(room, "lok"), file)).remote_ids[0]
    await door.channel.edit_file(first, door.message(room, "look", key="m2"), file)
    content = next(seen for seen in door.read(room) if seen.replaces == first).content
    assert content["m.new_content"]["body"] == "look" and content["m.new_content"]["filename"] == "a.pdf"
    assert content["m.new_content"]["file"] == content["file"] and content["body"] == "* look"


@pytest.mark.usefixtures("encrypting")
async def test_a_deletion_takes_the_edits_too_and_what_is_gone_is_gone(door: Door) -> None:
    room = await door.chat()
    first = await door.sent(room, "a secret")
    await door.channel.edit(first, door.message(room, "another secret", key="m2"))
    for _ in range(2):
        await door.delete(room, first, key="m3")
        assert [seen for seen in door.read(room) if "secret" in seen.body] == []
    await door.delete(room, RemoteId("$never-there"), key="m4")


@pytest.mark.usefixtures("encrypting")
async def test_our_reactions_become_exactly_what_they_shall_be(door: Door) -> None:
    room = await door.chat()
    first = await door.sent(room, "hello")
    door.customer.react(room, first, "👍")
    for number, now in enumerate([("👍",), ("👍", "❤️"), ("❤️",), (), ("👍",)]):
        for _ in range(2):
            await door.react(room, first, *now, key=f"r{number}")
            assert door.our_keys(room) == sorted(now)
    assert [each.key for each in reactions(door.customer.read(room)) if each.sender != door.user_id] == ["👍"]


async def test_a_reaction_to_what_is_not_there_is_refused(door: Door) -> None:
    room = await door.chat()
    with pytest.raises(Rejected) as refused:
        await door.react(room, RemoteId("$never-there"), "👍", key="r1")
    assert refused.value.code == "expired"


@pytest.mark.usefixtures("encrypting")
async def test_a_menu_is_a_poll_that_can_also_be_read_as_lines(door: Door) -> None:
    room = await door.chat()
    content = Content(text="Which matter?", buttons=[("billing", "A bill"), ("other", "Something else")])
    message = replace(door.message(room, ""), content=content)
    menu = (await door.channel.send(message)).remote_ids[0]
    assert (await door.channel.send(message)).remote_ids == (menu,)
    shown = next(seen for seen in door.read(room) if seen.event_id == menu)
    assert shown.type == "org.matrix.msc3381.poll.start" and shown.was_encrypted
    assert shown.body == "Which matter?\n1. A bill\n2. Something else"
    assert [answer["id"] for answer in shown.content[shown.type]["answers"]] == ["billing", "other"]
    await door.channel.end_menu(menu, door.message(room, "Thank you", key="m2"))
    assert door.read(room)[-1].content["m.relates_to"] == {"rel_type": "m.reference", "event_id": menu}


async def test_a_menu_of_more_answers_than_clients_show_is_refused(door: Door) -> None:
    room = await door.chat()
    buttons = [(str(number), str(number)) for number in range(21)]
    with pytest.raises(Rejected):
        await door.channel.send(replace(door.message(room, ""), content=Content(text="?", buttons=buttons)))


# ── Entering chats ──


async def test_an_encrypted_room_is_entered_as_it_is(door: Door) -> None:
    room = door.customer.start_direct_chat(door.user_id)
    for _ in range(2):
        ready = await door.chats.join(room, door.customer.user_id, farewell=FAREWELL)
        assert isinstance(ready, ChatReady) and ready.chat == room
    assert door.server.sent_to("/send/") == [] and door.server.sent_to("/createRoom") == []


async def test_a_room_with_an_unknown_algorithm_is_refused(door: Door) -> None:
    odd = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.none"}}
    room = door.customer.create_room(invite=[door.user_id], encrypted=False, initial_state=[odd])
    refused = await door.chats.join(room, door.customer.user_id, farewell=FAREWELL)
    assert isinstance(refused, ChatRefused) and refused.code == "algorithm"


@pytest.mark.parametrize("again", ["at once", "after it had left"])
async def test_a_room_that_may_not_be_encrypted_is_left_for_one_of_our_own_however_often_it_is_tried(
    door: Door, again: str
) -> None:
    room = door.customer.create_room(invite=[door.user_id], encrypted=False)
    door.server.faults.answer_with(
        "/state/m.room.encryption", {"errcode": "M_FORBIDDEN"}, status=403, times=9, method="PUT"
    )
    if again == "at once":
        door.server.faults.answer_with("/leave", {"errcode": "M_UNKNOWN"}, status=502, times=1, method="POST")
        with pytest.raises(Exception, match="unreachable"):
            await door.chats.join(room, door.customer.user_id, farewell=FAREWELL)
    first = await door.chats.join(room, door.customer.user_id, farewell=FAREWELL)
    second = await door.chats.join(room, door.customer.user_id, farewell=FAREWELL)
    assert isinstance(first, ChatReady) and isinstance(second, ChatReady)
    assert first.chat == second.chat != room
    said = [request for request in door.server.sent_to("/send/m.room.message", "PUT") if request.status == 200]
    assert {request.body["body"] for request in said} == {FAREWELL}
    texts = [event for event in door.server.world.rooms[room].timeline if event["type"] == "m.room.message"]
    assert len(texts) == 1, "said once"
    assert door.server.world.rooms[room].membership(door.user_id) == "leave"


@pytest.mark.parametrize("at", ["/keys/query", "/keys/claim", "/sendToDevice/", "/send/m.room.encrypted/"])
async def test_a_send_that_is_cancelled_keeps_its_chat_free_and_is_repeated_as_one(
    door: Door, encrypting: None, at: str
) -> None:
    room, reached, goes_on = await door.chat(), asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request, handler: Handler) -> web.StreamResponse:
        reached.set()
        await goes_on.wait()
        return await handler(request)

    door.server.faults.rule(at, hold)
    async with asyncio.timeout(30):
        sending = asyncio.create_task(door.sent(room, "one", key="m1"))
        await reached.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        goes_on.set()
        await door.sent(room, "two", key="m2")
        assert await door.sent(room, "one", key="m1") == await door.sent(room, "one", key="m1")
    assert sorted(seen.body for seen in door.read(room) if seen.body) == ["one", "two"]
