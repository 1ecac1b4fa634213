"""The desk's hands in the staff's rooms: cards, thread messages, markers, rooms and seats. Implements the `Desk`
port."""

import logging
from collections.abc import Mapping
from typing import Any

from messenger.app.ports import Place, Said, SkillGroup
from messenger.channels.errors import Rejected
from messenger.domain.people import DevicePolicy
from messenger.matrix.batch import server_of
from messenger.matrix.engine import CryptoEngine
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable, path
from messenger.matrix.media import MatrixMedia
from messenger.matrix.room_book import RoomBook
from messenger.matrix.sender import Sender, as_channel_error
from messenger.matrix.sent_lookup import SentLookup

log = logging.getLogger(__name__)

HTML = "org.matrix.custom.html"
ROOM_VERSION = "12"
_ENCRYPTED = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
_SHARED_HISTORY = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "shared"}}
_CLOSED_TO_GUESTS = {"type": "m.room.guest_access", "state_key": "", "content": {"guest_access": "forbidden"}}


class MatrixDesk:
    def __init__(
        self,
        http: HomeserverClient,
        sender: Sender,
        media: MatrixMedia,
        book: RoomBook,
        engine: CryptoEngine,
        lookup: SentLookup,
    ) -> None:
        self._http, self._sender, self._media, self._book, self._engine = http, sender, media, book, engine
        self._lookup, self.account = lookup, engine.user_id

    async def find(self, room: str, txn: str) -> str | None:
        return await self._lookup.find(room, txn)

    def link(self, place: Place) -> str:
        """Room ids of version 12 name no server, so the link says via which one the room is reached."""
        parts = [place.room, place.thread] if place.thread else [place.room]
        return f"https://matrix.to/#/{path(*parts)}?via={server_of(self.account)}"

    async def post(self, place: Place, said: Said, *, txn: str, policy: DevicePolicy) -> str:
        content = await self._content(said)
        if place.thread:
            content["m.relates_to"] = {
                "rel_type": "m.thread",
                "event_id": place.thread,
                "is_falling_back": True,
                "m.in_reply_to": {"event_id": place.thread},
            }
        return await self._sender.send(place.room, "m.room.message", content, txn=txn, policy=policy)

    async def edit(self, place: Place, event: str, said: Said, *, txn: str, policy: DevicePolicy) -> str:
        new = text_content(said)
        # Empty top-level mentions: an edit rings nobody a second time (client-server API, "User and room mentions").
        content = {
            **text_content(said, prefix="* "),
            "m.mentions": {},
            "m.new_content": new,
            "m.relates_to": {"rel_type": "m.replace", "event_id": event},
        }
        return await self._sender.send(place.room, "m.room.message", content, txn=txn, policy=policy)

    async def react(self, room: str, event: str, key: str, *, txn: str) -> str | None:
        relation = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": key}}
        return await self._sender.send_clear(room, "m.reaction", relation, txn=txn)

    async def redact(self, room: str, event: str, *, txn: str) -> None:
        await self._sender.redact(room, event, txn=txn)

    async def provide_room(self, group: SkillGroup) -> str:
        """The alias makes it idempotent: a second try finds the room of the first. It holds an id, no name."""
        alias = f"stellwerk-group-{group.id.hex}"
        body = {
            "name": group.name,
            "room_alias_name": alias,
            "preset": "private_chat",
            "visibility": "private",
            "room_version": ROOM_VERSION,
            "creation_content": {"m.federate": False},
            "initial_state": [_ENCRYPTED, _SHARED_HISTORY, _CLOSED_TO_GUESTS],
            # Only the desk invites: history is shared by the inviter (MSC4268).
            "power_level_content_override": {"invite": 100, "users_default": 0, "events_default": 0},
        }
        return await create_or_find(self._http, self.account, alias, body)

    async def seat(self, room: str, address: str) -> None:
        try:
            await self._engine.share_history(room, address)
            await self._http.call("POST", f"{CLIENT}/rooms/{path(room, 'invite')}", {"user_id": address})
        except MatrixError as error:
            if not await self._is_there(room, address):
                raise as_channel_error(error) from error
        except Unreachable as error:
            raise as_channel_error(error) from error
        self._book.forget([room])

    async def unseat(self, room: str, address: str) -> None:
        self._book.forget([room])
        if await self._is_there(room, address):
            try:
                await self._http.call("POST", f"{CLIENT}/rooms/{path(room, 'kick')}", {"user_id": address})
            except (MatrixError, Unreachable) as error:
                raise as_channel_error(error) from error
        self._book.forget([room])

    async def _is_there(self, room: str, address: str) -> bool:
        try:
            state = await self._http.call("GET", f"{CLIENT}/rooms/{path(room, 'state', 'm.room.member', address)}")
        except MatrixError as error:
            if error.status == 404:
                return False
            raise as_channel_error(error) from error
        except Unreachable as error:
            raise as_channel_error(error) from error
        return state.get("membership") in ("join", "invite")

    async def _content(self, said: Said) -> dict[str, Any]:
        if said.file is None:
            return text_content(said)
        content = await self._media.message(said.file, said.plain, said.html)
        return {**content, **_extras(said)}


def text_content(said: Said, *, prefix: str = "") -> dict[str, Any]:
    content = {"msgtype": "m.notice" if said.is_notice else "m.text", "body": prefix + said.plain, **_extras(said)}
    if said.html:
        content |= {"format": HTML, "formatted_body": prefix + said.html}
    return content


def _extras(said: Said) -> dict[str, Any]:
    """Mentions are always set by us, so that a customer's `@room` rings nobody. The profile is MSC4144's; the name
    stands in the text as well."""
    extras: dict[str, Any] = {"m.mentions": {"user_ids": list(said.mentions)} if said.mentions else {}}
    if said.profile:
        id, name = said.profile
        extras["com.beeper.per_message_profile"] = {"id": id, "displayname": name, "has_fallback": True}
    return extras


async def create_or_find(http: HomeserverClient, own: str, alias: str, body: Mapping[str, Any]) -> str:
    """Creates a room once: a repeat finds it by its alias. Raises ChannelError."""
    try:
        try:
            return str((await http.call("POST", f"{CLIENT}/createRoom", body, timeout_s=120))["room_id"])
        except MatrixError as error:
            if error.errcode != "M_ROOM_IN_USE":
                raise
        found = await http.call("GET", f"{CLIENT}/directory/room/{path(f'#{alias}:{server_of(own)}')}")
    except (MatrixError, Unreachable) as error:
        raise as_channel_error(error) from error
    room_id = found.get("room_id")
    if not isinstance(room_id, str):
        raise Rejected("internal", raw_code="an alias without a room")
    return room_id
