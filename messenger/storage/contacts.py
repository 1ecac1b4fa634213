"""Contacts: who they are, whether they agree to be written to first, and how they are reached."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import EXPECTED, Chat, Contact
from messenger.channels.messages import Handle
from messenger.domain.ids import ChatId, ContactId, ConversationId
from messenger.storage.chats import ChatRows, opened_name
from messenger.storage.data_keys import DataKeys
from messenger.storage.models.conversations import channel_identity, chat, contact, conversation
from messenger.storage.new_ids import new_id

# Names are sealed, so that a search opens each of them. Beyond that, people are found by address or number.
MOST_NAMES = 500

_CONTACTS = sa.select(
    contact.c.id,
    contact.c.enc_name,
    contact.c.consent_at,
    contact.c.consent_source,
    contact.c.restricted_at,
    channel_identity.c.id.label("identity"),
    channel_identity.c.kind,
    channel_identity.c.scope,
    channel_identity.c.value,
).join_from(contact, channel_identity, channel_identity.c.contact_id == contact.c.id)


class ContactRows:
    """The `ContactPort` over SQL, and what an administrator may change."""

    def __init__(self, connection: AsyncConnection, keys: DataKeys, namespace: UUID) -> None:
        self._connection, self._keys, self._namespace = connection, keys, namespace

    async def of_handle(self, person: Handle) -> Contact | None:
        row = (await self._connection.execute(_CONTACTS.where(*_is(person)))).first()
        return await self._contact(row) if row else None

    async def get(self, id: ContactId) -> Contact:
        query = _CONTACTS.where(contact.c.id == id).order_by(channel_identity.c.id).limit(1)
        return await self._contact((await self._connection.execute(query)).one())

    async def named_first_in(self, text: str) -> Contact | None:
        """Those whose data may not be used are not found."""
        searched = _CONTACTS.where(contact.c.restricted_at.is_(None), contact.c.erased_at.is_(None))
        rows = (await self._connection.execute(searched.limit(MOST_NAMES + 1))).all()
        if len(rows) > MOST_NAMES:
            return None
        known = [await self._contact(row) for row in rows]
        fitting = [each for each in known if each.name and _begins(_folded(text), _folded(each.name))]
        longest = max((len(_folded(each.name)) for each in fitting), default=0)
        meant = [each for each in fitting if len(_folded(each.name)) == longest]
        return meant[0] if len({each.id for each in meant}) == 1 else None

    async def chat_with(self, person: Contact, account: str, language: str) -> tuple[Chat, bool]:
        chats = ChatRows(self._connection, self._keys, self._namespace)
        query = sa.select(chat.c.id).where(chat.c.contact_id == person.id, chat.c.account == account)
        known = await self._connection.scalar(query.order_by(chat.c.made_at.desc(), chat.c.id).limit(1))
        if known is not None:
            return await chats.get(ChatId(known)), False
        id = uuid5(self._namespace, f"chat|{account}|{EXPECTED}{person.id}")
        await self._connection.execute(
            insert(chat).values(
                id=id,
                account=account,
                remote=f"{EXPECTED}{person.id}",
                contact_id=person.id,
                identity_id=person.identity,
                language=language,
            )
        )
        return await chats.get(ChatId(id)), True

    async def last_conversation(self, id: ContactId) -> ConversationId | None:
        query = sa.select(conversation.c.id).where(
            conversation.c.contact_id == id, conversation.c.group_id.is_not(None)
        )
        found = await self._connection.scalar(query.order_by(conversation.c.opened_at.desc()).limit(1))
        return ConversationId(found) if found else None

    async def know(self, person: Handle) -> Contact:
        """Makes the contact of this address if there is none."""
        known = await self.of_handle(person)
        if known is not None:
            return known
        parts = (person.kind, person.scope, person.value)
        owner = await new_id(self._connection, self._namespace, "contact", *parts)
        identity = await new_id(self._connection, self._namespace, "identity", *parts)
        await self._connection.execute(insert(contact).values(id=owner).on_conflict_do_nothing())
        await self._connection.execute(
            insert(channel_identity)
            .values(id=identity, contact_id=owner, kind=person.kind, scope=person.scope, value=person.value)
            .on_conflict_do_nothing()
        )
        return await self.get(ContactId(owner))

    async def set_consent(self, id: ContactId, *, at: datetime | None, source: str) -> None:
        change = contact.update().where(contact.c.id == id)
        await self._connection.execute(change.values(consent_at=at, consent_source=source))

    async def _contact(self, row: Any) -> Contact:
        name = await opened_name(self._keys, row.id, row.enc_name) or ""
        return Contact(
            id=ContactId(row.id),
            identity=row.identity,
            person=Handle(kind=row.kind, value=row.value, scope=row.scope),
            name=name,
            consent_at=row.consent_at,
            consent_source=row.consent_source or "",
            is_restricted=row.restricted_at is not None,
        )


def _is(person: Handle) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        channel_identity.c.kind == person.kind,
        channel_identity.c.scope == person.scope,
        channel_identity.c.value == person.value,
    )


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _begins(text: str, name: str) -> bool:
    return text.startswith(name) and not text[len(name) : len(name) + 1].isalnum()
