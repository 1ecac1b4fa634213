"""The customer's side: answers, files, and what the organisation says."""

from collections.abc import Sequence

from messenger.app import effects as fx
from messenger.app import render
from messenger.app.files import fetch_checked
from messenger.app.hands import Hands
from messenger.app.message_parts import fitted, part_txn, parts_of, safe_html
from messenger.app.outcome import NOTHING, Outcome, ended
from messenger.app.ports import Chat, NewItem, Said, StoredMessage, Trace
from messenger.channels.errors import Rejected
from messenger.channels.messages import Content, OutboundMessage
from messenger.domain.attachment import Policy, Refused
from messenger.domain.ids import AgentId, ChatId, ConversationId, MessageId
from messenger.i18n import Field, Texts, texts


async def send_to_customer(hands: Hands, effect: fx.SendToCustomer, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        case, message = await unit.conversations.case_of(MessageId(effect.message))
        author = await unit.people.agent(message.author) if message.author else None
    words, name = texts(hands.language_of(case.chat)), author.first_name if author else hands.organisation.name
    remote: list[str] = []
    if message.content.media:
        remote += await _send_file(hands, case.chat, message, words, name, txn)
    else:
        for n, part in enumerate(parts_of(message.content)):
            text = render.customer_message(words, name, part.text, safe_html(part.html))
            remote += await _send(hands, case.chat, text, part_txn(txn, n))
    traces = [
        Trace(
            account=case.chat.account,
            room=case.chat.remote,
            remote_id=id,
            kind="copy",
            conversation=case.conversation.id,
            message=message.id,
        )
        for id in remote
    ]
    return Outcome(traces=traces, items=[ended(effect, txn, "")])


async def _send_file(
    hands: Hands, chat: Chat, message: StoredMessage, words: Texts, name: str, txn: str
) -> Sequence[str]:
    checked = await fetch_checked(hands.files, message.content.media[0], Policy(max_bytes=hands.max_file_bytes))
    if isinstance(checked, Refused):
        raise Rejected("too_large" if checked.code == "too_big" else "bad_media", raw_code=checked.code)
    caption = (
        render.customer_message(words, name, message.content.text) if message.content.text else render.Rendered("", "")
    )
    out = _outbound(hands, chat, caption, txn)
    return (await hands.channel.send_file(out, checked.file)).remote_ids


async def join_chat(hands: Hands, effect: fx.JoinChat, txn: str) -> Outcome:
    farewell = "\n".join(texts(language).plain("C.newroom") for language in hands.organisation.languages)
    result = await hands.door.join(effect.chat, effect.person, farewell=farewell)
    return Outcome(items=[NewItem(source="outbox", source_id=txn, lane=effect.lane, item=result)])


async def tell_customer(hands: Hands, effect: fx.TellCustomer, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        chat = await unit.chats.get(ChatId(effect.chat))
        fields = dict(effect.fields)
        if effect.conversation:
            case = await unit.conversations.case(ConversationId(effect.conversation))
            fields["group"] = case.group.name
        if effect.agent:
            fields["agent"] = (await unit.people.agent(AgentId(effect.agent))).first_name
    await _send(hands, chat, _told(hands, effect.text, chat, fields), txn)
    return NOTHING


def _told(hands: Hands, text: str, chat: Chat, fields: dict[str, str]) -> render.Rendered:
    if text == "C1":
        return render.greeting([texts(language) for language in hands.organisation.languages], hands.organisation.name)
    words = texts(hands.language_of(chat))
    limit = render.say_size(words, hands.max_file_bytes)
    known: dict[str, Field] = {"org": hands.organisation.name, "limit": limit, **fields}
    return render.notice(words, text, clock=None, **known)


async def _send(hands: Hands, chat: Chat, text: render.Rendered, txn: str) -> Sequence[str]:
    said = fitted(Said(plain=text.plain, html=text.html))
    return (await hands.channel.send(_outbound(hands, chat, render.Rendered(said.plain, said.html), txn))).remote_ids


def _outbound(hands: Hands, chat: Chat, text: render.Rendered, txn: str) -> OutboundMessage:
    return OutboundMessage(
        key=txn, to=chat.person, content=Content(text=text.plain, html=text.html), reply_token=chat.remote
    )
