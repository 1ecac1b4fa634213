"""Which endpoint of the homeserver a request went to, and how it was answered, as words of closed lists: paths hold ids
of rooms, people and events."""

from collections.abc import Sequence

# The word behind the version (`sync`), or behind the room's id (`send`).
_OF_ACCOUNT = (
    "sync", "login", "account", "createRoom", "delete_devices", "devices", "directory", "join", "joined_rooms", "keys",
    "pushrules", "room_keys", "sendToDevice", "user", "profile", "capabilities",
)  # fmt: skip
_OF_ROOM = (
    "send", "state", "messages", "members", "redact", "event", "relations", "invite", "kick", "leave", "forget",
    "aliases", "joined_members", "upgrade",
)  # fmt: skip
_OTHERS = ("media", "versions", "admin", "other")
ENDPOINTS = frozenset((*_OF_ACCOUNT, *_OF_ROOM, *_OTHERS))
NO_ANSWER = "none"
CODES = frozenset((
    "200", "400", "401", "403", "404", "405", "409", "413", "429", "500", "502", "503", "504", NO_ANSWER,
))  # fmt: skip


def endpoint_of(url: str) -> str:
    """`url` is a path below the homeserver: `/_matrix/client/v3/rooms/%21a%3Ab/send/m.room.message/1` is `send`."""
    parts = url.split("?", 1)[0].split("/")[1:]
    if parts[:2] == ["_matrix", "media"]:
        return "media"
    if parts[:1] == ["_synapse"]:
        return "admin"
    return _of_client(parts[3:] if parts[:2] == ["_matrix", "client"] and len(parts) > 3 else parts[2:])


def _of_client(parts: Sequence[str]) -> str:
    if parts[:1] == ["rooms"]:
        word = parts[2] if len(parts) > 2 else ""
        return word if word in _OF_ROOM else "join" if word == "join" else "other"
    word = parts[0] if parts else ""
    return word if word in ENDPOINTS else "other"
