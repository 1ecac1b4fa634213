"""Endpoints about rooms: creating, members, state, sending, history."""

from tests.support.fake_homeserver.context import Context, Routes
from tests.support.fake_homeserver.sync import messages_page
from tests.support.fake_homeserver.world import Json, Refused, Room

CLIENT = "/_matrix/client/v3"
ROOM = f"{CLIENT}/rooms/{{room}}"


def create_room(context: Context) -> Json:
    return {"room_id": context.world.create_room(context.user_id, context.body).room_id}


def resolve_alias(context: Context) -> Json:
    room_id = context.world.aliases.get(context.part("alias"))
    if room_id is None:
        raise Refused(404, "M_NOT_FOUND")
    return {"room_id": room_id, "servers": [context.world.server_name]}


def make_alias(context: Context) -> Json:
    if context.part("alias") in context.world.aliases:
        raise Refused(409, "M_UNKNOWN", "alias exists")
    context.world.aliases[context.part("alias")] = context.body["room_id"]
    return {}


def remove_alias(context: Context) -> Json:
    context.world.aliases.pop(context.part("alias"), None)
    return {}


def join(context: Context) -> Json:
    wanted = context.part("room")
    room = context.world.room(context.world.aliases.get(wanted, wanted))
    context.world.join(room, context.user_id)
    return {"room_id": room.room_id}


def invite(context: Context) -> Json:
    context.world.invite(context.room, context.user_id, context.body["user_id"])
    return {}


def leave(context: Context) -> Json:
    room = context.world.room(context.part("room"))
    if room.membership(context.user_id) in {"join", "invite"}:
        context.world.remove(room, context.user_id, context.user_id)
    return {}


def kick(context: Context) -> Json:
    context.world.remove(context.room, context.user_id, context.body["user_id"])
    return {}


def ban(context: Context) -> Json:
    context.world.remove(context.room, context.user_id, context.body["user_id"], "ban")
    return {}


def joined_rooms(context: Context) -> Json:
    return {"joined_rooms": sorted(context.world.rooms_of(context.user_id))}


def joined_members(context: Context) -> Json:
    profiles = {user: context.world.accounts[user].profile for user in context.room.members("join")}
    return {"joined": {user: {"display_name": profile.get("displayname")} for user, profile in profiles.items()}}


def members(context: Context) -> Json:
    wanted, unwanted = context.request.query.get("membership"), context.request.query.get("not_membership")
    events = [event for (kind, _), event in context.room.state.items() if kind == "m.room.member"]
    return {
        "chunk": [
            event
            for event in events
            if wanted in (None, event["content"]["membership"]) and event["content"]["membership"] != unwanted
        ]
    }


def whole_state(context: Context) -> list[Json]:
    return list(context.room.state.values())


def state(context: Context) -> Json:
    event = context.room.state.get((context.part("type"), context.request.match_info.get("key", "")))
    if event is None:
        raise Refused(404, "M_NOT_FOUND")
    return dict(event["content"])


def set_state(context: Context) -> Json:
    key = context.request.match_info.get("key", "")
    event = context.world.emit(context.room, context.user_id, context.part("type"), context.body, state_key=key)
    return {"event_id": event["event_id"]}


def send(context: Context) -> Json:
    room, kind, transaction = context.room, context.part("type"), context.part("txn")

    def apply() -> str:
        return str(_emit(context, room, kind, transaction)["event_id"])

    return {"event_id": context.once("send", room.room_id, transaction, make=apply)}


def _emit(context: Context, room: Room, kind: str, transaction: str) -> Json:
    relation = context.body.get("m.relates_to", {})
    annotation = (relation.get("event_id"), relation.get("key"), context.user_id) if kind == "m.reaction" else None
    if annotation in room.annotations:
        raise Refused(400, "M_DUPLICATE_ANNOTATION")
    event = context.world.emit(room, context.user_id, kind, context.body)
    if annotation is not None:
        room.annotations.add(annotation)
    context.own_device.transactions["of", event["event_id"]] = transaction
    return event


def redact(context: Context) -> Json:
    room, target = context.room, context.part("event")
    reason = context.body.get("reason")

    def apply() -> str:
        return str(context.world.redact(room, context.user_id, target, reason)["event_id"])

    return {"event_id": context.once("redact", room.room_id, context.part("txn"), make=apply)}


def messages(context: Context) -> Json:
    return messages_page(context.room, context.request.query)


def one_event(context: Context) -> Json:
    event = context.room.by_id.get(context.part("event"))
    if event is None:
        raise Refused(404, "M_NOT_FOUND")
    return event


def relations(context: Context) -> Json:
    target, kind = context.part("event"), context.request.match_info.get("kind")
    if target not in context.room.by_id:
        raise Refused(404, "M_NOT_FOUND")
    wanted = context.request.match_info.get("type")
    chunk = [
        event
        for event in reversed(context.room.timeline)
        if (relation := event["content"].get("m.relates_to", {})).get("event_id") == target
        and kind in (None, relation.get("rel_type"))
        and wanted in (None, event["type"])
    ]
    return {"chunk": chunk}


def nothing(context: Context) -> Json:
    return {}


ROUTES: Routes = {
    ("POST", f"{CLIENT}/createRoom"): create_room,
    ("GET", f"{CLIENT}/directory/room/{{alias}}"): resolve_alias,
    ("PUT", f"{CLIENT}/directory/room/{{alias}}"): make_alias,
    ("DELETE", f"{CLIENT}/directory/room/{{alias}}"): remove_alias,
    ("POST", f"{CLIENT}/join/{{room}}"): join,
    ("POST", f"{ROOM}/join"): join,
    ("POST", f"{ROOM}/invite"): invite,
    ("POST", f"{ROOM}/leave"): leave,
    ("POST", f"{ROOM}/kick"): kick,
    ("POST", f"{ROOM}/ban"): ban,
    ("POST", f"{ROOM}/forget"): nothing,
    ("GET", f"{CLIENT}/joined_rooms"): joined_rooms,
    ("GET", f"{ROOM}/joined_members"): joined_members,
    ("GET", f"{ROOM}/members"): members,
    ("GET", f"{ROOM}/state"): whole_state,
    ("GET", f"{ROOM}/state/{{type}}"): state,
    ("GET", f"{ROOM}/state/{{type}}/"): state,
    ("GET", f"{ROOM}/state/{{type}}/{{key}}"): state,
    ("PUT", f"{ROOM}/state/{{type}}"): set_state,
    ("PUT", f"{ROOM}/state/{{type}}/"): set_state,
    ("PUT", f"{ROOM}/state/{{type}}/{{key}}"): set_state,
    ("PUT", f"{ROOM}/send/{{type}}/{{txn}}"): send,
    ("PUT", f"{ROOM}/redact/{{event}}/{{txn}}"): redact,
    ("GET", f"{ROOM}/messages"): messages,
    ("GET", f"{ROOM}/event/{{event}}"): one_event,
    ("GET", "/_matrix/client/v1/rooms/{room}/relations/{event}"): relations,
    ("GET", "/_matrix/client/v1/rooms/{room}/relations/{event}/{kind}"): relations,
    ("GET", "/_matrix/client/v1/rooms/{room}/relations/{event}/{kind}/{type}"): relations,
    ("PUT", f"{ROOM}/typing/{{user}}"): nothing,
    ("POST", f"{ROOM}/receipt/{{type}}/{{event}}"): nothing,
    ("POST", f"{ROOM}/read_markers"): nothing,
}
