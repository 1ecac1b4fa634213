"""Several open conversations of one customer in one chat: each message lands in exactly one of them, and it is the one
that was meant."""

import random
from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.thread import RelayToThread
from messenger.app.records import Trace
from messenger.channels.messages import RemoteId
from messenger.domain.conversation import Conversation, fold
from messenger.domain.events import MessageReceived
from messenger.domain.ids import ConversationId, MessageId
from tests.integration.staff_desk import CHAT, CUSTOMER, DESK, StaffDesk, customer_says

BEN = "@ben:x"


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.set_up([BEN], reopen="never")
    await desk.consent(CUSTOMER)
    return desk


async def begun(desk: StaffDesk, *, text: str = "") -> Conversation:
    before = set(await desk.conversations())
    await desk.says(BEN, f"!start {CUSTOMER} {text}")
    [new] = [id for id in await desk.conversations() if id not in before]
    return (await desk.state_and_log(new))[0]


async def spoke(desk: StaffDesk, conversation: Conversation, event: str) -> None:
    """What a delivery leaves behind."""
    async with desk.units() as unit:
        copy = Trace(account=DESK, room=CHAT, remote_id=event, kind="copy", conversation=conversation.id)
        await unit.messages.add_trace(copy)
        await unit.chats.set_conversation(conversation.chat, conversation.id)


async def receivers(desk: StaffDesk, text: str) -> list[ConversationId]:
    """All conversations that hold this text, by their logs."""
    found = []
    for id in await desk.conversations():
        _, log = await desk.state_and_log(id)
        async with desk.units() as unit:
            for entry in log:
                if isinstance(entry.event, MessageReceived):
                    kept = await unit.messages.get(entry.event.message)
                    found += [id] if kept.content.text == text else []
    return found


async def says(desk: StaffDesk, text: str, *, reply_to: str = "", event: str = "") -> None:
    item = customer_says(event or f"${text}", text)
    await desk.put(replace(item, reply_to=RemoteId(reply_to)) if reply_to else item, lane="chat")
    await desk.work(1)


async def test_the_one_that_spoke_last_gets_what_names_none(desk: StaffDesk) -> None:
    first, _ = await desk.only_conversation()
    second = await begun(desk)
    await says(desk, "still about the first")
    assert await receivers(desk, "still about the first") == [first.id], "the second has said nothing yet"
    await spoke(desk, second, "$answer")
    await says(desk, "and this is new")
    assert await receivers(desk, "and this is new") == [second.id]


async def test_an_answer_belongs_to_what_it_answers_and_so_does_what_follows(desk: StaffDesk) -> None:
    first, _ = await desk.only_conversation()
    second = await begun(desk)
    await spoke(desk, first, "$one")
    await spoke(desk, second, "$two")
    await says(desk, "yes", reply_to="$one")
    await says(desk, "and one more thing")
    assert await receivers(desk, "yes") == await receivers(desk, "and one more thing") == [first.id]
    await says(desk, "my own words again", reply_to="$first")
    assert await receivers(desk, "my own words again") == [first.id]


@pytest.mark.parametrize("form", ["{} hello", "{}: hello", "({}) hello", "  {}", "re {}"])
async def test_a_number_at_the_beginning_names_its_conversation(desk: StaffDesk, form: str) -> None:
    first, _ = await desk.only_conversation()
    second = await begun(desk)
    await spoke(desk, second, "$two")
    text = form.format(first.number.lower())
    await says(desk, text)
    meant = second if form.startswith("re") else first
    assert await receivers(desk, text) == [meant.id]


async def test_an_answer_counts_more_than_a_number(desk: StaffDesk) -> None:
    first, _ = await desk.only_conversation()
    second = await begun(desk)
    await spoke(desk, second, "$two")
    text = f"{first.number} hello"
    await says(desk, text, reply_to="$two")
    assert await receivers(desk, text) == [second.id]


async def test_a_number_of_somebody_else_is_only_a_word(desk: StaffDesk) -> None:
    first, _ = await desk.only_conversation()
    await desk.greet("@bob:x", "Bob", chat="!bobs")
    await desk.put(customer_says("$bob", f"{first.number} let me in", sender="@bob:x", chat="!bobs"))
    await desk.work(1)
    [receiver] = await receivers(desk, f"{first.number} let me in")
    assert receiver != first.id


async def test_what_is_over_gets_nothing_while_another_is_open(desk: StaffDesk) -> None:
    first, _ = await desk.only_conversation()
    second = await begun(desk)
    await spoke(desk, first, "$one")
    await desk.says(BEN, "!claim")
    await desk.says(BEN, "!resolve")
    await says(desk, "any news?")
    assert await receivers(desk, "any news?") == [second.id]


async def test_what_begins_after_never_names_what_it_follows(desk: StaffDesk) -> None:
    first, _ = await desk.only_conversation()
    await desk.says(BEN, "!claim")
    await desk.says(BEN, "!resolve")
    await says(desk, "again")
    [receiver] = await receivers(desk, "again")
    assert (await desk.state_and_log(receiver))[0].previous == first.id


async def test_a_customers_message_always_lands_in_exactly_one_conversation_of_that_customer(desk: StaffDesk) -> None:
    """Random scripts of answers, numbers, plain words, new conversations and ends."""
    chance, texts = random.Random(5), []
    first, _ = await desk.only_conversation()
    await desk.greet("@bob:x", "Bob", chat="!bobs")
    await desk.put(customer_says("$bobs", "I am Bob", sender="@bob:x", chat="!bobs"))
    await desk.work(1)
    for step in range(60):
        open_now = [(await desk.state_and_log(id))[0] for id in await desk.conversations()]
        any_of = chance.choice(open_now)
        match chance.choice(("begin", "speak", "plain", "plain", "reply", "number", "resolve")):
            case "begin":
                await begun(desk, text=f"new {step}")
            case "speak":
                if any_of.contact == first.contact:
                    await spoke(desk, any_of, f"$spoken{step}")
            case "resolve":
                await desk.says(BEN, "!claim")
                await desk.says(BEN, "!resolve")
            case how:
                text = f"{any_of.number} {step}" if how == "number" else f"words {step}"
                texts.append(text)
                await says(desk, text, reply_to=f"$spoken{chance.randrange(step + 1)}" if how == "reply" else "")
    for text in texts:
        [receiver] = await receivers(desk, text)
        state, log = await desk.state_and_log(receiver)
        assert state.contact == first.contact and fold(log) == state
    shown = [each for each in await desk.effects() if isinstance(each, RelayToThread)]
    assert len({each.message for each in shown}) == len(shown)
    async with desk.units() as unit:
        for each in shown:
            assert (await unit.messages.get(MessageId(each.message))).conversation == each.conversation
