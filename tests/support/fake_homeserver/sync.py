"""The answer of /sync, and paging through /messages."""

from typing import Any

from tests.support.fake_homeserver.world import Account, DeviceRecord, Json, Room, World

TO_DEVICE_LIMIT = 100


def sync_answer(world: World, device: DeviceRecord, since: int | None, *, timeline_limit: int) -> Json:
    """`since` None is the initial sync. To-device messages up to `since` have been received and are dropped."""
    account = world.accounts[device.user_id]
    device.to_device = [(position, event) for position, event in device.to_device if position > (since or 0)]
    to_device = device.to_device[:TO_DEVICE_LIMIT]
    # A token must not pass to-device messages that were held back.
    position = to_device[-1][0] if len(device.to_device) > TO_DEVICE_LIMIT else world.position
    answer: Json = {
        "next_batch": f"s{position}",
        "device_one_time_keys_count": {"signed_curve25519": len(device.one_time_keys)},
        "device_unused_fallback_key_types": ["signed_curve25519"] if device.fallback_keys else [],
    }
    if to_device:
        answer["to_device"] = {"events": [event for _, event in to_device]}
    if rooms := _rooms(world, account, device, since or 0, position, timeline_limit):
        answer["rooms"] = rooms
    if since is not None and (changed := _changed_devices(world, account, since)):
        answer["device_lists"] = {"changed": changed, "left": []}
    return answer


def has_news(answer: Json) -> bool:
    return bool({"to_device", "rooms", "device_lists"} & set(answer))


def _rooms(world: World, account: Account, device: DeviceRecord, since: int, until: int, limit: int) -> Json:
    rooms: dict[str, Json] = {"join": {}, "invite": {}, "leave": {}}
    for room_id in world.changed_rooms(account, since):
        room = world.rooms[room_id]
        match room.membership(account.user_id):
            case "join":
                if part := _joined(room, account, device, since, until, limit):
                    rooms["join"][room_id] = part
            case "invite":
                rooms["invite"][room_id] = {"invite_state": {"events": room.stripped_state(account.user_id)}}
            case _ if since:
                last = [room.state["m.room.member", account.user_id]]
                rooms["leave"][room_id] = {"state": {"events": []}, "timeline": {"events": last, "limited": False}}
    return {kind: found for kind, found in rooms.items() if found}


def _joined(room: Room, account: Account, device: DeviceRecord, since: int, until: int, limit: int) -> Json | None:
    is_new = room.since.get(account.user_id, 0) > since
    found = room.indices(0 if is_new else since, until)
    shown = found[-limit:]
    if not shown:
        return None
    earlier = (room.timeline[index] for index in found[: len(found) - len(shown)])
    state = {(event["type"], event["state_key"]): event for event in earlier if "state_key" in event}
    timeline = {
        "events": [_for_device(room.timeline[index], device) for index in shown],
        "limited": len(shown) < len(found),
        "prev_batch": f"t{room.positions[shown[0]] - 1}",
    }
    return {
        "timeline": timeline,
        "state": {"events": list(state.values())},
        "ephemeral": {"events": []},
        "account_data": {"events": []},
        "summary": {"m.joined_member_count": len(room.members("join"))},
        "unread_notifications": {"notification_count": 0, "highlight_count": 0},
    }


def _for_device(event: Json, device: DeviceRecord) -> Json:
    """The sending device gets its transaction id back (spec, "Local echo")."""
    if event["sender"] != device.user_id:
        return event
    transaction = device.transactions.get(("of", event["event_id"]))
    return {**event, "unsigned": {**event["unsigned"], "transaction_id": transaction}} if transaction else event


def _changed_devices(world: World, account: Account, since: int) -> list[str]:
    """Users who share a room and changed their keys, or came to share one, since then."""
    ours = world.rooms_of(account.user_id)
    changed = {
        user_id
        for user_id in world.users_with_changed_keys(since)
        if user_id == account.user_id or world.rooms_of(user_id) & ours
    }
    for room_id in world.changed_rooms(account, since):
        room = world.rooms[room_id]
        we_are_new = room.since.get(account.user_id, 0) > since
        joined = room.members("join") if room_id in ours else []
        changed |= {user_id for user_id in joined if we_are_new or room.since.get(user_id, 0) > since}
    return sorted(changed)


def messages_page(room: Room, query: Any) -> Json:
    """`dir=b` from a token (or the end) backwards, `dir=f` forwards; `end` is missing when there is no more."""
    limit = min(int(query.get("limit", 10)), 1000)
    backwards = query.get("dir", "b") == "b"
    last = room.positions[-1]
    start = _position(query.get("from"), last if backwards else 0)
    stop = _position(query.get("to"), 0 if backwards else last)
    found = room.indices(stop, start) if backwards else room.indices(start, stop)
    shown = found[::-1][:limit] if backwards else found[:limit]
    answer: Json = {"chunk": [room.timeline[index] for index in shown], "start": f"t{start}", "state": []}
    if shown and len(shown) < len(found):
        edge = room.positions[shown[-1]]
        answer["end"] = f"t{edge - 1 if backwards else edge}"
    return answer


def _position(token: str | None, default: int) -> int:
    return int(token[1:]) if token else default
