"""The menu at the customer's: quick answers where the channel has them, numbered lines everywhere."""

from messenger.app import render
from messenger.app.effects.customer import EndMenu, OfferMenu
from messenger.app.hands import Hands
from messenger.app.outcome import NOTHING, Outcome
from messenger.app.records import Chat, Trace
from messenger.channels.contract import EndsMenus
from messenger.channels.messages import Content, OutboundMessage, RemoteId, Sent
from messenger.domain.ids import ChatId, ConversationId, GroupId, MessageId
from messenger.domain.routing.menu import choices
from messenger.i18n import texts
from messenger.observability.failpoints import fp


async def offer_menu(hands: Hands, effect: OfferMenu, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        chat, groups = await unit.chats.get(ChatId(effect.chat)), await unit.people.groups()
    labels = [choice.label for choice in choices([GroupId(id) for id in effect.groups], groups)]
    words = texts(hands.language_of(chat))
    if hands.channel.capabilities(chat.person).buttons >= len(labels):
        # The buttons' ids are the numbers, so that a vote and a written number are the same answer.
        buttons = [(str(number), label) for number, label in enumerate(labels, 1)]
        content = Content(text=words.plain("menu.ask"), buttons=buttons)
    else:
        text = render.menu(words, labels)
        content = Content(text=text.plain, html=text.html)
    return menu_offered(effect, chat, await hands.send(_outbound(chat, content, txn)))


def menu_offered(effect: OfferMenu, chat: Chat, sent: Sent) -> Outcome:
    traces = [
        Trace(
            account=chat.account,
            room=chat.remote,
            remote_id=id,
            kind="notice",
            conversation=ConversationId(effect.conversation),
            message=MessageId(effect.message),
        )
        for id in sent.remote_ids
    ]
    return Outcome(traces=traces)


async def end_menu(hands: Hands, effect: EndMenu, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        chat, group = await unit.chats.get(ChatId(effect.chat)), await unit.people.group(GroupId(effect.group))
        traces = await unit.messages.traces_of(MessageId(effect.message))
    text = render.notice(texts(hands.language_of(chat)), "menu.decided", choice=group.menu_label or group.name)
    content = Content(text=text.plain, html=text.html)
    offered = [trace for trace in traces if trace.kind == "notice" and trace.room == chat.remote]
    if isinstance(hands.channel, EndsMenus):
        for n, menu in enumerate(offered):
            await hands.channel.end_menu(RemoteId(menu.remote_id), _outbound(chat, content, f"{txn}e{n}"))
            fp("menu_ended")
    await hands.send(_outbound(chat, content, txn))
    return NOTHING


def _outbound(chat: Chat, content: Content, key: str) -> OutboundMessage:
    return OutboundMessage(key=key, to=chat.person, content=content, reply_token=chat.remote)
