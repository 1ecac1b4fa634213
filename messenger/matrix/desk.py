"""The desk's hands in the staff's rooms: cards, thread messages, markers, rooms and seats. Implements the `Desk`
port."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from messenger.app.records import Place, Said
from messenger.channels.errors import Rejected
from messenger.domain.ids import ConversationId
from messenger.domain.people import Agent, DevicePolicy, SkillGroup
from messenger.matrix.batch import as_dict, as_list, server_of
from messenger.matrix.contents import edited, extras, placed, text_content
from messenger.matrix.engine import CryptoEngine
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable, path
from messenger.matrix.media import MatrixMedia
from messenger.matrix.relations import Relations
from messenger.matrix.room_book import RoomBook
from messenger.matrix.sender import Sender, as_channel_error
from messenger.matrix.sent_lookup import SentLookup
from messenger.observability.failpoints import fp

log = logging.getLogger(__name__)

ROOM_VERSION = "12"
ENCRYPTED = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
SHARED_HISTORY = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "shared"}}
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
        *,
        verify: Callable[[str, str | None, str], None] = lambda person, room, body: None,
        vouch: Callable[[str, str], Awaitable[None]] | None = None,
    ) -> None:
        self._http, self._sender, self._media, self._book, self._engine = http, sender, media, book, engine
        self._lookup, self.account, self._verify = lookup, engine.user_id, verify
        self._sign_person = vouch
        self._relations = Relations(http, sender, own=engine.user_id)

    async def find(self, room: str, txn: str) -> str | None:
        return await self._lookup.find(room, txn)

    def link(self, place: Place) -> str:
        """Room ids of version 12 name no server, so the link says via which one the room is reached."""
        parts = [place.room, place.thread] if place.thread else [place.room]
        return f"https://matrix.to/#/{path(*parts)}?via={server_of(self.account)}"

    async def post(self, place: Place, said: Said, *, txn: str, policy: DevicePolicy) -> str:
        content = placed(await self._content(said), thread=place.thread, reply_to=said.reply_to)
        about_trust = said.is_about_trust
        return await self._sender.send(
            place.room, "m.room.message", content, txn=txn, policy=policy, despite_doubts=about_trust
        )

    async def edit(self, place: Place, event: str, said: Said, *, txn: str, policy: DevicePolicy) -> str:
        content = edited(await self._content(said), event)
        return await self._sender.send(place.room, "m.room.message", content, txn=txn, policy=policy)

    async def react(self, room: str, event: str, key: str, *, txn: str) -> str | None:
        relation = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": key}}
        return await self._sender.send_clear(room, "m.reaction", relation, txn=txn)

    async def redact(self, room: str, event: str, *, txn: str) -> None:
        await self._sender.redact(room, event, txn=txn)

    async def set_reactions(
        self, room: str, event: str, now: frozenset[str], *, keep: frozenset[str], txn: str
    ) -> None:
        await self._relations.set_reactions(room, event, now, keep=keep, key=txn)

    async def take_back(self, room: str, event: str, *, txn: str) -> None:
        await self._relations.take_back(room, event, key=txn)

    async def pin(self, room: str, events: Sequence[str]) -> None:
        url = f"{CLIENT}/rooms/{path(room, 'state', 'm.room.pinned_events')}"
        await self._must_be_inside(room)
        try:
            if await self._pinned(url) != list(events):
                await self._http.call("PUT", url, {"pinned": list(events)})
        except (MatrixError, Unreachable) as error:
            raise as_channel_error(error) from error

    async def _pinned(self, url: str) -> list[Any]:
        try:
            return as_list(as_dict(await self._http.call("GET", url)).get("pinned"))
        except MatrixError as error:
            if error.status == 404:
                return []
            raise

    async def provide_room(self, group: SkillGroup) -> str:
        return await self._provide(f"stellwerk-group-{group.id.hex}", group.name)

    async def provide_case_room(self, conversation: ConversationId, number: str, place: int) -> str:
        """The room's name is in clear, so it says the number only."""
        return await self._provide(f"stellwerk-case-{conversation.hex}-{place}", f"Case {number}")

    async def provide_direct_room(self, agent: Agent) -> str:
        """Nobody else is in it, and nothing was said before: there is no history to share."""
        alias = f"stellwerk-direct-{agent.id.hex}"
        body = {
            "room_alias_name": alias,
            "preset": "private_chat",
            "visibility": "private",
            "room_version": ROOM_VERSION,
            "is_direct": True,
            "invite": [agent.address],
            "initial_state": [ENCRYPTED, SHARED_HISTORY, _CLOSED_TO_GUESTS],
        }
        return await create_or_find(self._http, self.account, alias, body)

    async def _provide(self, alias: str, name: str) -> str:
        """The alias makes it idempotent: a second try finds the room of the first. It holds an id, no name."""
        body = {
            "name": name,
            "room_alias_name": alias,
            "preset": "private_chat",
            "visibility": "private",
            "room_version": ROOM_VERSION,
            "creation_content": {"m.federate": False},
            "initial_state": [ENCRYPTED, SHARED_HISTORY, _CLOSED_TO_GUESTS],
            # Only the desk invites: history is shared by the inviter (MSC4268).
            "power_level_content_override": {"invite": 100, "users_default": 0, "events_default": 0},
        }
        room = await create_or_find(self._http, self.account, alias, body)
        fp("room_made")
        return room

    async def seat(self, room: str, address: str, *, policy: DevicePolicy) -> None:
        try:
            await self._book.must_be_inside(room)
            await self._book.expect(room, address)
            await self._engine.share_history(room, address, policy=policy.value)
            fp("history_shared")
            await self._http.call("POST", f"{CLIENT}/rooms/{path(room, 'invite')}", {"user_id": address})
        except MatrixError as error:
            is_no_answer = error.is_throttled or error.status >= 500
            if is_no_answer or not await self._is_there(room, address):
                raise as_channel_error(error) from error
        except Unreachable as error:
            raise as_channel_error(error) from error
        fp("member_invited")

    async def unseat(self, room: str, address: str) -> None:
        await self._must_be_inside(room)
        self._book.forget([room])
        if await self._is_there(room, address):
            try:
                await self._http.call("POST", f"{CLIENT}/rooms/{path(room, 'kick')}", {"user_id": address})
            except (MatrixError, Unreachable) as error:
                raise as_channel_error(error) from error
            fp("member_removed")
        self._book.forget([room])

    async def trust(self, person: str, key: str = "") -> None:
        """Kept here, and signed for later devices of this account."""
        try:
            master = await self._engine.approve_identity(person, verified=True, key=key)
            if master and self._sign_person:
                await self._sign_person(person, master)
        except (MatrixError, Unreachable) as error:
            raise as_channel_error(error) from error

    async def decide(self, room: str, person: str, device: str, cause: str, *, trusted: bool, key: str) -> None:
        match cause, trusted:
            case "unsigned_device", True:
                await self._engine.trust_device(person, device)
            case "unsigned_device", False:
                await self._engine.block_device(person, device)
            case (("identity_changed" | "customer_identity"), True):
                await self.trust(person, key)
            case "encryption_off", True:
                await self._book.keep_encrypted(room)
            case "encryption_off", False:
                pass  # nothing leaves there, as before
            case _, False:
                await self.unseat(room, person)
        self._book.forget([room])

    async def ask_verification(self, person: str, room: str | None, body: str) -> None:
        self._verify(person, room, body)

    async def _must_be_inside(self, room: str) -> None:
        try:
            await self._book.must_be_inside(room)
        except (MatrixError, Unreachable) as error:
            raise as_channel_error(error) from error

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
        return {**content, **extras(said)}


async def create_or_find(http: HomeserverClient, own: str, alias: str, body: Mapping[str, Any]) -> str:
    """Creates a room once: a repeat finds it by its alias. Raises ChannelError."""
    try:
        try:
            return str((await http.call("POST", f"{CLIENT}/createRoom", body, silence_s=120))["room_id"])
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
