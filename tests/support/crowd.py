"""Cheap encrypted users inside the fake homeserver: they write straight into its world, without HTTP and without
waiting.

One writer costs a few kilobytes and emits thousands of encrypted events a second, so that a benchmark measures the
product and not its customers. Reading happens when asked: `read` opens what has come since the last time."""

from collections.abc import Sequence
from typing import Any

from tests.support.device import Device, new_device_id
from tests.support.fake_homeserver import World
from tests.support.timeline import Seen, read

ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
ONE_TIME_KEYS = 20


class Writer:
    """A user with one device, whose keys are published when this returns."""

    def __init__(self, world: World, name: str, *, one_time_keys: int = ONE_TIME_KEYS, server: str = "") -> None:
        self.world = world
        self.account = world.register(name, server=server)
        self.user_id = self.account.user_id
        self._record = world.log_in(self.account, new_device_id())
        self.device = Device(self.user_id, self._record.device_id)
        self._record.keys = self.device.device_keys()
        self._record.one_time_keys.update(self.device.new_one_time_keys(one_time_keys))
        world.keys_changed(self.user_id)

    def start_direct_chat(self, user_id: str) -> str:
        """The other side is invited and has yet to join."""
        return self.create_room(invite=[user_id], is_direct=True)

    def create_room(self, *, invite: Sequence[str] = (), encrypted: bool = True, **options: Any) -> str:
        state = [ENCRYPTION] if encrypted else []
        return self.world.create_room(self.user_id, {"invite": list(invite), "initial_state": state, **options}).room_id

    def join(self, room_id: str) -> None:
        self.world.join(self.world.room(room_id), self.user_id)

    def join_invites(self) -> list[str]:
        """Accepts every open invitation; returns the rooms."""
        rooms = self.world.changed_rooms(self.account, 0)
        invited = [room_id for room_id in rooms if self.world.rooms[room_id].membership(self.user_id) == "invite"]
        for room_id in invited:
            self.join(room_id)
        return invited

    def say(self, room_id: str, text: str, *, thread: str | None = None, **extra: Any) -> str:
        relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": thread}} if thread else {}
        return self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": text, **relation, **extra})

    def send(self, room_id: str, kind: str, content: dict[str, Any]) -> str:
        """Encrypts (sharing the key where it is missing) and puts the event into the room; returns its id."""
        room = self.world.room(room_id, self.user_id)
        if ("m.room.encryption", "") in room.state:
            self.share_key(room_id)
            kind, content = "m.room.encrypted", self.device.encrypt(room_id, kind, content)
        return str(self.world.emit(room, self.user_id, kind, content)["event_id"])

    def react(self, room_id: str, event_id: str, key: str) -> str:
        content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": key}}
        return str(
            self.world.emit(self.world.room(room_id, self.user_id), self.user_id, "m.reaction", content)["event_id"]
        )

    def share_key(self, room_id: str) -> None:
        """To every device of the members that does not have the current key."""
        holders = self.device.outbound(room_id).holders
        for user_id in self.world.rooms[room_id].members("join", "invite"):
            account = self.world.accounts[user_id]
            for device_id, record in account.devices.items():
                if (user_id, device_id) in holders or record is self._record or record.keys is None:
                    continue
                if self._give_key(room_id, record.keys):
                    holders.add((user_id, device_id))

    def _give_key(self, room_id: str, keys: dict[str, Any]) -> bool:
        user_id, device_id = keys["user_id"], keys["device_id"]
        curve25519 = keys["keys"][f"curve25519:{device_id}"]
        if not self.device.can_write_to(curve25519):
            claimed = self.world.claim(user_id, device_id)
            if claimed is None:
                return False
            self.device.open_session(curve25519, next(iter(claimed.values()))["key"])
        sealed = self.device.encrypt_to_device(keys, "m.room_key", self.device.room_key(room_id))
        self.world.send_to_device(self.user_id, "m.room.encrypted", {user_id: {device_id: sealed}})
        return True

    def receive_keys(self) -> None:
        """Opens the to-device messages that have come."""
        waiting, self._record.to_device = self._record.to_device, []
        for _, event in waiting:
            self.device.receive_to_device(event)

    def read(self, room_id: str) -> list[Seen]:
        """The whole room, oldest first, decrypted with all keys that have come."""
        self.receive_keys()
        return read(self.device, room_id, self.world.rooms[room_id].timeline)
