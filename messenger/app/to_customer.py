"""The customer's side: answers, files, and what the organisation says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from messenger.app import render
from messenger.app.effects.customer import (
    AtCustomer,
    DeleteAtCustomer,
    EditAtCustomer,
    SendFile,
    SendToCustomer,
    TellCustomer,
)
from messenger.app.erased import must_be_readable
from messenger.app.files import INLINE_S, checked_file
from messenger.app.hands import Hands, clock_of
from messenger.app.message_parts import APART, fitted, part_txn, parts_of, safe_html
from messenger.app.outcome import NOTHING, Outcome, ended, waits_for_scanner
from messenger.app.outside_ports import EditsFiles, ScannerAway
from messenger.app.records import Case, Chat, File, Said, StoredMessage, Trace
from messenger.channels.contract import DeletesMessages, EditsMessages
from messenger.channels.errors import Rejected
from messenger.channels.messages import Content, OutboundMessage, RemoteId
from messenger.domain.attachment import Refused
from messenger.domain.ids import AgentId, ChatId, ConversationId, MessageId
from messenger.domain.people import Agent, AgentIdentity
from messenger.domain.text import to_html
from messenger.i18n import Field, Texts, texts
from messenger.observability.failpoints import fp

# By which text an author hears why a file was not sent.
_CODES = {"too_big": "too_large", "virus": "virus", "bomb": "bomb", "active": "active", "unchecked": "unchecked"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """An answer on its way: in whose chat, under whose name, in which language, answering what."""

    case: Case
    message: StoredMessage
    name: str
    words: Texts
    reply_to: str | None
    txn: str

    @property
    def chat(self) -> Chat:
        return self.case.chat


async def send_to_customer(hands: Hands, effect: SendToCustomer, txn: str) -> Outcome:
    answer = await _answer(hands, effect, txn)
    if effect.is_words_only:
        return await _words_ahead(hands, answer)
    if answer.message.content.media:
        try:
            remote = await _send_file(hands, answer)
        except ScannerAway:
            return replace(await _words_ahead(hands, answer), items=[waits_for_scanner(effect, txn)])
    else:
        remote = [id for out in _parts(hands, answer) for id in (await hands.send(out)).remote_ids]
    return Outcome(traces=_copies(answer, remote), items=[ended(effect, txn, "")], spoke=_spoke(answer.case))


async def _words_ahead(hands: Hands, answer: _Answer) -> Outcome:
    outs = _parts(hands, replace(answer, txn=f"{answer.txn}w")) if answer.message.content.text else []
    remote = [id for out in outs for id in (await hands.send(out)).remote_ids]
    traces = [replace(trace, part=APART + trace.part) for trace in _copies(answer, remote)]
    return Outcome(traces=traces, spoke=_spoke(answer.case) if remote else None)


async def send_file(hands: Hands, effect: SendFile, txn: str) -> Outcome:
    """The file for which the scanner had to be waited, unless its author has taken it back meanwhile. Raises
    ScannerAway: it waits on."""
    answer, copies = await _answer(hands, effect, effect.sent_as), await _sent_copies(hands, effect)
    if answer.message.is_deleted:
        return NOTHING
    remote = await _known_file(hands, answer)
    if remote is None:
        out, file = await _file(hands, answer, patience_s=None, has_words=bool(copies))
        remote = (await hands.channel.send_file(out, file)).remote_ids
    return Outcome(traces=_copies(answer, remote), items=[ended(effect, txn, "")], spoke=_spoke(answer.case))


async def edit_at_customer(hands: Hands, effect: EditAtCustomer, txn: str) -> Outcome:
    """Part by part; what has become longer is sent as new parts, of what has become shorter the rest is taken back. A
    file gets its new caption."""
    if not isinstance(hands.channel, EditsMessages):
        raise Rejected("content_refused", raw_code="the channel cannot edit")
    answer, copies = await _answer(hands, effect, txn), await _sent_copies(hands, effect)
    if answer.message.is_deleted or not copies:
        return NOTHING
    if answer.message.content.media:
        apart = [copy for copy in copies if copy.part >= APART]
        if not apart:
            return await _edit_caption(hands, answer, copies[0])
        copies = apart
    parts = _parts(hands, answer)
    for copy, out in zip(copies, parts, strict=False):
        await hands.channel.edit(RemoteId(copy.remote_id), replace(out, reply_token=copy.room))
        fp("edited_at_customer")
    new = [id for out in parts[len(copies) :] for id in (await hands.send(out)).remote_ids]
    gone = copies[len(parts) :]
    await _delete(hands, answer.chat, gone, txn)
    first = copies[0].part + len(copies)
    traces = [replace(trace, part=first + n) for n, trace in enumerate(_copies(answer, new))]
    return Outcome(traces=traces, gone=gone, items=[ended(effect, txn, "")])


async def _edit_caption(hands: Hands, answer: _Answer, copy: Trace) -> Outcome:
    if not isinstance(hands.channel, EditsFiles):
        raise Rejected("content_refused", raw_code="the channel cannot edit files")
    try:
        out, file = await _file(hands, answer)
    except ScannerAway as error:  # nobody waits in this lane for a new caption: its author hears that it did not go
        raise Rejected("content_refused", raw_code=error.raw_code) from error
    await hands.channel.edit_file(RemoteId(copy.remote_id), replace(out, reply_token=copy.room), file)
    return NOTHING


async def delete_at_customer(hands: Hands, effect: DeleteAtCustomer, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        chat = await unit.chats.get(ChatId(effect.chat))
    copies = await _sent_copies(hands, effect)
    await _delete(hands, chat, copies, txn)
    return Outcome(gone=copies, items=[ended(effect, txn, "")])


async def _answer(hands: Hands, effect: AtCustomer, txn: str) -> _Answer:
    async with hands.units.look() as unit:
        case, message = await unit.conversations.case_of(MessageId(effect.message))
        must_be_readable(message)
        author = await unit.people.agent(message.author) if message.author else None
        answered = await unit.messages.traces_of(message.reply_to) if message.reply_to else ()
    # What they cannot see, a note or a line of the desk, is not quoted either: it would carry its words out.
    in_chat = [trace for trace in answered if trace.room == case.chat.remote and trace.kind in ("origin", "copy")]
    there = [trace.remote_id for trace in sorted(in_chat, key=lambda trace: trace.part)]
    return _Answer(
        case=case,
        message=message,
        name=_which(case) + _seen_as(hands, case, author),
        words=texts(hands.language_of(case.chat)),
        reply_to=there[0] if there else None,
        txn=txn,
    )


def _which(case: Case) -> str:
    """Where several conversations are open in one chat, all that is said there names its own."""
    return f"{case.conversation.number} · " if case.is_one_of_several else ""


def _spoke(case: Case) -> tuple[ChatId, ConversationId] | None:
    """What the customer writes next, without naming another conversation, belongs to this one."""
    return None if case.chat.conversation == case.conversation.id else (case.chat.id, case.conversation.id)


def _seen_as(hands: Hands, case: Case, author: Agent | None) -> str:
    """As whom the group lets its people speak."""
    match case.group.agent_identity:
        case AgentIdentity.FIRST_NAME if author is not None:
            return author.first_name
        case AgentIdentity.ROLE:
            return case.group.name
        case _:
            return hands.organisation.name


def _parts(hands: Hands, answer: _Answer) -> list[OutboundMessage]:
    outs = []
    for n, part in enumerate(parts_of(answer.message.content)):
        text = render.customer_message(answer.words, answer.name, part.text, safe_html(part.html))
        said = fitted(Said(plain=text.plain, html=text.html))
        out = _outbound(hands, answer.chat, render.Rendered(said.plain, said.html), part_txn(answer.txn, n))
        outs.append(replace(out, reply_to=RemoteId(answer.reply_to) if answer.reply_to and n == 0 else None))
    return outs


async def _sent_copies(hands: Hands, effect: AtCustomer) -> Sequence[Trace]:
    async with hands.units.look() as unit:
        return await unit.messages.copies_of(MessageId(effect.message))


async def _delete(hands: Hands, chat: Chat, copies: Sequence[Trace], txn: str) -> None:
    if not isinstance(hands.channel, DeletesMessages):
        raise Rejected("content_refused", raw_code="the channel cannot delete")
    for n, copy in enumerate(copies):
        await hands.channel.delete(RemoteId(copy.remote_id), chat.person, key=f"{txn}d{n}", reply_token=copy.room)
        fp("deleted_at_customer")


def _copies(answer: _Answer, remote: Sequence[str]) -> list[Trace]:
    return [
        Trace(
            account=answer.chat.account,
            room=answer.chat.remote,
            remote_id=id,
            kind="copy",
            conversation=answer.case.conversation.id,
            message=answer.message.id,
            part=n,
        )
        for n, id in enumerate(remote)
    ]


async def _known_file(hands: Hands, answer: _Answer) -> Sequence[str] | None:
    """What is there already needs no file any more."""
    known = await hands.find_sent(_outbound(hands, answer.chat, render.Rendered("", ""), answer.txn))
    return known.remote_ids if known is not None else None


async def _send_file(hands: Hands, answer: _Answer) -> Sequence[str]:
    known = await _known_file(hands, answer)
    if known is not None:
        return known
    out, file = await _file(hands, answer)
    return (await hands.channel.send_file(out, file)).remote_ids


async def _file(
    hands: Hands, answer: _Answer, *, patience_s: float | None = INLINE_S, has_words: bool = False
) -> tuple[OutboundMessage, File]:
    """`has_words`: they went ahead."""
    content = answer.message.content
    checked = await checked_file(hands, content.media[0], patience_s=patience_s)
    if isinstance(checked, Refused):
        raise Rejected(_CODES.get(checked.code, "bad_media"), raw_code=checked.code)
    caption = render.Rendered("", "")
    if content.text and not has_words:
        caption = render.customer_message(answer.words, answer.name, content.text)
    elif answer.case.is_one_of_several:
        caption = render.Rendered(answer.name, to_html(answer.name))
    caption = render.cautioned(answer.words, caption, checked.marks)
    out = _outbound(hands, answer.chat, caption, answer.txn)
    return replace(out, reply_to=RemoteId(answer.reply_to) if answer.reply_to else None), checked.file


async def tell_customer(hands: Hands, effect: TellCustomer, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        chat, case = await unit.chats.get(ChatId(effect.chat)), None
        if effect.conversation:
            case = await unit.conversations.case(ConversationId(effect.conversation))
        agent = (await unit.people.agent(AgentId(effect.agent))).first_name if effect.agent else ""
    fields = {**effect.fields, **({"agent": agent} if agent else {}), **({"group": case.group.name} if case else {})}
    text = _told(hands, effect.text, chat, fields, clock_of(case) if case else None)
    if case is None:
        await _send(hands, chat, text, txn)
        return NOTHING
    sent = await _send(hands, chat, render.Rendered(_which(case) + text.plain, _which(case) + text.html), txn)
    return Outcome(traces=[_notice(case, id) for id in sent], spoke=_spoke(case))


def _notice(case: Case, id: str) -> Trace:
    """So that an answer to it finds its conversation."""
    return Trace(
        account=case.chat.account,
        room=case.chat.remote,
        remote_id=id,
        kind="notice",
        conversation=case.conversation.id,
    )


def _told(hands: Hands, text: str, chat: Chat, fields: dict[str, str], clock: render.Clock | None) -> render.Rendered:
    if text == "C1":
        return render.greeting([texts(language) for language in hands.organisation.languages], hands.organisation.name)
    words = texts(hands.language_of(chat))
    limit = render.say_size(words, hands.max_file_bytes)
    security = words.plain("C1.security.matrix")
    known: dict[str, Field] = {"org": hands.organisation.name, "limit": limit, "security": security, **fields}
    return render.notice(words, text, clock=clock, **known)


async def _send(hands: Hands, chat: Chat, text: render.Rendered, txn: str) -> Sequence[str]:
    said = fitted(Said(plain=text.plain, html=text.html))
    return (await hands.send(_outbound(hands, chat, render.Rendered(said.plain, said.html), txn))).remote_ids


def _outbound(hands: Hands, chat: Chat, text: render.Rendered, txn: str) -> OutboundMessage:
    if chat.is_expected:
        raise Rejected("no_such_recipient", raw_code="the chat could not be opened")
    return OutboundMessage(
        key=txn, to=chat.person, content=Content(text=text.plain, html=text.html), reply_token=chat.remote
    )
