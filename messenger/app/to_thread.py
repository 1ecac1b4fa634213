"""The staff's side of a conversation: its card, what is said in its thread, the fate markers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from messenger.app import effects as fx
from messenger.app import render
from messenger.app.files import fetch_checked
from messenger.app.hands import Hands, clock_of
from messenger.app.message_parts import fitted, part_txn, parts_of, safe_html
from messenger.app.outcome import NOTHING, Outcome, ended
from messenger.app.ports import (
    Case,
    Place,
    Said,
    StoredMessage,
    Trace,
    UnitOfWork,
)
from messenger.channels.errors import Temporary
from messenger.domain.attachment import Policy, Refused
from messenger.domain.ids import AgentId, ConversationId, MessageId
from messenger.domain.people import ReplyMode
from messenger.domain.replies import MARKERS
from messenger.domain.staff_commands import COMMANDS
from messenger.i18n import Texts, texts


async def post_card(hands: Hands, effect: fx.PostCard, txn: str) -> Outcome:
    case = await hands.case(effect.conversation)
    room = hands.room_of(case)
    event = await hands.desk.post(Place(room=room), await hands.card_of(case), txn=txn, policy=case.group.device_policy)
    trace = Trace(
        account=hands.desk.account, room=room, remote_id=event, kind="card", conversation=case.conversation.id
    )
    return Outcome(traces=[trace], card=(case.conversation.id, room, event))


async def edit_card(hands: Hands, effect: fx.EditCard, txn: str) -> Outcome:
    case = await hands.case(effect.conversation)
    if case.card is None:
        raise Temporary("unreachable", raw_code="the card is on its way")
    place = Place(room=hands.room_of(case), thread=case.card)
    await hands.desk.edit(place, case.card, await hands.card_of(case), txn=txn, policy=case.group.device_policy)
    return Outcome(edited_card=case.conversation.id)


async def relay_to_thread(hands: Hands, effect: fx.RelayToThread, txn: str) -> Outcome:
    async with hands.units() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        message = await unit.messages.get(MessageId(effect.message))
    words = texts(case.group.language)
    name = message.speaker or case.chat.name
    profile = (
        message.speaker or str(case.chat.contact),
        render.shown_name(words, name, unverified=message.is_unverified),
    )
    mentions = [case.owner.address] if case.owner else []
    if message.content.media:
        return await _relay_file(hands, case, message, words, profile, mentions, txn)
    events = await _relay_words(hands, case, message, words, profile, mentions, txn)
    return Outcome(traces=[hands.copy(case, message, event) for event in events])


async def _relay_words(
    hands: Hands,
    case: Case,
    message: StoredMessage,
    words: Texts,
    profile: tuple[str, str],
    mentions: Sequence[str],
    txn: str,
) -> list[str]:
    events: list[str] = []
    for n, part in enumerate(parts_of(message.content)):
        text = render.customer_message(
            words,
            message.speaker or case.chat.name,
            part.text,
            safe_html(part.html),
            unverified=message.is_unverified,
            edited=message.at if message.is_edited else None,
            late=message.at if message.is_late else None,
            clock=clock_of(case),
        )
        said = fitted(Said(plain=text.plain, html=text.html, mentions=mentions if n == 0 else (), profile=profile))
        events.append(await hands.post(case, said, part_txn(txn, n)))
    return events


async def _relay_file(
    hands: Hands,
    case: Case,
    message: StoredMessage,
    words: Texts,
    profile: tuple[str, str],
    mentions: Sequence[str],
    txn: str,
) -> Outcome:
    ref = message.content.media[0]
    checked = await fetch_checked(hands.files, ref, Policy(max_bytes=hands.max_file_bytes))
    if isinstance(checked, Refused):
        # The words that came with the file are shown although it is not.
        has_words = bool(message.content.text)
        said = await _relay_words(hands, case, message, words, profile, mentions, txn) if has_words else []
        sender = message.speaker or case.chat.name
        text = render.held_back(words, sender, ref.filename, checked.code, limit=hands.max_file_bytes)
        gap = Said(plain=text.plain, html=text.html, mentions=mentions)
        events = [*said, await hands.post(case, gap, part_txn(txn, len(said)))]
        traces = [hands.copy(case, message, event) for event in events]
        return Outcome(traces=traces, items=[ended(effect_of(message), txn, checked.code)])
    text = render.attachment_caption(
        words,
        message.speaker or case.chat.name,
        checked.kind,
        checked.file.name,
        len(checked.file.data),
        caption=message.content.text,
        unverified=message.is_unverified,
    )
    file = Said(plain=text.plain, html=text.html, mentions=mentions, profile=profile, file=checked.file)
    return Outcome(traces=[hands.copy(case, message, await hands.post(case, file, txn))])


async def post_notice(hands: Hands, effect: fx.PostNotice, txn: str) -> Outcome:
    async with hands.units() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        mentioned = await unit.people.agent(AgentId(effect.mention)) if effect.mention else None
        fields = await _filled(unit, case, effect.fields)
    words = texts(case.group.language)
    if effect.text in ("S33", "S33.all"):
        text = render.help_text(words, COMMANDS, every=effect.text == "S33.all")
    else:
        limit = render.say_size(words, hands.max_file_bytes)
        text = render.notice(words, effect.text, clock=clock_of(case), **{"limit": limit, **fields})
    said = Said(
        plain=text.plain,
        html=text.html,
        is_notice=mentioned is None,
        mentions=[mentioned.address] if mentioned else [],
    )
    await hands.post(case, said, txn)
    return NOTHING


async def post_context(hands: Hands, effect: fx.PostContext, txn: str) -> Outcome:
    case = await hands.case(effect.conversation)
    if case.owner is None or case.owner.id != effect.agent:
        return NOTHING  # given back in the meantime
    explicit = case.group.reply_mode is ReplyMode.EXPLICIT
    text = render.context(texts(case.group.language), hands.view(case, ""), explicit=explicit)
    await hands.post(case, Said(plain=text.plain, html=text.html, mentions=[case.owner.address]), txn)
    return NOTHING


async def show_fate(hands: Hands, effect: fx.ShowFate, txn: str) -> Outcome:
    async with hands.units() as unit:
        message = await unit.messages.get(MessageId(effect.message))
        traces = await unit.messages.traces_of(message.id)
    origin = next((trace for trace in traces if trace.kind == "origin"), None)
    if origin is None or message.fate is None:
        return NOTHING
    shown = [trace for trace in traces if trace.kind == "fate"]
    for n, trace in enumerate(shown):
        await hands.desk.redact(trace.room, trace.remote_id, txn=f"{txn}r{n}")
    event = await hands.desk.react(origin.room, origin.remote_id, MARKERS[message.fate], txn=txn)
    new = [replace(origin, remote_id=event, kind="fate")] if event else []
    return Outcome(traces=new, gone=shown)


def effect_of(message: StoredMessage) -> fx.RelayToThread:
    return fx.RelayToThread(conversation=message.conversation, message=message.id)


async def _filled(unit: UnitOfWork, case: Case, fields: Mapping[str, str]) -> dict[str, str | datetime]:
    """Field values as people read them: staff ids become names, moments become moments again."""
    filled: dict[str, str | datetime] = {"ref": case.conversation.number, "label": case.chat.name, "channel": "Matrix"}
    filled["name"] = case.chat.name or texts(case.group.language).plain("label.customer")
    for name, value in fields.items():
        if name == "owner" and value:
            filled[name] = (await unit.people.agent(AgentId(UUID(value)))).name
        elif name == "at" and value:
            filled[name] = datetime.fromisoformat(value)
        else:
            filled[name] = value
    return filled
