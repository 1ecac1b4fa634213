"""An agent writes first: only with a stored consent, and then as with any answer."""

from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import OpenChat, SendToCustomer, TellCustomer
from messenger.app.effects.places import PostCard
from messenger.app.effects.staff import SayAnswer
from messenger.app.effects.thread import RelayToThread
from messenger.app.render import notice
from messenger.channels.messages import Handle
from messenger.domain.conversation import Conversation, State, fold
from messenger.domain.replies import Fate
from messenger.i18n import LANGUAGES, texts
from messenger.storage.models.conversations import message
from tests.integration.staff_desk import CUSTOMER, GROUP, StaffDesk, customer_says, staff_says

BEN, DANA, KIM = "@ben:x", "@dana:x", "@kim:y"


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.set_up([BEN])
    await desk.add_member(GROUP, DANA, "clerk")
    return desk


async def started(desk: StaffDesk, text: str, *, by: str = BEN) -> Conversation | None:
    """The conversation that a command in a thread has begun."""
    before = set(await desk.conversations())
    await desk.says(by, text)
    new = [id for id in await desk.conversations() if id not in before]
    assert len(new) < 2
    return (await desk.state_and_log(new[0]))[0] if new else None


async def said(desk: StaffDesk) -> list[str]:
    return [each.text for each in await desk.effects() if isinstance(each, SayAnswer)] + [
        each.text for each in await desk.notices()
    ]


async def answers(desk: StaffDesk) -> list[str]:
    """What leaves for the customer."""
    async with desk.units() as unit:
        sent = [each for each in await desk.effects() if isinstance(each, SendToCustomer)]
        return [(await unit.messages.get(each.message)).content.text for each in sent]  # type: ignore[arg-type]


async def test_without_consent_nothing_is_begun_and_the_reason_is_said(desk: StaffDesk) -> None:
    for contact in (KIM, CUSTOMER):  # unknown; somebody who wrote to us, which is no consent
        assert await started(desk, f"!start {contact} Good morning") is None
    assert (await said(desk)).count("start.no_consent") == 2
    assert await answers(desk) == []


async def test_with_consent_a_person_without_a_chat_gets_one_and_then_the_text(desk: StaffDesk) -> None:
    await desk.consent(KIM)
    new = await started(desk, f"!start {KIM} Good morning,\nyour report is here.")
    assert new is not None and new.state is State.OPEN and new.previous is None
    lane = [each for each in await desk.effects() if each.lane == f"chat:{new.chat}"]
    assert [type(each) for each in lane] == [OpenChat, TellCustomer, SendToCustomer]
    assert await answers(desk) == ["Good morning,\nyour report is here."]
    texts = [each.text for each in await desk.effects() if isinstance(each, TellCustomer)]
    assert texts[-1] == "C1.started" and "C4" not in texts
    assert [each.conversation for each in await desk.effects() if isinstance(each, PostCard)][-1] == new.id
    assert fold((await desk.state_and_log(new.id))[1]) == new


async def test_a_withdrawn_consent_counts_no_more(desk: StaffDesk) -> None:
    await desk.consent(KIM)
    await desk.consent(KIM, is_given=False)
    assert await started(desk, f"!start {KIM} Hello") is None


async def test_a_clerk_begins_nothing(desk: StaffDesk) -> None:
    await desk.consent(KIM)
    assert await started(desk, f"!start {KIM} Hello", by=DANA) is None
    assert "S10c.agent" in await said(desk)


@pytest.mark.parametrize("how", ["address", "link", "number", "name", "longer name"])
async def test_a_customer_is_named_by_address_link_number_or_name(desk: StaffDesk, how: str) -> None:
    await desk.consent(CUSTOMER)
    first, _ = await desk.only_conversation()
    names = {
        "address": CUSTOMER,
        "link": "https://matrix.to/#/%40anna%3Ax?via=x",
        "number": first.number.lower(),
        "name": "anna,",
        "longer name": "Anna:",
    }
    new = await started(desk, f"!start {names[how]} It is\nready")
    assert new is not None
    assert (new.contact, new.chat, new.previous) == (first.contact, first.chat, first.id)
    assert await answers(desk) == ["It is\nready"]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_who_has_left_is_invited_again_by_the_command_that_the_author_is_told(
    desk: StaffDesk, language: str
) -> None:
    await desk.consent(CUSTOMER)
    first, _ = await desk.only_conversation()
    told = notice(texts(language), "S13.left", label="Anna", ref=first.number).plain
    command = told[told.index("!") :].partition(" · ")[0]
    new = await started(desk, command)
    assert new is not None and new.chat == first.chat
    assert [each.chat for each in await desk.effects() if isinstance(each, OpenChat)] == [first.chat]


async def test_an_ambiguous_name_is_asked_about(desk: StaffDesk) -> None:
    await desk.consent(CUSTOMER)
    await desk.greet("@anna:z", "Anna")
    assert await started(desk, "!start Anna Hello") is None
    assert "start.unknown" in await said(desk)


async def test_without_a_text_it_is_begun_and_nothing_leaves(desk: StaffDesk) -> None:
    await desk.consent(KIM)
    new = await started(desk, f"!start {KIM}")
    assert new is not None and new.owner is not None
    assert await answers(desk) == []
    assert "start.done" in await said(desk)


async def test_the_text_obeys_the_reply_rule(desk: StaffDesk) -> None:
    await desk.consent(KIM)
    assert await started(desk, f"!start {KIM} Hello\n// and a note") is not None
    assert await answers(desk) == []
    assert "S8.note_inside" in await said(desk)


async def test_where_four_eyes_rule_the_text_is_a_draft(desk: StaffDesk) -> None:
    await desk.consent(KIM)
    await desk.change_group(GROUP, reply_mode="explicit", four_eyes=True)
    assert await started(desk, f"!start {KIM} Hello") is not None
    assert await answers(desk) == []


async def test_the_command_is_edited_and_taken_back_like_an_answer(desk: StaffDesk) -> None:
    await desk.consent(KIM)
    await desk.change_group(GROUP, hold_seconds=60)
    await desk.says(BEN, f"!start {KIM} Helo", event="$start")
    edit = staff_says(BEN, f"!start {KIM} Hello")
    await desk.put(replace(edit, edits="$start"))
    await desk.work(1)
    assert await answers(desk) == ["Hello"]
    async with desk.engine.begin() as connection:
        fates = [row.fate for row in await connection.execute(message.select().where(message.c.author_id.is_not(None)))]
    assert fates == [Fate.QUEUED.value]


async def test_what_the_person_answers_comes_into_the_new_conversation(desk: StaffDesk) -> None:
    await desk.consent(KIM)
    new = await started(desk, f"!start {KIM} Hello")
    assert new is not None
    await desk.chat_is_open(new.chat, "!kims")
    await desk.put(customer_says("$kim", "Thank you", sender=KIM, chat="!kims"))
    await desk.work(1)
    shown = [each for each in await desk.effects() if isinstance(each, RelayToThread)]
    assert shown[-1].conversation == new.id
    async with desk.units() as unit:
        found = await unit.contacts.of_handle(Handle(kind="mxid", value=KIM))
    assert found is not None and found.id == new.contact
