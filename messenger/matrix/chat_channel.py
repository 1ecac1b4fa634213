"""Matrix as a customer channel: encrypted direct chats with the desk's account. Implements the channel contract like
every bridge, but for reading: the desk's sync loop brings what customers write, with ratchets and token in one
transaction."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from hashlib import sha256
from typing import Any

from messenger.app.items import ChatReady, ChatRefused, RoomFollowed
from messenger.app.records import File, Said
from messenger.channels.capabilities import Capabilities, MediaRule, Support
from messenger.channels.errors import Rejected, Temporary
from messenger.channels.health import Health, HealthState
from messenger.channels.messages import Handle, OutboundMessage, RemoteId, Sent
from messenger.domain.people import DevicePolicy
from messenger.matrix import room_state, successors
from messenger.matrix.batch import as_dict, as_text, events, is_user_id, server_of
from messenger.matrix.contents import POLL_END, POLL_START, edited, end_of_menu, menu, placed, text_content
from messenger.matrix.desk import create_or_find
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable, path
from messenger.matrix.media import MatrixMedia
from messenger.matrix.relations import Relations
from messenger.matrix.sender import Sender, as_channel_error
from messenger.matrix.sent_lookup import SentLookup
from messenger.observability.failpoints import fp
from messenger.observability.time import utc_now

log = logging.getLogger(__name__)

FRESH_MS = 60_000
MAX_TEXT_BYTES = 40_000
MAX_FILE_BYTES = 25_000_000
MOST_BUTTONS = 20  # MSC3381: a client shows no more answers
_ANY_FILE = MediaRule(mimes={"*/*": Support.FULL}, max_size=MAX_FILE_BYTES, caption_max=MAX_TEXT_BYTES)
CAPABILITIES = Capabilities(
    checked_on=date(2026, 11, 24),
    text_max=MAX_TEXT_BYTES,
    text_unit="byte",
    formatting="html",
    media={"image": _ANY_FILE, "video": _ANY_FILE, "audio": _ANY_FILE, "voice": _ANY_FILE, "file": _ANY_FILE},
    reply=Support.FULL,
    edit=Support.FULL,
    delete=Support.FULL,
    reaction=Support.FULL,
    buttons=MOST_BUTTONS,
    idempotent_send=True,
    confidentiality="e2ee",
)


class MatrixChannel:
    """One desk account as a channel account. `reply_token` of a message is the room; `files` holds what is on its
    way."""

    def __init__(
        self,
        http: HomeserverClient,
        sender: Sender,
        media: MatrixMedia,
        lookup: SentLookup,
        *,
        account: str,
        organisation: str,
        policy: DevicePolicy = DevicePolicy.ANY,
    ) -> None:
        self._http, self._sender, self._media, self._policy = http, sender, media, policy
        self._lookup, self.account, self._organisation = lookup, account, organisation
        self._relations = Relations(http, sender, own=account)

    def capabilities(self, to: Handle | None = None) -> Capabilities:
        return CAPABILITIES

    def normalise(self, raw: str, *, region: str = "DE") -> Handle:
        address = raw.strip().removeprefix("https://matrix.to/#/")
        if not is_user_id(address):
            raise ValueError("A Matrix address looks like @anna:example.org")
        return Handle(kind="mxid", value=address)

    async def check(self) -> Health:
        try:
            await self._http.call("GET", f"{CLIENT}/account/whoami")
        except (MatrixError, Unreachable) as error:
            problem = as_channel_error(error)
            bad = HealthState.BAD_CREDENTIALS if problem.code == "auth" else HealthState.DISCONNECTED
            return Health(
                state=bad, since=utc_now(), code=problem.code, action="relogin" if problem.code == "auth" else "wait"
            )
        return Health(state=HealthState.CONNECTED, since=utc_now())

    async def send(self, message: OutboundMessage) -> Sent:
        if message.content.buttons:
            return await self._send(message, placed(_menu(message), reply_to=message.reply_to), type=POLL_START)
        return await self._send(message, placed(_text(message), reply_to=message.reply_to))

    async def send_file(self, message: OutboundMessage, file: File) -> Sent:
        return await self._send(message, placed(await self._file(message, file), reply_to=message.reply_to))

    async def edit(self, target: RemoteId, message: OutboundMessage) -> Sent:
        return await self._send(message, edited(_text(message), target))

    async def edit_file(self, target: RemoteId, message: OutboundMessage, file: File) -> Sent:
        return await self._send(message, edited(await self._file(message, file), target))

    async def delete(self, target: RemoteId, to: Handle, *, key: str, reply_token: str = "") -> None:
        await self._relations.take_back(reply_token, target, key=key)

    async def react(
        self, target: RemoteId, to: Handle, now: frozenset[str], *, key: str, reply_token: str = ""
    ) -> None:
        await self._relations.set_reactions(reply_token, target, now, key=key)

    async def end_menu(self, target: RemoteId, message: OutboundMessage) -> Sent:
        return await self._send(message, end_of_menu(message.content.text, target), type=POLL_END)

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        event = await self._lookup.find(message.reply_token, message.key)
        return Sent(remote_ids=(RemoteId(event),)) if event else None

    async def aclose(self) -> None:
        """Nothing of its own to close: the connection is the desk's."""

    async def _file(self, message: OutboundMessage, file: File) -> dict[str, Any]:
        return await self._media.message(file, message.content.text, message.content.html)

    async def _send(self, message: OutboundMessage, content: dict[str, Any], *, type: str = "m.room.message") -> Sent:
        event = await self._sender.send(message.reply_token, type, content, txn=message.key, policy=self._policy)
        return Sent(remote_ids=(RemoteId(event),))

    # ── entering chats ──

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
        except MatrixError:
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
        initial = [
            {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": room_state.MEGOLM}},
            {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "shared"}},
        ]
        return await create_or_find(
            self._http,
            self.account,
            alias,
            {
                "name": self._organisation,
                "room_alias_name": alias,
                "preset": "trusted_private_chat",
                "visibility": "private",
                "is_direct": True,
                "invite": [person],
                "initial_state": initial,
            },
        )

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
        return _name_of(person, events(await self._http.call("GET", f"{CLIENT}/rooms/{path(room, 'state')}")))

    def _ready(self, chat: str, person: str, name: str) -> ChatReady:
        return ChatReady(
            account=self.account, chat=chat, person=Handle(kind="mxid", value=person), name=name, at=utc_now()
        )


def _text(message: OutboundMessage) -> dict[str, Any]:
    return text_content(Said(plain=message.content.text, html=message.content.html))


def _menu(message: OutboundMessage) -> dict[str, Any]:
    if len(message.content.buttons) > MOST_BUTTONS:
        raise Rejected("content_refused", raw_code="too many buttons")
    return menu(message.content.text, message.content.buttons)


def _alias(chat: str, person: str) -> str:
    return "stellwerk-chat-" + sha256(f"{chat}|{person}".encode()).hexdigest()[:32]


def _name_of(person: str, state: list[Any]) -> str:
    for event in state:
        if event["type"] == "m.room.member" and event.get("state_key") == person:
            return as_text(as_dict(event["content"]).get("displayname"))
    return ""
