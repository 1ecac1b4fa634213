"""Contacts as an administrator sees them: no names, nothing of what was said."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.models.conversations import channel_identity, contact, conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactDetails:
    """`consent_source` without a moment says how the consent ended."""

    id: UUID
    address: str
    consent_at: datetime | None
    consent_source: str | None
    conversations: int
    open: int


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
