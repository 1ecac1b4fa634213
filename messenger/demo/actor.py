"""A scripted person with a Matrix client of their own: encryption by matrix-nio, everything they see in one list."""

import asyncio
import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import nio
from nio.crypto.attachments import decrypt_attachment
from nio.store import SqliteMemoryStore

_T = TypeVar("_T")
ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
LONG_POLL_MS = 10_000


class StoryBroke(Exception):
    """Something that the story expects did not happen; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One event as a client shows it. `text` is the body, a file's name, or the emoji of a reaction."""

    at: datetime
    room_id: str
    event_id: str
    sender: str
    kind: str  # "message", "image", "file", "reaction", "unreadable", "redaction"
    text: str = ""
    thread: str = ""
    replaces: str = ""
    on: str = ""  # what a reaction is about
    content: dict[str, Any] = field(default_factory=dict, repr=False)


class Actor:
    """Make it with `Actor.enter`; `leave` logs its device out."""

    def __init__(self, client: nio.AsyncClient, name: str) -> None:
        self.client, self.name = client, name
        self.seen: list[Seen] = []
        self._unreadable: dict[str, nio.MegolmEvent] = {}
        self._news = asyncio.Condition()
        self._synced = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    @property
    def user_id(self) -> str:
        return str(self.client.user_id)

    @property
    def unreadable(self) -> int:
        return len(self._unreadable)

    def is_in(self, room_name: str) -> bool:
        return any(room_name in (room.display_name or "") for room in self.client.rooms.values())

    @classmethod
    async def enter(cls, url: str, user_id: str, password: str, name: str) -> "Actor":
        config = nio.AsyncClientConfig(store=SqliteMemoryStore, encryption_enabled=True)
        client = nio.AsyncClient(url, user_id, store_path="unused", config=config)
        answer = await client.login(password, device_name="Stellwerk demonstration")
        if not isinstance(answer, nio.LoginResponse):
            await client.close()
            raise StoryBroke(f"{name} cannot log in: {answer}")
        await client.keys_upload()
        actor = cls(client, name)
        client.add_event_callback(actor._on_event, nio.Event)
        client.add_event_callback(actor._on_invite, nio.InviteMemberEvent)
        client.add_response_callback(actor._on_sync, nio.SyncResponse)
        actor._loop = asyncio.create_task(client.sync_forever(LONG_POLL_MS, full_state=True), name=f"sync of {name}")
        await actor._synced.wait()
        return actor

    async def leave(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        await self.client.logout()
        await self.client.close()

    async def open_chat(self, user_id: str) -> str:
        """A new encrypted direct chat, as Element makes it."""
        answer = await self.client.room_create(is_direct=True, preset=nio.RoomPreset.trusted_private_chat,
                                               invite=[user_id], initial_state=[ENCRYPTION])  # fmt: skip
        if not isinstance(answer, nio.RoomCreateResponse):
            raise StoryBroke(f"{self.name} cannot open a chat: {answer}")
        return str(answer.room_id)

    async def say(self, room_id: str, text: str, *, thread: str = "") -> str:
        return await self._send(room_id, {"msgtype": "m.text", "body": text, **_in_thread(thread)})

    async def edit(self, room_id: str, event_id: str, text: str) -> str:
        new = {"msgtype": "m.text", "body": text}
        relation = {"rel_type": "m.replace", "event_id": event_id}
        return await self._send(room_id, {**new, "body": f"* {text}", "m.new_content": new, "m.relates_to": relation})

    async def react(self, room_id: str, event_id: str, emoji: str) -> str:
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": emoji}
        return await self._send(room_id, {"m.relates_to": relation}, kind="m.reaction")

    async def send_file(self, room_id: str, data: bytes, *, name: str, mimetype: str, thread: str = "") -> str:
        answer, keys = await self.client.upload(io.BytesIO(data), content_type=mimetype, filename=name, encrypt=True,
                                                filesize=len(data))  # fmt: skip
        if not isinstance(answer, nio.UploadResponse) or keys is None:
            raise StoryBroke(f"{self.name} cannot upload: {answer}")
        kind = "m.image" if mimetype.startswith("image/") else "m.file"
        content = {"msgtype": kind, "body": name, "info": {"mimetype": mimetype, "size": len(data)}}
        return await self._send(room_id, {**content, "file": {**keys, "url": answer.content_uri}, **_in_thread(thread)})

    async def download(self, seen: Seen) -> bytes:
        """The file of a message, decrypted."""
        file = seen.content["file"]
        answer = await self.client.download(file["url"])
        if not isinstance(answer, nio.MemoryDownloadResponse):
            raise StoryBroke(f"{self.name} cannot download {seen.text}: {answer}")
        data: bytes = decrypt_attachment(answer.body, file["key"]["k"], file["hashes"]["sha256"], file["iv"])
        return data

    async def until(self, look: Callable[[], _T | None], *, what: str, timeout_s: float = 60) -> _T:
        """Looks after each sync until there is something. Raises StoryBroke."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._news:
                while not (found := look()):
                    await self._news.wait()
                return found
        raise StoryBroke(f"{self.name} waited {timeout_s:.0f} s in vain: {what}")

    def messages(self, room_id: str = "", *, thread: str | None = None, sender: str = "") -> Iterator[Seen]:
        """What is shown as a message of its own: no edits, no reactions. `thread` "" means outside of threads."""
        for seen in self.seen:
            here = (not room_id or seen.room_id == room_id) and thread in (None, seen.thread)
            is_message = seen.kind in ("message", "image", "file") and not seen.replaces
            if here and is_message and (not sender or seen.sender == sender):
                yield seen

    def edits_of(self, event_id: str) -> Iterator[Seen]:
        return (seen for seen in self.seen if seen.replaces == event_id)

    def reactions_on(self, event_id: str) -> Iterator[Seen]:
        return (seen for seen in self.seen if seen.kind == "reaction" and seen.on == event_id)

    async def _send(self, room_id: str, content: dict[str, Any], *, kind: str = "m.room.message") -> str:
        answer = await self.client.room_send(room_id, kind, content, ignore_unverified_devices=True)
        if not isinstance(answer, nio.RoomSendResponse):
            raise StoryBroke(f"{self.name} cannot send: {answer}")
        return str(answer.event_id)

    async def _on_invite(self, room: nio.MatrixRoom, event: nio.InviteMemberEvent) -> None:
        if event.membership == "invite" and event.state_key == self.user_id:
            await self.client.join(room.room_id)

    async def _on_event(self, room: nio.MatrixRoom, event: nio.Event) -> None:
        if isinstance(event, nio.MegolmEvent):
            self._unreadable[event.event_id] = event
            return
        seen = _seen(room.room_id, event.source)
        if seen is not None:
            self.seen.append(seen)

    async def _on_sync(self, response: nio.SyncResponse) -> None:
        """Tries again what could not be read when it came, then wakes everybody who waits."""
        for event_id, event in list(self._unreadable.items()):
            with contextlib.suppress(nio.EncryptionError):
                opened = self.client.decrypt_event(event)
                del self._unreadable[event_id]
                seen = _seen(event.room_id, opened.source)
                self.seen.extend([seen] if seen else [])
        self._synced.set()
        async with self._news:
            self._news.notify_all()


def _in_thread(root: str) -> dict[str, Any]:
    return {"m.relates_to": {"rel_type": "m.thread", "event_id": root, "is_falling_back": True}} if root else {}


def _seen(room_id: str, event: dict[str, Any]) -> Seen | None:
    content, relation = event.get("content", {}), event.get("content", {}).get("m.relates_to", {})
    common = {
        "at": datetime.fromtimestamp(event.get("origin_server_ts", 0) / 1000, UTC),
        "room_id": room_id,
        "event_id": event.get("event_id", ""),
        "sender": event.get("sender", ""),
    }
    if event.get("type") == "m.reaction":
        return Seen(**common, kind="reaction", text=relation.get("key", ""), on=relation.get("event_id", ""))
    if event.get("type") != "m.room.message" or not content:
        return None
    shown = content.get("m.new_content", content)
    kind = {"m.image": "image", "m.file": "file"}.get(shown.get("msgtype", ""), "message")
    target = {relation.get("rel_type"): relation.get("event_id", "")}
    return Seen(**common, kind=kind, text=str(shown.get("body", "")), content=shown,
                thread=target.get("m.thread", ""), replaces=target.get("m.replace", ""))  # fmt: skip
