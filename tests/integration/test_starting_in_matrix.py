"""An agent writes first, with the real program: the desk opens an encrypted chat; several conversations in one chat are
told apart."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from messenger.domain.replies import Fate
from tests.integration.staff_house import House, Thread, open_house
from tests.support.databases import TestDatabases
from tests.support.people import Person
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("starts")
    async with open_house(folder, synapse, test_databases, staff=["ben"]) as house:
        yield house


async def consent(house: House, person: Person, *, is_given: bool = True) -> None:
    async with house.product.admin() as admin:
        await admin.set_consent(person.user_id, "form", is_given=is_given)


async def begun(house: House, contact: str, text: str) -> tuple[str, str, str]:
    """The command's event, the number of the new conversation, and its card."""
    command = await house.ben.say(house.room, f"!start {contact} {text}")
    told = await house.ben.wait_for(house.room, lambda seen: "Begun: K-" in seen.body and seen.reply_to == command)
    number = told.body.partition("Begun: ")[2].partition(".")[0]
    card = await house.ben.wait_for(house.room, lambda seen: seen.thread is None and f"· {number} ·" in seen.body)
    return command, number, card.event_id


async def test_somebody_who_agreed_is_asked_into_an_encrypted_chat_and_reads_the_text(house: House) -> None:
    kim = await house.people.person("kim")
    await consent(house, kim)
    command, _, card = await begun(house, kim.user_id, "Good morning, your report is here.")
    await eventually(lambda: bool(kim.rooms), what="Kim is in a room")
    [chat] = kim.rooms
    said = await kim.wait_for_text(chat, "Ben: Good morning, your report is here.")
    assert said.was_encrypted
    greeting = await kim.wait_for_text(chat, "as you agreed")
    assert greeting.was_encrypted and "Ben" in greeting.body
    thread = Thread(house, kim, chat, card)
    await thread.fate(command, Fate.DELIVERED)
    await thread.told(house.ben, "→ Customer — Ben Li: Good morning, your report is here.")
    await kim.say(chat, "Thank you for writing")
    await house.ben.wait_for(house.room, lambda seen: seen.thread == card and "Thank you for writing" in seen.body)
    assert await kim.state(chat, "m.room.encryption")
    answer = await thread.say(house.ben, "You are welcome")
    await thread.received("Ben: You are welcome")
    await thread.fate(answer, Fate.DELIVERED)


async def test_without_consent_nothing_leaves_and_the_reason_is_said(house: House) -> None:
    lou = await house.people.person("lou")
    command = await house.ben.say(house.room, f"!start {lou.user_id} Hello")
    told = await house.ben.wait_for(house.room, lambda seen: seen.reply_to == command)
    assert "agreed" in told.body
    thread = Thread(house, lou, "", "")
    await thread.fate(command, Fate.FAILED)
    assert not lou.rooms and not lou.invites


async def test_two_open_ones_are_told_apart(house: House) -> None:
    thread = await house.conversation("about the first matter", owner=house.ben, name="mia")
    mia, chat = thread.customer, thread.chat
    await consent(house, mia)
    _, number, card = await begun(house, mia.user_id, "There is a second matter.")
    second = Thread(house, mia, chat, card)
    first_words = await thread.received(f"{number} · Ben: There is a second matter.")
    await thread.say(house.ben, "And the first one is done.")
    answer = await mia.wait_for(chat, lambda seen: "Ben: And the first one is done." in seen.body)
    first_number = answer.body.partition(" · ")[0]
    assert first_number.startswith("K-") and first_number != number
    await mia.say(chat, "answering the second", reply_to=first_words.event_id)
    await mia.say(chat, f"{first_number} naming the first")
    await mia.say(chat, "then without a name")
    for where, text in (
        (second, "answering the second"),
        (thread, "naming the first"),
        (thread, "then without a name"),
    ):
        seen = await house.ben.wait_for(house.room, lambda seen, text=text: seen.thread and text in seen.body)  # type: ignore[misc]
        assert seen.thread == where.card, text
    earlier = [seen.body for seen in house.ben.events(house.room) if seen.event_id == card]
    assert f"Earlier: {first_number}" in earlier[0]
