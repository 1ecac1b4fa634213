"""What staff does beside the threads, on a real homeserver: commands in the main timeline of the group's room, the
direct chat with the desk, the pinned board."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from messenger.domain.replies import MARKERS, Fate
from messenger.matrix.http import MatrixError
from tests.integration.staff_house import House, Thread, open_house
from tests.support.databases import TestDatabases
from tests.support.people import Person
from tests.support.timeline import Seen
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("beside")
    async with open_house(folder, synapse, test_databases, staff=("ben", "cleo")) as house:
        yield house


def number_of(thread: Thread) -> str:
    card = thread.house.ben.latest_text(thread.house.room, thread.card)
    return next(part for part in card.split(" · ") if part.startswith("K-"))


async def answered(reader: Person, room: str, command: str) -> Seen:
    """The desk's line beside a command."""
    answer = await reader.wait_for(room, lambda seen: seen.reply_to == command and seen.thread is None)
    assert answer.msgtype == "m.notice"
    return answer


async def test_queue_and_a_claim_by_reference_in_the_main_timeline(house: House) -> None:
    thread = await house.conversation()
    number = number_of(thread)
    asked = await house.ben.say(house.room, "!queue")
    queue = await answered(house.cleo, house.room, asked)
    assert number in queue.body and "Waiting in your groups" in queue.body
    await thread.fate(asked, Fate.DONE)
    claim = await house.ben.say(house.room, f"!übernehmen {number}")
    await thread.fate(claim, Fate.DONE)
    await eventually(lambda: house.ben.latest_text(house.room, thread.card).startswith("Ben Li"))
    late = await house.cleo.say(house.room, f"!claim {number}")
    assert "Ben Li was first" in (await answered(house.cleo, house.room, late)).body
    await thread.fate(late, Fate.FAILED)
    await thread.fate(await thread.say(house.ben, "The end."), Fate.DELIVERED)
    everything = await thread.everything_the_customer_has()
    assert not any(word in everything for word in ("!queue", "!übernehmen", "!claim"))


async def test_the_direct_chat_of_staff_is_no_customers_chat(house: House) -> None:
    thread = await house.conversation(owner=house.cleo)
    direct = await house.cleo.start_direct_chat(house.product.desk)
    greeting = await house.cleo.wait_for_text(direct, "This chat is for you and the desk.")
    await house.cleo.say(direct, "only talk")
    asked = await house.cleo.say(direct, "!mine")
    mine = await answered(house.cleo, direct, asked)
    assert number_of(thread) in mine.body
    resolved = await house.cleo.say(direct, f"!resolve {number_of(thread)}")
    await thread.told(house.ben, "Resolved by Cleo Marsh")
    await eventually(lambda: MARKERS[Fate.DONE] in marks(house, house.cleo, direct, resolved))
    said = house.cleo.messages(direct, sender=house.product.desk)
    assert [each.event_id for each in said] == [greeting.event_id, mine.event_id]
    assert not [each for each in house.ben.messages(house.room) if "only talk" in each.body]


@pytest.mark.long  # half a minute between two edits; the rest of it is tested without a homeserver
async def test_the_board_is_pinned_once_and_edited_when_something_changes(house: House) -> None:
    async def pinned() -> list[str]:
        """Nothing is pinned yet where nobody has pinned anything."""
        try:
            return (await house.ben.state(house.room, "m.room.pinned_events"))["pinned"]
        except MatrixError as error:
            if error.status == 404:
                return []
            raise

    [board] = await eventually(pinned, what="a board is pinned")
    first = await house.ben.wait_for(house.room, lambda seen: seen.event_id == board)
    assert first.body.startswith("General at ") and "Here: " in first.body
    thread = await house.conversation()
    number = number_of(thread)
    edit = await house.ben.wait_for(
        house.room, lambda seen: seen.replaces == board and number in seen.body, timeout_s=60
    )
    assert edit.content["m.mentions"] == {}
    assert await pinned() == [board]


def marks(house: House, reader: Person, room: str, event: str) -> list[str]:
    desk = house.product.desk
    return [each.key for each in reader.reactions(room) if each.target == event and each.sender == desk]
