"""Reactions, replies, edits and deletions across the relay, with the real program and a real homeserver."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from messenger.domain.replies import Fate
from tests.integration.staff_house import House, Thread, open_house
from tests.support.databases import TestDatabases
from tests.support.people import Person
from tests.support.waiting import eventually, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("changes"), synapse, test_databases, staff=("ben", "cleo")) as house:
        yield house


async def shows(reader: Person, room: str, event: str, sender: str, *keys: str) -> None:
    """Waits until the reactions of this sender on the event are exactly these."""

    def now() -> bool:
        there = [each.key for each in reader.reactions(room) if each.target == event and each.sender == sender]
        return sorted(there) == sorted(keys)

    await eventually(now, what=f"{keys} on {event}")


async def answered(thread: Thread, text: str) -> tuple[str, str]:
    """An answer of Ben's: its event in the thread, and at the customer's."""
    said = await thread.say(thread.house.ben, text)
    received = await thread.received(text)
    await thread.fate(said, Fate.DELIVERED)
    return said, received.event_id


async def relayed(thread: Thread, text: str) -> tuple[str, str]:
    """A message of the customer's: its event in the chat, and in the thread."""
    said = await thread.customer.say(thread.chat, text)
    shown = await thread.told(thread.house.ben, text)
    return said, shown.event_id


async def test_a_customers_reactions_are_shown_on_the_answer_beside_its_marker(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    said, received = await answered(thread, "The money is on its way.")
    checked = await thread.customer.react(thread.chat, received, "✅")
    liked = await thread.customer.react(thread.chat, received, "👍")
    await shows(house.cleo, house.room, said, house.product.desk, "✅", "✅\ufe0f", "👍")
    await thread.customer.redact(thread.chat, checked)
    await shows(house.cleo, house.room, said, house.product.desk, "✅", "👍")
    await thread.customer.redact(thread.chat, liked)
    await shows(house.cleo, house.room, said, house.product.desk, "✅")


async def test_the_owners_reaction_reaches_the_customer_and_a_colleagues_does_not(house: House) -> None:
    thread = await house.conversation(owner=house.ben)
    asked, shown = await relayed(thread, "Thank you!")
    liked = await house.ben.react(house.room, shown, "❤️")
    await house.cleo.react(house.room, shown, "👎")
    await house.ben.react(house.room, shown, "📤")
    await shows(thread.customer, thread.chat, asked, house.product.desk, "❤️")
    again = await house.ben.react(house.room, shown, "🎉")
    await shows(thread.customer, thread.chat, asked, house.product.desk, "❤️", "🎉")
    await house.ben.redact(house.room, liked)
    await house.ben.redact(house.room, again)
    await shows(thread.customer, thread.chat, asked, house.product.desk)


async def test_nothing_went_wrong_inside(house: House) -> None:
    await settled(lambda: len(house.ben.events(house.room)), quiet_s=1)
    await eventually(house.nothing_is_left, what="all is sent and nothing is dead")
