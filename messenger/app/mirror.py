"""The reactions to a message as they are now, shown by the desk on the other side. What is there is asked of the other
side each time, so a crash, a repeat or a change in between leaves nothing behind."""

from messenger.app.effects.customer import MirrorReactions
from messenger.app.hands import Hands
from messenger.app.outcome import NOTHING, Outcome, ended
from messenger.app.records import Chat, Trace
from messenger.channels.contract import SendsReactions
from messenger.channels.errors import Rejected
from messenger.channels.messages import RemoteId
from messenger.domain.ids import MessageId
from messenger.domain.replies import MARKERS


async def mirror_reactions(hands: Hands, effect: MirrorReactions, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        case, message = await unit.conversations.case_of(MessageId(effect.message))
        traces = await unit.messages.traces_of(message.id)
        now = await unit.reactions.keys(message.id)
    origin = next((trace for trace in traces if trace.kind == "origin"), None)
    if origin is None or message.is_deleted:
        return NOTHING
    try:
        if message.author is None:
            return await _at_customer(hands, effect, case.chat, origin, now, txn)
        await hands.desk.set_reactions(origin.room, origin.remote_id, now, keep=frozenset(MARKERS.values()), txn=txn)
    except Rejected as error:
        if error.code != "expired":
            raise  # else the message is gone, and what was said of it with it
    return NOTHING


async def _at_customer(
    hands: Hands, effect: MirrorReactions, chat: Chat, origin: Trace, now: frozenset[str], txn: str
) -> Outcome:
    """Some channels carry no reactions, some only a few; what does not get there is told."""
    if not isinstance(hands.channel, SendsReactions):
        raise Rejected("content_refused", raw_code="the channel carries no reactions")
    allowed = hands.channel.capabilities(chat.person).reactions_allowed
    carried = now if allowed is None else now & allowed
    await hands.channel.react(RemoteId(origin.remote_id), chat.person, carried, key=txn, reply_token=origin.room)
    return NOTHING if carried == now else Outcome(items=[ended(effect, txn, "content_refused")])
