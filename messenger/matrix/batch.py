"""One /sync answer as values. Nothing in it is trusted: whatever has the wrong shape is left out, and nothing here
raises.

Client-server API v1.16, "Syncing"."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

MOST_KEYS = 1_000_000  # a count beyond it is nonsense
MAX_ID = 255  # Matrix spec, "Appendices", identifiers


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomBatch:
    """What one answer says of a room that we are in; only well-formed events. `state` are the state events in the order
    in which they happened, those of the timeline included. Before a limited timeline there is a gap, from the token
    `since` to `prev_batch`."""

    room_id: str
    state: Sequence[Mapping[str, Any]] = ()
    timeline: Sequence[Mapping[str, Any]] = ()
    malformed: int = 0  # how many of the timeline were no events
    is_limited: bool = False
    prev_batch: str = ""
    since: str = ""

    def followed_by(self, later: "RoomBatch") -> "RoomBatch":
        """The gap of a later one that is limited, too, holds what stands here."""
        return replace(
            later if later.is_limited else self,
            state=[*self.state, *later.state],
            timeline=later.timeline if later.is_limited else [*self.timeline, *later.timeline],
            malformed=self.malformed + later.malformed,
            since=self.since,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    room_id: str
    sender: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncBatch:
    """`behind`: rooms that are left out, because the gap before their timeline cannot be read yet. As long as there are
    any, `next_batch` must not be kept: whoever begins anew begins before the gap."""

    next_batch: str
    rooms: Sequence[RoomBatch] = ()
    invites: Sequence[Invite] = ()
    left: Sequence[str] = ()
    to_device: Sequence[Any] = ()
    changed: Sequence[str] = ()
    gone: Sequence[str] = ()
    one_time_keys: int | None = None
    unused_fallback_keys: Sequence[str] | None = None  # by algorithm; None: the server knows no such keys
    behind: Sequence[RoomBatch] = ()

    def without(self, room_ids: Collection[str]) -> "SyncBatch":
        return replace(
            self,
            rooms=[room for room in self.rooms if room.room_id not in room_ids],
            invites=[invite for invite in self.invites if invite.room_id not in room_ids],
            left=[room_id for room_id in self.left if room_id not in room_ids],
        )


def parse(answer: Any) -> SyncBatch | None:
    """None if there is not even a token to go on from."""
    body = as_dict(answer)
    token = body.get("next_batch")
    if not isinstance(token, str) or not token or "\0" in token:
        return None
    rooms, lists = as_dict(body.get("rooms")), as_dict(body.get("device_lists"))
    joined = [
        _room(room_id, as_dict(room)) for room_id, room in as_dict(rooms.get("join")).items() if is_room_id(room_id)
    ]
    invites = [
        _invite(room_id, as_dict(room)) for room_id, room in as_dict(rooms.get("invite")).items() if is_room_id(room_id)
    ]
    keys = as_dict(body.get("device_one_time_keys_count")).get("signed_curve25519")
    return SyncBatch(
        next_batch=token,
        rooms=joined,
        invites=[invite for invite in invites if invite],
        left=[room_id for room_id in as_dict(rooms.get("leave")) if is_room_id(room_id)],
        to_device=as_list(as_dict(body.get("to_device")).get("events")),
        changed=[user for user in as_list(lists.get("changed")) if is_user_id(user)],
        gone=[user for user in as_list(lists.get("left")) if is_user_id(user)],
        one_time_keys=keys if type(keys) is int and 0 <= keys <= MOST_KEYS else None,
        unused_fallback_keys=_names(body.get("device_unused_fallback_key_types")),
    )


def _names(value: Any) -> Sequence[str] | None:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else None


def events(values: Any) -> list[Mapping[str, Any]]:
    """The well-formed events of a list."""
    return [_tamed(event) for event in as_list(values) if is_event(event)]


def state_events(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [event for event in events if "state_key" in event]


def is_event(event: Any) -> bool:
    return (
        isinstance(event, dict)
        and is_id(event.get("event_id"), "$")
        and is_user_id(event.get("sender"))
        and isinstance(event.get("type"), str)
        and isinstance(event.get("content"), dict)
        and isinstance(event.get("state_key", ""), str)
    )


def is_id(value: Any, sigil: str) -> bool:
    return isinstance(value, str) and value.startswith(sigil) and 1 < len(value) <= MAX_ID and value.isprintable()


def is_room_id(value: Any) -> bool:
    return is_id(value, "!")


def is_user_id(value: Any) -> bool:
    return is_id(value, "@") and ":" in value


def as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """A text that a database can hold: JSON may bring NUL and halves of surrogate pairs."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode().replace("\0", "") if not value.isprintable() else value


def as_event_id(value: Any) -> str:
    return value if is_id(value, "$") else ""


def server_of(user_id: str) -> str:
    """The server part of a user id. (Room ids of version 12 have none; never ask them.)"""
    return user_id.partition(":")[2]


def _tamed(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """`sender_key` of an encrypted event is deprecated and may be missing (spec v1.3); so is one that is no text."""
    content = event["content"]
    if event["type"] != "m.room.encrypted" or isinstance(content.get("sender_key", ""), str):
        return event
    return {**event, "content": {name: value for name, value in content.items() if name != "sender_key"}}


def _room(room_id: str, room: dict[str, Any]) -> RoomBatch:
    timeline = as_dict(room.get("timeline"))
    recent = events(timeline.get("events"))
    return RoomBatch(
        room_id=room_id,
        state=[*events(as_dict(room.get("state")).get("events")), *state_events(recent)],
        timeline=recent,
        malformed=len(as_list(timeline.get("events"))) - len(recent),
        is_limited=timeline.get("limited") is True,
        prev_batch=as_text(timeline.get("prev_batch")),
    )


def _invite(room_id: str, room: dict[str, Any]) -> Invite | None:
    """Invites come with stripped state only; the inviter is the sender of our own membership."""
    for event in as_list(as_dict(room.get("invite_state")).get("events")):
        known = as_dict(event)
        is_invite = as_dict(known.get("content")).get("membership") == "invite"
        if known.get("type") == "m.room.member" and is_invite and is_user_id(known.get("sender")):
            return Invite(room_id=room_id, sender=known["sender"])
    return None
