"""Rooms are upgraded on a real homeserver, by the customer or by a lead: conversations go on in the new room, each
message once and in order; a room of strangers gets nothing. Then the desk is thrown out of a group's room."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from messenger.domain.replies import Fate
from messenger.matrix.http import CLIENT, path
from tests.integration.staff_house import House, Thread, open_house
from tests.support.databases import TestDatabases
from tests.support.people import Person
from tests.support.waiting import eventually, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("upgrades")
    async with open_house(folder, synapse, test_databases, staff=["ben", "lea"]) as house:
        yield house


async def upgrade(person: Person, room: str, version: str = "12") -> str:
    """Returns the new room. Nobody is invited yet."""
    url = f"{CLIENT}/rooms/{path(room, 'upgrade')}"
    new = str((await person.server.call("POST", url, {"new_version": version}))["replacement_room"])
    await eventually(lambda: new in person.rooms, what="the new room is there")
    return new


def said_by_desk(house: House, person: Person, room: str) -> list[str]:
    return [each.body for each in person.messages(room, sender=house.product.desk)]


async def number_of(house: House, thread: Thread) -> str:
    told = await thread.told(house.ben, "You have K-")
    return next(word.strip(".,:;") for word in told.body.split() if word.startswith("K-"))


async def test_a_conversation_goes_on_in_the_room_that_took_its_place(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    old, customer = thread.chat, thread.customer
    await thread.say(house.ben, "answer 0")
    await thread.received("answer 0")
    new = await upgrade(customer, old)
    waiting = [await thread.say(house.ben, f"answer {number}") for number in (1, 2)]
    await customer.invite(new, house.product.desk)
    await eventually(lambda: house.product.desk in customer.rooms[new].members, what="the desk is asked in")
    asked = [await customer.say(new, f"question {number}") for number in (1, 2)]
    await thread.told(house.ben, "was replaced by a new one")
    await thread.told(house.ben, "question 2")
    await thread.say(house.ben, "answer 3")
    for event in waiting:
        await thread.fate(event, Fate.DELIVERED)
    await customer.wait_for_text(new, "answer 3")
    assert said_by_desk(house, customer, new) == [f"Ben: answer {number}" for number in (1, 2, 3)], "no second greeting"
    assert customer.rooms[new].is_encrypted and len(asked) == 2
    await customer.say(old, "late, in the old room")
    await thread.told(house.ben, "late, in the old room")
    shown = [each.body.rpartition(": ")[2] for each in thread.lines(house.ben, "question")]
    assert shown == ["question 1", "question 2"]
    assert [text for text in said_by_desk(house, customer, old) if text.startswith("Ben:")] == ["Ben: answer 0"]


@pytest.mark.long  # what decides it is in test_upgrades
async def test_a_customers_room_that_leads_to_strangers_gets_nothing_until_the_customer_is_there(house: House) -> None:
    thread, eve = await house.conversation(owner=house.ben), await house.people.person("eve")
    customer, desk = thread.customer, house.product.desk
    trap = await eve.create_room(
        invite=[desk], creation_content={"predecessor": {"room_id": thread.chat, "event_id": "$x"}}
    )
    url = f"{CLIENT}/rooms/{path(thread.chat, 'state', 'm.room.tombstone', '')}"
    await customer.server.call("PUT", url, {"body": "moved", "replacement_room": trap})
    await thread.told(house.ben, "the customer is not in it")
    kept = await thread.say(house.ben, "only for the customer")
    await thread.fate(kept, Fate.QUEUED)
    await settled(lambda: len(eve.events(trap)), quiet_s=1)
    assert said_by_desk(house, eve, trap) == []
    assert not [text for text in said_by_desk(house, customer, thread.chat) if "only for" in text]


async def test_a_groups_room_is_followed_with_its_people_and_open_conversations(house: House) -> None:
    thread, lea, desk = await house.conversation(owner=house.ben), house.lea, house.product.desk
    old, new = house.room, await _makes_a_room_of_her_own(house, lea)
    await thread.customer.say(thread.chat, "while the room is being replaced")
    await lea.invite(new, desk)
    await eventually(lambda: new in house.ben.rooms, what="Ben is asked into the new room")
    number = await number_of(house, thread)
    card = await house.ben.wait_for(new, lambda seen: seen.thread is None and number in seen.body)
    house.room, moved = new, Thread(house, thread.customer, thread.chat, card.event_id)
    await moved.told(house.ben, "while the room is being replaced")
    await moved.say(house.ben, "from the new room")
    await thread.received("from the new room")
    await thread.customer.say(thread.chat, "heard you")
    await moved.told(house.ben, "heard you")
    newcomer = await house.conversation("Hello, new room", owner=house.ben)
    await newcomer.received("Linden Health")
    assert not [each for each in house.ben.messages(old, sender=desk) if "heard you" in each.body]


@pytest.mark.parametrize("how", ["kick", pytest.param("ban", marks=pytest.mark.long)])
async def test_a_desk_that_was_thrown_out_of_a_groups_room_says_so_and_catches_up(house: House, how: str) -> None:
    await _there_is_a_lead_above_the_desk(house)
    thread, lea, desk = await house.conversation(owner=house.ben), house.lea, house.product.desk
    await _room_call(lea, house.room, how, {"user_id": desk})
    direct = await eventually(lambda: _room_with(lea, desk, {house.room, thread.chat}), what="a chat with the lead")
    await lea.wait_for_text(direct, "no longer in the room of General")
    asked = [await thread.customer.say(thread.chat, f"question {number}") for number in range(3)]
    newcomer = await house.people.person("nina")
    chat = await newcomer.start_direct_chat(desk)
    await newcomer.say(chat, "Is anybody there?")
    await newcomer.wait_for_text(chat, "Linden Health")
    async with house.product.admin() as admin:
        assert await eventually(admin.groups_without_desk) == ["General"]
    if how == "ban":
        await _room_call(lea, house.room, "unban", {"user_id": desk})
    await lea.invite(house.room, desk)
    await thread.told(house.ben, "question 2")
    shown = [each.body.rpartition(": ")[2] for each in thread.lines(house.ben, "question")]
    assert shown == [f"question {number}" for number in range(len(asked))], "each once, in order"
    await house.ben.wait_for(house.room, lambda seen: "Is anybody there?" in seen.body)
    await thread.say(house.ben, "back again")
    await thread.received("back again")


def _room_with(person: Person, desk: str, others: set[str]) -> str | None:
    inside = [room for room in person.rooms if room not in others and person.members(room) == {person.user_id, desk}]
    return inside[0] if inside else None


async def _there_is_a_lead_above_the_desk(house: House) -> None:
    """So it is in a room that the lead has made, which the test before this one may have done already."""
    lea, desk = house.lea, house.product.desk
    powers = (await lea.state(house.room, "m.room.power_levels"))["users"]
    if powers.get(lea.user_id, 0) > powers.get(desk, 0):
        return
    new = await _makes_a_room_of_her_own(house, lea)
    await lea.invite(new, desk)
    await eventually(lambda: new in house.ben.rooms, what="Ben is asked into the new room")
    house.room = new


async def _makes_a_room_of_her_own(house: House, lea: Person) -> str:
    """In the place of the group's room, and with more power in it than the desk. The desk is not invited yet."""
    await _make_administrator(house, lea)
    new = await upgrade(lea, house.room, "11")
    await _set_levels(lea, new, {lea.user_id: 150, house.product.desk: 100})
    return new


async def _make_administrator(house: House, lea: Person) -> None:
    password = house.product.settings.desk().read_password()
    desk = await house.people.device_of(house.product.desk, password, auto_join=False)
    await _set_levels(desk, house.room, {lea.user_id: 150})
    await desk.leave()


async def _set_levels(by: Person, room: str, users: dict[str, int]) -> None:
    url = f"{CLIENT}/rooms/{path(room, 'state', 'm.room.power_levels', '')}"
    levels = await by.server.call("GET", url)
    await by.server.call("PUT", url, {**levels, "users": {**levels.get("users", {}), **users}})


async def _room_call(person: Person, room: str, what: str, body: dict[str, str]) -> None:
    await person.server.call("POST", f"{CLIENT}/rooms/{path(room, what)}", body)
