"""Resuming with any colleague, judged by Element's engine: who joins late reads what was said, who is removed reads
nothing more, and a conversation in a room of its own is read by those whom it concerns."""

import secrets
from collections.abc import AsyncIterator

import pytest

from messenger.demo.synapse import Synapse
from tests.interop.conftest import StartElement
from tests.interop.oracle import Element, Isolation, Report
from tests.interop.test_product_with_element import BOTH_MODES, STRICT_MODE, Desk, text_of
from tests.support.product import Product
from tests.support.waiting import eventually

pytestmark = pytest.mark.oracle


@pytest.fixture
async def desk(product: Product, synapse: Synapse, element: StartElement, isolation: Isolation) -> AsyncIterator[Desk]:
    """As a team has it: the group takes devices that their owner signed, and no others."""
    agent = await element(await synapse.register(f"ben{secrets.token_hex(3)}"), isolation=isolation)
    members = [(agent.user_id, "Ben Li", "agent")]
    await product.add_group("General", members, default=True, device_policy="cross-signed-tofu")
    await product.start()
    room = await product.group_room("General")
    await agent.is_invited(room)
    await agent.join(room)
    await agent.send(room, "good morning")  # the engine refuses for ever what comes before it knows the desk
    customer = await element(await synapse.register(f"anna{secrets.token_hex(3)}"), isolation=isolation)
    desk = Desk(product, agent, customer, room)
    await desk.open_chat()
    yield desk
    await product.stop()


@pytest.fixture
async def late(synapse: Synapse, element: StartElement, isolation: Isolation) -> Element:
    return await element(await synapse.register(f"cleo{secrets.token_hex(3)}"), isolation=isolation)


async def joins_today(desk: Desk, late: Element) -> None:
    async with desk.product.admin() as admin:
        await admin.add_agent(late.user_id, "Cleo Marsh")
        await admin.add_member("General", late.user_id, "agent")
    await late.is_invited(desk.room)
    await late.join(desk.room)


async def in_room(element: Element, room: str, text: str) -> Report:
    return await element.waits_for(
        lambda each: each["ev"] == "event" and each["room"] == room and text in text_of(each), what=repr(text)
    )


async def reads_thread(element: Element, desk: Desk, text: str) -> bool:
    await element.do("timeline", room=desk.room, scroll=3)
    thread = await element.do("thread", room=desk.room, root=desk.card)
    events = thread["events"] if thread else ()
    return any(text in str(each["content"].get("body", "")) for each in events if not each["failed"])


@BOTH_MODES
async def test_a_colleague_who_joins_today_reads_the_past_claims_and_answers(
    desk: Desk, late: Element, isolation: Isolation
) -> None:
    """The strict mode refuses what other people than the desk have written before; the resume pack tells it."""
    await desk.ask("my claim of last week")
    await desk.claim()
    await desk.agent.send(desk.room, "We look into it.", thread=desk.card)
    await desk.at_the_customers("We look into it.")
    await desk.agent.send(desk.room, "!release", thread=desk.card)
    await joins_today(desk, late)
    await eventually(lambda: reads_thread(late, desk, "my claim of last week"), what="the customer's words")
    if isolation == "all":
        await eventually(lambda: reads_thread(late, desk, "We look into it."), what="the colleague's words")
    await late.do("react", room=desk.room, event=desk.card, key="👀")
    pack = await in_room(late, desk.room, "What happened so far")
    assert "We look into it." in text_of(pack)
    await late.send(desk.room, "I go on with it.", thread=desk.card)
    assert text_of(await desk.at_the_customers("I go on with it.")) == "Cleo: I go on with it."


@STRICT_MODE
async def test_who_is_removed_from_the_group_reads_nothing_that_comes_after(desk: Desk, late: Element) -> None:
    await desk.ask("the first question")
    await joins_today(desk, late)
    await desk.customer.send(desk.chat, "while both are here")
    await in_room(late, desk.room, "while both are here")
    async with desk.product.admin() as admin:
        await admin.remove_member("General", late.user_id)
    await desk.agent.sees_member(desk.room, late.user_id, "leave")
    await desk.customer.send(desk.chat, "after somebody left")
    await desk.in_thread("after somebody left")
    assert not any("after somebody left" in text_of(each) for each in late.reports if each["ev"] == "event")


@STRICT_MODE
async def test_a_case_room_is_read_by_its_members_from_the_first_word(desk: Desk, late: Element) -> None:
    await desk.ask("something private")
    await desk.claim()
    await joins_today(desk, late)
    before = {each["room"] for each in desk.agent.reports if "room" in each}
    await desk.agent.send(desk.room, "!room", thread=desk.card)
    invited = await desk.agent.waits_for(
        lambda each: each.get("room") not in {None, *before} and each.get("room") != desk.chat, what="the case room"
    )
    room = str(invited["room"])
    await desk.agent.join(room)
    await in_room(desk.agent, room, "This room is for K-")
    await desk.agent.send(room, "Only you and I read this.")
    await desk.at_the_customers("Only you and I read this.")
    await desk.customer.send(desk.chat, "thank you for that")
    await in_room(desk.agent, room, "thank you for that")
    await desk.agent.send(room, f"!invite {late.user_id}")
    await late.is_invited(room)
    await late.join(room)
    await in_room(late, room, "can read this room now")
    assert "thank you for that" in "\n".join(await late.texts(room, scroll=3))
    assert await desk.shields(desk.agent, room) == {"NONE"}
