"""What a customer has taken back is shown nowhere any more."""

from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.channels.messages import ChannelAccountId, Handle, MessageDeleted, RemoteId
from tests.integration.staff_desk import AT, CUSTOMER, DESK, StaffDesk, customer_says


async def test_a_first_message_that_was_deleted_stands_on_no_card(database: AsyncEngine) -> None:
    desk = StaffDesk(database)
    id = await desk.set_up(["@ben:x"])
    await desk.put(customer_says("$second", "I need a new prescription"))
    await desk.work(1)
    async with desk.units.look() as unit:
        assert await unit.messages.first_text(id) == "Hello"
    gone = MessageDeleted(
        account=ChannelAccountId(DESK),
        source_id="$redaction",
        at=AT,
        sender=Handle(kind="mxid", value=CUSTOMER),
        target=RemoteId("$first"),
    )
    await desk.put(gone)
    await desk.work(1)
    async with desk.units.look() as unit:
        assert await unit.messages.first_text(id) == "I need a new prescription"
