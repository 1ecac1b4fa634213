"""Room upgrades (client-server API v1.16, "Room upgrades"): does a room really take the place of another? Pure, over
the state of both."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from messenger.app.items import RoomFollowed
from messenger.matrix import room_state
from messenger.matrix.batch import as_dict, as_list, as_text, is_room_id, is_user_id

State = Sequence[Mapping[str, Any]]
TOMBSTONE, CREATE, POWER = "m.room.tombstone", "m.room.create", "m.room.power_levels"
# Whoever closes a room takes everybody elsewhere: less than an administrator is not enough, whatever the room says.
LEAST_POWER = 100
# Up to these, a creator has the power that the levels give; later, more than anybody (room version 12, MSC4289).
_OLD_VERSIONS = frozenset(str(number) for number in range(1, 12))


def replacement(state: State) -> tuple[str, str] | None:
    """What a room's state says takes its place, and who says so."""
    event = _event(state, TOMBSTONE)
    successor = as_text(as_dict(event["content"]).get("replacement_room")) if event else ""
    return (successor, str(event["sender"])) if event and is_room_id(successor) else None


def closed(state: State) -> tuple[str, str] | None:
    """As `replacement`, also where nothing is to take the room's place: people's apps let nobody write there."""
    event = _event(state, TOMBSTONE)
    return replacement(state) or (("", str(event["sender"])) if event else None)


def predecessor(state: State) -> str:
    event = _event(state, CREATE)
    room = as_text(as_dict(as_dict(event["content"]).get("predecessor")).get("room_id")) if event else ""
    return room if is_room_id(room) else ""


def made_at_ms(state: State) -> int:
    at = (_event(state, CREATE) or {}).get("origin_server_ts")
    return at if isinstance(at, int) else 0


def judged(account: str, room: str, old: State, successor: str, new: State) -> RoomFollowed:
    said = replacement(old)
    state, members = room_state.apply(room_state.RoomState(room_id=successor), new, own=account)
    return RoomFollowed(
        account=account,
        room=room,
        successor=successor,
        by=said[1] if said else "",
        code=_objection(room, old, successor, new, is_encrypted=_is_encrypted(state)),
        people=sorted(user for user, membership in members.items() if membership in ("join", "invite")),
        is_led=_leads(new, account),
    )


def _objection(room: str, old: State, successor: str, new: State, *, is_encrypted: bool) -> str:
    said = replacement(old)
    if said is None or said[0] != successor:
        return "not_replaced"
    if power_of(said[1], old) < max(LEAST_POWER, needed(old, TOMBSTONE)):
        return "no_right"
    if predecessor(new) != room:
        return "elsewhere"
    return "" if is_encrypted else "not_encrypted"


def _is_encrypted(state: room_state.RoomState) -> bool:
    return state.encrypted and state.algorithm == room_state.MEGOLM


def power_of(user: str, state: State) -> float:
    """By our own reckoning: what a homeserver lets through it may have been made to let through."""
    create, levels = _event(state, CREATE), _event(state, POWER)
    creators = _creators(create) if create else frozenset()
    is_old = create is None or as_text(create["content"].get("room_version", "1")) in _OLD_VERSIONS
    if user in creators and not is_old:
        return math.inf
    if levels is None:
        return 100 if user in creators else 0
    content = as_dict(levels["content"])
    return _level(as_dict(content.get("users")).get(user), _level(content.get("users_default"), 0))


def needed(state: State, type: str) -> float:
    """For a state event of this type."""
    levels = _event(state, POWER)
    if levels is None:
        return 0
    content = as_dict(levels["content"])
    return _level(as_dict(content.get("events")).get(type), _level(content.get("state_default"), 50))


def _leads(state: State, user: str) -> bool:
    levels = as_dict((_event(state, POWER) or {"content": {}})["content"])
    for_acts = [_level(levels.get(act), default) for act, default in (("invite", 0), ("kick", 50))]
    return power_of(user, state) >= max([*for_acts, needed(state, "m.room.pinned_events")])


def _creators(create: Mapping[str, Any]) -> frozenset[str]:
    """Up to version 10 the content names the creator; since version 11 it is the sender, with others from 12 on."""
    content = as_dict(create["content"])
    more = [user for user in as_list(content.get("additional_creators")) if is_user_id(user)]
    named = content.get("creator")
    return frozenset([named if is_user_id(named) else str(create["sender"]), *more])


def _level(value: Any, default: float) -> float:
    """Old rooms may hold numbers as texts."""
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        return int(value)
    return value if type(value) is int else default


def _event(state: State, type: str) -> Mapping[str, Any] | None:
    return next((event for event in reversed(state) if event["type"] == type and event.get("state_key") == ""), None)
