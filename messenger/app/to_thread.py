"""The staff's side of a conversation: its card, what is said in its thread, the fate markers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from messenger.app import render, render_cards
from messenger.app.effects.places import EditCard, EditFormerCard, PostCard
from messenger.app.effects.thread import PostContext, PostNotice, PostRemarks, ShowFate
from messenger.app.hands import Hands, clock_of
from messenger.app.notices import filled, worded
from messenger.app.outcome import NOTHING, Outcome
from messenger.app.records import Case, Place, PlaceRow, Said, Trace
from messenger.channels.errors import Temporary
from messenger.domain.ids import AgentId, ConversationId, MessageId
from messenger.domain.people import ReplyMode
from messenger.domain.replies import MARKERS, Fate
from messenger.i18n import texts

MOST_LINES = 10  # of one message with remarks


async def post_card(hands: Hands, effect: PostCard, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        places = await unit.conversations.places(case.conversation.id) if effect.is_room else ()
    room = room_for(case, effect, places)
    if room is None:
        raise Temporary("unreachable", raw_code="the room is on its way")
    # What goes on in a room of its own at once never tells its text in the group's.
    is_pointer = case.conversation.is_in_room and not effect.is_room
    said = _pointer(hands, case, "") if is_pointer else await hands.card_of(case)
    event = await hands.say(Place(room=room), said, txn=txn, policy=case.group.device_policy)
    if effect.is_room:
        await hands.desk.pin(room, [event])
    return card_posted(hands, case, effect, room, event)


def room_for(case: Case, effect: PostCard, places: Sequence[PlaceRow]) -> str | None:
    """The room in which this card stands; None while it is being made."""
    if not effect.is_room:
        return case.group_room
    return next((row.room for row in places if row.number == effect.place), None)


def card_posted(hands: Hands, case: Case, effect: PostCard, room: str, event: str) -> Outcome:
    trace = Trace(
        account=hands.desk.account,
        room=room,
        remote_id=event,
        kind="card",
        conversation=case.conversation.id,
        part=effect.place,
    )
    row = PlaceRow(number=effect.place, group=case.group.id, room=room, card=event, is_room=effect.is_room)
    return Outcome(traces=[trace], card=(case.conversation.id, row))


async def edit_card(hands: Hands, effect: EditCard, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        places = await unit.conversations.places(case.conversation.id)
    here = places[-1] if places else None
    if here is None or not here.card:
        raise Temporary("unreachable", raw_code="the card is on its way")
    if here.number != case.conversation.place:
        return NOTHING  # the card of the new place will show it
    await hands.desk.edit(here.place, here.card, await hands.card_of(case), txn=txn, policy=case.group.device_policy)
    if here.is_room:
        await _edit_pointer(hands, case, places[-2], here, f"{txn}p")
    return Outcome(edited_card=case.conversation.id)


async def _edit_pointer(hands: Hands, case: Case, former: PlaceRow, room: PlaceRow, txn: str) -> None:
    said = _pointer(hands, case, hands.desk.link(room.place))
    await hands.desk.edit(former.place, former.card, said, txn=txn, policy=case.group.device_policy)


async def edit_former_card(hands: Hands, effect: EditFormerCard, txn: str) -> Outcome:
    """It says where the conversation goes on, and stays as it is from then on."""
    async with hands.units.look() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        places = {row.number: row for row in await unit.conversations.places(case.conversation.id)}
        former, following = places.get(effect.place), places.get(effect.place + 1)
        if former is None or following is None:
            raise Temporary("unreachable", raw_code="the new card is on its way")
        group, there = await unit.people.group(former.group), await unit.people.group(following.group)
    if following.is_room and following.number == case.conversation.place:
        await _edit_pointer(hands, case, former, following, txn)
        return NOTHING
    kind = "in_room" if following.is_room else "continues" if following.group == former.group else "transferred"
    link = hands.desk.link(following.place)
    text = render_cards.former_card(
        texts(group.language), kind, ref=case.conversation.number, group=there.name, link=link
    )
    said = Said(plain=text.plain, html=text.html)
    await hands.desk.edit(former.place, former.card, said, txn=txn, policy=group.device_policy)
    pointer = places.get(former.number - 1) if former.is_room else None
    if pointer is not None:  # in the group's room nobody else sees what the room's own card says
        await hands.desk.edit(pointer.place, pointer.card, said, txn=f"{txn}p", policy=group.device_policy)
    return NOTHING


def _pointer(hands: Hands, case: Case, link: str) -> Said:
    """The card in the group's room shows the state of what has a room of its own, and nothing that was said there."""
    text = render_cards.pointer(texts(case.group.language), hands.view(case, ""), link)
    return Said(plain=text.plain, html=text.html)


async def post_notice(hands: Hands, effect: PostNotice, txn: str) -> Outcome:
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


async def post_remarks(hands: Hands, effect: PostRemarks, txn: str) -> Outcome:
    """Equal ones are one line; of very many the rest is counted."""
    async with hands.units.look() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        shown = [(line.text, await filled(unit, case, line.fields)) for line in effect.lines]
    words, clock = texts(case.group.language), clock_of(case)
    counted = Counter(worded(words, text, clock, fields) for text, fields in shown)
    lines = [_times(line, count) for line, count in list(counted.items())[:MOST_LINES]]
    rest = counted.total() - sum(list(counted.values())[:MOST_LINES]) + effect.more
    if rest:
        lines.append(render.notice(words, "S25.more", count=str(rest)))
    said = Said(
        plain="\n".join(line.plain for line in lines), html="<br>".join(line.html for line in lines), is_notice=True
    )
    await hands.post(case, said, txn)
    return Outcome(remarked=case.conversation.id)


def _times(line: render.Rendered, count: int) -> render.Rendered:
    return line if count == 1 else render.Rendered(plain=f"{line.plain} (× {count})", html=f"{line.html} (× {count})")


def _link_to_newest(hands: Hands, places: Sequence[PlaceRow]) -> str:
    if not places:
        return ""
    return hands.desk.link(places[-1].place)


async def _post_at(
    hands: Hands, case: Case, said: Said, txn: str, *, places: Sequence[PlaceRow], number: int | None
) -> None:
    """At the conversation's place, or at an earlier one."""
    former = next((row for row in places if row.number == number), None)
    if former is None:
        await hands.post(case, said, txn)
        return
    await hands.say(former.place, said, txn=txn, policy=case.group.device_policy)


async def post_context(hands: Hands, effect: PostContext, txn: str) -> Outcome:
    case = await hands.case(effect.conversation)
    if case.owner is None or case.owner.id != effect.agent:
        return NOTHING  # given back in the meantime
    explicit = case.group.reply_mode is ReplyMode.EXPLICIT
    view = replace(hands.view(case, ""), follows=await hands.earlier(case))
    text = render_cards.context(texts(case.group.language), view, explicit=explicit)
    await hands.post(case, Said(plain=text.plain, html=text.html, mentions=[case.owner.address]), txn)
    return NOTHING


async def show_fate(hands: Hands, effect: ShowFate, txn: str) -> Outcome:
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
