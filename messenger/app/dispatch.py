"""Which use case an item of the inbox is for."""

from typing import assert_never

from messenger.app import (
    customer_side,
    dead_letters,
    direct,
    floods,
    leaving,
    outcomes,
    reactions,
    routing,
    staff_changes,
    staff_side,
    timers,
    trust,
    upgrades,
    verifying,
)
from messenger.app.items import (
    CardWanted,
    ChatInvited,
    ChatReady,
    ChatRefused,
    CustomerReacted,
    DeskBack,
    DeskIdentityChanged,
    DeskOut,
    DeviceLeftOut,
    FileWaits,
    FloodBegan,
    GroupMoved,
    Item,
    KeyStillMissing,
    MessagesMissing,
    OwnerLost,
    PutAside,
    RoomFollowed,
    RoomReplaced,
    RoutingWanted,
    SeatLost,
    SendEnded,
    StaffReacted,
    StaffRedacted,
    StaffSaid,
    TimerDue,
    TrustDoubted,
    TrustSettled,
    Unreadable,
    VerificationNews,
)
from messenger.app.turn import NotYet, Turn
from messenger.channels.messages import InboundMessage, MessageDeleted, MessageEdited, ReactionsChanged, Unsupported


async def dispatch(turn: Turn, item: Item) -> None:
    """Raises what the use cases raise; `handle` knows what becomes of the row then."""
    match item:
        case InboundMessage() | Unsupported() | MessageEdited():
            await _customer_said(turn, item)
        case MessageDeleted():
            await customer_side.customer_deleted(turn, item)
        case CustomerReacted():
            await reactions.customer_reacted(turn, item)
        case ReactionsChanged():
            await reactions.customers_reactions_changed(turn, item)
        case ChatInvited():
            await customer_side.invited(turn, item)
        case ChatReady():
            await _let_in(turn, item)
        case ChatRefused():
            pass  # understood and kept in the inbox; the team has nothing to do
        case StaffSaid():
            await staff_side.staff_said(turn, item)
        case StaffReacted():
            await staff_side.staff_reacted(turn, item)
        case StaffRedacted():
            await staff_changes.staff_redacted(turn, item)
        case Unreadable():
            await _unreadable(turn, item)
        case KeyStillMissing():
            await _key_still_missing(turn, item)
        case MessagesMissing():
            await trust.messages_missing(turn, item)
        case SendEnded():
            await outcomes.send_ended(turn, item)
        case FileWaits():
            await outcomes.file_waits(turn, item)
        case PutAside():
            await dead_letters.put_aside(turn, item)
        case TimerDue():
            await timers.timer_due(turn, item)
        case RoutingWanted():
            await routing.give_out(turn, item)
        case FloodBegan():
            await floods.flood_began(turn, item)
        case SeatLost():
            await leaving.seat_lost(turn, item)
        case OwnerLost():
            await leaving.owner_lost(turn, item)
        case CardWanted():
            await upgrades.card_wanted(turn, item)
        case DeskOut():
            await dead_letters.desk_out(turn, item)
        case DeskBack():
            await turn.unit.outbox.hurry()
        case RoomReplaced():
            await upgrades.replaced(turn, item)
        case RoomFollowed():
            if not await upgrades.followed(turn, item) and item.ready is not None:
                await _let_in(turn, item.ready)
        case GroupMoved():
            await upgrades.moved(turn, item)
        case DeviceLeftOut():
            await staff_side.device_left_out(turn, item)
        case TrustDoubted():
            await trust.doubted(turn, item)
        case TrustSettled():
            await trust.settled(turn, item)
        case VerificationNews():
            await verifying.verification_news(turn, item)
        case DeskIdentityChanged():
            await verifying.desk_identity_changed(turn, item)
        case _:
            assert_never(item)


async def _let_in(turn: Turn, item: ChatReady) -> None:
    """A room of the staff that has us back is nobody's chat."""
    if await dead_letters.is_of_staff(turn, item.chat):
        return
    if not await direct.opened(turn, item):
        await customer_side.chat_ready(turn, item)


async def _customer_said(turn: Turn, item: InboundMessage | Unsupported | MessageEdited) -> None:
    try:
        match item:
            case InboundMessage():
                await customer_side.customer_wrote(turn, item)
            case Unsupported():
                await customer_side.customer_sent_something_unknown(turn, item)
            case MessageEdited():
                await customer_side.customer_edited(turn, item)
    except NotYet:
        if not item.hints or not await direct.wrote_early(turn, item):
            raise


async def _unreadable(turn: Turn, item: Unreadable) -> None:
    chat = await turn.unit.chats.find(item.account, item.room)
    if chat is not None:
        return await customer_side.customer_message_unreadable(turn, item, chat)
    is_direct = await turn.unit.people.person_of_direct_room(item.room) is not None
    if not is_direct and not await dead_letters.is_of_staff(turn, item.room):
        raise NotYet("chat")  # written before we had come in; the person is to be told
    await staff_side.staff_message_unreadable(turn, item)


async def _key_still_missing(turn: Turn, item: KeyStillMissing) -> None:
    waiting = await turn.unit.inbox.waiting(item.account, item.source_id)
    if waiting is not None:
        await _unreadable(turn, waiting)
