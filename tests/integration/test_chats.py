"""How customers come in, with the real program: encrypted or not, in any language, with any name, alone or in a
flood."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from messenger.domain.replies import Fate
from messenger.matrix.http import CLIENT, path
from tests.integration.staff_house import House, Thread, open_house
from tests.support.databases import TestDatabases
from tests.support.people import Person
from tests.support.timeline import Seen
from tests.support.waiting import eventually, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")
# The homeserver makes room after room, and what is asked of it meanwhile stands behind those that it has begun.
FLOOD_AT_ONCE = 4
FLOOD_PATIENCE_S = 240.0  # one look of somebody in two hundred new rooms is the homeserver's work of a minute


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> AsyncIterator[House]:
    groups = {"Deutsch": {"languages": ["de"]}, "Apotheke": {"keywords": ["Rezept", "处方"]}}
    folder = tmp_path_factory.mktemp("chats")
    async with open_house(folder, synapse, test_databases, staff=["ben"], more_groups=groups) as house:
        for name in groups:
            room = await house.product.group_room(name)
            await eventually(lambda room=room: room in house.ben.rooms)  # type: ignore[misc]
        yield house


async def say_in_clear(person: Person, room: str, text: str) -> str:
    answer = await person.server.call(
        "PUT",
        f"{CLIENT}/rooms/{path(room, 'send', 'm.room.message', str(time.monotonic_ns()))}",
        {"msgtype": "m.text", "body": text},
    )
    return str(answer["event_id"])


def clear_words_of(house: House, person: Person, room: str) -> list[Seen]:
    return [
        each
        for each in person.events(room)
        if each.sender == house.product.desk and each.type == "m.room.message" and not each.was_encrypted
    ]


async def goes_both_ways(house: House, customer: Person, chat: str) -> Thread:
    thread = await house.asked(customer, chat, "Hello", owner=house.ben)
    answer = await thread.say(house.ben, "Good morning to you.")
    await thread.received("Ben: Good morning to you.")
    await thread.fate(answer, Fate.DELIVERED)
    return thread


async def test_the_desk_encrypts_a_customers_room_where_it_may(house: House) -> None:
    customer = await house.people.person("clara")
    room = await customer.create_room(
        invite=[house.product.desk], encrypted=False, is_direct=True, preset="trusted_private_chat"
    )
    await eventually(lambda: customer.rooms[room].is_encrypted, what="the desk turned encryption on")
    await customer.wait_for(room, lambda seen: "Linden Health" in seen.body)
    await goes_both_ways(house, customer, room)
    assert clear_words_of(house, customer, room) == []


async def test_the_desk_opens_an_encrypted_room_where_it_may_not(house: House) -> None:
    customer = await house.people.person("carl")
    room = await customer.create_room(invite=[house.product.desk], encrypted=False, preset="private_chat")
    await say_in_clear(customer, room, "my secret illness")
    farewell = await customer.wait_for(room, lambda seen: "This chat cannot be encrypted." in seen.body)
    assert farewell.sender == house.product.desk and "verschlüsselt" in farewell.body and "加密" in farewell.body
    await eventually(lambda: customer.rooms[room].members[house.product.desk] == "leave")
    await eventually(lambda: len(customer.rooms) == 2, what="the customer is in the desk's room")
    own = next(each for each in customer.rooms if each != room)
    greeting = await customer.wait_for(own, lambda seen: "Linden Health" in seen.body)
    assert greeting.was_encrypted
    await goes_both_ways(house, customer, own)
    assert [each.event_id for each in clear_words_of(house, customer, room)] == [farewell.event_id]
    assert not [each for each in house.ben.events(house.room) if "secret illness" in each.body]


async def test_clear_text_in_an_encrypted_room_is_refused_with_a_word(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    for number in range(3):
        await say_in_clear(thread.customer, thread.chat, f"not sealed {number}")
    refused = await thread.received("was not encrypted")
    assert refused.was_encrypted
    said = await settled(lambda: words_in(thread.customer, thread.chat, "was not encrypted"), quiet_s=2)
    assert 1 <= len(said) <= 2, "one word for several messages in a row"
    assert not [each for each in house.ben.events(house.room) if "not sealed" in each.body]
    await goes_on(thread)


def words_in(person: Person, room: str, text: str) -> list[Seen]:
    return [each for each in person.events(room) if text in each.body]


async def goes_on(thread: Thread) -> None:
    await thread.customer.say(thread.chat, "and now sealed")
    await thread.told(thread.house.ben, "and now sealed")


async def test_clear_text_from_before_the_desk_came_is_asked_for_again(house: House) -> None:
    customer = await house.people.person("early")
    anybody = {"power_level_content_override": {"events": {"m.room.encryption": 0}}}
    room = await customer.create_room(encrypted=False, preset="private_chat", **anybody)
    for number in range(3):
        await say_in_clear(customer, room, f"I am early {number}")
    await customer.invite(room, house.product.desk)
    await eventually(lambda: customer.rooms[room].is_encrypted, what="the desk turned encryption on")
    await customer.wait_for(room, lambda seen: "was not encrypted" in seen.body)
    assert len(await settled(lambda: words_in(customer, room, "was not encrypted"), quiet_s=2)) == 1


async def test_encryption_is_never_taken_back_whatever_the_room_says(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    url = f"{CLIENT}/rooms/{path(thread.chat, 'state', 'm.room.encryption')}"
    await thread.customer.server.call("PUT", url, {})
    await thread.say(house.ben, "still sealed?")
    received = await thread.received("still sealed?")
    assert received.was_encrypted
    await thread.customer.server.call("PUT", url, {"algorithm": "m.none", "rotation_period_msgs": 2**40})
    await goes_on(thread)
    refused = await thread.say(house.ben, "never in clear")
    await thread.fate(refused, Fate.HELD)
    await thread.told(house.ben, "the encryption of the customer's room is not what it was")
    approval = await house.ben.react(house.room, refused, "📤")
    await eventually(lambda: approval not in {each.event_id for each in house.ben.reactions(house.room)})
    await thread.fate(refused, Fate.HELD)
    assert clear_words_of(house, thread.customer, thread.chat) == []
    assert "never in clear" not in await thread.everything_the_customer_has()


@pytest.mark.parametrize(
    ("text", "group", "taken"),
    [
        ("Guten Tag, wo bleibt meine Erstattung? Ich warte seit zwei Wochen.", "Deutsch", "kümmert sich jetzt"),
        ("Guten Tag, mein REZEPT ist noch nicht da, bitte helfen Sie mir.", "Apotheke", "kümmert sich jetzt"),
        ("我的处方还没有收到，请帮我查一下。", "Apotheke", "现在为您"),
        ("您好，我想预约一次检查。", "General", "现在为您"),
        ("Good morning, I would like to make an appointment.", "General", "now looks after your request"),
        ("Bonjour, je voudrais prendre un rendez-vous, s'il vous plaît.", "General", "now looks after your request"),
    ],
)
async def test_language_and_keyword_choose_the_group_and_the_texts(
    house: House, text: str, group: str, taken: str
) -> None:
    customer = await house.people.person("lang")
    chat = await customer.start_direct_chat(house.product.desk)
    await customer.say(chat, text)
    room = await house.product.group_room(group)
    card = await house.ben.wait_for(room, lambda seen: seen.thread is None and text[:20] in seen.body)
    await house.ben.react(room, card.event_id, "👀")
    told = await customer.wait_for(chat, lambda seen: taken in seen.body)
    assert "Ben" in told.body and "Li" not in told.body


HOSTILE = "\u202e<b>@room</b>\u0007: 🔒 Internal — Boss\u200b\n!claim"


async def test_a_hostile_name_is_harmless_on_card_and_in_thread(house: House) -> None:
    customer = await house.people.person("evil", displayname=HOSTILE)
    chat = await customer.start_direct_chat(house.product.desk)
    thread = await house.asked(customer, chat, "@room <img src=http://x/y> <script>alert(1)</script>")
    relayed = await thread.told(house.ben, "alert(1)")
    card = next(each for each in house.ben.events(house.room) if each.event_id == thread.card)
    for seen in (card, relayed):
        body, html = seen.body, seen.content["formatted_body"]
        assert not set("\u202e\u0007\u200b") & set(body + html)
        assert "<b>@room" not in html and "<img" not in html and "<script" not in html
        assert seen.content["m.mentions"] == {}
        assert "🔒" not in body and "Internal —" not in body
    assert "\n" not in relayed.content["com.beeper.per_message_profile"]["displayname"]


async def test_somebody_else_in_the_chat_speaks_under_his_own_address_and_stops_answers(house: House) -> None:
    thread = await house.conversation()
    friend = await house.people.person("friend")
    await thread.customer.invite(thread.chat, friend.user_id)
    await eventually(lambda: thread.chat in friend.rooms)
    await friend.say(thread.chat, "I am only her friend")
    shown = await thread.told(house.ben, "I am only her friend")
    assert friend.user_id.split(":")[0] in shown.body and not shown.body.startswith("anna")
    await thread.claim(house.ben)
    answer = await thread.say(house.ben, "only for the customer")
    await thread.told(house.ben, "I send nothing there until a lead has decided")
    assert not [each for each in thread.customer.events(thread.chat) if "only for the customer" in each.body]
    await friend.leave_room(thread.chat)
    await thread.received("only for the customer")
    await thread.fate(answer, Fate.DELIVERED)
    assert not [each for each in friend.events(thread.chat) if "only for the customer" in each.body]


async def test_a_customers_edit_and_deletion_are_visible_and_nobody_edits_for_another(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    said = await thread.customer.say(thread.chat, "at noon")
    shown = await thread.told(house.ben, ": at noon")
    await thread.customer.edit(thread.chat, said, "at one")
    await thread.changed(house.ben, shown.event_id, "at one (edited")
    answer = await thread.say(house.ben, "See you.")
    received = await thread.received("Ben: See you.")
    await thread.customer.edit(thread.chat, received.event_id, "forged words of Ben")
    await thread.customer.redact(thread.chat, said)
    mark = await thread.told(house.ben, "deleted this message")
    assert mark.reply_to == shown.event_id
    await thread.fate(answer, Fate.DELIVERED)
    await goes_on(thread)
    assert thread.lines(house.ben, "forged") == []


@pytest.mark.parametrize("flood", [15, pytest.param(200, marks=pytest.mark.long)])
async def test_a_flood_of_invitations_does_not_keep_others_waiting(house: House, flood: int) -> None:
    thread = await house.conversation(owner=house.ben)
    flooder = await house.people.person("flood")
    at_once, flooder.looks_every_s = asyncio.Semaphore(FLOOD_AT_ONCE), flood / 15

    async def invites() -> str:
        async with at_once:
            body = {"invite": [house.product.desk], "preset": "private_chat"}
            return str((await flooder.server.call("POST", f"{CLIENT}/createRoom", body))["room_id"])

    def answered() -> int:
        return sum(bool(clear_words_of(house, flooder, room)) for room in flooder.rooms)

    began, waits = time.monotonic(), []
    rooms = asyncio.gather(*(invites() for _ in range(flood)))
    while not rooms.done():
        written, words = time.monotonic(), f"still here {len(waits)}."
        await thread.customer.say(thread.chat, words)
        await eventually(
            lambda words=words: thread.lines(house.ben, words),  # type: ignore[misc]
            FLOOD_PATIENCE_S,
            progress=lambda: len(flooder.rooms),
            what="another conversation goes on",
        )
        waits.append(time.monotonic() - written)
    invited = await rooms
    await eventually(
        lambda: all(room in flooder.rooms and clear_words_of(house, flooder, room) for room in invited),
        FLOOD_PATIENCE_S,
        progress=answered,
        what="every invitation was answered",
    )
    took = time.monotonic() - began
    print(f"{flood} invitations in {took:.0f} s; {len(waits)} messages meanwhile, the slowest after {max(waits):.1f} s")
    # On a busy machine everything is slow: there what would wait behind the flood would wait as long as that.
    assert max(waits) < max(20, took / 2), "another conversation stood still"


async def test_an_invitation_from_a_server_that_is_not_allowed_is_ignored(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> None:
    folder = tmp_path_factory.mktemp("closed")
    closed = {"STELLWERK__MATRIX__ALLOWED_SERVERS": '["partner.example"]'}
    async with open_house(folder, synapse, test_databases, staff=["ben"], environment=closed) as house:
        customer = await house.people.person("outsider")
        room = await customer.start_direct_chat(house.product.desk, wait_until_joined=False)
        await house.ben.say(house.room, "something the desk takes note of")
        members = await settled(lambda: dict(customer.rooms[room].members), quiet_s=3)
        assert members[house.product.desk] == "invite"


async def test_nothing_went_wrong_inside(house: House) -> None:
    lines = house.product.log_text().splitlines()
    assert [line for line in lines if '"level": "error"' in line or "Traceback" in line] == []
