"""What a delivery leaves behind."""

from collections.abc import Sequence
from dataclasses import dataclass

from messenger.app.effects.customer import AtCustomer, DeleteAtCustomer, EditAtCustomer, MirrorReactions, SendToCustomer
from messenger.app.effects.thread import RelayToThread, ShowFiles
from messenger.app.items import FileWaits, SendEnded, SentEffect, WaitingEffect
from messenger.app.records import NewItem, PlaceRow, Trace
from messenger.domain.ids import AgentId, ChatId, ConversationId, GroupId


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a delivery leaves behind, written in the transaction that settles the row."""

    traces: Sequence[Trace] = ()
    gone: Sequence[Trace] = ()
    items: Sequence[NewItem] = ()
    card: tuple[ConversationId, PlaceRow] | None = None
    edited_card: ConversationId | None = None
    remarked: ConversationId | None = None
    spoke: tuple[ChatId, ConversationId] | None = None  # it did not speak last in this chat, and now it has
    opened: tuple[ChatId, str] | None = None  # an expected chat, and its room
    group_room: tuple[GroupId, str] | None = None
    direct_room: tuple[AgentId, str] | None = None
    is_decision: bool = False  # about somebody's keys: what waited for it is due
    flood: tuple[int, str, int] | None = None  # the event of its card, and the number that stands on it
    board: tuple[GroupId, str, str] | None = None  # its event, and the digest of what stands on it


NOTHING = Outcome()


Sending = AtCustomer | RelayToThread | MirrorReactions


def ended(effect: Sending, txn: str, code: str) -> NewItem:
    """The result of a send; it comes back through the inbox, once. What was accepted may be sent again for a homeserver
    that has lost it, and be refused then: that is another result."""
    item = SendEnded(conversation=effect.conversation, message=effect.message, effect=_name(effect), code=code)
    source_id = f"{txn}|{code}" if code else txn
    return NewItem(source="outbox", source_id=source_id, lane=f"ended:{effect.message}", item=item)


def waits_for_scanner(effect: RelayToThread | SendToCustomer | ShowFiles, txn: str) -> NewItem:
    """Its file goes on in a lane of its own; the row itself has done what it could."""
    message = None if isinstance(effect, ShowFiles) else effect.message
    kind: WaitingEffect = "ShowFiles"
    if isinstance(effect, RelayToThread | SendToCustomer):
        kind = "RelayToThread" if isinstance(effect, RelayToThread) else "SendToCustomer"
    item = FileWaits(conversation=effect.conversation, effect=kind, sent_as=txn, message=message)
    return NewItem(source="scanner", source_id=txn, lane=f"scanner:{message or effect.conversation}", item=item)


def _name(effect: Sending) -> SentEffect:
    match effect:
        case RelayToThread():
            return "RelayToThread"
        case EditAtCustomer():
            return "EditAtCustomer"
        case DeleteAtCustomer():
            return "DeleteAtCustomer"
        case MirrorReactions():
            return "MirrorReactions"
        case _:
            return "SendToCustomer"
