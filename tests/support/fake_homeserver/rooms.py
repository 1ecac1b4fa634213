"""Rooms of the fake homeserver: state, timeline, members."""

import secrets
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

STRIPPED_STATE = frozenset({"m.room.create", "m.room.name", "m.room.join_rules", "m.room.encryption", "m.room.member"})


class Refused(Exception):
    """Becomes an error answer."""

    def __init__(self, status: int, errcode: str, message: str = "") -> None:
        super().__init__(message or errcode)
        self.status, self.errcode = status, errcode


@dataclass(slots=True)
class Room:
    """`positions[i]` is the place of `timeline[i]` in the server's one stream."""

    room_id: str
    state: dict[tuple[str, str], Json] = field(default_factory=dict)
    timeline: list[Json] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    by_id: dict[str, Json] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)  # user -> position of the last membership change
    annotations: set[tuple[str, ...]] = field(default_factory=set)

    def membership(self, user_id: str) -> str:
        event = self.state.get(("m.room.member", user_id))
        return str(event["content"].get("membership", "leave")) if event else "leave"

    def members(self, *memberships: str) -> list[str]:
        return [
            key
            for (kind, key), event in self.state.items()
            if kind == "m.room.member" and event["content"].get("membership") in memberships
        ]

    def append(self, event: Json, position: int) -> None:
        self.timeline.append(event)
        self.positions.append(position)
        self.by_id[event["event_id"]] = event
        if "state_key" in event:
            self._set_state(event, position)

    def _set_state(self, event: Json, position: int) -> None:
        key = event["state_key"]
        if event["type"] == "m.room.member" and event["content"].get("membership") != self.membership(key):
            self.since[key] = position
        self.state[event["type"], key] = event

    def indices(self, after: int, until: int) -> range:
        """Of the events at positions after `after`, up to and with `until`."""
        return range(bisect_right(self.positions, after), bisect_right(self.positions, until))

    def stripped_state(self, user_id: str) -> list[Json]:
        return [
            {key: event[key] for key in ("type", "state_key", "content", "sender")}
            for (kind, key), event in self.state.items()
            if kind in STRIPPED_STATE and (kind != "m.room.member" or key == user_id)
        ]


def new_room_id() -> str:
    """Of room version 12: a hash, without a server part."""
    return "!" + secrets.token_urlsafe(32)


def new_event(room_id: str, sender: str, kind: str, content: Json, *, at_ms: int, state_key: str | None = None) -> Json:
    event: Json = {
        "event_id": "$" + secrets.token_urlsafe(32),
        "room_id": room_id,
        "sender": sender,
        "type": kind,
        "content": content,
        "origin_server_ts": at_ms,
        "unsigned": {},
    }
    return event if state_key is None else {**event, "state_key": state_key}


def initial_state(creator: str, body: Json) -> Iterable[tuple[str, str, Json]]:
    """The state events of /createRoom in the order of the specification, the creator's own membership after
    `create`."""
    version = str(body.get("room_version", "12"))
    yield "m.room.create", "", {"room_version": version, **body.get("creation_content", {})}
    yield "m.room.member", creator, {"membership": "join"}
    yield "m.room.power_levels", "", {"users": {}, **body.get("power_level_content_override", {})}
    public = body.get("preset") == "public_chat"
    yield "m.room.join_rules", "", {"join_rule": "public" if public else "invite"}
    yield "m.room.history_visibility", "", {"history_visibility": "shared"}
    for event in body.get("initial_state", []):
        yield event["type"], event.get("state_key", ""), event["content"]
    if "name" in body:
        yield "m.room.name", "", {"name": body["name"]}
    if "topic" in body:
        yield "m.room.topic", "", {"topic": body["topic"]}
