"""Rows that may have been sent although nobody noted it: look first, send only if absent.

Needed where the other side's memory of transaction ids is no help: it is too long ago, or another device tried."""

from messenger.app import effects as fx
from messenger.app.effects import Effect
from messenger.app.hands import Hands
from messenger.app.menu_polls import menu_offered
from messenger.app.outcome import Outcome, ended
from messenger.app.records import Case, Trace
from messenger.app.to_thread import card_posted, room_for
from messenger.channels.contract import Reconciles
from messenger.channels.messages import Content, OutboundMessage
from messenger.domain.ids import ChatId, ConversationId, MessageId


async def already_sent(hands: Hands, effect: Effect, txn: str) -> Outcome | None:
    """What the earlier send left behind; None: surely not sent, or harmless to repeat (markers, edits, invitations)."""
    match effect:
        case fx.PostCard():
            return await _card(hands, effect, txn)
        case fx.RelayFile():
            return await _in_thread(hands, effect, effect.sent_as)
        case fx.SendFile():
            return await _to_customer(hands, effect, effect.sent_as)
        case fx.RelayToThread() | fx.PostNotice() | fx.PostContext() | fx.PostPack():
            return await _in_thread(hands, effect, txn)
        case fx.SendToCustomer() | fx.TellCustomer() | fx.OfferMenu():
            return await _to_customer(hands, effect, txn)
        case _:
            return None


async def _card(hands: Hands, effect: fx.PostCard, txn: str) -> Outcome | None:
    async with hands.units() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        places = await unit.conversations.places(case.conversation.id)
    room = room_for(case, effect, places)
    event = await hands.desk.find(room, txn) if room else None
    if event is None or room is None:
        return None
    if effect.is_room:
        await hands.desk.pin(room, [event])
    return card_posted(hands, case, effect, room, event)


async def _in_thread(hands: Hands, effect: fx.ToThread, txn: str) -> Outcome | None:
    async with hands.units() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
    event = await hands.desk.find(case.room, txn) if case.room else None
    if event is None or case.room is None:
        return None
    is_relay = isinstance(effect, fx.RelayToThread)
    return Outcome(traces=[_trace(hands, case, case.room, event, effect)] if is_relay else [])


def _trace(hands: Hands, case: Case, room: str, event: str, effect: fx.ToThread) -> Trace:
    message = MessageId(effect.message) if isinstance(effect, fx.RelayToThread) else None
    return Trace(
        account=hands.desk.account,
        room=room,
        remote_id=event,
        kind="copy",
        conversation=case.conversation.id,
        message=message,
    )


async def _to_customer(
    hands: Hands, effect: fx.SendToCustomer | fx.TellCustomer | fx.OfferMenu, txn: str
) -> Outcome | None:
    async with hands.units() as unit:
        chat = await unit.chats.get(ChatId(effect.chat))
    if not isinstance(hands.channel, Reconciles):
        return None
    probe = OutboundMessage(key=txn, to=chat.person, content=Content(), reply_token=chat.remote)
    sent = await hands.channel.find_sent(probe)
    if sent is None:
        return None
    if isinstance(effect, fx.TellCustomer):
        return Outcome()
    if isinstance(effect, fx.OfferMenu):
        return menu_offered(effect, chat, sent)
    traces = [
        Trace(
            account=chat.account,
            room=chat.remote,
            remote_id=id,
            kind="copy",
            conversation=ConversationId(effect.conversation),
            message=MessageId(effect.message),
        )
        for id in sent.remote_ids
    ]
    return Outcome(traces=traces, items=[ended(effect, txn, "")])
