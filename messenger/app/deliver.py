"""Outbox rows carried out: look at the newest state in a short unit, render, call the outside with no transaction open, and say
what to remember. Everything here may run twice for one row: each call outside bears the row's transaction id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, assert_never
from uuid import UUID
from zoneinfo import ZoneInfo

from messenger.app import effects as fx
from messenger.app import render
from messenger.app.effects import Effect
from messenger.app.files import fetch_checked
from messenger.app.html import clean_html
from messenger.app.items import SendEnded
from messenger.app.ports import (
    Case,
    Chat,
    ChatDoor,
    CustomerChannel,
    Desk,
    FileSource,
    NewItem,
    Place,
    Said,
    StoredMessage,
    Trace,
    UnitOfWork,
    Units,
)
from messenger.channels.errors import Rejected, Temporary
from messenger.channels.messages import Content, OutboundMessage
from messenger.domain.attachment import MAX_BYTES, Policy, Refused
from messenger.domain.ids import AgentId, ChatId, ConversationId, GroupId, MessageId
from messenger.domain.people import ReplyMode
from messenger.domain.replies import MARKERS
from messenger.domain.staff_commands import COMMANDS
from messenger.domain.text import json_size, pieces
from messenger.i18n import Field, Texts, texts

MAX_BODY = 30_000  # a plain body; with ids and relations below the 40 kB of plaintext that fit into one event
MAX_HTML = 12_000  # more markup than this is left out: the plain text says it all
MAX_BOTH = 38_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a delivery leaves behind, written in the transaction that settles the row."""

    traces: Sequence[Trace] = ()
    gone: Sequence[Trace] = ()
    items: Sequence[NewItem] = ()
    card: tuple[ConversationId, str, str] | None = None
    edited_card: ConversationId | None = None
    group_room: tuple[GroupId, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """Who speaks, in which languages, first the default one."""

    name: str
    languages: tuple[str, ...] = ("en", "de", "zh")


@dataclass(slots=True)
class Deliverer:
    units: Units
    desk: Desk
    channel: CustomerChannel
    door: ChatDoor
    files: FileSource
    organisation: Organisation
    channel_name: str = "matrix"
    max_file_bytes: int = MAX_BYTES
    _nothing: Outcome = field(default_factory=Outcome)

    async def deliver(self, effect: Effect, txn: str) -> Outcome:
        """Raises ChannelError; the worker decides what becomes of the row."""
        match effect:
            case fx.PostCard():
                return await self._post_card(effect, txn)
            case fx.EditCard():
                return await self._edit_card(effect, txn)
            case fx.RelayToThread():
                return await self._relay_to_thread(effect, txn)
            case fx.PostNotice():
                return await self._post_notice(effect, txn)
            case fx.PostContext():
                return await self._post_context(effect, txn)
            case fx.ShowFate():
                return await self._show_fate(effect, txn)
            case fx.SendToCustomer():
                return await self._send_to_customer(effect, txn)
            case fx.TellCustomer():
                return await self._tell_customer(effect, txn)
            case fx.JoinChat():
                return await self._join_chat(effect, txn)
            case fx.React():
                await self.desk.react(effect.room, effect.event, effect.key, txn=txn)
            case fx.RemoveReaction():
                await self.desk.redact(effect.room, effect.event, txn=txn)
            case fx.AnswerInRoom():
                await self._answer_in_room(effect, txn)
            case fx.TellGroup():
                await self._tell_group(effect, txn)
            case fx.ProvideGroupRoom() | fx.SeatMember() | fx.UnseatMember():
                return await self._arrange_group(effect)
            case _:
                raise TypeError(f"nobody carries out {type(effect).__name__}")
        return self._nothing

    # ── the thread ──

    async def _post_card(self, effect: fx.PostCard, txn: str) -> Outcome:
        case = await self._case(effect.conversation)
        room = self._room_of(case)
        event = await self.desk.post(Place(room=room), await self._card(case), txn=txn, policy=case.group.device_policy)
        trace = Trace(
            account=self.desk.account, room=room, remote_id=event, kind="card", conversation=case.conversation.id
        )
        return Outcome(traces=[trace], card=(case.conversation.id, room, event))

    async def _edit_card(self, effect: fx.EditCard, txn: str) -> Outcome:
        case = await self._case(effect.conversation)
        if case.card is None:
            raise Temporary("unreachable", raw_code="the card is on its way")
        place = Place(room=self._room_of(case), thread=case.card)
        await self.desk.edit(place, case.card, await self._card(case), txn=txn, policy=case.group.device_policy)
        return Outcome(edited_card=case.conversation.id)

    async def _relay_to_thread(self, effect: fx.RelayToThread, txn: str) -> Outcome:
        async with self.units() as unit:
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
            return await self._relay_file(case, message, words, profile, mentions, txn)
        events = []
        for n, part in enumerate(_parts(message.content)):
            text = render.customer_message(
                words,
                name,
                part.text,
                _safe(part.html),
                unverified=message.is_unverified,
                edited=message.at if message.is_edited else None,
                late=message.at if message.is_late else None,
                clock=_clock(case),
            )
            said = _fitted(Said(plain=text.plain, html=text.html, mentions=mentions if n == 0 else (), profile=profile))
            events.append(await self._post(case, said, _part_txn(txn, n)))
        return Outcome(traces=[self._copy(case, message, event) for event in events])

    async def _relay_file(
        self,
        case: Case,
        message: StoredMessage,
        words: Texts,
        profile: tuple[str, str],
        mentions: Sequence[str],
        txn: str,
    ) -> Outcome:
        ref = message.content.media[0]
        checked = await fetch_checked(self.files, ref, Policy(max_bytes=self.max_file_bytes))
        if isinstance(checked, Refused):
            text = render.held_back(words, case.chat.name, ref.filename, checked.code)
            event = await self._post(case, Said(plain=text.plain, html=text.html, mentions=mentions), txn)
            return Outcome(
                traces=[self._copy(case, message, event)], items=[ended(effect_of(message), txn, checked.code)]
            )
        text = render.attachment_caption(
            words,
            message.speaker or case.chat.name,
            checked.kind,
            checked.file.name,
            len(checked.file.data),
            caption=message.content.text,
            unverified=message.is_unverified,
        )
        said = Said(plain=text.plain, html=text.html, mentions=mentions, profile=profile, file=checked.file)
        return Outcome(traces=[self._copy(case, message, await self._post(case, said, txn))])

    async def _post_notice(self, effect: fx.PostNotice, txn: str) -> Outcome:
        async with self.units() as unit:
            case = await unit.conversations.case(ConversationId(effect.conversation))
            mentioned = await unit.people.agent(AgentId(effect.mention)) if effect.mention else None
            fields = await _filled(unit, case, effect.fields)
        words = texts(case.group.language)
        if effect.text in ("S33", "S33.all"):
            text = render.help_text(words, COMMANDS, every=effect.text == "S33.all")
        else:
            text = render.notice(words, effect.text, clock=_clock(case), **fields)
        said = Said(
            plain=text.plain,
            html=text.html,
            is_notice=mentioned is None,
            mentions=[mentioned.address] if mentioned else [],
        )
        await self._post(case, said, txn)
        return self._nothing

    async def _post_context(self, effect: fx.PostContext, txn: str) -> Outcome:
        case = await self._case(effect.conversation)
        if case.owner is None or case.owner.id != effect.agent:
            return self._nothing  # given back in the meantime
        explicit = case.group.reply_mode is ReplyMode.EXPLICIT
        text = render.context(texts(case.group.language), self._view(case, ""), explicit=explicit)
        await self._post(case, Said(plain=text.plain, html=text.html, mentions=[case.owner.address]), txn)
        return self._nothing

    async def _show_fate(self, effect: fx.ShowFate, txn: str) -> Outcome:
        async with self.units() as unit:
            message = await unit.messages.get(MessageId(effect.message))
            traces = await unit.messages.traces_of(message.id)
        origin = next((trace for trace in traces if trace.kind == "origin"), None)
        if origin is None or message.fate is None:
            return self._nothing
        shown = [trace for trace in traces if trace.kind == "fate"]
        for n, trace in enumerate(shown):
            await self.desk.redact(trace.room, trace.remote_id, txn=f"{txn}r{n}")
        event = await self.desk.react(origin.room, origin.remote_id, MARKERS[message.fate], txn=txn)
        new = [replace(origin, remote_id=event, kind="fate")] if event else []
        return Outcome(traces=new, gone=shown)

    # ── the customer ──

    async def _send_to_customer(self, effect: fx.SendToCustomer, txn: str) -> Outcome:
        async with self.units() as unit:
            case = await unit.conversations.case(ConversationId(effect.conversation))
            message = await unit.messages.get(MessageId(effect.message))
            author = await unit.people.agent(message.author) if message.author else None
        words, name = texts(self._language(case.chat)), author.first_name if author else self.organisation.name
        remote: list[str] = []
        if message.content.media:
            remote += await self._send_file(case.chat, message, words, name, txn)
        else:
            for n, part in enumerate(_parts(message.content)):
                text = render.customer_message(words, name, part.text, _safe(part.html))
                remote += await self._send(case.chat, text, _part_txn(txn, n))
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

    async def _send_file(self, chat: Chat, message: StoredMessage, words: Texts, name: str, txn: str) -> Sequence[str]:
        checked = await fetch_checked(self.files, message.content.media[0], Policy(max_bytes=self.max_file_bytes))
        if isinstance(checked, Refused):
            raise Rejected("too_large" if checked.code == "too_big" else "bad_media", raw_code=checked.code)
        caption = (
            render.customer_message(words, name, message.content.text)
            if message.content.text
            else render.Rendered("", "")
        )
        out = self._outbound(chat, caption, txn)
        return (await self.channel.send_file(out, checked.file)).remote_ids

    async def _join_chat(self, effect: fx.JoinChat, txn: str) -> Outcome:
        farewell = "\n".join(texts(language).plain("C.newroom") for language in self.organisation.languages)
        result = await self.door.join(effect.chat, effect.person, farewell=farewell)
        return Outcome(items=[NewItem(source="outbox", source_id=txn, lane=effect.lane, item=result)])

    async def _tell_customer(self, effect: fx.TellCustomer, txn: str) -> Outcome:
        async with self.units() as unit:
            chat = await unit.chats.get(ChatId(effect.chat))
            fields = dict(effect.fields)
            if effect.conversation:
                case = await unit.conversations.case(ConversationId(effect.conversation))
                fields["group"] = case.group.name
            if effect.agent:
                fields["agent"] = (await unit.people.agent(AgentId(effect.agent))).first_name
        await self._send(chat, self._told(effect.text, chat, fields), txn)
        return self._nothing

    def _told(self, text: str, chat: Chat, fields: dict[str, str]) -> render.Rendered:
        if text == "C1":
            return render.greeting(
                [texts(language) for language in self.organisation.languages], self.organisation.name
            )
        known: dict[str, Field] = {"org": self.organisation.name, **fields}
        return render.notice(texts(self._language(chat)), text, clock=None, **known)

    async def _send(self, chat: Chat, text: render.Rendered, txn: str) -> Sequence[str]:
        said = _fitted(Said(plain=text.plain, html=text.html))
        return (await self.channel.send(self._outbound(chat, render.Rendered(said.plain, said.html), txn))).remote_ids

    def _outbound(self, chat: Chat, text: render.Rendered, txn: str) -> OutboundMessage:
        return OutboundMessage(
            key=txn, to=chat.person, content=Content(text=text.plain, html=text.html), reply_token=chat.remote
        )

    def _language(self, chat: Chat) -> str:
        return chat.language or self.organisation.languages[0]

    # ── rooms ──

    async def _answer_in_room(self, effect: fx.AnswerInRoom, txn: str) -> None:
        case = await self._case(effect.conversation)
        link = self.desk.link(Place(room=self._room_of(case), thread=case.card))
        text = render.notice(texts(case.group.language), effect.text, ref=case.conversation.number, link=link)
        said = Said(plain=text.plain, html=text.html, is_notice=True)
        await self.desk.post(Place(room=effect.room), said, txn=txn, policy=case.group.device_policy)

    async def _tell_group(self, effect: fx.TellGroup, txn: str) -> None:
        async with self.units() as unit:
            group = await unit.people.group(GroupId(effect.group))
            room = await unit.people.room_of_group(group.id)
            seat = await unit.people.seat(group.id, effect.person)
        if room is None or seat is None:
            return
        text = render.notice(
            texts(group.language), effect.text, clock=None, **{"person": seat.agent.name, **effect.fields}
        )
        said = Said(plain=text.plain, html=text.html, mentions=[effect.person])
        await self.desk.post(Place(room=room), said, txn=txn, policy=group.device_policy)

    async def _arrange_group(self, effect: fx.ProvideGroupRoom | fx.SeatMember | fx.UnseatMember) -> Outcome:
        async with self.units() as unit:
            group = await unit.people.group(GroupId(effect.group))
            room = await unit.people.room_of_group(group.id)
            address = (
                ""
                if isinstance(effect, fx.ProvideGroupRoom)
                else (await unit.people.agent(AgentId(effect.agent))).address
            )
        match effect:
            case fx.ProvideGroupRoom():
                return Outcome(group_room=(group.id, room or await self.desk.provide_room(group)))
            case fx.SeatMember() if room:
                await self.desk.seat(room, address)
            case fx.UnseatMember() if room:
                await self.desk.unseat(room, address)
            case fx.SeatMember() | fx.UnseatMember():
                raise Temporary("unreachable", raw_code="the group has no room yet")
            case _:
                assert_never(effect)
        return self._nothing

    # ── common ──

    async def _case(self, id: UUID) -> Case:
        async with self.units() as unit:
            return await unit.conversations.case(ConversationId(id))

    async def _post(self, case: Case, said: Said, txn: str) -> str:
        place = Place(room=self._room_of(case), thread=case.card)
        if case.card is None:
            raise Temporary("unreachable", raw_code="the card is on its way")
        return await self.desk.post(place, said, txn=txn, policy=case.group.device_policy)

    async def _card(self, case: Case) -> Said:
        preview = ""
        if case.group.announce_preview and case.owner is None:
            async with self.units() as unit:
                preview = await unit.messages.first_text(case.conversation.id)
        text = render.card(texts(case.group.language), self._view(case, preview))
        return Said(plain=text.plain, html=text.html)

    def _view(self, case: Case, preview: str) -> render.CardView:
        now = case.conversation
        return render.CardView(
            ref=now.number,
            label=case.chat.name,
            channel=self.channel_name,
            language=now.language,
            state=now.state.value,
            owner=case.owner.name if case.owner else None,
            since=now.opened_at,
            claimed_at=now.claimed_at,
            waiting_since=now.waiting_since,
            is_released=now.is_released,
            preview=preview or None,
            leg="matrix",
            tz=_clock(case).tz,
            now=_clock(case).now,
        )

    def _copy(self, case: Case, message: StoredMessage, event: str) -> Trace:
        return Trace(
            account=self.desk.account,
            room=self._room_of(case),
            remote_id=event,
            kind="copy",
            conversation=case.conversation.id,
            message=message.id,
        )

    def _room_of(self, case: Case) -> str:
        if case.room is None:
            raise Temporary("unreachable", raw_code="the group has no room yet")
        return case.room


def effect_of(message: StoredMessage) -> fx.RelayToThread:
    return fx.RelayToThread(conversation=message.conversation, message=message.id)


def ended(effect: fx.SendToCustomer | fx.RelayToThread, txn: str, code: str) -> NewItem:
    """The result of a send; it comes back through the inbox."""
    kind: Literal["SendToCustomer", "RelayToThread"] = (
        "SendToCustomer" if isinstance(effect, fx.SendToCustomer) else "RelayToThread"
    )
    item = SendEnded(conversation=effect.conversation, message=effect.message, effect=kind, code=code)
    return NewItem(source="outbox", source_id=txn, lane=f"ended:{effect.message}", item=item)


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


def _clock(case: Case) -> render.Clock:
    return render.Clock(tz=ZoneInfo(case.group.time_zone))


def _parts(content: Content) -> Sequence[Content]:
    """A text that does not fit into one event goes as several."""
    if json_size(content.text) <= MAX_BODY:
        return [content]
    return [replace(content, text=part, html="") for part in pieces(content.text, MAX_BODY)]


def _safe(html: str) -> str:
    return clean_html(html) if html and len(html) <= MAX_HTML else ""


def _fitted(said: Said) -> Said:
    return said if json_size(said.plain) + json_size(said.html) <= MAX_BOTH else replace(said, html="")


def _part_txn(txn: str, n: int) -> str:
    return txn if n == 0 else f"{txn}p{n}"
