"""Room events as inbox items. Pure. The relay is an allow-list: what is not understood becomes a visible `Unsupported`
or a staff message of a type that is never sent on."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from messenger.app.desk_ports import Arrival, Ciphertext, RoomState
from messenger.app.items import CustomerReacted, Item, StaffReacted, StaffRedacted, StaffSaid, Unreadable
from messenger.channels.messages import (
    Assurance,
    ChannelAccountId,
    Content,
    Handle,
    InboundMessage,
    MessageDeleted,
    MessageEdited,
    RemoteId,
    Unsupported,
)
from messenger.matrix.batch import as_dict, as_event_id, as_list, as_text, is_user_id
from messenger.matrix.engine import Decrypted
from messenger.matrix.incoming import FILES, TEXTS, VOTES, chosen, message_content, new_content, with_quotation

_LAST_MS = 4_102_444_800_000  # the year 2100: a larger time stamp is nonsense


def arrival(
    account: str, room: RoomState, event: Mapping[str, Any], opened: Decrypted | None, *, is_late: bool = False
) -> Arrival | None:
    """None for what concerns nobody: state, our own events, unknown clear-text types."""
    if event["sender"] == account or "state_key" in event:
        return None
    is_staffs = room.use in ("group", "case", "direct")
    converter = _OfStaff(account, room, event) if is_staffs else _OfChat(account, room, event, is_late)
    item = converter.item(opened)
    if item is None:
        return None
    return Arrival(
        source_id=event["event_id"],
        lane=converter.lane,
        item=item,
        ciphertext=_ciphertext(room, opened),
        **_kept(room, event, opened),
    )


def _ciphertext(room: RoomState, opened: Decrypted | None) -> Ciphertext | None:
    return opened.ciphertext(room.room_id) if opened is not None else None


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
        self.is_edit = self.relation.get("rel_type") == "m.replace"
        answered = as_event_id(as_dict(self.relation.get("m.in_reply_to")).get("event_id")) or None
        # In a thread each message names the last one for clients without threads; that is no answer to it.
        is_fallback = is_in_thread and self.relation.get("is_falling_back") is True
        self.reply_to = None if self.is_edit or is_fallback else answered
        # An edit does not say whether it edits a reply, and some clients repeat the quotation in it.
        self.is_reply = self.is_edit or answered is not None
        self.at = _moment(event.get("origin_server_ts"))

    def item(self, opened: Decrypted | None) -> Item | None:
        if opened is not None:
            if opened.state == "new":
                return self.message(opened.type, opened.content, opened)
            return self.unreadable(opened.reason if opened.is_withheld else opened.state)
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


class _OfStaff(_Converter):
    """The staff's side: a skill group's room, one conversation's, or the direct chat with one of them."""

    @property
    def lane(self) -> str:
        if self.room.use in ("case", "direct"):
            return f"{self.room.room_id}|main"  # one conversation, one order
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
        if self.room.use == "case" and self._is_beside(content):
            self.thread = self.thread or self.event["event_id"]
        if self.is_edit or "m.new_content" in content:
            kind, content = self._replacement(kind, content)
        mentions = [user for user in as_list(as_dict(content.get("m.mentions")).get("user_ids")) if is_user_id(user)]
        return StaffSaid(
            account=self.account,
            room=self.room.room_id,
            thread=self.thread,
            event=self.event["event_id"],
            sender=self.event["sender"],
            at=self.at,
            type=kind or "unknown",
            content=message_content(content, is_reply=self.is_reply),
            mentions=mentions[:50],
            reply_to=self.reply_to,
            edits=self.target() or None if self.is_edit else None,
            owner_signed=opened.owner_signed,
        )

    def _is_beside(self, content: Mapping[str, Any]) -> bool:
        """Threads of a case room stay inside, also one that is named in the ciphertext only, or by no proper root."""
        relations = (self.relation, as_dict(content.get("m.relates_to")))
        return any(relation.get("rel_type") == "m.thread" for relation in relations)

    def _replacement(self, kind: str, content: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """An edit that names no message in clear, or puts none in its place, must not look like words to send on."""
        new = new_content(content)
        if new is None or not (self.is_edit and self.target()):
            return "m.replace", new or content
        return as_text(new.get("msgtype")), new


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
        if not self.target() or not key:
            return None
        return CustomerReacted(
            account=self.account,
            room=self.room.room_id,
            event=self.event["event_id"],
            target=self.target(),
            key=key,
            sender=self._sender(),
            at=self.at,
        )

    def redaction(self) -> Item | None:
        return MessageDeleted(**self._received(), sender=self._sender(), target=RemoteId(self.target()))

    def message(self, type: str, content: Mapping[str, Any], opened: Decrypted) -> Item | None:
        kind = as_text(content.get("msgtype"))
        if self.is_edit and type == "m.room.message":
            return self._edited(content, opened)
        if type in VOTES and chosen(type, content):
            return self._voted(chosen(type, content), opened)
        if type != "m.room.message" or kind not in TEXTS | FILES:
            return self._unsupported(kind or type)
        return InboundMessage(
            **self._said(opened),
            content=with_quotation(message_content(content, is_reply=self.is_reply), content),
            reply_to=RemoteId(answered) if (answered := self.reply_to or self.thread) else None,
            signals=self.signals,
        )

    def _edited(self, content: Mapping[str, Any], opened: Decrypted) -> Item:
        """An edit that puts no message in the place of another still shows whatever words it bears."""
        shown = message_content(new_content(content) or content, is_reply=True)
        if not shown.text and not shown.media:
            return self._unsupported("m.replace")
        return MessageEdited(
            **self._received(),
            sender=self._sender(),
            target=RemoteId(self.target()),
            content=shown,
            hints=(self.room.room_id,),
            assurance=_assurance(opened),
        )

    def _voted(self, answer: str, opened: Decrypted) -> Item:
        """The choice in one of our menus. Which words the id stands for is known where the menu was made."""
        return InboundMessage(
            **self._said(opened),
            content=Content(text=answer),
            reply_to=RemoteId(self.target()) if self.target() else None,
            signals={**self.signals, "button": answer},
        )

    def _unsupported(self, what: str) -> Item:
        return Unsupported(**self._received(), sender=self._sender(), what=what[:80], hints=(self.room.room_id,))

    def _said(self, opened: Decrypted) -> dict[str, Any]:
        return {
            **self._received(),
            "sender": self._sender(),
            "hints": (self.room.room_id,),
            "remote_ids": (RemoteId(self.event["event_id"]),),
            "assurance": _assurance(opened),
        }

    def _sender(self) -> Handle:
        return Handle(kind="mxid", value=self.event["sender"])

    def _received(self) -> dict[str, Any]:
        return {"account": ChannelAccountId(self.account), "source_id": self.event["event_id"], "at": self.at}


def _assurance(opened: Decrypted) -> Assurance:
    return Assurance.AUTHENTICATED if opened.owner_signed else Assurance.CHANNEL


def _moment(milliseconds: Any) -> datetime:
    known = milliseconds if isinstance(milliseconds, int) and 0 <= milliseconds < _LAST_MS else 0
    return datetime.fromtimestamp(known / 1000, UTC)
