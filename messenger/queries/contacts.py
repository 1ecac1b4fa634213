"""Contacts as an administrator sees them: no names, nothing of what was said."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.models.conversations import channel_identity, contact, conversation, message


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactDetails:
    """`consent_source` without a moment says how the consent ended."""

    id: UUID
    address: str
    consent_at: datetime | None
    consent_source: str | None
    conversations: int
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRow:
    """`held`: by a legal hold. `last_at`: when something of theirs was last said to us or by us."""

    id: UUID
    address: str
    conversations: int
    open: int
    last_at: datetime | None
    restricted: bool
    held: bool


async def contacts(engine: AsyncEngine, *, restricted: bool = False, limit: int = 50) -> Sequence[ContactRow]:
    """Who was heard of last comes first. Whose processing is restricted is in no list but the one of those."""
    of_them = conversation.c.contact_id == contact.c.id
    count = sa.select(sa.func.count()).where(of_them)
    last = sa.select(sa.func.max(message.c.at)).join_from(message, conversation).where(of_them).scalar_subquery()
    is_restricted = contact.c.restricted_at.is_not(None)
    query = (
        sa.select(
            contact.c.id,
            channel_identity.c.value.label("address"),
            count.scalar_subquery().label("conversations"),
            count.where(conversation.c.state.not_in(("resolved", "closed"))).scalar_subquery().label("open"),
            last.label("last_at"),
            is_restricted.label("restricted"),
            contact.c.held_at.is_not(None).label("held"),
        )
        .join_from(contact, channel_identity, channel_identity.c.contact_id == contact.c.id)
        .where(contact.c.erased_at.is_(None), is_restricted if restricted else ~is_restricted)
        .order_by(sa.desc("last_at").nulls_last(), channel_identity.c.value)
        .limit(limit)
    )
    async with engine.begin() as connection:
        return [ContactRow(**row) for row in (await connection.execute(query)).mappings()]


async def contact_details(engine: AsyncEngine, address: str) -> ContactDetails | None:
    all_of = sa.select(sa.func.count()).where(conversation.c.contact_id == contact.c.id)
    query = (
        sa.select(
            contact.c.id,
            channel_identity.c.value,
            contact.c.consent_at,
            contact.c.consent_source,
            all_of.scalar_subquery().label("conversations"),
            all_of.where(conversation.c.state != "resolved").scalar_subquery().label("open"),
        )
        .join_from(contact, channel_identity, channel_identity.c.contact_id == contact.c.id)
        .where(channel_identity.c.kind == "mxid", channel_identity.c.value == address)
    )
    async with engine.begin() as connection:
        row = (await connection.execute(query)).first()
    if row is None:
        return None
    return ContactDetails(
        id=row.id,
        address=row.value,
        consent_at=row.consent_at,
        consent_source=row.consent_source,
        conversations=row.conversations,
        open=row.open,
    )
