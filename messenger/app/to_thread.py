"""The staff's side of a conversation: its card, what is said in its thread, the fate markers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from messenger.app import effects as fx
from messenger.app import render
from messenger.app.files import fetch_checked
from messenger.app.hands import Hands, clock_of
from messenger.app.message_parts import fitted, part_txn, parts_of, safe_html
from messenger.app.notices import filled, worded
from messenger.app.outcome import NOTHING, Outcome, ended
from messenger.app.ports import (
    Case,
    Place,
    PlaceRow,
    Said,
    StoredMessage,
    Trace,
    UnitOfWork,
)
from messenger.channels.errors import Temporary
from messenger.domain.attachment import Policy, Refused
from messenger.domain.ids import AgentId, ConversationId, MessageId
from messenger.domain.people import MentionOwner, ReplyMode
from messenger.domain.replies import MARKERS, Fate
from messenger.i18n import Texts, texts


async def post_card(hands: Hands, effect: fx.PostCard, txn: str) -> Outcome:
    case = await hands.case(effect.conversation)
    room = case.group_room
    if room is None:
        raise Temporary("unreachable", raw_code="the group has no room yet")
    event = await hands.desk.post(Place(room=room), await hands.card_of(case), txn=txn, policy=case.group.device_policy)
    return card_posted(hands, case, effect, room, event)


def card_posted(hands: Hands, case: Case, effect: fx.PostCard, room: str, event: str) -> Outcome:
    trace = Trace(
        account=hands.desk.account,
        room=room,
        remote_id=event,
        kind="card",
        conversation=case.conversation.id,
        part=effect.place,
    )
    row = PlaceRow(number=effect.place, group=case.group.id, room=room, card=event)
    return Outcome(traces=[trace], card=(case.conversation.id, row))


async def edit_card(hands: Hands, effect: fx.EditCard, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        places = await unit.conversations.places(case.conversation.id)
    here = places[-1] if places else None
    if here is None:
        raise Temporary("unreachable", raw_code="the card is on its way")
    if here.number != case.conversation.place:
        return NOTHING  # the card of the new place will show it
    place = Place(room=here.room, thread=None if here.is_room else here.card)
    await hands.desk.edit(place, here.card, await hands.card_of(case), txn=txn, policy=case.group.device_policy)
    return Outcome(edited_card=case.conversation.id)


async def edit_former_card(hands: Hands, effect: fx.EditFormerCard, txn: str) -> Outcome:
    """It says where the conversation goes on, and stays as it is from then on."""
    async with hands.units.look() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        places = {row.number: row for row in await unit.conversations.places(case.conversation.id)}
        former, following = places.get(effect.place), places.get(effect.place + 1)
        if former is None or following is None:
            raise Temporary("unreachable", raw_code="the new card is on its way")
        group, there = await unit.people.group(former.group), await unit.people.group(following.group)
    kind = "in_room" if following.is_room else "continues" if following.group == former.group else "transferred"
    link = hands.desk.link(Place(room=following.room, thread=following.card))
    text = render.former_card(texts(group.language), kind, ref=case.conversation.number, group=there.name, link=link)
    said = Said(plain=text.plain, html=text.html)
    place = Place(room=former.room, thread=former.card)
    await hands.desk.edit(place, former.card, said, txn=txn, policy=group.device_policy)
    return NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class _Relay:
    """A customer's message on its way into the thread: under whose name, in whose words, whom it rings."""

    case: Case
    message: StoredMessage
    words: Texts
    txn: str
    rings: bool = True

    @property
    def name(self) -> str:
        return self.message.speaker or self.case.chat.name

    @property
    def profile(self) -> tuple[str, str]:
        shown = render.shown_name(self.words, self.name, unverified=self.message.is_unverified)
        return self.message.speaker or str(self.case.chat.contact), shown

    @property
    def mentions(self) -> Sequence[str]:
        return [self.case.owner.address] if self.case.owner and self.rings else []


async def relay_to_thread(hands: Hands, effect: fx.RelayToThread, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        case, message = await unit.conversations.case_of(MessageId(effect.message))
        rings = await _rings_owner(unit, case, message)
    relay = _Relay(case=case, message=message, words=texts(case.group.language), txn=txn, rings=rings)
    if message.content.media:
        return await _relay_file(hands, relay)
    return Outcome(traces=_copies(hands, relay, await _relay_words(hands, relay)))


async def _rings_owner(unit: UnitOfWork, case: Case, message: StoredMessage) -> bool:
    match case.group.mention_owner:
        case MentionOwner.EACH:
            return True
        case MentionOwner.FIRST_UNANSWERED:
            return await unit.messages.is_first_unanswered(message.id)
        case MentionOwner.NEVER:
            return False
        case _:
            assert_never(case.group.mention_owner)


async def _relay_words(hands: Hands, relay: _Relay) -> list[str]:
    return [
        await hands.post(relay.case, replace(said, mentions=relay.mentions if n == 0 else ()), part_txn(relay.txn, n))
        for said, n in _parts_said(relay)
    ]


def _parts_said(relay: _Relay) -> Iterator[tuple[Said, int]]:
    message = relay.message
    for n, part in enumerate(parts_of(message.content)):
        text = render.customer_message(
            relay.words,
            relay.name,
            part.text,
            safe_html(part.html),
            unverified=message.is_unverified,
            edited=message.edited_at,
            late=message.at if message.is_late else None,
            clock=clock_of(relay.case),
        )
        yield fitted(Said(plain=text.plain, html=text.html, profile=relay.profile)), n


async def edit_in_thread(hands: Hands, effect: fx.EditInThread, txn: str) -> Outcome:
    """The copies become what the message is now. More parts than before are said anew; of fewer, the rest goes."""
    async with hands.units.look() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        message = await unit.messages.get(MessageId(effect.message))
        copies = await unit.messages.copies_of(message.id)
    if not copies:
        return NOTHING  # it was never shown; what is shown later is the newest
    relay = _Relay(case=case, message=message, words=texts(case.group.language), txn=txn)
    words = _said_now(relay)
    for n, (copy, said) in enumerate(zip(copies, words, strict=False)):
        place = Place(room=copy.room)
        await hands.desk.edit(place, copy.remote_id, said, txn=part_txn(txn, n), policy=case.group.device_policy)
    new = [await hands.post(case, said, part_txn(txn, n)) for n, said in enumerate(words) if n >= len(copies)]
    gone = copies[len(words) :]
    for n, copy in enumerate(gone):
        await hands.desk.take_back(copy.room, copy.remote_id, txn=f"{txn}g{n}")
    traces = [replace(hands.copy(case, message, event), part=len(copies) + n) for n, event in enumerate(new)]
    return Outcome(traces=traces, gone=gone)


def _said_now(relay: _Relay) -> list[Said]:
    message = relay.message
    if message.is_deleted:
        at = message.edited_at or message.at
        text = render.notice(relay.words, "S4.deleted", clock=clock_of(relay.case), name=relay.profile[1], at=at)
        return [Said(plain=text.plain, html=text.html)]
    return [said for said, _ in _parts_said(relay)]


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
    return [replace(hands.copy(relay.case, relay.message, event), part=n) for n, event in enumerate(events)]


async def post_notice(hands: Hands, effect: fx.PostNotice, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        mentioned = await unit.people.agent(AgentId(effect.mention)) if effect.mention else None
        reader = await unit.people.agent(AgentId(effect.reader)) if effect.reader else mentioned
        fields = await filled(unit, case, effect.fields)
        places = await unit.conversations.places(case.conversation.id) if effect.place else ()
    words = texts(reader.language if reader else case.group.language)
    fields["limit"] = render.say_size(words, hands.max_file_bytes)
    fields["link"] = _link_to_newest(hands, places)
    text = worded(words, effect.text, clock_of(case), fields)
    said = Said(
        plain=text.plain,
        html=text.html,
        is_notice=mentioned is None,
        mentions=[mentioned.address] if mentioned else [],
    )
    await _post_at(hands, case, said, txn, places=places, number=effect.place)
    return NOTHING


def _link_to_newest(hands: Hands, places: Sequence[PlaceRow]) -> str:
    if not places:
        return ""
    newest = places[-1]
    return hands.desk.link(Place(room=newest.room, thread=newest.card))


async def _post_at(
    hands: Hands, case: Case, said: Said, txn: str, *, places: Sequence[PlaceRow], number: int | None
) -> None:
    """At the conversation's place, or at an earlier one."""
    former = next((row for row in places if row.number == number), None)
    if former is None:
        await hands.post(case, said, txn)
        return
    place = Place(room=former.room, thread=None if former.is_room else former.card)
    await hands.desk.post(place, said, txn=txn, policy=case.group.device_policy)


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
        case, message = await unit.conversations.case_of(MessageId(effect.message))
        traces = await unit.messages.traces_of(message.id)
    origin = next((trace for trace in traces if trace.kind == "origin"), None)
    if origin is None or message.fate is None:
        return NOTHING
    shown = [trace for trace in traces if trace.kind == "fate"]
    if shown and message.fate is Fate.DELIVERED and not case.group.delivery_marks:
        return NOTHING  # 📨 stays: the change would cost two events
    for n, trace in enumerate(shown):
        await hands.desk.redact(trace.room, trace.remote_id, txn=f"{txn}r{n}")
    if message.is_deleted:
        return Outcome(gone=shown)
    event = await hands.desk.react(origin.room, origin.remote_id, MARKERS[message.fate], txn=txn)
    new = [replace(origin, remote_id=event, kind="fate")] if event else []
    return Outcome(traces=new, gone=shown)


def effect_of(message: StoredMessage) -> fx.RelayToThread:
    return fx.RelayToThread(conversation=message.conversation, message=message.id)
