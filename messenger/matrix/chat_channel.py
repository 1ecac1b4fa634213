"""Matrix as a customer channel: encrypted direct chats with the desk's account. Implements the channel contract like
every bridge, but for reading: the desk's sync loop brings what customers write, with ratchets and token in one
transaction. `chat_door` enters chats."""

from datetime import date
from typing import Any

from messenger.app.records import File, Said
from messenger.channels.capabilities import Capabilities, MediaRule, Support
from messenger.channels.errors import Rejected
from messenger.channels.health import Health, HealthState
from messenger.channels.messages import Handle, OutboundMessage, RemoteId, Sent
from messenger.domain.people import DevicePolicy
from messenger.matrix.batch import is_user_id
from messenger.matrix.contents import POLL_END, POLL_START, edited, end_of_menu, menu, placed, text_content
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable
from messenger.matrix.media import MatrixMedia
from messenger.matrix.relations import Relations
from messenger.matrix.sender import Sender, as_channel_error
from messenger.matrix.sent_lookup import SentLookup
from messenger.observability.time import utc_now

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
        policy: DevicePolicy = DevicePolicy.ANY,
    ) -> None:
        self._http, self._sender, self._media, self._policy = http, sender, media, policy
        self._lookup, self.account = lookup, account
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


def _text(message: OutboundMessage) -> dict[str, Any]:
    return text_content(Said(plain=message.content.text, html=message.content.html))


def _menu(message: OutboundMessage) -> dict[str, Any]:
    if len(message.content.buttons) > MOST_BUTTONS:
        raise Rejected("content_refused", raw_code="too many buttons")
    return menu(message.content.text, message.content.buttons)
