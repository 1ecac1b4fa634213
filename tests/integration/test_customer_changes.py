"""Customers change and take back what they wrote: nothing of it is lost, nothing is laid into another's mouth."""

from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.places import EditCard
from messenger.app.effects.thread import EditInThread, RelayToThread
from messenger.app.records import StoredMessage
from messenger.channels.messages import (
    Assurance,
    ChannelAccountId,
    Content,
    Handle,
    MessageDeleted,
    MessageEdited,
    RemoteId,
)
from messenger.domain.ids import MessageId
from tests.integration.staff_desk import AT, CHAT, CUSTOMER, DESK, StaffDesk, customer_says, ready


@pytest.fixture
async def staff_desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.set_up(["@ben:x"])
    return desk


def edit(target: str, text: str, *, assurance: Assurance = Assurance.AUTHENTICATED, chat: str = CHAT) -> MessageEdited:
    return MessageEdited(
        account=ChannelAccountId(DESK),
        source_id="$edit",
        at=AT,
        sender=Handle(kind="mxid", value=CUSTOMER),
        target=RemoteId(target),
        content=Content(text=text),
        hints=(chat,),
        assurance=assurance,
    )


def deleted_by(sender: str) -> MessageDeleted:
    return MessageDeleted(
        account=ChannelAccountId(DESK),
        source_id=f"$deleted by {sender}",
        at=AT,
        sender=Handle(kind="mxid", value=sender),
        target=RemoteId("$first"),
    )


async def test_an_edit_of_something_never_shown_becomes_a_message(staff_desk: StaffDesk) -> None:
    await staff_desk.put(edit("$never seen", "call me at once"))
    await staff_desk.work(1)
    shown = await last_relayed(staff_desk)
    assert (shown.content.text, shown.edited_at, shown.is_unverified) == ("call me at once", AT, False)


async def test_an_edit_of_something_never_shown_opens_the_first_conversation(staff_desk: StaffDesk) -> None:
    await staff_desk.put(ready("!other"))
    await staff_desk.work(1)
    await staff_desk.put(edit("$never seen", "better words", chat="!other"))
    await staff_desk.work(1)
    assert len(await staff_desk.conversations()) == 2


async def test_an_edit_from_an_unverified_device_says_so_although_the_message_was_verified(
    staff_desk: StaffDesk,
) -> None:
    await staff_desk.put(edit("$first", "my account is another one", assurance=Assurance.CHANNEL))
    await staff_desk.work(1)
    [changed] = [effect for effect in await staff_desk.effects() if isinstance(effect, EditInThread)]
    async with staff_desk.units() as unit:
        shown = await unit.messages.get(MessageId(changed.message))
    assert (shown.content.text, shown.edited_at, shown.is_unverified) == ("my account is another one", AT, True)


async def test_the_card_follows_whether_anybody_vouches_for_the_device_of_the_customers_newest_words(
    staff_desk: StaffDesk,
) -> None:
    """It is edited when that changes, and never for what somebody else says in the customer's room."""
    steps = (
        (customer_says("$2", "signed again"), False, 0),
        (replace(customer_says("$3", "from the library"), assurance=Assurance.CHANNEL), True, 1),
        (replace(customer_says("$4", "and again"), assurance=Assurance.CHANNEL), True, 1),
        (customer_says("$5", "a friend", sender="@friend:x"), True, 1),
        (edit("$2", "at home again"), False, 2),
        (customer_says("$6", "a friend", sender="@friend:x"), False, 2),
    )
    before = await card_edits(staff_desk)
    for item, is_unverified, edits in steps:
        await staff_desk.put(item)
        await staff_desk.work(1)
        await staff_desk.claim_everything()  # an edit that waits would take in the next
        state, _ = await staff_desk.state_and_log((await staff_desk.conversations())[0])
        assert state.is_unverified is is_unverified
        assert await card_edits(staff_desk) - before == edits


async def test_the_first_words_of_an_unsigned_device_are_on_the_first_card(database: AsyncEngine) -> None:
    desk = StaffDesk(database)
    await desk.set_up(["@ben:x"])
    await desk.put(ready("!other"))
    await desk.put(replace(customer_says("$new", "Hello", chat="!other"), assurance=Assurance.CHANNEL))
    await desk.work(1)
    states = [(await desk.state_and_log(id))[0] for id in await desk.conversations()]
    assert sorted(state.is_unverified for state in states) == [False, True]


async def test_only_the_author_s_own_deletion_is_told_as_such(staff_desk: StaffDesk) -> None:
    await staff_desk.put(deleted_by("@mallory:evil"))
    await staff_desk.work(1)
    assert await deletions_told(staff_desk) == 0
    await staff_desk.put(deleted_by(CUSTOMER))
    await staff_desk.work(1)
    assert await deletions_told(staff_desk) == 1


async def last_relayed(desk: StaffDesk) -> StoredMessage:
    relayed = [effect for effect in await desk.effects() if isinstance(effect, RelayToThread)]
    async with desk.units() as unit:
        return await unit.messages.get(MessageId(relayed[-1].message))


async def deletions_told(desk: StaffDesk) -> int:
    return sum(isinstance(effect, EditInThread) for effect in await desk.effects())


async def card_edits(desk: StaffDesk) -> int:
    return len([effect for effect in await desk.effects() if isinstance(effect, EditCard)])
