"""The menu with the real program: a poll in the customer's client, answered by a vote or a number."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from tests.integration.staff_house import House, open_house
from tests.support.databases import TestDatabases
from tests.support.people import Person
from tests.support.timeline import Seen

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> AsyncIterator[House]:
    groups = {"Billing": {"menu_label": "A bill"}, "Pharmacy": {"menu_label": "Medicines"}}
    folder = tmp_path_factory.mktemp("menus")
    async with open_house(folder, synapse, test_databases, staff=["ben"], more_groups=groups) as house:
        yield house


async def asked(house: House, text: str) -> tuple[Person, str, Seen]:
    customer = await house.people.person("anna")
    chat = await customer.start_direct_chat(house.product.desk)
    await customer.say(chat, text)
    poll = await customer.wait_for(chat, lambda seen: bool(seen.choices))
    assert poll.was_encrypted and poll.choices == {"1": "A bill", "2": "Medicines"}
    return customer, chat, poll


async def shown(house: House, group: str, text: str) -> Seen:
    """The customer's words in a thread of the group's room."""
    room = await house.product.group_room(group)
    return await house.ben.wait_for(room, lambda seen: seen.thread is not None and text in seen.body)


async def test_a_vote_in_the_poll_chooses_and_ends_it(house: House) -> None:
    customer, chat, poll = await asked(house, "I have a question for the pharmacy people")
    await customer.say(chat, "it is urgent for me")
    await customer.vote(chat, poll.event_id, "2")
    first = await shown(house, "Pharmacy", "I have a question")
    second = await shown(house, "Pharmacy", "it is urgent")
    assert first.thread == second.thread
    await customer.wait_for(chat, lambda seen: seen.type == "org.matrix.msc3381.poll.end")
    await customer.wait_for_text(chat, "Your message is with “Medicines” now")
    await customer.vote(chat, poll.event_id, "1")
    await customer.say(chat, "thank you so far")
    await shown(house, "Pharmacy", "thank you so far")
    room = await house.product.group_room("Pharmacy")
    said = [seen.body for seen in house.ben.messages(room, thread=first.thread, sender=house.product.desk)]
    assert [line.partition(": ")[2] for line in said if line.startswith("anna")] == [
        "I have a question for the pharmacy people",
        "it is urgent for me",
        "thank you so far",
    ]


async def test_a_written_number_chooses(house: House) -> None:
    customer, chat, _ = await asked(house, "Hello there")
    await customer.say(chat, "1.")
    await shown(house, "Billing", "Hello there")
    await customer.wait_for_text(chat, "“A bill”")
