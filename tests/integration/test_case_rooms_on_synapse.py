"""A room of its own with everything real: Synapse, the program, and people with devices of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from messenger.domain.replies import MARKERS, Fate
from messenger.matrix.http import CLIENT, path
from tests.integration.staff_house import House, Thread, open_house
from tests.support.databases import TestDatabases
from tests.support.homeservers import in_clear
from tests.support.people import Person
from tests.support.timeline import Seen
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

PDF = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> AsyncIterator[House]:
    folder: Path = tmp_path_factory.mktemp("case")
    groups = {"Therapy": {"keywords": ("therapy",), "desk_layout": "rooms"}, "Prescriptions": {}}
    async with open_house(
        folder, synapse, test_databases, staff=("ben", "cleo", "lea"), more_groups=groups, hold_seconds=0
    ) as opened:
        yield opened


async def own_room(house: House, person: Person, before: set[str]) -> str:
    """The room into which the desk invites this person next."""
    await eventually(lambda: set(person.rooms) - before, what="the case room")
    (room,) = set(person.rooms) - before
    return room


async def moved(house: House, thread: Thread, owner: Person, *, named: str = "") -> str:
    before = set(owner.rooms)
    await thread.say(owner, f"!room {named}".strip())
    room = await own_room(house, owner, before)
    await owner.wait_for(room, lambda seen: "This room is for K-" in seen.body)
    return room


def marks(house: House, room: str, event: str) -> list[str]:
    desk = house.product.desk
    return [each.key for each in house.ben.reactions(room) if each.target == event and each.sender == desk]


def said_by_desk(house: House, person: Person, room: str) -> list[Seen]:
    return [each for each in person.messages(room, sender=house.product.desk) if each.replaces is None]


async def test_a_conversation_goes_on_in_its_own_room_and_the_customer_sees_one_dialogue(house: House) -> None:
    thread = await house.conversation("I have a private question", owner=house.ben)
    room = await moved(house, thread, house.ben, named="@cleo")
    await eventually(lambda: room in house.cleo.rooms, what="Cleo is in the room")
    assert room not in house.lea.rooms
    pack = await house.ben.wait_for(room, lambda seen: "has its own room now" in seen.body)
    assert "I have a private question" in pack.body
    card = said_by_desk(house, house.ben, room)[0]
    assert (await house.ben.state(room, "m.room.pinned_events"))["pinned"] == [card.event_id]
    await thread.changed(house.lea, thread.card, "In its own room")
    answer = await house.ben.say(room, "You can write to me here")
    await thread.received("You can write to me here")
    await eventually(lambda: marks(house, room, answer) == [MARKERS[Fate.DELIVERED]], what="the answer's marker")
    await thread.customer.say(thread.chat, "thank you, here it is")
    relayed = await house.cleo.wait_for(room, lambda seen: "thank you, here it is" in seen.body)
    assert relayed.thread is None
    await thread.customer.send_file(thread.chat, PDF, name="letter.pdf", mimetype="application/pdf", msgtype="m.file")
    came = await house.cleo.wait_for(room, lambda seen: "letter.pdf" in seen.body and seen.msgtype == "m.file")
    assert await house.cleo.download(came) == PDF
    await house.ben.send_file(room, PDF, name="form.pdf", mimetype="application/pdf", msgtype="m.file")
    went = await thread.customer.wait_for(thread.chat, lambda seen: "form.pdf" in seen.body)
    assert await thread.customer.download(went) == PDF
    await house.cleo.say(room, "// careful with this one")
    await house.cleo.say(room, "I am not the owner")
    await house.ben.say(room, "inside a thread", thread=card.event_id)
    await thread.say(house.ben, "in the old thread")
    await house.ben.wait_for(house.room, lambda seen: seen.thread == thread.card and "goes on here" in seen.body)
    everything = await thread.everything_the_customer_has()
    for inside in ("careful with this one", "I am not the owner", "inside a thread", "in the old thread"):
        assert inside not in everything
    assert not [each for each in thread.customer.messages(thread.chat) if "K-" in each.body], "no number is told"
    assert not [each for each in house.lea.messages(house.room, thread=thread.card) if "thank you" in each.body]


async def test_who_is_removed_reads_nothing_more_and_who_is_invited_reads_it_from_the_start(house: House) -> None:
    thread = await house.conversation("Nobody else should know", owner=house.ben, name="dora")
    room = await moved(house, thread, house.ben, named="@cleo")
    await thread.customer.say(thread.chat, "the first secret")
    await house.cleo.wait_for(room, lambda seen: "the first secret" in seen.body)
    await house.ben.say(room, "!remove @cleo")
    await house.ben.wait_for(room, lambda seen: "reads nothing more" in seen.body)
    await eventually(lambda: room not in house.cleo.rooms, what="Cleo is out of the room")
    await thread.customer.say(thread.chat, "the second secret")
    await house.ben.wait_for(room, lambda seen: "the second secret" in seen.body)
    assert not [each for each in house.cleo.events(room) if "the second secret" in each.body]
    await house.ben.say(room, "!invite @lea")
    await eventually(lambda: room in house.lea.rooms, what="Lea is in the room")
    await house.lea.wait_for(room, lambda seen: "can read this room now" in seen.body)


async def test_in_a_group_with_rooms_each_conversation_has_one_from_the_start(house: House) -> None:
    """The group's room shows that there is something to do and nothing that was said."""
    groups_room = await house.product.group_room("Therapy")
    customer = await house.people.person("emma")
    chat = await customer.start_direct_chat(house.product.desk)
    before = set(house.ben.rooms)
    await customer.say(chat, "I need therapy and tell nobody")
    pointer = await house.ben.wait_for(groups_room, lambda seen: "you are let into the room" in seen.body)
    await house.ben.react(groups_room, pointer.event_id, "👀")
    room = await own_room(house, house.ben, before)
    await house.ben.wait_for(room, lambda seen: "I need therapy and tell nobody" in seen.body and not seen.thread)
    answer = await house.ben.say(room, "We keep it between us")
    await customer.wait_for(chat, lambda seen: "Ben: We keep it between us" in seen.body)
    await eventually(lambda: marks(house, room, answer) == [MARKERS[Fate.DELIVERED]], what="the answer's marker")
    await customer.say(chat, "thank you for that")
    await house.ben.wait_for(room, lambda seen: "thank you for that" in seen.body)
    await house.ben.say(room, "!resolve")
    await house.lea.wait_for(groups_room, lambda seen: seen.replaces == pointer.event_id and "Resolved" in seen.body)
    assert room not in house.lea.rooms and room not in house.cleo.rooms
    for said in ("I need therapy", "between us", "thank you"):
        assert not [each for each in house.lea.events(groups_room) if said in each.body]


async def test_out_of_its_own_room_a_conversation_goes_to_another_groups_thread(house: House) -> None:
    """Its new people have what was said; the room stays as it is and says nothing more."""
    thread = await house.conversation("I have a question about my pills", owner=house.ben, name="fred")
    room = await moved(house, thread, house.ben)
    await thread.customer.say(thread.chat, "the small white ones")
    await house.ben.wait_for(room, lambda seen: "the small white ones" in seen.body)
    await house.ben.say(room, "!transfer Prescriptions needs a pharmacist")
    there = await house.product.group_room("Prescriptions")
    card = await house.cleo.wait_for(there, lambda seen: seen.thread is None and "about my pills" in seen.body)
    pack = await house.cleo.wait_for(
        there, lambda seen: seen.thread == card.event_id and "comes from Ben Li" in seen.body
    )
    assert "needs a pharmacist" in pack.body and "the small white ones" in pack.body
    await house.ben.wait_for(room, lambda seen: 'to Prescriptions ("needs a pharmacist").' in seen.body)
    await thread.changed(house.lea, thread.card, "Transferred to Prescriptions")
    await house.cleo.react(there, card.event_id, "👀")
    await house.cleo.wait_for(there, lambda seen: seen.thread == card.event_id and "You have K-" in seen.body)
    late = await house.ben.say(room, "one more thing")
    await house.ben.wait_for(room, lambda seen: "goes on here" in seen.body)
    await eventually(lambda: marks(house, room, late) == [MARKERS[Fate.KEPT]], what="the note's marker")
    await house.cleo.say(there, "One in the evening", thread=card.event_id)
    await thread.received("Cleo: One in the evening")
    await thread.customer.say(thread.chat, "and with food?")
    await house.cleo.wait_for(there, lambda seen: seen.thread == card.event_id and "and with food?" in seen.body)
    assert not [each for each in house.ben.events(room) if "and with food?" in each.body]
    assert "one more thing" not in await thread.everything_the_customer_has()
    assert await eventually(house.nothing_is_left, what="nothing is left behind")


SAID, NAME, LOCALPART = "Glimmerwort", "Feldspat", "quarzkundin"
# A person's address is in what makes them a member, and a creator beside the desk, of a chat that it opens for them.
# Their name is there because the homeserver writes what they have published themselves into each invitation.
MUST_STAND = {"m.room.member": {NAME, LOCALPART}, "m.room.create": {LOCALPART}}


async def test_nothing_of_a_customer_is_in_what_the_homeserver_can_read_of_the_desk(
    house: House, synapse: Synapse
) -> None:
    """A whole conversation, in a chat that the desk had to make; then all that the desk ever sent, in every room."""
    customer = await house.people.person(LOCALPART, displayname=f"Berta {NAME}")
    in_vain = await customer.create_room(invite=[house.product.desk], encrypted=False, preset="private_chat")
    await eventually(lambda: set(customer.rooms) - {in_vain}, what="the desk's own room")
    (chat,) = set(customer.rooms) - {in_vain}
    thread = await house.asked(customer, chat, f"My {SAID} hurts", owner=house.ben)
    await thread.fate(await thread.say(house.ben, f"!tag {SAID}"), Fate.DONE)
    await thread.fate(await thread.say(house.ben, f"!pause reply {SAID}"), Fate.DONE)
    first = await customer.say(chat, f"still {SAID}")
    await customer.edit(chat, first, f"less {SAID}")
    await customer.send_file(chat, PDF, name=f"{SAID}.pdf", mimetype="application/pdf")
    await thread.told(house.ben, f"{SAID}.pdf")
    await thread.say(house.ben, f"!transfer Prescriptions {SAID}")
    there = await house.product.group_room("Prescriptions")
    card = await house.ben.wait_for(there, lambda seen: seen.thread is None and SAID in seen.body)
    await house.ben.react(there, card.event_id, "👀")
    before = set(house.ben.rooms)
    await house.ben.say(there, "!room @cleo", thread=card.event_id)
    room = await own_room(house, house.ben, before)
    await house.ben.wait_for(room, lambda seen: "This room is for K-" in seen.body)
    await house.ben.say(room, f"// {SAID}")
    answer = await house.ben.say(room, f"Your {SAID} is fine")
    await customer.react(chat, (await thread.received(f"Your {SAID} is fine")).event_id, "❤️")
    await house.ben.send_file(room, PDF, name=f"{SAID}-2.pdf", mimetype="application/pdf")
    await thread.received(f"{SAID}-2.pdf")
    await eventually(lambda: "❤️" in marks(house, room, answer), what="the customer's sign")
    await house.ben.say(room, "!resolve")
    await house.lea.wait_for(there, lambda seen: seen.replaces == card.event_id and "Resolved" in seen.body)
    readable = list(in_clear(synapse, house.product.desk))
    kinds = {each.kind for each in readable}
    assert kinds >= {
        *MUST_STAND,
        "m.room.name",
        "m.room.power_levels",
        "m.room.pinned_events",
        "m.reaction",
        "m.room.encrypted",
        "alias",
    }
    told = [
        (each, canary)
        for each in readable
        for canary in {SAID, NAME, LOCALPART} - MUST_STAND.get(each.kind, set())
        if canary in each.text
    ]
    assert told == []


async def test_a_room_that_somebody_has_closed_gets_another_with_the_same_people(house: House) -> None:
    thread = await house.conversation("Nobody shall be led away", owner=house.ben, name="emil")
    room = await moved(house, thread, house.ben, named="@cleo")
    answer = await house.ben.say(room, "before it was closed")
    await thread.received("before it was closed")
    before = {*house.ben.rooms, *house.cleo.rooms}
    await _close(house, room)
    new = await own_room(house, house.ben, before)
    await house.ben.wait_for(new, lambda seen: "Somebody has closed" in seen.body)
    await eventually(lambda: new in house.cleo.rooms, what="Cleo is in the new room")
    pack = await house.cleo.wait_for(new, lambda seen: "Nobody shall be led away" in seen.body)
    assert pack.sender == house.product.desk and new not in house.lea.rooms
    await house.ben.say(new, "and after it")
    await thread.received("and after it")
    await thread.customer.say(thread.chat, "I hear you still")
    await house.cleo.wait_for(new, lambda seen: "I hear you still" in seen.body)
    assert not [each for each in said_by_desk(house, house.ben, room) if "I hear you still" in each.body]
    assert marks(house, room, answer) == [MARKERS[Fate.DELIVERED]]


async def _close(house: House, room: str) -> None:
    """By an administrator: somebody to whom the desk's own account has given the power."""
    desk = await house.people.device_of(
        house.product.desk, house.product.settings.desk().read_password(), auto_join=False
    )
    levels = f"{CLIENT}/rooms/{path(room, 'state', 'm.room.power_levels', '')}"
    now = await desk.server.call("GET", levels)
    await desk.server.call("PUT", levels, {**now, "users": {**now.get("users", {}), house.cleo.user_id: 150}})
    await desk.leave()
    tombstone = f"{CLIENT}/rooms/{path(room, 'state', 'm.room.tombstone', '')}"
    await house.cleo.server.call("PUT", tombstone, {"body": "come with me", "replacement_room": "!trap:test.localhost"})
