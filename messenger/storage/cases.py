"""A conversation with everything around it, read at once: its group, chat, owner, tags and card."""

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import Case, StoredMessage
from messenger.domain.conversation import State
from messenger.domain.ids import ConversationId, MessageId
from messenger.domain.people import Agent
from messenger.storage.chats import CHAT_COLUMNS, as_chat
from messenger.storage.conversation_rows import as_conversation
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import fetch, first
from messenger.storage.encryption import KeyDestroyed
from messenger.storage.messages import MESSAGE_COLUMNS, as_message
from messenger.storage.models.conversations import channel_identity, chat, contact, conversation, message, place
from messenger.storage.models.people import skill_group, staff
from messenger.storage.people import as_group
from messenger.storage.statements import Statement

_other = conversation.alias("other")
_HAS_OTHERS = (
    sa.exists()
    .where(
        _other.c.chat_id == conversation.c.chat_id, _other.c.id != conversation.c.id, _other.c.state != State.RESOLVED
    )
    .label("is_one_of_several")
)
_CASES = (
    sa.select(
        conversation,
        _HAS_OTHERS,
        skill_group.c.id.label("g_id"),
        skill_group.c.name.label("g_name"),
        skill_group.c.is_default,
        skill_group.c.languages,
        skill_group.c.keywords,
        skill_group.c.settings,
        skill_group.c.room_id,
        sa.exists()
        .where(
            place.c.conversation_id == conversation.c.id,
            place.c.room_id == conversation.c.card_room,
            place.c.is_room,
        )
        .label("is_own_room"),
        staff.c.address.label("s_address"),
        staff.c.name.label("s_name"),
        staff.c.language.label("s_language"),
        *CHAT_COLUMNS,
    )
    .join_from(conversation, skill_group, conversation.c.group_id == skill_group.c.id)
    .join(chat, chat.c.id == conversation.c.chat_id)
    .join(contact, contact.c.id == chat.c.contact_id)
    .join(channel_identity, channel_identity.c.id == chat.c.identity_id)
    .outerjoin(staff, staff.c.id == conversation.c.owner_id)
)
_CASE = Statement(_CASES.where(conversation.c.id == sa.bindparam("which")))
_CASE_OF = Statement(
    _CASES.add_columns(*MESSAGE_COLUMNS)
    .join(message, message.c.conversation_id == conversation.c.id)
    .where(message.c.id == sa.bindparam("which"))
)


class UnknownConversation(LookupError):
    """There is no conversation with this id."""


async def load_case(connection: AsyncConnection, keys: DataKeys, id: ConversationId) -> Case:
    """Raises UnknownConversation."""
    row = await first(connection, _CASE, {"which": id})
    if row is None:
        raise UnknownConversation(str(id))
    return await _case(row, keys)


async def load_case_of(connection: AsyncConnection, keys: DataKeys, message: MessageId) -> tuple[Case, StoredMessage]:
    (row,) = await fetch(connection, _CASE_OF, {"which": message})
    return await _case(row, keys), await as_message(row, keys)


async def _case(row: Any, keys: DataKeys) -> Case:
    state = as_conversation(row)
    owner = (
        Agent(id=state.owner, address=row.s_address, name=row.s_name, language=row.s_language) if state.owner else None
    )
    return Case(
        conversation=state,
        group=as_group(row, id=row.g_id, name=row.g_name),
        group_room=row.room_id,
        room=row.card_room or row.room_id,
        card=row.card_event,
        chat=await as_chat(row, keys),
        owner=owner,
        tags=await opened_tags(keys, state.id, row.enc_tags),
        is_one_of_several=row.is_one_of_several,
        is_room=row.is_own_room,
    )


async def opened_tags(keys: DataKeys, id: ConversationId, sealed: bytes | None) -> tuple[str, ...]:
    if not sealed:
        return ()
    try:
        return tuple(json.loads(await keys.open(sealed, where=tags_place(id))))
    except KeyDestroyed:
        return ()


def tags_place(id: ConversationId) -> str:
    return f"conversation|enc_tags|{id}"
