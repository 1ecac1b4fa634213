"""Ids of people and chats are made from addresses, so that a repeat finds what the first try has made. Of an erased
person the id stays behind, empty: who comes back later is somebody new."""

from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.storage.models.conversations import channel_identity, chat, contact

ERASED = "erased"  # the kind of an identity, and the beginning of a chat's remote id
_GONE: dict[str, tuple[sa.Table, sa.ColumnElement[bool]]] = {
    "contact": (contact, contact.c.erased_at.is_not(None)),
    "identity": (channel_identity, channel_identity.c.kind == ERASED),
    "chat": (chat, chat.c.remote.startswith(f"{ERASED}:")),
}


async def new_id(connection: AsyncConnection, namespace: UUID, *parts: str) -> UUID:
    """The first part names the table."""
    table, is_gone = _GONE[parts[0]]
    name, times = "|".join(parts), 0
    while True:
        id = uuid5(namespace, f"{name}|{times}" if times else name)
        query = sa.select(sa.literal(1)).where(table.c.id == id, is_gone)
        if (await connection.execute(query)).first() is None:
            return id
        times += 1
