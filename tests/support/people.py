"""Scripted people with an encrypted Matrix client of their own: customers, agents, clerks.

A person is independent of the product (own Olm device, own sync loop) and patient: a message counts as sent only when
the homeserver acknowledged it, repeats carry the same transaction id, and reading back never loses an event."""

import asyncio
import contextlib
import json
import logging
import secrets
import uuid
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from nio.crypto import attachments

from messenger.demo.synapse import Synapse
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable, path
from tests.support.device import Device, new_device_id
from tests.support.history import cross_sign, take_bundle
from tests.support.keys import KeyExchange, persistently
from tests.support.timeline import Reaction, RoomView, Seen, messages, reactions, read, seen
from tests.support.waiting import eventually

logger = logging.getLogger(__name__)

LONG_POLL_MS = 30_000
PAGE = 100
# As many as Synapse gives. Else each room where more than ten events came at once costs it a page, and the search for
# the newest edit of all that is on it.
LONG_TIMELINES = json.dumps({"room": {"timeline": {"limit": PAGE}}})
MAX_DOWNLOAD_BYTES = 64 * 1024 * 1024
ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}

Content = dict[str, Any]


class Person:
    """One logged-in device. Make it with `Person.log_in`; `leave` ends its sync loop."""

    def __init__(self, server: HomeserverClient, device: Device, *, name: str, auto_join: bool) -> None:
        self.server, self.device, self.name = server, device, name
        self.user_id = device.user_id
        self.rooms: dict[str, RoomView] = {}
        self.invites: dict[str, Sequence[Mapping[str, Any]]] = {}
        self.keys = KeyExchange(server, device)
        self.looks_every_s = 0.0  # who looks less often costs the homeserver less, and sees the same
        self._auto_join = auto_join
        self._since = ""
        self._loop: asyncio.Task[None] | None = None

    @classmethod
    async def log_in(cls, url: str, user_id: str, password: str, *, name: str = "", auto_join: bool = True) -> "Person":
        """A new device each time; its keys are published and the first sync is done when this returns."""
        server, device_id = HomeserverClient(url), new_device_id()
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user_id},
            "password": password,
            "device_id": device_id,
            "initial_device_display_name": name or user_id,
        }
        answer = await persistently(lambda: server.call("POST", f"{CLIENT}/login", body))
        server.token = answer["access_token"]
        person = cls(server, Device(answer["user_id"], device_id), name=name or user_id, auto_join=auto_join)
        await person.keys.publish()
        await persistently(lambda: person._sync_once(timeout_ms=0))
        person.open_eyes()
        return person

    async def leave(self) -> None:
        """Closes the client. The account and the device stay on the homeserver."""
        await self.close_eyes()
        await self.server.close()

    async def close_eyes(self) -> None:
        """The client no longer looks for what is new, and costs the homeserver nothing. It can still write."""
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
            self._loop = None

    def open_eyes(self) -> None:
        if self._loop is None:
            self._loop = asyncio.create_task(self._sync_for_ever(), name=f"sync of {self.name}")

    # Rooms

    async def start_direct_chat(self, user_id: str, *, wait_until_joined: bool = True) -> str:
        """A new encrypted direct chat, as Element makes it. Waits until the other side has joined."""
        return await self.create_room(
            invite=[user_id], is_direct=True, preset="trusted_private_chat", wait_until_joined=wait_until_joined
        )

    async def create_room(
        self, *, invite: Sequence[str] = (), encrypted: bool = True, wait_until_joined: bool = False, **options: Any
    ) -> str:
        state = [ENCRYPTION] if encrypted else []
        body = {"preset": "private_chat", "invite": list(invite), "initial_state": state, **options}
        room_id = str((await self.server.call("POST", f"{CLIENT}/createRoom", body))["room_id"])
        await eventually(lambda: room_id in self.rooms, what=f"{self.name} sees the new room")
        if wait_until_joined:
            await self.wait_for_members(room_id, invite)
        return room_id

    async def wait_for_members(self, room_id: str, users: Sequence[str], *, timeout_s: float = 60) -> None:
        """We may be on our way in ourselves."""

        def are_inside() -> bool:
            room = self.rooms.get(room_id)
            return room is not None and all(room.members.get(user) == "join" for user in users)

        await eventually(are_inside, timeout_s, what=f"{', '.join(users)} joined")

    async def join(self, room_id_or_alias: str) -> str:
        answer = await persistently(lambda: self.server.call("POST", f"{CLIENT}/join/{path(room_id_or_alias)}", {}))
        room_id = str(answer["room_id"])
        await eventually(lambda: room_id in self.rooms, what=f"{self.name} sees the joined room")
        return room_id

    async def invite(self, room_id: str, user_id: str) -> None:
        await self._room_call("POST", room_id, "invite", body={"user_id": user_id})

    async def kick(self, room_id: str, user_id: str) -> None:
        await self._room_call("POST", room_id, "kick", body={"user_id": user_id})

    async def leave_room(self, room_id: str) -> None:
        await self._room_call("POST", room_id, "leave", body={})
        await eventually(lambda: room_id not in self.rooms, what=f"{self.name} left the room")

    def members(self, room_id: str) -> frozenset[str]:
        """Who has joined."""
        return frozenset(user for user, membership in self.rooms[room_id].members.items() if membership == "join")

    async def state(self, room_id: str, event_type: str, state_key: str = "") -> Content:
        url = f"{CLIENT}/rooms/{path(room_id)}/state/{path(event_type, state_key)}"
        content: Content = await persistently(lambda: self.server.call("GET", url))
        return content

    # Writing. Each returns the event id that the homeserver acknowledged.

    async def say(
        self, room_id: str, text: str, *, thread: str | None = None, reply_to: str | None = None, **extra: Any
    ) -> str:
        content = {"msgtype": "m.text", "body": text, **_relation(thread, reply_to), **extra}
        return await self.send(room_id, "m.room.message", content)

    async def edit(self, room_id: str, event_id: str, text: str, **extra: Any) -> str:
        """`extra` goes into the new content: a file whose caption is edited, mentions."""
        new = {"msgtype": "m.text", "body": text, **extra}
        relation = {"rel_type": "m.replace", "event_id": event_id}
        content = {**new, "body": "* " + text[:1_000], "m.new_content": new, "m.relates_to": relation}
        return await self.send(room_id, "m.room.message", content)

    async def react(self, room_id: str, event_id: str, key: str) -> str:
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return await self._put_event(room_id, "m.reaction", {"m.relates_to": relation})

    async def vote(self, room_id: str, poll: str, *answers: str) -> str:
        """As Element answers a poll."""
        relation = {"rel_type": "m.reference", "event_id": poll}
        content = {"m.relates_to": relation, "org.matrix.msc3381.poll.response": {"answers": list(answers)}}
        return await self.send(room_id, "org.matrix.msc3381.poll.response", content)

    async def redact(self, room_id: str, event_id: str) -> str:
        answer = await self._room_call("PUT", room_id, "redact", event_id, uuid.uuid4().hex, body={})
        return str(answer["event_id"])

    async def send_file(
        self,
        room_id: str,
        data: bytes,
        *,
        name: str,
        mimetype: str = "application/octet-stream",
        msgtype: str = "m.file",
        thread: str | None = None,
    ) -> str:
        """Encrypts the file in an encrypted room (spec, "Sending encrypted attachments")."""
        info = {"mimetype": mimetype, "size": len(data)}
        content: Content = {"msgtype": msgtype, "body": name, "filename": name, "info": info, **_relation(thread, None)}
        if self.rooms[room_id].is_encrypted:
            data, keys = attachments.encrypt_attachment(data)
            content["file"] = {**keys, "url": await self._upload(data)}
        else:
            content["url"] = await self._upload(data)
        return await self.send(room_id, "m.room.message", content)

    async def send(self, room_id: str, event_type: str, content: Content) -> str:
        """Any event; encrypted if the room is."""
        room = self.rooms[room_id]
        if not room.is_encrypted:
            return await self._put_event(room_id, event_type, content)
        await self.keys.share(room_id, room.people_inside())
        return await self._put_event(room_id, "m.room.encrypted", self.device.encrypt(room_id, event_type, content))

    # Reading

    def events(self, room_id: str) -> list[Seen]:
        """Everything seen so far, in order, without asking the homeserver."""
        return self.rooms[room_id].read(self.device) if room_id in self.rooms else []

    async def these(self, room_id: str, event_ids: Sequence[str]) -> list[Seen]:
        """Of these events those that this person may see. What /sync has not brought (yet) is asked for."""
        room = self.rooms.get(room_id) or RoomView(room_id)
        found = []
        for event_id in event_ids:
            if event_id in room.events:
                found.append(room.seen(self.device, event_id))
            elif event := await self._event(room_id, event_id):
                found.append(seen(self.device, room_id, event))
        return found

    def messages(self, room_id: str, *, thread: str | None = None, sender: str | None = None) -> list[Seen]:
        """The messages seen so far, edits left out; of one thread and one sender if wanted. Unreadable ones are among
        them."""
        return messages(self.events(room_id), thread=thread, sender=sender)

    def reactions(self, room_id: str) -> list[Reaction]:
        return reactions(self.events(room_id))

    async def standing_reactions(self, room_id: str) -> list[Reaction]:
        """As the homeserver has them now."""
        return reactions(await self.read_back(room_id))

    def latest_text(self, room_id: str, event_id: str) -> str:
        """The text of a message after its last edit by the same sender."""
        known = self.events(room_id)
        original = next(event for event in known if event.event_id == event_id)
        edits = [event for event in known if event.replaces == event_id and event.sender == original.sender]
        return (edits[-1] if edits else original).body

    async def read_back(self, room_id: str) -> list[Seen]:
        """The whole room from the homeserver, oldest first, decrypted with all keys that have come: for the final
        account."""
        return read(self.device, room_id, await self._history(room_id, from_token=None, until={}))

    async def wait_for(self, room_id: str, wanted: Callable[[Seen], bool], *, timeout_s: float = 30) -> Seen:
        """The first event that fits, once it is there and readable."""
        return await eventually(
            lambda: next((event for event in self.events(room_id) if wanted(event)), None),
            timeout_s,
            what=f"{self.name} sees the event",
        )

    async def wait_for_text(self, room_id: str, text: str, *, timeout_s: float = 30) -> Seen:
        """The first message that contains the text."""
        return await self.wait_for(room_id, lambda event: text in event.body, timeout_s=timeout_s)

    async def download(self, message: Seen) -> bytes:
        """The file of a message, decrypted and its hash checked."""
        return await self.download_file(message.content.get("file") or {"url": message.content["url"]})

    async def download_file(self, file: Mapping[str, Any]) -> bytes:
        """`file` as in the content of an encrypted message; of an unencrypted one the `url` alone."""
        data = await persistently(lambda: self.server.download(str(file["url"]), max_bytes=MAX_DOWNLOAD_BYTES))
        if "key" not in file:
            return data
        return attachments.decrypt_attachment(data, file["key"]["k"], file["hashes"]["sha256"], file["iv"])

    # Inside

    async def _upload(self, data: bytes) -> str:
        return await persistently(lambda: self.server.upload(data))

    async def _put_event(self, room_id: str, event_type: str, content: Content) -> str:
        answer = await self._room_call("PUT", room_id, "send", event_type, uuid.uuid4().hex, body=content)
        return str(answer["event_id"])

    async def _room_call(self, method: str, room_id: str, *rest: str, body: Any) -> Any:
        return await persistently(lambda: self.server.call(method, f"{CLIENT}/rooms/{path(room_id, *rest)}", body))

    async def _sync_for_ever(self) -> None:
        while True:
            try:
                await self._sync_once(timeout_ms=LONG_POLL_MS)
                await asyncio.sleep(self.looks_every_s)
            except (Unreachable, MatrixError) as error:
                logger.info("sync of a test person failed", extra={"person": self.name, "error": str(error)})
                await asyncio.sleep(0.2)

    async def _sync_once(self, *, timeout_ms: int) -> None:
        query = {"timeout": str(timeout_ms), "set_presence": "offline", "filter": LONG_TIMELINES}
        if self._since:
            query["since"] = self._since
        answer = await self.server.call("GET", f"{CLIENT}/sync", query=query, silence_s=timeout_ms / 1000 + 30)
        for event in answer.get("to_device", {}).get("events", []):
            await self._take_to_device(event)
        self.keys.forget_devices(answer.get("device_lists", {}).get("changed", []))
        await self._take_rooms(answer.get("rooms", {}))
        self._since = answer["next_batch"]
        await self.keys.replenish(answer.get("device_one_time_keys_count", {}).get("signed_curve25519", 0))
        await self._join_invites()

    async def _take_to_device(self, event: Mapping[str, Any]) -> None:
        try:
            plain = self.device.receive_to_device(event)
            if plain and plain["type"] == "m.room_key_bundle":
                await take_bundle(self.server, self.device, plain["content"])
        except (ValueError, KeyError, TypeError) as error:  # vodozemac's exceptions are ValueErrors
            logger.warning("a to-device message was not understood", extra={"person": self.name, "error": repr(error)})

    async def _take_rooms(self, rooms: Mapping[str, Any]) -> None:
        for room_id, update in rooms.get("join", {}).items():
            await self._take_joined(room_id, update)
        for room_id, update in rooms.get("invite", {}).items():
            self.invites[room_id] = update["invite_state"]["events"]
        for room_id in rooms.get("leave", {}):
            self.rooms.pop(room_id, None)
            self.invites.pop(room_id, None)

    async def _take_joined(self, room_id: str, update: Mapping[str, Any]) -> None:
        room = self.rooms.get(room_id) or RoomView(room_id)
        timeline = update.get("timeline", {})
        if timeline.get("limited") and timeline.get("prev_batch"):
            room.take_timeline(await self._history(room_id, from_token=timeline["prev_batch"], until=room.events))
        room.take_state(update.get("state", {}).get("events", []))
        room.take_timeline(timeline.get("events", []))
        self.rooms[room_id] = room
        self.invites.pop(room_id, None)

    async def _history(self, room_id: str, *, from_token: str | None, until: Container[str]) -> list[Mapping[str, Any]]:
        """Pages backwards to the beginning, or to the first event in `until`. Oldest first."""
        found: list[Mapping[str, Any]] = []
        while True:
            chunk, from_token = await self._page(room_id, from_token)
            found += [event for event in chunk if event["event_id"] not in until]
            if not from_token or any(event["event_id"] in until for event in chunk):
                return found[::-1]

    async def _page(self, room_id: str, from_token: str | None) -> tuple[list[Mapping[str, Any]], str | None]:
        query = {"dir": "b", "limit": str(PAGE), **({"from": from_token} if from_token else {})}
        url = f"{CLIENT}/rooms/{path(room_id)}/messages"
        page = await persistently(lambda: self.server.call("GET", url, query=query))
        return page["chunk"], page.get("end")

    async def _event(self, room_id: str, event_id: str) -> Mapping[str, Any] | None:
        url = f"{CLIENT}/rooms/{path(room_id, 'event', event_id)}"
        try:
            event: Mapping[str, Any] = await persistently(lambda: self.server.call("GET", url))
        except MatrixError as error:
            if error.status == 404:
                return None
            raise
        return event

    async def _join_invites(self) -> None:
        for room_id in list(self.invites) if self._auto_join else []:
            try:
                await self.server.call("POST", f"{CLIENT}/join/{path(room_id)}", {})
            except MatrixError as error:
                logger.info("an invite could not be accepted", extra={"person": self.name, "error": str(error)})
            self.invites.pop(room_id, None)


class People:
    """Makes people on one homeserver and sends them home at the end. Names get a suffix, since tests share the
    server."""

    def __init__(self, synapse: Synapse) -> None:
        self.synapse = synapse
        self._everybody: list[Person] = []
        self._passwords: dict[str, str] = {}

    async def person(
        self, name: str, *, displayname: str | None = None, admin: bool = False, auto_join: bool = True
    ) -> Person:
        account = await self.synapse.register(
            f"{name}-{secrets.token_hex(3)}", admin=admin, displayname=displayname or name
        )
        self._passwords[account.user_id] = account.password
        return await self.device_of(account.user_id, account.password, name=name, auto_join=auto_join)

    async def colleague(self, name: str) -> Person:
        """As `person`, with a device that its owner has signed: it is given the past of rooms that it comes into."""
        person = await self.person(name)
        await cross_sign(person.server, person.device)
        return person

    async def device_of(self, user_id: str, password: str, *, name: str = "", auto_join: bool = True) -> Person:
        """One more device of an account that exists."""
        person = await Person.log_in(self.synapse.url, user_id, password, name=name, auto_join=auto_join)
        self._everybody.append(person)
        return person

    async def another_device(self, person: Person) -> Person:
        return await self.device_of(person.user_id, self._passwords[person.user_id], name=person.name)

    async def leave(self) -> None:
        await asyncio.gather(*(person.leave() for person in self._everybody))


def _relation(thread: str | None, reply_to: str | None) -> Content:
    relation: Content = {"m.in_reply_to": {"event_id": reply_to}} if reply_to else {}
    if thread:
        relation |= {"rel_type": "m.thread", "event_id": thread, "is_falling_back": reply_to is None}
        relation.setdefault("m.in_reply_to", {"event_id": thread})
    return {"m.relates_to": relation} if relation else {}
