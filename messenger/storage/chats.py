"""Contacts and their chats. A contact's name is sealed."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.items import ChatReady
from messenger.app.records import Chat
from messenger.channels.messages import Handle
from messenger.domain.errors import ProcessingRestricted
from messenger.domain.ids import ChatId, ContactId, ConversationId
from messenger.storage.data_keys import DataKeys
from messenger.storage.encryption import KeyDestroyed
from messenger.storage.models.conversations import channel_identity, chat, contact
from messenger.storage.models.rooms import mx_room, room_succession
from messenger.storage.new_ids import new_id

MEGOLM = "m.megolm.v1.aes-sha2"

CHAT_COLUMNS = (
    chat.c.id.label("c_id"),
    chat.c.account.label("c_account"),
    chat.c.remote.label("c_remote"),
    chat.c.contact_id.label("c_contact"),
    chat.c.language.label("c_language"),
    chat.c.conversation_id.label("c_conversation"),
    contact.c.enc_name.label("c_enc_name"),
    contact.c.restricted_at.label("c_restricted_at"),
    channel_identity.c.kind.label("i_kind"),
    channel_identity.c.scope.label("i_scope"),
    channel_identity.c.value.label("i_value"),
)
_CHATS = (
    sa.select(*CHAT_COLUMNS)
    .join_from(chat, contact, contact.c.id == chat.c.contact_id)
    .join(channel_identity, channel_identity.c.id == chat.c.identity_id)
)
_BY_REMOTE = _CHATS.where(chat.c.account == sa.bindparam("of_account"), chat.c.remote == sa.bindparam("of_remote"))
_BY_FORMER = _CHATS.join(room_succession, room_succession.c.chat_id == chat.c.id).where(
    room_succession.c.account == sa.bindparam("of_account"), room_succession.c.room_id == sa.bindparam("of_remote")
)
# With a row of the inbox comes the chat in whose lane it stands, and whether what its person says is held back.
CHAT_OF_LANE = f"""
SELECT {", ".join(f"{column.element.table.name}.{column.element.name} AS {column.name}" for column in CHAT_COLUMNS)},
  (SELECT id FROM flood WHERE scope = 'contact' AND key = chat.contact_id AND verdict IS NULL) AS c_flood
FROM chat JOIN contact ON contact.id = chat.contact_id JOIN channel_identity ON channel_identity.id = chat.identity_id
WHERE chat.account = claimed.source AND chat.remote = claimed.lane"""  # noqa: S608 - fixed texts of ours
_BY_ID = _CHATS.where(chat.c.id == sa.bindparam("which"))


_IS_UNSAFE = (
    sa.select(sa.literal(True))
    .join_from(chat, mx_room, sa.and_(mx_room.c.account == chat.c.account, mx_room.c.room_id == chat.c.remote))
    .where(chat.c.id == sa.bindparam("which"), mx_room.c.encrypted, mx_room.c.algorithm != MEGOLM)
)


def name_place(contact_id: UUID) -> str:
    return f"contact|enc_name|{contact_id}"


async def opened_name(keys: DataKeys, contact_id: UUID, sealed: bytes | None) -> str | None:
    """None: this person was erased."""
    try:
        return (await keys.open(sealed, where=name_place(contact_id))).decode() if sealed else ""
    except KeyDestroyed:
        return None


async def as_chat(row: Any, keys: DataKeys) -> Chat:
    name = await opened_name(keys, row.c_contact, row.c_enc_name)
    return Chat(
        id=ChatId(row.c_id),
        account=row.c_account,
        remote=row.c_remote,
        contact=ContactId(row.c_contact),
        person=Handle(kind=row.i_kind, value=row.i_value, scope=row.i_scope),
        name=name or "",
        is_erased=name is None,
        language=row.c_language,
        conversation=ConversationId(row.c_conversation) if row.c_conversation else None,
    )


class ChatRows:
    """The `ChatPort` over SQL. `namespace` is needed only to open chats."""

    def __init__(self, connection: AsyncConnection, keys: DataKeys, namespace: UUID | None = None) -> None:
        self._connection, self._keys, self._namespace = connection, keys, namespace
        self._of_lane: Any = None

    def remember(self, of_lane: Any) -> None:
        """What was read along with the claim, for the first that asks: afterwards it may have changed."""
        self._of_lane = of_lane

    async def find(self, account: str, remote: str) -> Chat | None:
        """Also by a room that it has had before. Raises ProcessingRestricted."""
        where = {"of_account": account, "of_remote": remote}
        known, self._of_lane = self._of_lane, None
        is_known = known is not None and (known.c_account, known.c_remote) == (account, remote)
        row = known if is_known else (await self._connection.execute(_BY_REMOTE, where)).first()
        if row is None:
            row = (await self._connection.execute(_BY_FORMER, where)).first()
        if row is not None and row.c_restricted_at is not None:
            raise ProcessingRestricted
        return await as_chat(row, self._keys) if row else None

    async def get(self, id: ChatId) -> Chat:
        row = (await self._connection.execute(_BY_ID, {"which": id})).one()
        return await as_chat(row, self._keys)

    async def open(self, ready: ChatReady) -> tuple[Chat, bool]:
        known = await self.find(ready.account, ready.chat)
        if known is not None:
            return await self._named(known, ready.name), False
        identity, owner = await self._identity(ready.person, ready.name)
        id = await self._new_id("chat", ready.account, ready.chat)
        await self._connection.execute(
            insert(chat)
            .values(id=id, account=ready.account, remote=ready.chat, contact_id=owner, identity_id=identity)
            .on_conflict_do_nothing()
        )
        return await self._named(await self.get(ChatId(id)), ready.name), True

    async def person(self, handle: Handle) -> ContactId:
        return ContactId((await self._identity(handle, ""))[1])

    async def set_language(self, id: ChatId, language: str) -> None:
        await self._connection.execute(chat.update().where(chat.c.id == id).values(language=language))

    async def is_safe(self, id: ChatId) -> bool:
        """A room whose state we have not read yet is looked at before anything is sent to it."""
        return not await self._connection.scalar(_IS_UNSAFE, {"which": id})

    async def set_conversation(self, id: ChatId, conversation: ConversationId, *, only_if_none: bool = False) -> None:
        """`only_if_none`: it has begun, but nobody has said anything in it."""
        which = [chat.c.id == id, *([chat.c.conversation_id.is_(None)] if only_if_none else [])]
        await self._connection.execute(chat.update().where(*which).values(conversation_id=conversation))

    async def _named(self, known: Chat, name: str) -> Chat:
        """Somebody whom we wrote to first, or who spoke in another's chat, is known by their address until the channel
        tells a name."""
        if known.name or not name:
            return known
        key = await self._keys.of_contact(known.contact)
        sealed = key.seal(name.encode(), where=name_place(known.contact))
        await self._connection.execute(contact.update().where(contact.c.id == known.contact).values(enc_name=sealed))
        return replace(known, name=name)

    async def _identity(self, handle: Handle, name: str) -> tuple[UUID, UUID]:
        """The person's identity and contact; a person who is known on this channel keeps theirs."""
        which = (
            channel_identity.c.kind == handle.kind,
            channel_identity.c.scope == handle.scope,
            channel_identity.c.value == handle.value,
        )
        query = sa.select(channel_identity.c.id, channel_identity.c.contact_id).where(*which)
        row = (await self._connection.execute(query)).first()
        if row is not None:
            return row.id, row.contact_id
        owner = await self._new_id("contact", handle.kind, handle.scope, handle.value)
        identity = await self._new_id("identity", handle.kind, handle.scope, handle.value)
        key = await self._keys.of_contact(owner)
        await self._connection.execute(
            insert(contact)
            .values(id=owner, enc_name=key.seal(name.encode(), where=name_place(owner)))
            .on_conflict_do_nothing()
        )
        await self._connection.execute(
            insert(channel_identity)
            .values(id=identity, contact_id=owner, kind=handle.kind, scope=handle.scope, value=handle.value)
            .on_conflict_do_nothing()
        )
        return identity, owner

    async def _new_id(self, *parts: str) -> UUID:
        assert self._namespace is not None, "chats are opened in a unit of work"
        return await new_id(self._connection, self._namespace, *parts)
