"""How the desk enters customers' chats: asked in, asking somebody in, or led on from a room that was replaced."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from messenger.app.items import ChatReady, ChatRefused, RoomFollowed
from messenger.channels.errors import Rejected, Temporary
from messenger.channels.messages import Handle
from messenger.matrix import room_state, successors
from messenger.matrix.batch import as_dict, as_text, events, server_of
from messenger.matrix.desk import ENCRYPTED, SHARED_HISTORY, create_or_find
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable, path
from messenger.matrix.sender import as_channel_error
from messenger.observability.failpoints import fp
from messenger.observability.time import utc_now

FRESH_MS = 60_000


class MatrixDoor:
    """Implements `ChatDoor`. `organisation` is what a chat that we make is called."""

    def __init__(self, http: HomeserverClient, *, account: str, organisation: str) -> None:
        self._http, self.account, self._organisation = http, account, organisation

    async def join(self, chat: str, person: str, *, farewell: str) -> ChatReady | ChatRefused | RoomFollowed:
        """Accepts an invitation and makes sure that the room is encrypted: turns it on where we may, else opens an
        encrypted room and invites the person there. Idempotent. Raises ChannelError for what may be tried again."""
        try:
            return await self._enter(chat, person, farewell)
        except (MatrixError, Unreachable) as error:
            problem = as_channel_error(error)
            if not isinstance(problem, Rejected):
                raise problem from error
            return ChatRefused(account=self.account, chat=chat, code=problem.code)
        except Rejected as problem:
            return ChatRefused(account=self.account, chat=chat, code=problem.code)

    async def follow(self, room: str, successor: str, by: str) -> RoomFollowed:
        """Idempotent. Raises ChannelError for what may be tried again."""
        try:
            if not await self._has_joined(successor, via=server_of(by)):
                return RoomFollowed(account=self.account, room=room, successor=successor, by=by, code="not_invited")
            return await self._judged(room, successor, await self._state(successor))
        except (MatrixError, Unreachable) as error:
            raise as_channel_error(error) from error

    async def leave(self, room: str) -> None:
        try:
            await self._http.call("POST", f"{CLIENT}/rooms/{path(room, 'leave')}", {})
        except MatrixError as error:
            if error.status not in (403, 404):
                raise as_channel_error(error) from error
        except Unreachable as error:
            raise as_channel_error(error) from error

    async def open(self, key: str, person: str) -> ChatReady:
        try:
            room = await self._own_room(key, person)
            fp("chat_opened")
            return self._ready(room, person, await self._name_in(room, person))
        except (MatrixError, Unreachable) as error:
            raise as_channel_error(error) from error

    async def invite_again(self, chat: str, person: str) -> None:
        try:
            if not await self._is_there(chat, person):
                await self._http.call("POST", f"{CLIENT}/rooms/{path(chat, 'invite')}", {"user_id": person})
                # What we know of the room comes by /sync; until then it says that nobody is there to hear us.
                raise Temporary("unreachable", raw_code="invited just now")
        except (MatrixError, Unreachable) as error:
            raise as_channel_error(error) from error

    async def _is_there(self, chat: str, person: str) -> bool:
        state = await self._state(chat)
        _, members = room_state.apply(room_state.RoomState(room_id=chat), state, own=self.account)
        return members.get(person) in ("join", "invite")

    async def _enter(self, chat: str, person: str, farewell: str) -> ChatReady | ChatRefused | RoomFollowed:
        if not await self._has_joined(chat):
            own = await self._room_of_alias(chat, person)  # an earlier try had moved and left already
            refused = ChatRefused(account=self.account, chat=chat, code="blocked")
            return self._ready(own, person, await self._name_in(own, person)) if own else refused
        fp("chat_joined")
        state = await self._state(chat)
        room, _ = room_state.apply(room_state.RoomState(room_id=chat), state, own=self.account)
        if room.encrypted and room.algorithm != room_state.MEGOLM:
            return ChatRefused(account=self.account, chat=chat, code="algorithm")
        name = _name_of(person, state)
        if room.encrypted or await self._turned_on(chat):
            ready = self._ready(chat, person, name)
            return await self._succeeding(chat, state, ready) if successors.predecessor(state) else ready
        own = await self._own_room(chat, person)
        await self._say_farewell(chat, farewell)
        await self._http.call("POST", f"{CLIENT}/rooms/{path(chat, 'leave')}", {})
        return self._ready(own, person, name)

    async def _succeeding(
        self, chat: str, state: Sequence[Mapping[str, Any]], ready: ChatReady
    ) -> ChatReady | RoomFollowed:
        """We are asked into a room that says it takes the place of another. That one's word may come a moment later."""
        found = await self._judged(successors.predecessor(state), chat, await self._state(chat))
        is_new = utc_now().timestamp() * 1000 - successors.made_at_ms(state) < FRESH_MS
        if found.code == "not_replaced" and is_new and found.by == "" and await self._is_inside(found.room):
            raise Temporary("unreachable", raw_code="the old room does not say yet that it was replaced")
        return replace(found, ready=ready)

    async def _judged(self, room: str, successor: str, new: Sequence[Mapping[str, Any]]) -> RoomFollowed:
        try:
            old = await self._state(room)
        except MatrixError as error:
            if error.status not in (403, 404):
                raise
            old = []  # not a room of ours
        return successors.judged(self.account, room, old, successor, new)

    async def _is_inside(self, room: str) -> bool:
        try:
            return bool(await self._state(room))
        except MatrixError as error:
            if error.status not in (403, 404):
                raise
            return False

    async def _state(self, room: str) -> list[Mapping[str, Any]]:
        return events(await self._http.call("GET", f"{CLIENT}/rooms/{path(room, 'state')}"))

    async def _has_joined(self, chat: str, *, via: str = "") -> bool:
        """`via`: a server that is in the room; ids of version 12 name none."""
        query = {"via": via} if via else None
        try:
            await self._http.call("POST", f"{CLIENT}/join/{path(chat)}", {}, query=query)
        except MatrixError as error:
            if error.status in ((403, 404) if via else (403,)):
                return False
            raise
        return True

    async def _say_farewell(self, chat: str, farewell: str) -> None:
        """The only text that ever leaves in clear: the same for everybody, to a room that we leave. A room that does
        not let us speak is left without a word."""
        url = f"{CLIENT}/rooms/{path(chat, 'send', 'm.room.message', 'farewell')}"
        try:
            await self._http.call("PUT", url, {"msgtype": "m.notice", "body": farewell, "m.mentions": {}})
        except MatrixError as error:
            if error.status != 403:
                raise

    async def _turned_on(self, chat: str) -> bool:
        try:
            await self._http.call(
                "PUT", f"{CLIENT}/rooms/{path(chat, 'state', 'm.room.encryption')}", {"algorithm": room_state.MEGOLM}
            )
        except MatrixError as error:
            if error.status == 403:
                return False
            raise
        return True

    async def _own_room(self, chat: str, person: str) -> str:
        """A room of ours for somebody whose own cannot be encrypted; the alias makes it one, however often this is
        tried."""
        alias = _alias(chat, person)
        body = {
            "name": self._organisation,
            "room_alias_name": alias,
            "preset": "trusted_private_chat",
            "visibility": "private",
            "is_direct": True,
            "invite": [person],
            "initial_state": [ENCRYPTED, SHARED_HISTORY],
        }
        return await create_or_find(self._http, self.account, alias, body)

    async def _room_of_alias(self, chat: str, person: str) -> str:
        alias = f"#{_alias(chat, person)}:{server_of(self.account)}"
        try:
            found = await self._http.call("GET", f"{CLIENT}/directory/room/{path(alias)}")
        except MatrixError as error:
            if error.status == 404:
                return ""
            raise
        return as_text(found.get("room_id"))

    async def _name_in(self, room: str, person: str) -> str:
        return _name_of(person, await self._state(room))

    def _ready(self, chat: str, person: str, name: str) -> ChatReady:
        return ChatReady(
            account=self.account, chat=chat, person=Handle(kind="mxid", value=person), name=name, at=utc_now()
        )


def _alias(chat: str, person: str) -> str:
    return "stellwerk-chat-" + sha256(f"{chat}|{person}".encode()).hexdigest()[:32]


def _name_of(person: str, state: list[Any]) -> str:
    for event in state:
        if event["type"] == "m.room.member" and event.get("state_key") == person:
            return as_text(as_dict(event["content"]).get("displayname"))
    return ""
