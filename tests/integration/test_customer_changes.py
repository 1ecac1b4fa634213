"""Customers change and take back what they wrote: nothing of it is lost, nothing is laid into another's mouth."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

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
from tests.integration.staff_desk import AT, CHAT, CUSTOMER, DESK, StaffDesk, ready


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
