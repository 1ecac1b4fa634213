"""Everything around the core that outlives its process: a homeserver's rooms with /sync and /messages, the desk's posts
in them, the customers' ends. In memory, with faults. It remembers the transaction ids of each device, as real servers
do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from messenger.app.items import ChatReady, ChatRefused
from messenger.app.records import File, Place, Said
from messenger.channels.errors import Temporary
from messenger.channels.messages import Handle, MediaRef, OutboundMessage, RemoteId, Sent
from messenger.channels.testing import FakeBridge, FakePeer
from messenger.domain.ids import ConversationId
from messenger.domain.people import Agent, DevicePolicy, SkillGroup
from messenger.matrix.http import Unreachable
from messenger.observability.time import utc_now

DESK = "@desk:x"
TIMELINE = 4  # events of one room in one answer: gaps are frequent
MEGOLM = "m.megolm.v1.aes-sha2"


@dataclass(slots=True)
class Line:
    """What the program's calls go through. `away`: so many calls do not get out. `deaf`: of so many no answer comes
    back. `step` is a moment at which the program may die; `device` is the one that is logged in."""

    step: Callable[[str], None] = lambda name: None
    away: int = 0
    deaf: int = 0
    device: str = ""

    def out(self, error: Callable[[], Exception]) -> None:
        self.step("call_leaves")
        if self.away:
            self.away -= 1
            raise error()

    def back(self, error: Callable[[], Exception]) -> None:
        self.step("call_answered")
        if self.deaf:
            self.deaf -= 1
            raise error()


def _temporary() -> Exception:
    return Temporary("unreachable")


@dataclass(slots=True)
class Posted:
    """A message of the desk with everything that it has ever said; the last is what people see."""

    event: str
    place: Place
    versions: list[Said]
    is_gone: bool = False

    @property
    def now(self) -> Said:
        return self.versions[-1]


@dataclass(slots=True)
class Room:
    events: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    joined_at: int | None = None
    invited_at: int | None = None
    left_at: int | None = None
    inviter: str = ""


@dataclass(slots=True)
class Server:
    """A homeserver as one desk sees it. Positions count what happened."""

    line: Line
    rooms: dict[str, Room] = field(default_factory=dict)
    keys: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    said: dict[tuple[str, str, str], int] = field(default_factory=dict)  # the newest index of each session
    position: int = 0

    # What people do

    def add(self, room: str, event: Mapping[str, Any]) -> str:
        self.position += 1
        id = f"$e{self.position}"
        at = int(utc_now().timestamp() * 1000)
        self.rooms[room].events.append((self.position, {"event_id": id, "origin_server_ts": at, **event}))
        return id

    def say(
        self, room: str, sender: str, content: Mapping[str, Any], *, relation: Mapping[str, Any] | None, session: str
    ) -> str:
        """`session`: the room key without which it cannot be read."""
        of = (room, sender, session)
        index = self.said[of] = self.said.get(of, -1) + 1
        outer = {"algorithm": MEGOLM, "session_id": session, "index": index, "plain": dict(content)}
        outer |= {"m.relates_to": dict(relation)} if relation else {}
        return self.add(room, {"type": "m.room.encrypted", "sender": sender, "content": outer})

    def make_chat(self, room: str, customer: str) -> None:
        self.rooms[room] = Room(inviter=customer)
        self._state(room, customer, "m.room.member", customer, {"membership": "join"})
        self._state(room, customer, "m.room.encryption", "", {"algorithm": MEGOLM})
        self._state(room, customer, "m.room.member", DESK, {"membership": "invite"})
        self.rooms[room].invited_at = self.position

    def join(self, room: str) -> None:
        if room not in self.rooms:
            self.rooms[room] = Room()
            self._state(room, DESK, "m.room.encryption", "", {"algorithm": MEGOLM})
        if self.rooms[room].joined_at is None:
            self._state(room, DESK, "m.room.member", DESK, {"membership": "join"})
            self.rooms[room].joined_at = self.position

    def leave(self, room: str) -> None:
        """Does nothing where the desk is not."""
        if self.rooms[room].joined_at is not None:
            self._state(room, DESK, "m.room.member", DESK, {"membership": "leave"})
            self.rooms[room].joined_at, self.rooms[room].left_at = None, self.position

    def send_key(self, room: str, session: str) -> None:
        self.position += 1
        self.keys.append((self.position, {"room_id": room, "session_id": session}))

    def _state(self, room: str, sender: str, type: str, key: str, content: Mapping[str, Any]) -> None:
        self.add(room, {"type": type, "sender": sender, "state_key": key, "content": dict(content)})

    # What the desk asks: `HomeserverClient` as far as the sync loop uses it

    async def call(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        silence_s: float | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        self.line.out(lambda: Unreachable())
        asked = query or {}
        answer = self._sync(int(asked.get("since", "0"))) if url.endswith("/sync") else self._messages(url, asked)
        self.line.back(lambda: Unreachable())
        return answer

    def _sync(self, since: int) -> dict[str, Any]:
        join = {id: self._joined(room, since) for id, room in self.rooms.items() if room.joined_at is not None}
        left = {id: {} for id, room in self.rooms.items() if room.left_at is not None and room.left_at > since}
        return {
            "next_batch": str(self.position),
            "rooms": {
                "join": {id: answer for id, answer in join.items() if answer["timeline"]["events"]},
                "invite": {id: _invite(room) for id, room in self.rooms.items() if _is_new_invite(room, since)},
                "leave": left,
            },
            "to_device": {"events": [{"type": "m.room_key", **key} for at, key in self.keys if at > since]},
        }

    def _joined(self, room: Room, since: int) -> dict[str, Any]:
        """A room that we have just come into is told as if we had asked for the first time."""
        start = 0 if room.joined_at is not None and room.joined_at > since else since
        fresh = [(at, event) for at, event in room.events if at > start]
        recent, before = fresh[-TIMELINE:], fresh[:-TIMELINE]
        timeline = {
            "events": [event for _, event in recent],
            "limited": bool(before),
            "prev_batch": str(recent[0][0]) if recent else "",
        }
        return {"timeline": timeline, "state": {"events": [event for _, event in before if "state_key" in event]}}

    def _messages(self, url: str, query: Mapping[str, str]) -> dict[str, Any]:
        room = self.rooms[unquote(url.split("/rooms/")[1].split("/")[0])]
        start, end = int(query["from"]), int(query.get("to", "0"))
        older = [(at, event) for at, event in reversed(room.events) if end < at < start]
        page = older[: TIMELINE * 2]
        more = {"end": str(page[-1][0])} if len(older) > len(page) else {}
        return {"chunk": [event for _, event in page], **more}


def _is_new_invite(room: Room, since: int) -> bool:
    is_asked = room.joined_at is None and room.left_at is None
    return is_asked and room.invited_at is not None and room.invited_at > since


def _invite(room: Room) -> dict[str, Any]:
    member = {"type": "m.room.member", "state_key": DESK, "sender": room.inviter, "content": {"membership": "invite"}}
    return {"invite_state": {"events": [member]}}


@dataclass(slots=True)
class Rooms:
    """`Desk` and `ChatDoor`: the staff's side, and the way into chats."""

    server: Server
    account: str = DESK
    posts: list[Posted] = field(default_factory=list)
    marks: dict[str, tuple[str, str]] = field(default_factory=dict)  # what stands on which event
    seated: dict[str, set[str]] = field(default_factory=dict)
    _done: dict[tuple[str, str], str] = field(default_factory=dict)

    def _once(self, txn: str, make: Callable[[str], None]) -> str:
        """As a homeserver: a repeat by the same device is answered with the first event, whatever it holds."""
        self.server.line.out(_temporary)
        key = (self.server.line.device, txn)
        if key not in self._done:
            self._done[key] = f"$p{len(self._done)}"
            make(self._done[key])
        self.server.line.back(_temporary)
        return self._done[key]

    def link(self, place: Place) -> str:
        return f"https://matrix.to/#/{place.room}/{place.thread or ''}"

    async def find(self, room: str, txn: str) -> str | None:
        self.server.line.out(_temporary)
        return self.sent_as(txn)

    def sent_as(self, txn: str) -> str | None:
        return next((event for (_, known), event in self._done.items() if known == txn), None)

    async def post(self, place: Place, said: Said, *, txn: str, policy: DevicePolicy) -> str:
        return self._once(txn, lambda event: self.posts.append(Posted(event, place, [said])))

    async def edit(self, place: Place, event: str, said: Said, *, txn: str, policy: DevicePolicy) -> str:
        return self._once(txn, lambda _: self._posted(event).versions.append(said))

    async def react(self, room: str, event: str, key: str, *, txn: str) -> str | None:
        return self._once(txn, lambda mark: self.marks.update({mark: (event, key)}))

    async def redact(self, room: str, event: str, *, txn: str) -> None:
        self._once(txn, lambda _: self.marks.pop(event, None) and None)

    async def set_reactions(
        self, room: str, event: str, now: frozenset[str], *, keep: frozenset[str], txn: str
    ) -> None:
        self.server.line.out(_temporary)

    async def take_back(self, room: str, event: str, *, txn: str) -> None:
        def gone(_: str) -> None:
            self._posted(event).is_gone = True

        self._once(txn, gone)

    async def pin(self, room: str, events: Sequence[str]) -> None:
        self.server.line.out(_temporary)

    async def provide_room(self, group: SkillGroup) -> str:
        return self._provide(f"!{group.name}")

    async def provide_case_room(self, conversation: ConversationId, number: str, place: int) -> str:
        return self._provide(f"!{number}.{place}")

    def _provide(self, room: str) -> str:
        self.server.line.out(_temporary)
        self.server.join(room)
        self.server.line.back(_temporary)
        return room

    async def seat(self, room: str, address: str, *, policy: DevicePolicy) -> None:
        self.server.line.out(_temporary)
        self.seated.setdefault(room, set()).add(address)

    async def unseat(self, room: str, address: str) -> None:
        self.server.line.out(_temporary)
        self.seated.setdefault(room, set()).discard(address)

    async def trust(self, person: str, key: str = "") -> None:
        raise AssertionError("nobody asks for it here")

    async def decide(self, room: str, person: str, device: str, cause: str, *, trusted: bool, key: str) -> None:
        raise AssertionError("nobody asks for it here")

    async def provide_direct_room(self, agent: Agent) -> str:
        raise AssertionError("nobody asks for it here")

    async def ask_verification(self, person: str, room: str | None, body: str) -> None:
        raise AssertionError("nobody asks for it here")

    async def join(self, chat: str, person: str, *, farewell: str) -> ChatReady | ChatRefused:
        self.server.line.out(_temporary)
        self.server.join(chat)
        self.server.line.back(_temporary)
        who = Handle(kind="mxid", value=person)
        return ChatReady(account=DESK, chat=chat, person=who, name=person[1:].split(":")[0].title(), at=utc_now())

    async def open(self, key: str, person: str) -> ChatReady:
        raise AssertionError("nobody writes first here")

    async def invite_again(self, chat: str, person: str) -> None:
        raise AssertionError("nobody leaves here")

    def _posted(self, event: str) -> Posted:
        return next(post for post in self.posts if post.event == event)


class Chats(FakeBridge):
    """The customers' ends: the product's own fake channel, on the same line. `shown` is all that a customer has ever
    seen."""

    def __init__(self, peer: FakePeer, line: Line) -> None:
        super().__init__(peer)
        self.peer, self._line = peer, line
        self.shown: list[tuple[str, str]] = []

    async def send(self, message: OutboundMessage) -> Sent:
        self._line.out(_temporary)
        sent = await super().send(replace(message, key=f"{self._line.device}|{message.key}"))
        self.shown.append((message.to.value, message.content.text))
        self._line.back(_temporary)
        return sent

    async def send_file(self, message: OutboundMessage, file: File) -> Sent:
        return await self.send(message)

    async def edit(self, target: RemoteId, message: OutboundMessage) -> Sent:
        self._line.out(_temporary)
        sent = await super().edit(target, message)
        self.shown.append((message.to.value, message.content.text))
        self._line.back(_temporary)
        return sent

    async def delete(self, target: RemoteId, to: Handle, *, key: str, reply_token: str = "") -> None:
        self._line.out(_temporary)
        await super().delete(target, to, key=key, reply_token=reply_token)
        self._line.back(_temporary)

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        self._line.out(_temporary)
        sent = [each.remote_id for each in self.peer.delivered if each.key.partition("|")[2] == message.key]
        return Sent(remote_ids=sent[:1]) if sent else None


@dataclass(slots=True)
class Files:
    """What customers attach: small plain texts."""

    line: Line

    async def fetch(self, ref: MediaRef, *, max_bytes: int) -> bytes:
        self.line.out(_temporary)
        return b"What the doctor wrote.\n"
