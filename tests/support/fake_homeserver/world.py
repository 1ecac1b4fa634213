"""What the fake homeserver knows: accounts, devices, rooms, keys, and one stream of positions over all of it.

Everything here is synchronous and can be called by a test directly, without HTTP."""

import asyncio
import secrets
import time
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_homeserver.rooms import Json, Refused, Room, initial_state, new_event, new_room_id

__all__ = ["Account", "DeviceRecord", "Json", "Refused", "Room", "World"]


@dataclass(slots=True)
class Account:
    user_id: str
    password: str
    profile: dict[str, str] = field(default_factory=dict)
    devices: dict[str, "DeviceRecord"] = field(default_factory=dict)
    cross_signing: dict[str, Json] = field(default_factory=dict)  # master_key, self_signing_key, user_signing_key
    account_data: dict[tuple[str, str], Json] = field(default_factory=dict)  # (room id or "", type)
    backup_versions: list[Json] = field(default_factory=list)
    backup: dict[str, dict[str, Json]] = field(default_factory=dict)  # room -> session -> data
    changed_rooms: list[tuple[int, str]] = field(default_factory=list)  # what this user's /sync has to look at
    woken: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class DeviceRecord:
    user_id: str
    device_id: str
    token: str
    display_name: str = ""
    keys: Json | None = None
    one_time_keys: dict[str, Json] = field(default_factory=dict)
    fallback_keys: dict[str, Json] = field(default_factory=dict)
    to_device: list[tuple[int, Json]] = field(default_factory=list)
    transactions: dict[tuple[str, ...], Any] = field(default_factory=dict)


class World:
    def __init__(self, server_name: str = "fake.test") -> None:
        self.server_name = server_name
        self.position = 1
        self.accounts: dict[str, Account] = {}
        self.devices_by_token: dict[str, DeviceRecord] = {}
        self.rooms: dict[str, Room] = {}
        self.aliases: dict[str, str] = {}
        self.media: dict[str, tuple[bytes, str]] = {}
        self._rooms_of: dict[str, set[str]] = defaultdict(set)  # joined rooms
        self._key_changes: list[tuple[int, str]] = []

    # Accounts and devices

    def register(self, name: str, password: str | None = None, *, server: str = "") -> Account:
        """`server`: somebody of another one."""
        user_id = f"@{name}:{server or self.server_name}"
        if user_id in self.accounts:
            raise Refused(400, "M_USER_IN_USE")
        account = Account(user_id=user_id, password=password or secrets.token_hex(8), profile={"displayname": name})
        self.accounts[user_id] = account
        return account

    def log_in(self, account: Account, device_id: str | None = None, display_name: str = "") -> DeviceRecord:
        device_id = device_id or secrets.token_hex(5).upper()
        if old := account.devices.get(device_id):
            self.devices_by_token.pop(old.token, None)
            old.token = secrets.token_urlsafe(16)
        device = old or DeviceRecord(account.user_id, device_id, secrets.token_urlsafe(16), display_name)
        account.devices[device_id] = device
        self.devices_by_token[device.token] = device
        return device

    def delete_device(self, device: DeviceRecord) -> None:
        self.devices_by_token.pop(device.token, None)
        self.accounts[device.user_id].devices.pop(device.device_id, None)
        self.keys_changed(device.user_id)

    def keys_changed(self, user_id: str) -> None:
        """Tells everybody who shares a room, and the user."""
        self._key_changes.append((self.step(), user_id))
        for other in {user_id}.union(*(self.rooms[room].members("join") for room in self._rooms_of[user_id])):
            self.wake(other)

    def users_with_changed_keys(self, since: int) -> set[str]:
        return {user_id for _, user_id in self._key_changes[bisect_right(self._key_changes, (since, "\uffff")) :]}

    # The stream

    def step(self) -> int:
        self.position += 1
        return self.position

    def wake(self, user_id: str) -> None:
        if account := self.accounts.get(user_id):
            account.woken.set()

    def changed_rooms(self, account: Account, since: int) -> list[str]:
        recent = account.changed_rooms[bisect_right(account.changed_rooms, (since, "\uffff")) :]
        return list(dict.fromkeys(room_id for _, room_id in recent))

    def rooms_of(self, user_id: str) -> set[str]:
        return self._rooms_of[user_id]

    # Rooms

    def room(self, room_id: str, user_id: str | None = None) -> Room:
        """With `user_id`: only if that user is joined."""
        room = self.rooms.get(room_id)
        if room is None or (user_id is not None and room.membership(user_id) != "join"):
            raise Refused(403, "M_FORBIDDEN", "not in this room")
        return room

    def emit(self, room: Room, sender: str, kind: str, content: Json, *, state_key: str | None = None) -> Json:
        """Puts an event into the room and wakes its members."""
        event = new_event(room.room_id, sender, kind, content, at_ms=int(time.time() * 1000), state_key=state_key)
        position = self.step()
        touched = set(room.members("join", "invite"))
        room.append(event, position)
        if kind == "m.room.member" and state_key is not None:
            touched.add(state_key)
            self._note_membership(room, state_key)
        for user_id in touched:
            if account := self.accounts.get(user_id):
                account.changed_rooms.append((position, room.room_id))
                account.woken.set()
        return event

    def _note_membership(self, room: Room, user_id: str) -> None:
        if room.membership(user_id) == "join":
            self._rooms_of[user_id].add(room.room_id)
        else:
            self._rooms_of[user_id].discard(room.room_id)

    def create_room(self, creator: str, body: Json) -> Room:
        alias = f"#{body['room_alias_name']}:{self.server_name}" if "room_alias_name" in body else None
        if alias in self.aliases:
            raise Refused(400, "M_ROOM_IN_USE")
        room = Room(new_room_id())
        self.rooms[room.room_id] = room
        for kind, key, content in initial_state(creator, body):
            self.emit(room, creator, kind, content, state_key=key)
        if alias is not None:
            self.aliases[alias] = room.room_id
            self.emit(room, creator, "m.room.canonical_alias", {"alias": alias}, state_key="")
        for invited in body.get("invite", []):
            self.invite(room, creator, invited, is_direct=bool(body.get("is_direct")))
        return room

    def invite(self, room: Room, sender: str, user_id: str, *, is_direct: bool = False) -> None:
        if room.membership(user_id) in {"join", "ban"}:
            raise Refused(403, "M_FORBIDDEN", "is in the room or banned")
        content: Json = {"membership": "invite", **({"is_direct": True} if is_direct else {})}
        self.emit(room, sender, "m.room.member", content, state_key=user_id)

    def join(self, room: Room, user_id: str) -> None:
        if room.membership(user_id) == "join":
            return
        is_public = room.state["m.room.join_rules", ""]["content"]["join_rule"] == "public"
        if room.membership(user_id) != "invite" and not is_public:
            raise Refused(403, "M_FORBIDDEN", "not invited")
        self.emit(room, user_id, "m.room.member", {"membership": "join"}, state_key=user_id)

    def remove(self, room: Room, sender: str, user_id: str, membership: str = "leave") -> None:
        """Leave (sender and user are the same), kick or ban."""
        self.emit(room, sender, "m.room.member", {"membership": membership}, state_key=user_id)

    def redact(self, room: Room, sender: str, event_id: str, reason: str | None) -> Json:
        target = room.by_id.get(event_id)
        if target is None:
            raise Refused(404, "M_NOT_FOUND")
        content = {"redacts": event_id, **({"reason": reason} if reason else {})}
        redaction = self.emit(room, sender, "m.room.redaction", content)
        redaction["redacts"] = event_id
        relation = target["content"].get("m.relates_to", {})
        room.annotations.discard((relation.get("event_id"), relation.get("key"), target["sender"]))
        target["content"] = {}
        target["unsigned"] = {"redacted_because": redaction}
        return redaction

    # To-device messages and keys

    def send_to_device(self, sender: str, kind: str, messages: dict[str, dict[str, Json]]) -> None:
        for user_id, by_device in messages.items():
            if account := self.accounts.get(user_id):
                for device_id, content in by_device.items():
                    self._queue(account, device_id, {"type": kind, "sender": sender, "content": content})
                account.woken.set()

    def _queue(self, account: Account, device_id: str, event: Json) -> None:
        for device in account.devices.values():
            if device_id in ("*", device.device_id):
                device.to_device.append((self.step(), event))

    def claim(self, user_id: str, device_id: str) -> Json | None:
        """One one-time key, or the fallback key, or nothing."""
        account = self.accounts.get(user_id)
        device = account.devices.get(device_id) if account else None
        if device is None:
            return None
        if device.one_time_keys:
            key_id = next(iter(device.one_time_keys))
            self.wake(user_id)
            return {key_id: device.one_time_keys.pop(key_id)}
        return dict(list(device.fallback_keys.items())[:1]) or None
