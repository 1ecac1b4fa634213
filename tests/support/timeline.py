"""What a test person sees of a room: members, and events in order, decrypted when somebody looks (keys may come
late)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One event as a person sees it. `type` and `content` are the decrypted ones; `is_readable` is False without the
    key."""

    event_id: str
    sender: str
    type: str
    content: Mapping[str, Any]
    at_ms: int
    was_encrypted: bool
    is_readable: bool
    is_redacted: bool
    thread: str | None = None
    replaces: str | None = None
    reply_to: str | None = None
    is_falling_back: bool = False

    @property
    def choices(self) -> dict[str, str]:
        """Of a poll: the answers by their ids."""
        answers = self.content.get("org.matrix.msc3381.poll.start", {}).get("answers", [])
        return {answer["id"]: answer["org.matrix.msc1767.text"] for answer in answers}

    @property
    def body(self) -> str:
        """The text; of an edit the new text."""
        content = self.content.get("m.new_content", self.content) if self.replaces else self.content
        return str(content.get("body", ""))

    @property
    def msgtype(self) -> str:
        return str(self.content.get("msgtype", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    event_id: str
    sender: str
    key: str
    target: str


@dataclass(slots=True)
class RoomView:
    """Collected from /sync; gaps of limited timelines are filled before their newer events come in here. What a device
    could open once is not opened again."""

    room_id: str
    members: dict[str, str] = field(default_factory=dict)  # user id -> membership
    is_encrypted: bool = False
    events: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # raw, by event id, in the order of the server
    _in_order: list[Mapping[str, Any]] = field(default_factory=list)  # the same: a dict has no quick way to its end
    _opened: dict[str, Seen] = field(default_factory=dict)
    _redacted: set[str] = field(default_factory=set)

    def take_state(self, events: Iterable[Mapping[str, Any]]) -> None:
        for event in events:
            if event.get("type") == "m.room.member":
                self.members[event["state_key"]] = event["content"].get("membership", "leave")
            elif event.get("type") == "m.room.encryption":
                self.is_encrypted = True

    def take_timeline(self, events: Sequence[Mapping[str, Any]]) -> None:
        self.take_state(event for event in events if "state_key" in event)
        for event in events:
            if event["event_id"] not in self.events:
                self.events[event["event_id"]] = event
                self._in_order.append(event)
        self._redacted |= _redacted_by(events)

    def since(self, count: int) -> Sequence[Mapping[str, Any]]:
        """The raw events after the first `count`."""
        return self._in_order[count:]

    def forget_all_but(self, newest: int) -> None:
        """For a client that reads for hours, and remembers elsewhere what it has read."""
        for event in self._in_order[:-newest]:
            self.events.pop(event["event_id"])
            self._opened.pop(event["event_id"], None)
        self._in_order = self._in_order[-newest:]

    def read(self, device: Device) -> list[Seen]:
        return [self.seen(device, event_id) for event_id in self.events]

    def seen(self, device: Device, event_id: str) -> Seen:
        known = self._opened.get(event_id) or seen(device, self.room_id, self.events[event_id])
        if known.is_readable:
            self._opened[event_id] = known
        return replace(known, is_redacted=True) if event_id in self._redacted else known

    def people_inside(self) -> frozenset[str]:
        return frozenset(user for user, membership in self.members.items() if membership in {"join", "invite"})


def seen(device: Device, room_id: str, event: Mapping[str, Any], *, redacted: frozenset[str] = frozenset()) -> Seen:
    """Decrypts and reads one raw event."""
    is_redacted = event["event_id"] in redacted or "redacted_because" in event.get("unsigned", {})
    encrypted = event["type"] == "m.room.encrypted"
    plain = device.decrypt(room_id, event["content"]) if encrypted else event
    content = dict((plain or event).get("content", {}))
    # Of an encrypted event the relation outside counts; the copy inside, if any, is only the sender's word.
    relation = event["content"].get("m.relates_to") or content.get("m.relates_to") or {}
    kind = relation.get("rel_type")
    return Seen(
        event_id=event["event_id"],
        sender=event["sender"],
        type=(plain or event)["type"],
        content=content,
        at_ms=event.get("origin_server_ts", 0),
        was_encrypted=encrypted,
        is_readable=plain is not None,
        is_redacted=is_redacted,
        thread=relation.get("event_id") if kind == "m.thread" else None,
        replaces=relation.get("event_id") if kind == "m.replace" else None,
        reply_to=relation.get("m.in_reply_to", {}).get("event_id"),
        is_falling_back=relation.get("is_falling_back", False),
    )


def read(device: Device, room_id: str, events: Sequence[Mapping[str, Any]]) -> list[Seen]:
    redacted = _redacted_by(events)
    return [seen(device, room_id, event, redacted=redacted) for event in events]


def _redacted_by(events: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(
        event.get("redacts") or event["content"].get("redacts", "")
        for event in events
        if event["type"] == "m.room.redaction"
    )


def messages(events: Sequence[Seen], *, thread: str | None = None, sender: str | None = None) -> list[Seen]:
    """Of the events those that are messages (or cannot be read), edits left out."""
    return [
        event
        for event in events
        if (event.type == "m.room.message" or not event.is_readable)
        and not event.replaces
        and not event.is_redacted
        and (thread is None or event.thread == thread)
        and (sender is None or event.sender == sender)
    ]


def reactions(events: Iterable[Seen]) -> list[Reaction]:
    """The standing reactions: a redacted one has lost its relation."""
    found = []
    for event in events:
        relation = event.content.get("m.relates_to", {})
        if event.type == "m.reaction" and not event.is_redacted and relation.get("key"):
            found.append(
                Reaction(event_id=event.event_id, sender=event.sender, key=relation["key"], target=relation["event_id"])
            )
    return found
