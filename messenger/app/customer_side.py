"""What customers do: they invite us, they write, they send something we cannot read."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from messenger.app import menus
from messenger.app.addressing import conversation_meant, spoke_last
from messenger.app.effects.customer import GreetCustomer, JoinChat, WarnCustomer
from messenger.app.effects.places import EditCard
from messenger.app.effects.thread import PostRemarks, Remark
from messenger.app.items import ChatInvited, ChatReady, Unreadable
from messenger.app.languages import detect
from messenger.app.react_parts import away_word
from messenger.app.reactions import reaction_removed
from messenger.app.records import Chat, StoredMessage, Trace
from messenger.app.sight import answered_message, is_out_of_sight, is_quiet, owner_is_away
from messenger.app.starting import free_number
from messenger.app.turn import NotYet, Turn
from messenger.channels.messages import (
    Assurance,
    Content,
    Handle,
    InboundMessage,
    MessageDeleted,
    MessageEdited,
    RemoteId,
    Unsupported,
)
from messenger.domain.commands import OpenConversation, ReceiveDeletion, ReceiveEdit, ReceiveMessage
from messenger.domain.conversation import Conversation, State
from messenger.domain.ids import ConversationId, MessageId
from messenger.domain.life import reopens
from messenger.domain.routing.menu import menu_for
from messenger.domain.routing.rules import Arrival, route

CUSTOMER = "customer"
CHAT_TRIES = 3_000  # about a day: we are in the room, so what makes it a chat is on its way or waits for the homeserver

# What the team and the customer hear: a key may still come, or the app gives none (of which some can be changed in the
# app alone), or it stays as it is.
_UNREADABLE = {
    "clear_text": ("", "C.clear"),
    "waiting_key": ("S25.customer", ""),
    "withheld": ("S25.withheld", "C9.withheld"),
    "withheld.unverified": ("S25.withheld.unverified", "C9.unverified"),
    "withheld.blacklisted": ("S25.withheld.blacklisted", "C9.blacklisted"),
    "withheld.unauthorised": ("S25.withheld.unauthorised", "C9"),
    "withheld.unavailable": ("S25.withheld.unavailable", "C9"),
    "withheld.no_olm": ("S25.withheld.no_olm", "C9"),
}


async def invited(turn: Turn, item: ChatInvited) -> None:
    """A server that sends a flood of invitations waits in its own lane; nobody else does."""
    if item.not_before is not None and turn.unit.now < item.not_before:
        raise NotYet("turn of its server", until=item.not_before)
    turn.effects.append(JoinChat(account=item.account, chat=item.chat, person=item.sender.value))


async def chat_ready(turn: Turn, item: ChatReady) -> None:
    chat, is_new = await turn.unit.chats.open(item)
    if is_new:
        turn.effects.append(GreetCustomer(chat=chat.id))
    elif (thread := await _thread_of(turn, chat)) is not None:
        turn.effects.append(EditCard(conversation=thread))  # the person's name may be known now


async def customer_wrote(turn: Turn, item: InboundMessage, *, edited_at: datetime | None = None) -> None:
    chat = await _chat_of(turn, item.account, item.hints)
    if "button" in item.signals and item.reply_to:
        return await menus.voted(turn, item, chat)
    message = replace(await _stored(turn, item, chat), edited_at=edited_at)
    meant = await conversation_meant(turn, item, chat)
    if meant is None or not await _belongs_to(turn, meant):
        return await _open(turn, item, chat, message, previous=meant)
    message = replace(message, conversation=meant.id)
    if meant.state is State.NEW:
        return await menus.answered(turn, meant, message, _origin(item, message))
    await _receive(turn, meant, message, _origin(item, message))
    if meant.id != chat.conversation:
        await turn.unit.chats.set_conversation(chat.id, meant.id)


async def customer_edited(turn: Turn, item: MessageEdited) -> None:
    """The copies in the thread follow. The edit of something that was never shown (it could not be read, or is not a
    message for us) is a message of its own."""
    trace = await turn.unit.messages.find_trace(item.account, item.target)
    if trace is None or trace.message is None or trace.conversation is None:
        return await customer_wrote(turn, _edit_as_message(item), edited_at=item.at)
    first = await turn.unit.messages.get(trace.message)
    conversation = await turn.unit.conversations.lock(trace.conversation)
    if (
        trace.kind != "origin"
        or first.is_deleted
        or first.is_erased
        or not await _is_author(turn, item.sender, first, conversation)
    ):
        return None
    # The edit may come from another device than the message: what is said of the first does not hold for it.
    is_unverified = item.assurance < Assurance.AUTHENTICATED or bool(first.speaker)
    content = replace(item.content, media=first.content.media, full_text=first.content.full_text)
    changed = replace(first, content=content, edited_at=item.at, is_unverified=is_unverified)
    await turn.act(
        conversation.id,
        conversation,
        ReceiveEdit(message=first.id, is_unverified=changed.is_unverified_customers),
        actor=CUSTOMER,
    )
    await turn.unit.messages.replace_content(changed)


async def customer_deleted(turn: Turn, item: MessageDeleted) -> None:
    trace = await turn.unit.messages.find_trace(item.account, item.target)
    if trace is None:
        await reaction_removed(turn, item.account, item.target)
    if trace is None or trace.kind != "origin" or trace.message is None or trace.conversation is None:
        return
    # Others may have the right to delete in the customer's room; that is not the customer's doing.
    first = await turn.unit.messages.get(trace.message)
    conversation = await turn.unit.conversations.lock(trace.conversation)
    if first.is_deleted or not await _is_author(turn, item.sender, first, conversation):
        return
    await turn.act(conversation.id, conversation, ReceiveDeletion(message=first.id), actor=CUSTOMER)
    await turn.unit.messages.mark_deleted(first.id, at=item.at)


async def customer_sent_something_unknown(turn: Turn, item: Unsupported) -> None:
    """Never dropped: the team sees that something came, and what kind of thing it was."""
    chat = await _chat_of(turn, item.account, item.hints)
    thread = await _thread_of(turn, chat)
    if thread is not None:
        remark = Remark(text="S25.unsupported", fields={"what": item.what})
        turn.effects.append(PostRemarks(conversation=thread, lines=[remark]))
    elif item.sender is not None:
        await customer_wrote(turn, _as_message(item, item.sender))


async def customer_message_unreadable(turn: Turn, item: Unreadable, chat: Chat) -> None:
    for_team, for_customer = _UNREADABLE.get(item.reason, ("S25.late", "C9"))
    if for_team and (thread := await _thread_of(turn, chat)) is not None:
        told = {"at": item.at.isoformat(), "reason": item.reason}
        remark = Remark(text=for_team, fields=told, about=item.event)
        turn.effects.append(PostRemarks(conversation=thread, lines=[remark]))
    if for_customer:
        turn.effects.append(WarnCustomer(chat=chat.id, text=for_customer))


async def _open(
    turn: Turn, item: InboundMessage, chat: Chat, message: StoredMessage, *, previous: Conversation | None
) -> None:
    language = detect(item.content.text) or chat.language
    if language != chat.language:
        await turn.unit.chats.set_language(chat.id, language)
    arrival = Arrival(language=language, first_text=item.content.text, account=item.account, at=turn.unit.now)
    groups = await turn.unit.people.groups()
    menu = menu_for(arrival, groups)
    chosen = None if menu else route(arrival, groups)
    if turn.gate is not None:
        await turn.gate.begin(chat, chosen.group if chosen else None)
    id = ConversationId(turn.unit.new_id("conversation", item.account, item.source_id))
    command = OpenConversation(
        number=await free_number(turn, id),
        contact=chat.contact,
        chat=chat.id,
        language=language,
        group=chosen.group if chosen else None,
        routed_because=chosen.reason if chosen else "",
        message=message.id,
        is_unverified=message.is_unverified_customers,
        menu=tuple(menu),
        previous=previous.id if previous else None,
    )
    first = replace(message, conversation=id)
    await turn.act(id, None, command, actor=CUSTOMER, message=first, trace=_origin(item, first))


async def _belongs_to(turn: Turn, conversation: Conversation) -> bool:
    """To this one, or has its time to be reopened passed? Nothing is written any more in one that was erased."""
    if await turn.unit.conversations.is_erased(conversation.id):
        return False
    if not conversation.is_resolved or conversation.group is None:
        return True
    group = await turn.group(conversation.group)
    return reopens(conversation, group.reopen, timedelta(days=group.reopen_days), turn.unit.now)


async def _thread_of(turn: Turn, chat: Chat) -> ConversationId | None:
    """While the customer is asked where it belongs, there is no place yet."""
    conversation = await spoke_last(turn, chat)
    return conversation.id if conversation is not None and conversation.group is not None else None


async def _chat_of(turn: Turn, account: str, hints: Sequence[str]) -> Chat:
    chat = await turn.unit.chats.find(account, hints[0]) if hints else None
    if chat is None:
        raise NotYet("chat", tries=CHAT_TRIES, is_vital=True)
    return chat


async def _is_author(turn: Turn, person: Handle, message: StoredMessage, conversation: Conversation) -> bool:
    """Only who wrote a message may change it (client-server API, "Validity of replacement events") or take it
    back."""
    if message.author is not None:
        return False
    chat = await turn.unit.chats.get(conversation.chat)
    return person.value == (message.speaker or chat.person.value)


async def _receive(turn: Turn, conversation: Conversation, message: StoredMessage, trace: Trace) -> None:
    command = ReceiveMessage(
        message=message.id,
        is_unverified=message.is_unverified_customers,
        is_out_of_sight=await is_out_of_sight(turn, conversation),
        owner_is_available=await _owner_is_available(turn, conversation),
    )
    await turn.set_fates(
        await turn.act(conversation.id, conversation, command, actor=CUSTOMER, message=message, trace=trace)
    )
    await _say_if_away(turn, conversation)


async def _say_if_away(turn: Turn, before: Conversation) -> None:
    """Once, with what the customer says first after a rest; while somebody is writing with them, we are not away."""
    if before.group is None or before.waiting_since is not None or not is_quiet(turn, before):
        return
    turn.effects.extend(away_word(before, await turn.group(before.group), turn.unit.now))


async def _owner_is_available(turn: Turn, conversation: Conversation) -> bool:
    """Asked only when it decides who gets a reopened conversation."""
    if not conversation.is_resolved or conversation.owner is None:
        return True
    return not await owner_is_away(turn, conversation)


def _as_message(item: Unsupported, sender: Handle) -> InboundMessage:
    """The first thing that somebody sends opens a conversation, whatever it is."""
    return InboundMessage(
        account=item.account,
        source_id=item.source_id,
        at=item.at,
        sender=sender,
        content=Content(text=f"[{item.what}]"),
        remote_ids=(RemoteId(item.source_id),),
        hints=item.hints,
    )


def _edit_as_message(item: MessageEdited) -> InboundMessage:
    return InboundMessage(
        account=item.account,
        source_id=item.source_id,
        at=item.at,
        sender=item.sender,
        content=item.content,
        remote_ids=(RemoteId(item.source_id),),
        hints=item.hints,
        assurance=item.assurance,
    )


async def _stored(turn: Turn, item: InboundMessage, chat: Chat) -> StoredMessage:
    id = MessageId(turn.unit.new_id("message", item.account, item.source_id))
    is_other = item.sender != chat.person
    return StoredMessage(
        id=id,
        conversation=chat.conversation or ConversationId(id),
        author=None,
        fate=None,
        content=item.content,
        at=item.at,
        # Somebody else may write in the customer's room; then it is not the customer's verified word.
        is_unverified=item.assurance < Assurance.AUTHENTICATED or is_other,
        speaker=item.sender.value if is_other else "",
        speaker_contact=await turn.unit.chats.person(item.sender) if is_other else None,
        is_late="late" in item.signals,
        reply_to=await answered_message(turn, item.account, item.reply_to),
    )


def _origin(item: InboundMessage, message: StoredMessage) -> Trace:
    return Trace(
        account=item.account,
        room=item.hints[0],
        remote_id=item.remote_ids[0],
        kind="origin",
        conversation=message.conversation,
        message=message.id,
    )
