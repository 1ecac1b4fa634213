"""Decrypting room events and binding them to their sender (matrix.md 3): the event's sender, a device of theirs and
the Megolm session must belong together, for EVERY device. Without that, a homeserver could put one user's words under
another's name."""

import json
from collections.abc import Mapping
from typing import Any

import vodozemac

from messenger.matrix.crypto.devices import is_owner_signed
from messenger.matrix.crypto.inbound import as_set, short_text
from messenger.matrix.crypto.machine import MEGOLM
from messenger.matrix.crypto.records import Device, InboundSession
from messenger.matrix.crypto.state import CryptoState
from messenger.matrix.engine import Decrypted, withheld_reason

# An event is no larger than 65,536 bytes (Matrix spec, "Size limits"); what is, comes from no homeserver that keeps it.
MAX_CIPHERTEXT = 65_536


class _Refused(Exception):
    """Carries the reason code of an event that cannot be shown."""


def decrypt(state: CryptoState, room_id: str, event: Mapping[str, Any]) -> Decrypted:
    """No I/O: sessions and devices were loaded before. Never raises for anything in the event."""
    try:
        sender, session_id, ciphertext = _fields(event)
    except _Refused as refused:
        return Decrypted(state="undecryptable", reason=str(refused))
    sessions = state.inbound.get((room_id, session_id), {})
    if not sessions:
        code = state.withheld.get((room_id, session_id), {}).get(sender)
        reason = "no_session" if code is None else withheld_reason(code)
        return Decrypted(state="waiting_key", session_id=session_id, reason=reason)
    session = _best_session(state, sender, sessions)
    return _decrypt_with(state, session, sender, ciphertext, event["content"])


def _fields(event: Mapping[str, Any]) -> tuple[str, str, vodozemac.MegolmMessage]:
    content, sender = event.get("content"), event.get("sender")
    if not isinstance(content, Mapping) or not isinstance(sender, str):
        raise _Refused("malformed")
    if content.get("algorithm") != MEGOLM:
        raise _Refused("unknown_algorithm")
    try:
        ciphertext = content["ciphertext"]
        if len(ciphertext) > MAX_CIPHERTEXT:
            raise _Refused("too_large")
        return sender, short_text(content["session_id"]), vodozemac.MegolmMessage.from_base64(ciphertext)
    except (KeyError, TypeError, ValueError):
        raise _Refused("malformed") from None


def _best_session(state: CryptoState, sender: str, sessions: Mapping[str, InboundSession]) -> InboundSession:
    """Events need not name their sender key, and anybody can send us a copy of somebody's session under his own key."""
    return min(sessions.values(), key=lambda session: _distance(_contradiction(state, session, sender)))


def _distance(contradiction: str | None) -> int:
    return 0 if contradiction is None else 1 if contradiction == "unknown_device" else 2


def _decrypt_with(
    state: CryptoState, session: InboundSession, sender: str, message: vodozemac.MegolmMessage, outer: Mapping[str, Any]
) -> Decrypted:
    known: dict[str, Any] = {"sender_key": session.sender_key, "session_id": session.megolm.session_id}
    known["first_index"] = None if session.imported else session.megolm.first_known_index
    try:
        plain = session.megolm.decrypt(message)
        known["index"] = plain.message_index
        payload = _payload(plain.plaintext, outer)
    except _Refused as refused:
        return Decrypted(state="undecryptable", reason=str(refused), **known)
    except ValueError:
        early = message.message_index() < session.megolm.first_known_index
        return Decrypted(state="undecryptable", reason="before_first_key" if early else "broken_ciphertext", **known)
    return _bound(state, session, sender, payload, known)


def _bound(
    state: CryptoState, session: InboundSession, sender: str, payload: Mapping[str, Any], known: Mapping[str, Any]
) -> Decrypted:
    reason = _contradiction(state, session, sender)
    if payload["room_id"] != session.room_id:
        reason = "other_room"
    if reason == "unknown_device":
        return Decrypted(state="waiting_key", reason=reason, **known)
    text = {"type": payload["type"], "content": payload["content"], **known}
    if reason:
        return Decrypted(state="quarantine", reason=reason, **text)
    device = _device(state, session, sender)
    signed = device is None or is_owner_signed(device, state.users[sender].identity)
    return Decrypted(
        state="new",
        device_id=device.device_id if device else state.device_id,
        owner_signed=signed and not session.imported,
        reason="from_backup" if session.imported else "",
        **text,
    )


def _contradiction(state: CryptoState, session: InboundSession, sender: str) -> str | None:
    """Why this session is not the sender's; `unknown_device` if that cannot be told yet."""
    if session.user_id not in (None, sender):
        return "session_of_another_user"
    if sender == state.user_id:
        own = session.sender_key == state.machine.curve25519 and session.ed25519 == state.machine.ed25519
        return None if own else "foreign_device"
    device = _device(state, session, sender)
    if device is None:
        return "unknown_device"
    if device.ed25519 != session.ed25519:
        return "device_keys_contradict"
    return "forwarded" if session.chain else None


def _device(state: CryptoState, session: InboundSession, sender: str) -> Device | None:
    entry = state.users.get(sender)
    return entry.by_curve25519(session.sender_key, ed25519=session.ed25519) if entry else None


def _payload(plaintext: bytes, outer: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        payload = json.loads(plaintext, parse_constant=_no_number)
        json.dumps(payload, ensure_ascii=False).encode()  # lone surrogates could not be stored
        kind, content = payload["type"], payload["content"]
        room_id = payload["room_id"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise _Refused("malformed_plaintext") from None
    if not as_set(kind) or not isinstance(content, dict) or not isinstance(room_id, str):
        raise _Refused("malformed_plaintext")
    if "m.relates_to" in outer:
        inner = content.setdefault("m.relates_to", outer["m.relates_to"])
        if _what_of(inner) != _what_of(outer["m.relates_to"]):
            raise _Refused("other_relation")
    return {"type": kind, "content": content, "room_id": room_id}


def _what_of(relation: Any) -> tuple[Any, Any]:
    """Outside, in clear, anybody on the way can change which thread a message stands in, or which one it edits. Most
    apps say it inside, too: then both must say the same, or one customer would read what is meant for another."""
    return (relation.get("rel_type"), relation.get("event_id")) if isinstance(relation, Mapping) else (None, None)


def _no_number(text: str) -> float:
    raise ValueError("not JSON")
