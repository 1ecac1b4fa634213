"""Which messages belong to verifications, read off the wire. Pure; nothing here raises."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from messenger.matrix.batch import as_dict, as_event_id, is_user_id
from messenger.matrix.engine import Decrypted

PREFIX = "m.key.verification."
REQUEST = PREFIX + "request"
MAX_ID = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """`id` names the verification. `device_id` is the device that has certainly sent it, where that is known (the event
    was encrypted); `at` in seconds, as the homeserver or the sender says. `is_due`: it has waited for its moment."""

    id: str
    kind: str
    sender: str
    content: Mapping[str, Any]
    at: float
    room: str | None = None
    device_id: str = ""
    is_due: bool = False


def is_verification(event: Mapping[str, Any], opened: Decrypted | None) -> bool:
    """A room event that no person has written: it is never relayed or shown. Element sends them in clear also where the
    room is encrypted; what they say is proved by the verification itself, or not at all."""
    if (opened is None and "state_key" in event) or (opened is not None and opened.state != "new"):
        return False
    type, content = _said(event, opened)
    return type.startswith(PREFIX) or (type == "m.room.message" and content.get("msgtype") == REQUEST)


def _said(event: Mapping[str, Any], opened: Decrypted | None) -> tuple[str, Mapping[str, Any]]:
    return (event["type"], event["content"]) if opened is None else (opened.type, as_dict(opened.content))


def in_room(room_id: str, event: Mapping[str, Any], opened: Decrypted | None, *, own: str) -> Heard | None:
    """Of an event that `is_verification`. `own` is our user id."""
    (type, content), sender, sent_ms = _said(event, opened), event["sender"], event.get("origin_server_ts")
    if sender == own:
        return None
    is_request = type == "m.room.message"
    if is_request and content.get("to") != own:
        return None
    relation = as_dict(content.get("m.relates_to"))
    about = as_event_id(relation.get("event_id")) if relation.get("rel_type") == "m.reference" else ""
    id = event["event_id"] if is_request else about
    if not id:
        return None
    return Heard(
        id=id,
        kind="request" if is_request else type.removeprefix(PREFIX),
        sender=sender,
        content=content,
        at=_seconds(sent_ms),
        room=room_id,
        device_id=opened.device_id if opened else "",
    )


def to_device(event: Any, *, own: str) -> Heard | None:
    """One to-device event as it came. It may be in clear: what it says is proved by the verification itself, or not at
    all."""
    if not isinstance(event, Mapping):
        return None
    kind, sender, content = event.get("type"), event.get("sender"), event.get("content")
    if not isinstance(kind, str) or not kind.startswith(PREFIX) or not isinstance(content, Mapping):
        return None
    id = content.get("transaction_id")
    if not is_proper_id(id) or not is_user_id(sender) or sender == own:
        return None
    return Heard(
        id=str(id),
        kind=kind.removeprefix(PREFIX),
        sender=str(sender),
        content=content,
        at=_seconds(content.get("timestamp")),
    )


def is_proper_id(id: Any) -> bool:
    """It becomes a part of ids in the database, which takes neither NUL nor halves of characters."""
    return isinstance(id, str) and 0 < len(id) <= MAX_ID and id.isprintable()


def _seconds(milliseconds: Any) -> float:
    return milliseconds / 1000 if type(milliseconds) is int and 0 <= milliseconds < 1 << 53 else 0.0
