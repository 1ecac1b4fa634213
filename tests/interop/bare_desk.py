"""A desk without a product around it: the crypto engine, the identity and the smallest sync loop that can drive them.
With it Element's engine judges the encryption alone, before and apart from relaying."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nio.crypto.attachments import decrypt_attachment, encrypt_attachment

from messenger.demo.synapse import Registered, Synapse
from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.engine import Decrypted, DevicePolicy, Sealed, SendRequest, SyncCrypto
from messenger.matrix.http import CLIENT, HomeserverClient, path
from messenger.matrix.identity import Identity, KeyBackup, ensure_identity
from tests.support.desk_store import MemoryDeskStore

ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
MAX_FILE_BYTES = 10_000_000


@dataclass(slots=True)
class BareDesk:
    http: HomeserverClient
    engine: NioEngine
    store: MemoryDeskStore
    events: dict[str, Decrypted] = field(default_factory=dict)  # by event id, newest verdict
    parked: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    since: str | None = None

    @classmethod
    async def log_in(cls, synapse: Synapse, account: Registered) -> "BareDesk":
        """A new device with an empty store."""
        http = HomeserverClient(synapse.url)
        answer = await http.call(
            "POST",
            f"{CLIENT}/login",
            {
                "type": "m.login.password",
                "password": account.password,
                "identifier": {"type": "m.id.user", "user": account.user_id},
            },
        )
        http.token = answer["access_token"]
        store = MemoryDeskStore(account.user_id)
        engine = NioEngine(http, store, user_id=account.user_id, device_id=answer["device_id"])
        await engine.start()
        return cls(http, engine, store)

    @property
    def user_id(self) -> str:
        return self.engine.user_id

    async def ensure_identity(self, **options: Any) -> Identity:
        return await ensure_identity(self.http, self.engine, **options)

    def backup(self, identity: Identity) -> KeyBackup:
        return KeyBackup(self.http, self.engine, identity)

    # Rooms

    async def create_room(self, *, invite: Sequence[str] = (), history: str = "shared") -> str:
        visibility = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": history}}
        body = {"preset": "private_chat", "invite": list(invite), "initial_state": [ENCRYPTION, visibility]}
        return str((await self.http.call("POST", f"{CLIENT}/createRoom", body))["room_id"])

    async def join(self, room: str) -> None:
        await self.http.call("POST", f"{CLIENT}/join/{path(room)}", {})

    async def invite(self, room: str, user_id: str) -> None:
        await self.http.call("POST", f"{CLIENT}/rooms/{path(room)}/invite", {"user_id": user_id})

    async def kick(self, room: str, user_id: str) -> None:
        await self.http.call("POST", f"{CLIENT}/rooms/{path(room)}/kick", {"user_id": user_id})

    async def members(self, room: str) -> frozenset[str]:
        """Joined and invited: all who may read."""
        answer = await self.http.call("GET", f"{CLIENT}/rooms/{path(room)}/members")
        present = [event for event in answer["chunk"] if event["content"]["membership"] in ("join", "invite")]
        return frozenset(event["state_key"] for event in present)

    # Writing

    async def send(
        self, room: str, body: str, *, thread: str | None = None, policy: DevicePolicy = "any", history: bool = True
    ) -> str:
        content: dict[str, Any] = {"msgtype": "m.text", "body": body}
        if thread:
            content["m.relates_to"] = {
                "rel_type": "m.thread",
                "event_id": thread,
                "is_falling_back": True,
                "m.in_reply_to": {"event_id": thread},
            }
        return await self._send_content(room, content, policy, history)

    async def send_file(self, room: str, name: str, data: bytes) -> str:
        stored, file = encrypt_attachment(data)
        file["url"] = await self.http.upload(stored)
        return await self._send_content(room, {"msgtype": "m.file", "body": name, "file": file}, "any", True)

    async def _send_content(self, room: str, content: Mapping[str, Any], policy: DevicePolicy, history: bool) -> str:
        request = SendRequest(
            room_id=room,
            recipients=await self.members(room),
            type="m.room.message",
            content=content,
            policy=policy,
            history_shared=history,
        )
        [sealed] = await self.engine.encrypt([request])
        if not isinstance(sealed, Sealed):
            raise sealed
        url = f"{CLIENT}/rooms/{path(room)}/send/m.room.encrypted/{secrets.token_hex(8)}"
        return str((await self.http.call("PUT", url, sealed.content))["event_id"])

    # Reading

    async def sync_once(self, *, timeout_ms: int = 500) -> None:
        query = {"timeout": str(timeout_ms)} | ({"since": self.since} if self.since else {})
        answer = await self.http.call("GET", f"{CLIENT}/sync", query=query)
        events = [
            (room_id, event)
            for room_id, room in answer.get("rooms", {}).get("join", {}).items()
            for event in room["timeline"]["events"]
            if event["type"] == "m.room.encrypted" and event["sender"] != self.user_id
        ]
        await self._take(
            SyncCrypto(
                to_device=answer.get("to_device", {}).get("events", ()),
                changed=answer.get("device_lists", {}).get("changed", ()),
                left=answer.get("device_lists", {}).get("left", ()),
                one_time_keys=answer.get("device_one_time_keys_count", {}).get("signed_curve25519"),
                events=events,
            )
        )
        self.since = answer["next_batch"]

    async def _take(self, batch: SyncCrypto) -> None:
        await self.engine.prepare(batch)
        async with self.engine.exclusive(), self.store.unit() as unit:
            news = await self.engine.receive(unit, batch)
            await self.engine.load_sessions(unit, list(news))
            for room_id, event in [*self.parked.values(), *batch.events]:
                self._decrypt(room_id, event)
            await self.engine.flush(unit)
        await self.engine.settle()

    def _decrypt(self, room_id: str, event: Mapping[str, Any]) -> None:
        verdict = self.events[event["event_id"]] = self.engine.decrypt(room_id, event)
        if verdict.state == "waiting_key":
            self.parked[event["event_id"]] = (room_id, event)
        else:
            self.parked.pop(event["event_id"], None)

    async def has_read(self, event_id: str) -> Decrypted | None:
        """Syncs once; the event if it is readable by now."""
        await self.sync_once()
        verdict = self.events.get(event_id)
        return verdict if verdict is not None and verdict.state == "new" else None

    async def fetch(self, room: str, event_id: str) -> Decrypted:
        """An old event, decrypted with what this device knows now."""
        event = await self.http.call("GET", f"{CLIENT}/rooms/{path(room)}/event/{path(event_id)}")
        await self._take(SyncCrypto(events=[(room, event)]))
        return self.events[event_id]

    async def file_in(self, event: Decrypted) -> bytes:
        file = event.content["file"]
        stored = await self.http.download(file["url"], max_bytes=MAX_FILE_BYTES)
        return bytes(decrypt_attachment(stored, file["key"]["k"], file["hashes"]["sha256"], file["iv"]))
