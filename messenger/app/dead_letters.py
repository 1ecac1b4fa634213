"""What the team sees of a row that failed for good: a red note where it belongs. The row itself is kept among the dead
letters, for a person to decide.

What staff wrote to the customer keeps its lane: nobody shall get the second half of an answer without the first, and
whether the first got through only a look can tell. Everything else steps aside, so that one broken row does not hide
all that came after it.

    an answer to the customer          block_lane      its author is asked
    anything else                      skip_and_mark   the thread says what is missing
    states (card, marks, board)        skip_and_mark   without a note: the next change shows the newest
"""

from collections.abc import Mapping
from uuid import UUID

from messenger.app.effects.base import Effect
from messenger.app.effects.customer import AtCustomer, SendToCustomer
from messenger.app.effects.groups import TellGroup
from messenger.app.effects.staff import ProvideDirectRoom, TellPerson
from messenger.app.effects.thread import PostNotice
from messenger.app.items import DeskOut, PutAside
from messenger.app.records import InboxRow, NewItem
from messenger.app.trust import place_of
from messenger.app.turn import Turn
from messenger.domain.ids import ConversationId, MessageId

NOTES = "S34"
# By what is missing in the thread; of other kinds only something of the desk's own is.
_NOTE: Mapping[str, str] = {
    "RelayToThread": "S34.customers",
    "EditInThread": "S34.customers",
    "InboundMessage": "S34.customers",
    "MessageEdited": "S34.customers",
    "MessageDeleted": "S34.customers",
    "Unsupported": "S34.customers",
    "StaffSaid": "S34.staffs",
    "StaffReacted": "S34.staffs",
    "StaffRedacted": "S34.staffs",
    "TellCustomer": "S34.told",
    "WarnCustomer": "S34.told",
    "OfferMenu": "S34.told",
    "EndMenu": "S34.told",
}


def blocks_lane(effect: Effect) -> bool:
    return isinstance(effect, SendToCustomer)


def effect_put_aside(effect: Effect, txn: str, attempts: int) -> NewItem | None:
    """The word to the team; None for states, for what has no conversation, and for a note of this kind itself."""
    conversation: UUID | None = getattr(effect, "conversation", None)
    is_note = isinstance(effect, PostNotice) and effect.text.startswith(NOTES)
    if conversation is None or effect.is_latest_wins or is_note or _has_word_of_its_own(effect):
        return None
    item = PutAside(
        account="",
        kind=type(effect).__name__,
        lane="",
        conversation=conversation,
        message=effect.message if isinstance(effect, SendToCustomer) else None,
    )
    return NewItem(source="dead letter", source_id=f"{txn}|{attempts}", lane=f"dead:{conversation}", item=item)


def _has_word_of_its_own(effect: Effect) -> bool:
    """Of a change to an answer its author hears as of any other that the channel does not take."""
    return isinstance(effect, AtCustomer) and not blocks_lane(effect)


def item_put_aside(row: InboxRow) -> NewItem:
    conversation: UUID | None = getattr(row.item, "conversation", None)
    kind = type(row.item).__name__
    return sealed_item_put_aside(row.id, row.attempts, source=row.source, lane=row.lane, kind=kind, of=conversation)


def sealed_item_put_aside(
    id: int, attempts: int, *, source: str, lane: str, kind: str, of: UUID | None = None
) -> NewItem:
    """Of a row that does not open its lane is known all the same."""
    item = PutAside(account=source, kind=kind, lane=lane, conversation=of)
    return NewItem(source="dead letter", source_id=f"inbox {id}|{attempts}", lane=f"dead:{lane}", item=item)


def sealed_effect_put_aside(conversation: UUID, *, txn: str, kind: str, attempts: int) -> NewItem:
    item = PutAside(account="", kind=kind, lane="", conversation=conversation)
    return NewItem(source="dead letter", source_id=f"{txn}|{attempts}", lane=f"dead:{conversation}", item=item)


async def put_aside(turn: Turn, item: PutAside) -> None:
    """A word about a lost word would find the same fault: of that only the list tells."""
    if item.kind == PutAside.__name__:
        return
    id = ConversationId(item.conversation) if item.conversation else await _conversation_of(turn, item)
    if id is None:
        await _tell_the_default_group(turn, item)
    else:
        turn.effects.append(await _note(turn, item, id))


async def _note(turn: Turn, item: PutAside, id: ConversationId) -> Effect:
    case = await turn.unit.conversations.case(id)
    if case.card is None:
        return TellGroup(group=case.group.id, text="S34.card", fields={"ref": case.conversation.number})
    if item.message is None:
        return PostNotice(conversation=id, text=_NOTE.get(item.kind, "S34.desks"))
    author = (await turn.unit.messages.get(MessageId(item.message))).author
    return PostNotice(conversation=id, text="S34.answer", mention=author)


async def _conversation_of(turn: Turn, item: PutAside) -> ConversationId | None:
    """Lanes are a chat, or a desk room with the root of a thread behind it."""
    room, _, thread = item.lane.partition("|")
    chat = await turn.unit.chats.find(item.account, room)
    if chat is not None:
        return chat.conversation
    own_room = await turn.unit.conversations.place_of_room(room)
    if own_room is not None:
        return own_room[0]
    trace = await turn.unit.messages.find_trace(item.account, thread) if thread else None
    return trace.conversation if trace else None


async def _tell_the_default_group(turn: Turn, item: PutAside) -> None:
    """A customer's first word has no conversation yet: somebody must know that they wrote at all."""
    if _NOTE.get(item.kind) != "S34.customers" or await turn.unit.chats.find(item.account, item.lane) is None:
        return
    groups = await turn.unit.people.groups()
    default = next((group for group in groups if group.is_default), None)
    if default is not None:
        turn.effects.append(TellGroup(group=default.id, text="S34.first"))


async def is_of_staff(turn: Turn, room: str) -> bool:
    """Is this the room of a group, or of one conversation?"""
    if await turn.unit.people.group_of_room(room) is not None:
        return True
    return await turn.unit.conversations.place_of_room(room) is not None


async def desk_out(turn: Turn, item: DeskOut) -> None:
    """Nobody writes into a room that nobody reads without knowing it. An invitation of the desk ends it."""
    chat = await turn.unit.chats.find(item.account, item.room)
    if chat is not None:
        if chat.conversation is not None and chat.remote == item.room:
            turn.effects.append(PostNotice(conversation=chat.conversation, text="S35.chat"))
        return
    if not await is_of_staff(turn, item.room):
        return
    place = await place_of(turn, item.account, item.room)
    for lead in await turn.unit.trust.leads([group.id for group in place.groups]):
        turn.effects.append(ProvideDirectRoom(agent=lead.id))
        turn.effects.append(TellPerson(agent=lead.id, text="S35.group", fields={"group": place.name}))
    await _tell_elsewhere(turn, item.room)


async def _tell_elsewhere(turn: Turn, room: str) -> None:
    lost = await turn.unit.people.group_of_room(room)
    default = next((group for group in await turn.unit.people.groups() if group.is_default), None)
    if lost is not None and default is not None and lost.id != default.id:
        turn.effects.append(TellGroup(group=default.id, text="S35.group", fields={"group": lost.name}))
