"""Verification as people meet it: emoji to compare, how it ended, and the command that begins one. What a verification
proves, and why it alone changes nothing in what the desk believes, stands in `matrix/verification`."""

from dataclasses import dataclass

from messenger.app.audit import audit
from messenger.app.effects.customer import TellCustomer
from messenger.app.effects.thread import PostNotice
from messenger.app.effects.trust import AskVerification, SayOfTrust
from messenger.app.items import DeskIdentityChanged, VerificationNews
from messenger.app.order import DeskOrder
from messenger.app.turn import Turn

_MISMATCH = frozenset({"m.mismatched_sas", "m.key_mismatch", "m.mismatched_commitment"})
_SILENT = frozenset({"m.accepted"})  # another of their devices has taken it


@dataclass(frozen=True, slots=True)
class _Listener:
    room: str
    language: str
    is_staff: bool


async def verification_news(turn: Turn, item: VerificationNews) -> None:
    await turn.unit.trust.note_verification(item)
    listener = await _listener(turn, item)
    text = _text_for(item, listener)
    if listener is not None and text is not None:
        fields = {"pictures": " ".join(map(str, item.emoji)), "numbers": " ".join(map(str, item.decimals))}
        fields["person"] = item.user
        turn.effects.append(SayOfTrust(room=listener.room, text=text, language=listener.language, fields=fields))


def _text_for(item: VerificationNews, listener: _Listener | None) -> str | None:
    if not item.is_over:
        return "verify.compare" if item.emoji or item.decimals else None
    if not item.code:
        return "verify.done.staff" if listener and listener.is_staff else "verify.done"
    if item.code in _MISMATCH:
        return "verify.ended.mismatch"
    if item.code in _SILENT:
        return None
    if item.code == "m.unknown_transaction" and item.by_us:
        return "verify.ended.restart"
    return "verify.ended.timeout" if item.code == "m.timeout" else "verify.ended"


async def _listener(turn: Turn, item: VerificationNews) -> _Listener | None:
    """Where it takes place, else the direct chat or the newest chat with this person; None where there is none: then
    only the command line shows it."""
    seats = await turn.unit.people.seats_of(item.user)
    if seats:
        agent = seats[0][1].agent
        room = item.room or await turn.unit.people.direct_room_of(agent.id)
        return _Listener(room, agent.language, is_staff=True) if room else None
    chat = await turn.unit.trust.chat_with(item.account, item.user, room=item.room)
    return _Listener(chat[0], chat[1], is_staff=False) if chat else None


async def desk_identity_changed(turn: Turn, item: DeskIdentityChanged) -> None:
    """People's apps warn of it; so that they know why, or can tell us that it was not us."""
    audit(turn.unit, actor="system", action="desk.identity_changed", object="desk", purpose="device_trust")
    fields = {"key": grouped(item.master)}
    for conversation, chat in await turn.unit.trust.open_chats():
        told = TellCustomer(chat=chat, conversation=conversation, text="verify.new_identity", fields=fields)
        turn.effects.append(told)
        notice = PostNotice(conversation=conversation, text="verify.new_identity.staff", fields=fields)
        turn.effects.append(notice)


def grouped(key: str) -> str:
    """As people compare it."""
    return " ".join(key[start : start + 4] for start in range(0, len(key), 4))


async def verify(order: DeskOrder) -> None:
    """In the direct chat, if the person has one with the desk; else on all their devices."""
    room = await order.turn.unit.people.direct_room_of(order.person.id)
    asked = AskVerification(person=order.person.address, room=room, language=order.person.language)
    order.turn.effects.append(asked)
    order.answer("verify.asked")
