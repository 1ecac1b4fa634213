"""Room events as inbox items. Pure. The relay is an allow-list: what is not understood becomes a visible `Unsupported`
or a staff message of a type that is never sent on."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from messenger.app.desk_ports import Arrival, RoomState
from messenger.app.items import Item, StaffReacted, StaffRedacted, StaffSaid, Unreadable
from messenger.channels.messages import (
    Assurance,
    ChannelAccountId,
    Content,
    Handle,
    InboundMessage,
    MediaRef,
    MessageDeleted,
    MessageEdited,
    ReactionsChanged,
    RemoteId,
    Unsupported,
)
from messenger.matrix.batch import as_dict, as_event_id, as_list, as_text, is_user_id
from messenger.matrix.engine import Decrypted

TEXTS = frozenset({"m.text", "m.notice", "m.emote"})
FILES = frozenset({"m.image", "m.file", "m.audio", "m.video"})
_QUOTATIONS = ("> <@", "> * <@")
_LAST_MS = 4_102_444_800_000  # the year 2100: a larger time stamp is nonsense


def arrival(
    account: str, room: RoomState, event: Mapping[str, Any], opened: Decrypted | None, *, is_late: bool = False
) -> Arrival | None:
    """None for what concerns nobody: state, our own events, unknown clear-text types."""
    if event["sender"] == account or "state_key" in event:
        return None
    converter = _OfGroup(account, room, event) if room.use == "group" else _OfChat(account, room, event, is_late)
    item = converter.item(opened)
    if item is None:
        return None
    ciphertext = (
        (room.room_id, opened.sender_key, opened.session_id, opened.index)
        if opened and opened.index is not None
        else None
    )
    return Arrival(
        source_id=event["event_id"],
        lane=converter.lane,
        item=item,
        ciphertext=ciphertext if opened is not None and opened.state == "new" else None,
        **_kept(room, event, opened),
    )


def _kept(room: RoomState, event: Mapping[str, Any], opened: Decrypted | None) -> dict[str, Any]:
    """What a later key may still make readable."""
    if opened is None or opened.state not in ("waiting_key", "quarantine") or not opened.session_id:
        return {}
    return {"session": (room.room_id, opened.session_id), "raw": event, "waits": opened.state == "waiting_key"}


class _Converter:
    def __init__(self, account: str, room: RoomState, event: Mapping[str, Any]) -> None:
        self.account, self.room, self.event = account, room, event
        self.relation = as_dict(event["content"].get("m.relates_to"))
        is_in_thread = self.relation.get("rel_type") == "m.thread"
        self.thread = as_event_id(self.relation.get("event_id")) or None if is_in_thread else None
        self.reply_to = as_event_id(as_dict(self.relation.get("m.in_reply_to")).get("event_id")) or None
        self.is_edit = self.relation.get("rel_type") == "m.replace"
        self.at = _moment(event.get("origin_server_ts"))

    def item(self, opened: Decrypted | None) -> Item | None:
        if opened is not None:
            if opened.state == "new":
                return self.message(opened.type, opened.content, opened)
            # The sender's app said why it gives us no key (m.room_key.withheld): its codes begin with `m.`
            return self.unreadable("withheld" if opened.reason.startswith("m.") else opened.state)
        match self.event["type"]:
            case "m.reaction":
                return self.reaction()
            case "m.room.redaction":
                return self.redaction()
            case "m.room.message" | "m.sticker":
                return self.unreadable("clear_text")
            case _:
                return None

    def unreadable(self, reason: str) -> Unreadable:
        return Unreadable(
            account=self.account,
            room=self.room.room_id,
            thread=self.thread,
            event=self.event["event_id"],
            sender=self.event["sender"],
            at=self.at,
            reason=reason,
        )

    def target(self) -> str:
        """Of a reaction, an edit or a redaction; room version 11 moved `redacts` into the content."""
        found = self.relation.get("event_id") or self.event["content"].get("redacts") or self.event.get("redacts")
        return as_event_id(found)

    def reaction(self) -> Item | None:
        raise TypeError("a converter knows its side")

    def redaction(self) -> Item | None:
        raise TypeError("a converter knows its side")

    def message(self, type: str, content: Mapping[str, Any], opened: Decrypted) -> Item | None:
        raise TypeError("a converter knows its side")


class _OfGroup(_Converter):
    """A skill group's room: the staff's side."""

    @property
    def lane(self) -> str:
        return f"{self.room.room_id}|{self.thread or self.target() or 'main'}"

    def reaction(self) -> Item | None:
        key = as_text(self.relation.get("key"))
        if not self.target() or not key or len(key) > 64:
            return None
        return StaffReacted(
            account=self.account,
            room=self.room.room_id,
            event=self.event["event_id"],
            target=self.target(),
            key=key,
            sender=self.event["sender"],
            at=self.at,
        )

    def redaction(self) -> Item | None:
        if not self.target():
            return None
        return StaffRedacted(
            account=self.account,
            room=self.room.room_id,
            event=self.event["event_id"],
            target=self.target(),
            sender=self.event["sender"],
            at=self.at,
        )

    def message(self, type: str, content: Mapping[str, Any], opened: Decrypted) -> Item | None:
        kind = as_text(content.get("msgtype")) if type == "m.room.message" else type
        mentions = [user for user in as_list(as_dict(content.get("m.mentions")).get("user_ids")) if is_user_id(user)]
        return StaffSaid(
            account=self.account,
            room=self.room.room_id,
            thread=self.thread,
            event=self.event["event_id"],
            sender=self.event["sender"],
            at=self.at,
            type=kind or "unknown",
            content=message_content(content, is_reply=self.reply_to is not None),
            mentions=mentions[:50],
            reply_to=self.target() if self.is_edit else self.reply_to,
            is_edit=self.is_edit,
            owner_signed=opened.owner_signed,
        )


class _OfChat(_Converter):
    """A customer's chat."""

    def __init__(self, account: str, room: RoomState, event: Mapping[str, Any], is_late: bool) -> None:
        super().__init__(account, room, event)
        self.signals = {"late": "1"} if is_late else {}

    @property
    def lane(self) -> str:
        return self.room.room_id

    def reaction(self) -> Item | None:
        key = as_text(self.relation.get("key"))[:64]
        return ReactionsChanged(
            **self._received(), sender=self._sender(), target=RemoteId(self.target()), now=frozenset({key})
        )

    def redaction(self) -> Item | None:
        return MessageDeleted(**self._received(), sender=self._sender(), target=RemoteId(self.target()))

    def message(self, type: str, content: Mapping[str, Any], opened: Decrypted) -> Item | None:
        if self.relation.get("rel_type") == "m.replace":
            new = as_dict(content.get("m.new_content"))
            return MessageEdited(
                **self._received(),
                sender=self._sender(),
                target=RemoteId(self.target()),
                content=message_content(new),
                hints=(self.room.room_id,),
                assurance=_assurance(opened),
            )
        kind = as_text(content.get("msgtype"))
        if type != "m.room.message" or kind not in TEXTS | FILES:
            return Unsupported(
                **self._received(), sender=self._sender(), what=(kind or type)[:80], hints=(self.room.room_id,)
            )
        return InboundMessage(
            **self._received(),
            sender=self._sender(),
            content=message_content(content, is_reply=self.reply_to is not None),
            hints=(self.room.room_id,),
            remote_ids=(RemoteId(self.event["event_id"]),),
            reply_to=RemoteId(self.reply_to) if self.reply_to else None,
            signals=self.signals,
            assurance=_assurance(opened),
        )

    def _sender(self) -> Handle:
        return Handle(kind="mxid", value=self.event["sender"])

    def _received(self) -> dict[str, Any]:
        return {"account": ChannelAccountId(self.account), "source_id": self.event["event_id"], "at": self.at}


def message_content(content: Mapping[str, Any], *, is_reply: bool = False) -> Content:
    """Text, HTML and file of an m.room.message, raw: cleaning is the core's (it is the same for every channel)."""
    body, kind = as_text(content.get("body")), as_text(content.get("msgtype"))
    body = without_quotation(body) if is_reply else body
    is_html = content.get("format") == "org.matrix.custom.html"
    html = as_text(content.get("formatted_body")) if is_html else ""
    if kind not in FILES:
        return Content(text=body, html=html)
    name = as_text(content.get("filename")) or body
    caption = body if content.get("filename") and body != name else ""  # MSC2530
    return Content(text=caption, html=html if caption else "", media=(_media(content, name),))


def without_quotation(body: str) -> str:
    """Older clients put what they reply to above their words ("rich reply fallback", removed in spec v1.13). It must
    go: an answer that quotes an internal note would carry the note out, and a quoted line hides a command or a note."""
    if not body.startswith(_QUOTATIONS):
        return body
    lines = body.split("\n")
    own = next((n for n, line in enumerate(lines) if not line.startswith(">")), len(lines))
    return "\n".join(lines[own:]).removeprefix("\n")


def _assurance(opened: Decrypted) -> Assurance:
    return Assurance.AUTHENTICATED if opened.owner_signed else Assurance.CHANNEL


def _media(content: Mapping[str, Any], name: str) -> MediaRef:
    info, file = as_dict(content.get("info")), as_dict(content.get("file"))
    size = info.get("size")
    return MediaRef(
        id=json.dumps(file) if file else "",
        mime=as_text(info.get("mimetype"))[:127] or "application/octet-stream",
        filename=name[:1000],
        size=size if isinstance(size, int) and size >= 0 else None,
        voice="org.matrix.msc3245.voice" in content,
    )


def _moment(milliseconds: Any) -> datetime:
    known = milliseconds if isinstance(milliseconds, int) and 0 <= milliseconds < _LAST_MS else 0
    return datetime.fromtimestamp(known / 1000, UTC)
