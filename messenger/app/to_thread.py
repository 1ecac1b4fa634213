"""The staff's side of a conversation: its card, what is said in its thread, the fate markers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from messenger.app import effects as fx
from messenger.app import help, render
from messenger.app.files import fetch_checked
from messenger.app.hands import Hands, clock_of
from messenger.app.message_parts import fitted, part_txn, parts_of, safe_html
from messenger.app.orders import UNWIRED
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
from messenger.domain.people import ReplyMode, Role
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Relay:
    """A customer's message on its way into the thread: under whose name, in whose words, whom it rings."""

    case: Case
    message: StoredMessage
    words: Texts
    txn: str

    @property
    def name(self) -> str:
        return self.message.speaker or self.case.chat.name

    @property
    def profile(self) -> tuple[str, str]:
        shown = render.shown_name(self.words, self.name, unverified=self.message.is_unverified)
        return self.message.speaker or str(self.case.chat.contact), shown

    @property
    def mentions(self) -> Sequence[str]:
        return [self.case.owner.address] if self.case.owner else []


async def relay_to_thread(hands: Hands, effect: fx.RelayToThread, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        case, message = await unit.conversations.case_of(MessageId(effect.message))
    relay = _Relay(case=case, message=message, words=texts(case.group.language), txn=txn)
    if message.content.media:
        return await _relay_file(hands, relay)
    return Outcome(traces=_copies(hands, relay, await _relay_words(hands, relay)))


async def _relay_words(hands: Hands, relay: _Relay) -> list[str]:
    message, events = relay.message, []
    for n, part in enumerate(parts_of(message.content)):
        text = render.customer_message(
            relay.words,
            relay.name,
            part.text,
            safe_html(part.html),
            unverified=message.is_unverified,
            edited=message.at if message.is_edited else None,
            late=message.at if message.is_late else None,
            clock=clock_of(relay.case),
        )
        rings = relay.mentions if n == 0 else ()
        said = fitted(Said(plain=text.plain, html=text.html, mentions=rings, profile=relay.profile))
        events.append(await hands.post(relay.case, said, part_txn(relay.txn, n)))
    return events


async def _relay_file(hands: Hands, relay: _Relay) -> Outcome:
    content = relay.message.content
    checked = await fetch_checked(hands.files, content.media[0], Policy(max_bytes=hands.max_file_bytes))
    if isinstance(checked, Refused):
        return await _tell_refused(hands, relay, checked)
    text = render.attachment_caption(
        relay.words,
        relay.name,
        checked.kind,
        checked.file.name,
        len(checked.file.data),
        caption=content.text,
        unverified=relay.message.is_unverified,
    )
    said = Said(plain=text.plain, html=text.html, mentions=relay.mentions, profile=relay.profile, file=checked.file)
    return Outcome(traces=_copies(hands, relay, [await hands.post(relay.case, said, relay.txn)]))


async def _tell_refused(hands: Hands, relay: _Relay, refused: Refused) -> Outcome:
    """The words that came with the file are shown although it is not."""
    content = relay.message.content
    events = await _relay_words(hands, relay) if content.text else []
    name = content.media[0].filename
    text = render.held_back(relay.words, relay.name, name, refused.code, limit=hands.max_file_bytes)
    gap = Said(plain=text.plain, html=text.html, mentions=relay.mentions)
    events.append(await hands.post(relay.case, gap, part_txn(relay.txn, len(events))))
    end = ended(effect_of(relay.message), relay.txn, refused.code)
    return Outcome(traces=_copies(hands, relay, events), items=[end])


def _copies(hands: Hands, relay: _Relay, events: Sequence[str]) -> list[Trace]:
    return [hands.copy(relay.case, relay.message, event) for event in events]


async def post_notice(hands: Hands, effect: fx.PostNotice, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        mentioned = await unit.people.agent(AgentId(effect.mention)) if effect.mention else None
        fields = await _filled(unit, case, effect.fields)
    words = texts(case.group.language)
    if effect.text == "S33":
        text = _help(effect, words)
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


def _help(effect: fx.PostNotice, words: Texts) -> render.Rendered:
    """In the reader's own language, with what this version carries out."""
    fields = effect.fields
    offered = [command for command in COMMANDS if command.name not in UNWIRED]
    role = Role(fields.get("role", Role.AGENT))
    return help.answer(texts(fields.get("language", words.language)), offered, fields.get("topic", ""), role)


async def post_context(hands: Hands, effect: fx.PostContext, txn: str) -> Outcome:
    case = await hands.case(effect.conversation)
    if case.owner is None or case.owner.id != effect.agent:
        return NOTHING  # given back in the meantime
    explicit = case.group.reply_mode is ReplyMode.EXPLICIT
    text = render.context(texts(case.group.language), hands.view(case, ""), explicit=explicit)
    await hands.post(case, Said(plain=text.plain, html=text.html, mentions=[case.owner.address]), txn)
    return NOTHING


async def show_fate(hands: Hands, effect: fx.ShowFate, txn: str) -> Outcome:
    async with hands.units.look() as unit:
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
