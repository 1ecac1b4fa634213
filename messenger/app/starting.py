"""`!start CONTACT [TEXT]`: an agent writes first, to somebody who has agreed to that.

Only a stored consent counts. Having written to us once is none: for the same matter there is `!reopen`, and a new one
is begun by the person, or by us with their consent."""

import re
from dataclasses import replace

from messenger.app.effects.customer import OpenChat, TellCustomer
from messenger.app.effects.thread import PostNotice
from messenger.app.languages import detect
from messenger.app.order import DeskOrder
from messenger.app.persons import matrix_address
from messenger.app.records import Chat, Contact, Seat, Trace
from messenger.app.staff_messages import Refusal, actor_of, add_message, mentions_us
from messenger.app.turn import Turn
from messenger.channels.messages import Handle
from messenger.domain.commands import StartConversation
from messenger.domain.errors import NoConsent, NotAllowed, ProcessingRestricted
from messenger.domain.ids import ConversationId, MessageId, number_for
from messenger.domain.people import SkillGroup
from messenger.domain.replies import Said
from messenger.domain.routing.addressed import leading_number


async def start(order: DeskOrder) -> None:
    """The card comes into the room of the group where the command was given, and is its author's; the text goes the way
    of every answer. Raises DomainError, then nothing has been written."""
    group, seat = await _where_begun(order)
    contact, text = await _contact_named(order)
    if contact is None or contact.consent_at is None:
        raise NoConsent()
    if contact.is_restricted:
        raise ProcessingRestricted()
    chat, is_new = await order.turn.unit.contacts.chat_with(contact, order.item.account, detect(text) or "")
    id = await _begin(order, group, seat, contact, chat)
    order.turn.effects.append(OpenChat(chat=chat.id))
    if is_new:
        order.turn.effects.append(TellCustomer(chat=chat.id, text="C1.started", agent=seat.agent.id))
    if text:
        await _say(order, id, seat, text)
    else:
        await _note_command(order, id)
    number = await order.turn.unit.conversations.number_of(id)
    order.answer("start.done.text" if text else "start.done", started=number, in_group=group.name)


async def _note_command(order: DeskOrder, id: ConversationId) -> None:
    """It names the customer, in a room where nothing else of them is."""
    item = order.item
    trace = Trace(account=item.account, room=item.room, remote_id=item.event, kind="notice", conversation=id)
    await order.turn.unit.messages.add_trace(trace)


async def free_number(turn: Turn, id: ConversationId) -> str:
    attempt = 0
    while await turn.unit.conversations.is_number_taken(number_for(id, attempt)):
        attempt += 1
    return number_for(id, attempt)


async def _begin(order: DeskOrder, group: SkillGroup, seat: Seat, contact: Contact, chat: Chat) -> ConversationId:
    unit = order.turn.unit
    id = ConversationId(unit.new_id("conversation", order.item.account, order.item.event))
    command = StartConversation(
        number=await free_number(order.turn, id),
        contact=contact.id,
        chat=chat.id,
        language=chat.language or group.language,
        group=group.id,
        agent=seat.agent.id,
        role=seat.role,
        has_consent=contact.consent_at is not None,
        previous=await unit.contacts.last_conversation(contact.id),
    )
    await order.turn.act(id, None, command, actor=actor_of(seat))
    return id


async def _say(order: DeskOrder, id: ConversationId, seat: Seat, text: str) -> None:
    """The command is where it was written, so there it is edited, taken back and marked; the new thread shows what was
    said."""
    turn, item = order.turn, order.item
    said = Said(type=item.type, text=text, mentions_staff=await mentions_us(turn, item), is_explicit=True)
    conversation = await turn.unit.conversations.lock(id)
    written = MessageId(turn.unit.new_id("message", item.account, item.event))
    shown = {"by": str(seat.agent.id), "note": str(written)}
    turn.effects.append(PostNotice(conversation=id, text="S6b", fields=shown))
    await add_message(turn, item, replace(item.content, text=text, html=""), conversation, seat, said)
    turn.has_mark = True


async def _where_begun(order: DeskOrder) -> tuple[SkillGroup, Seat]:
    """The group whose room it is; elsewhere the first one in which this person answers customers."""
    here = await order.turn.unit.people.group_of_room(order.item.room)
    answering = [(group, seat) for group, seat in order.seats if seat.role.can_answer]
    fitting = [each for each in answering if here is None or each[0].id == here.id]
    if not fitting:
        raise NotAllowed(action="start", who="agent")
    return fitting[0]


async def _contact_named(order: DeskOrder) -> tuple[Contact | None, str]:
    """And what follows the name: the text. An address that we do not know belongs to nobody who has consented. Raises
    Refusal."""
    unit, text = order.turn.unit, order.asked.text.strip()
    word, rest = _first_word(text)
    if address := matrix_address(word):
        return await unit.contacts.of_handle(Handle(kind="mxid", value=address)), rest
    if (number := leading_number(word)) and (known := await unit.conversations.of_number(number)):
        conversation = await unit.conversations.lock(known)
        if any(group.id == conversation.group for group, _ in order.seats):
            return await unit.contacts.get(conversation.contact), rest
    named = await unit.contacts.named_first_in(text)
    if named is None:
        raise Refusal("start.unknown")
    return named, _after(named.name, text)


async def text_after_contact(turn: Turn, asked: str) -> str:
    """The text of a command that is written anew; to whom it goes was settled by the first."""
    word, rest = _first_word(asked.strip())
    if matrix_address(word) or leading_number(word):
        return rest
    named = await turn.unit.contacts.named_first_in(asked)
    return _after(named.name, asked) if named else ""


def _first_word(text: str) -> tuple[str, str]:
    word = next(iter(text.split(maxsplit=1)), "")
    return word, text[len(word) :].strip()


def _after(name: str, text: str) -> str:
    """As written, with its lines."""
    pattern = r"\s*" + r"\s+".join(map(re.escape, name.split()))
    found = re.match(pattern, text, re.IGNORECASE)
    return text[found.end() :].strip(" ,:;\n") if found else ""
