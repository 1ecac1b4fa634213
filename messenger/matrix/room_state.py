"""State events of a room, applied to what we know of it. Pure. Encryption can only be switched on."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from messenger.app.desk_ports import RoomState
from messenger.matrix.batch import as_dict, as_text, is_user_id

MEGOLM = "m.megolm.v1.aes-sha2"
MOST_MS, MOST_MESSAGES = 2**53 - 1, 2**31 - 1
_VISIBILITIES = frozenset({"invited", "joined", "shared", "world_readable"})
_MEMBERSHIPS = frozenset({"invite", "join", "leave", "ban", "knock"})


def apply(room: RoomState, events: Iterable[Mapping[str, Any]], *, own: str) -> tuple[RoomState, dict[str, str]]:
    """Returns the room after these state events, oldest first, and the memberships that they set."""
    members: dict[str, str] = {}
    for event in events:
        content, key = as_dict(event["content"]), event.get("state_key")
        if not isinstance(key, str):
            continue
        match event["type"]:
            case "m.room.encryption" if key == "":
                room = _encrypted(room, content)
            case "m.room.history_visibility" if key == "":
                seen = as_text(content.get("history_visibility"))
                room = replace(room, history_visibility=seen if seen in _VISIBILITIES else "shared")
            case "m.room.member" if is_user_id(key) and as_text(content.get("membership")) in _MEMBERSHIPS:
                members[key] = content["membership"]
    return (replace(room, membership=members[own]) if own in members else room), members


def _encrypted(room: RoomState, content: Mapping[str, Any]) -> RoomState:
    """An algorithm that we do not speak is kept: the sender refuses such a room."""
    if room.encrypted and content.get("algorithm") == room.algorithm:
        return replace(
            room,
            rotation_ms=_limit(content, "rotation_period_ms"),
            rotation_messages=_limit(content, "rotation_period_msgs", MOST_MESSAGES),
        )
    if room.encrypted and room.algorithm == MEGOLM and not content.get("algorithm"):
        return room  # a downgrade by an empty event changes nothing
    return replace(
        room,
        encrypted=True,
        algorithm=as_text(content.get("algorithm"))[:100] or room.algorithm or MEGOLM,
        rotation_ms=_limit(content, "rotation_period_ms"),
        rotation_messages=_limit(content, "rotation_period_msgs", MOST_MESSAGES),
    )


def _limit(content: Mapping[str, Any], name: str, most: int = MOST_MS) -> int | None:
    """Whoever may change the room's state chooses these numbers; one that we cannot store counts as none."""
    value = content.get(name)
    return value if type(value) is int and 0 < value <= most else None
