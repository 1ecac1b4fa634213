"""A conversation as a row of its table: how it is read, and what its life changes in it."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from messenger.domain.conversation import Conversation, OnItsWay, State
from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId
from messenger.domain.pauses import Cause, Pause
from messenger.storage.together import Write

# What changes in the life of a conversation, in the order of the table.
_CHANGING = (
    "version",
    "state",
    "language",
    "group_id",
    "owner_id",
    "claimed_at",
    "waiting_since",
    "answered_at",
    "warned_at",
    "queued_at",
    "place",
    "is_in_room",
    "paused_by",
    "paused_at",
    "pause_until",
    "wake_on",
    "pause_note",
    "resolved_at",
    "resolution",
    "unrouted",
    "scheduled",
    "on_their_way",
    "is_unverified",
)
_WRITTEN = {"on_their_way": "CAST(:on_their_way AS jsonb)"}
CHANGE = Write(
    name="changed",
    text=f"""
UPDATE conversation SET {", ".join(f"{name} = {_WRITTEN.get(name, f':{name}')}" for name in _CHANGING)}
WHERE id = CAST(:id AS uuid) AND version = :before RETURNING id""",  # noqa: S608 - fixed texts of ours
    told=("id",),
)
# What `as_conversation` reads, and whether anybody may work on it.
_READ = ("id", "number", "contact_id", "chat_id", "opened_at", "previous_id", "blocked", *_CHANGING)
# With a row of the inbox comes, locked, the conversation that goes on in the chat in whose lane it stands.
CONVERSATION_OF_CHAT = f"""
SELECT {", ".join(f"{name} AS v_{name}" for name in _READ)}
FROM conversation WHERE conversation.id = in_chat.c_conversation FOR UPDATE"""  # noqa: S608 - fixed texts of ours


class OfChat:
    """A row's columns from `CONVERSATION_OF_CHAT`, by their own names."""

    def __init__(self, row: Any) -> None:
        self._row = row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, f"v_{name}")


def as_conversation(row: Any) -> Conversation:
    return Conversation(
        id=ConversationId(row.id),
        version=row.version,
        number=row.number,
        contact=ContactId(row.contact_id),
        chat=ChatId(row.chat_id),
        language=row.language,
        state=State(row.state),
        opened_at=row.opened_at,
        previous=ConversationId(row.previous_id) if row.previous_id else None,
        group=GroupId(row.group_id) if row.group_id else None,
        owner=AgentId(row.owner_id) if row.owner_id else None,
        place=row.place,
        is_in_room=row.is_in_room,
        pause=_pause(row),
        queued_at=row.queued_at,
        claimed_at=row.claimed_at,
        waiting_since=row.waiting_since,
        answered_at=row.answered_at,
        warned_at=row.warned_at,
        resolved_at=row.resolved_at,
        resolution=row.resolution,
        unrouted=tuple(map(MessageId, row.unrouted)),
        scheduled=frozenset(map(MessageId, row.scheduled)),
        on_their_way=tuple(_on_its_way(*each) for each in row.on_their_way),
        is_unverified=row.is_unverified,
    )


def _on_its_way(message: str, since: str | None) -> OnItsWay:
    return OnItsWay(MessageId(UUID(message)), datetime.fromisoformat(since) if since else None)


def _pause(row: Any) -> Pause | None:
    if row.paused_at is None:
        return None
    return Pause(
        by=AgentId(row.paused_by),
        since=row.paused_at,
        wake_on=frozenset(map(Cause, row.wake_on)),
        until=row.pause_until,
        note=MessageId(row.pause_note) if row.pause_note else None,
    )


def columns(state: Conversation) -> dict[str, Any]:
    """The values of `_CHANGING`."""
    pause = state.pause
    return {
        "version": state.version,
        "state": state.state.value,
        "language": state.language,
        "group_id": state.group,
        "owner_id": state.owner,
        "claimed_at": state.claimed_at,
        "waiting_since": state.waiting_since,
        "answered_at": state.answered_at,
        "warned_at": state.warned_at,
        "queued_at": state.queued_at,
        "place": state.place,
        "is_in_room": state.is_in_room,
        "paused_by": pause.by if pause else None,
        "paused_at": pause.since if pause else None,
        "pause_until": pause.until if pause else None,
        "wake_on": sorted(cause.value for cause in pause.wake_on) if pause else None,
        "pause_note": pause.note if pause else None,
        "resolved_at": state.resolved_at,
        "resolution": state.resolution,
        "unrouted": list(state.unrouted),
        "scheduled": sorted(state.scheduled, key=str),
        "is_unverified": state.is_unverified,
        "on_their_way": json.dumps(
            [(str(each.message), each.since.isoformat() if each.since else None) for each in state.on_their_way]
        ),
    }
