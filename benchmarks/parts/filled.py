"""A database with many open conversations and agents, written by SQL: for benchmarks of single turns, without any
homeserver."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.records import StoredMessage, Trace
from messenger.channels.messages import Content
from messenger.domain.ids import ConversationId, MessageId
from messenger.storage.administration import Administration
from messenger.storage.data_keys import conversation_scope
from messenger.storage.database import connect
from messenger.storage.models.conversations import channel_identity, chat, contact, conversation, event_log, place
from messenger.storage.models.people import skill_group, staff
from messenger.storage.unit_of_work import SqlUnits
from tests.support.databases import create_schema
from tests.support.keyring import keys_of

DESK, GROUPS, MESSAGES, EVENTS = "@desk:x", 10, 4, 6
WORDS = "How long will the repair take, and what will it cost? " * 3
AT_ONCE, CHUNK = 8, 250


@dataclass(frozen=True, slots=True)
class Waiting:
    """A conversation that nobody has claimed yet."""

    id: ConversationId
    group: int
    card: str


class Filled:
    """Ten groups; every fourth conversation waits in a queue, the others have an owner."""

    def __init__(self, url: str) -> None:
        self.engine: AsyncEngine = connect(url, pool_size=24, application="benchmark")
        self.keys = keys_of(self.engine)
        self._namespace = uuid4()
        self.units = SqlUnits(self.engine, self.keys, namespace=self._namespace, desk=DESK)
        self.waiting: list[Waiting] = []

    @classmethod
    async def of(cls, url: str, conversations: int, agents: int) -> "Filled":
        await create_schema(url)
        made = cls(url)
        groups = await made._add_staff(agents)
        for start in range(0, conversations, CHUNK):
            await made._add_conversations(range(start, min(start + CHUNK, conversations)), groups, agents)
        async with made.engine.connect() as connection:
            await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(sa.text("ANALYZE"))
        return made

    async def close(self) -> None:
        await self.engine.dispose()

    def room(self, group: int) -> str:
        return f"!group{group}"

    async def _add_staff(self, agents: int) -> Sequence[Any]:
        """The ids of the groups with those of their people."""
        change = Administration(self.engine, self.keys, namespace=self._namespace, desk=DESK)
        for number in range(GROUPS):
            await change.add_group(f"Group {number}", is_default=not number, languages=(), keywords=(), settings={})
        for number in range(agents):
            await change.add_member(f"Group {number % GROUPS}", agent(number), "agent")
        async with self.engine.begin() as connection:
            for number in range(GROUPS):
                named = skill_group.update().where(skill_group.c.name == f"Group {number}")
                await connection.execute(named.values(room_id=self.room(number)))
            groups = (await connection.scalars(sa.select(skill_group.c.id).order_by(skill_group.c.name))).all()
            people = {row.address: row.id for row in await connection.execute(sa.select(staff))}
        return [(id, [people[agent(each)] for each in range(number, agents, GROUPS)]) for number, id in
                enumerate(groups)]  # fmt: skip

    async def _add_conversations(self, numbers: Iterable[int], groups: Sequence[Any], agents: int) -> None:
        made = [_Rows(number, groups) for number in numbers]
        async with self.engine.begin() as connection:
            for table in (contact, channel_identity, chat, conversation, place, event_log):
                await connection.execute(table.insert(), [row for each in made for row in each.of(table)])
        few = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._add_messages(each, few) for each in made))
        self.waiting += [Waiting(each.id, each.group, each.card) for each in made if each.owner is None]

    async def _add_messages(self, rows: "_Rows", few: asyncio.Semaphore) -> None:
        """Sealed under the conversation's own key, as the program does it."""
        async with few:
            await self.keys.of(conversation_scope(rows.id))
            async with self.units() as unit:
                await unit.messages.add_trace(rows.trace("card", rows.card, part=1))
                for message in rows.messages():
                    await unit.messages.add(message, rows.trace("origin", f"$m{message.id}", message=message.id))


def agent(number: int) -> str:
    return f"@agent{number}:x"


class _Rows:
    """The rows of one conversation."""

    def __init__(self, number: int, groups: Sequence[Any]) -> None:
        self.number, self.group = number, number % GROUPS
        self.id, self.card, self.at = ConversationId(uuid4()), f"$card{number}", datetime.now(UTC) - timedelta(hours=1)
        self._group_id, people = groups[self.group]
        self.owner = None if number % 4 == 3 else people[number // GROUPS % len(people)]
        self._contact, self._identity, self._chat = uuid4(), uuid4(), uuid4()

    def of(self, table: sa.Table) -> list[dict[str, Any]]:
        rows: dict[str, list[dict[str, Any]]] = {
            "contact": [{"id": self._contact}],
            "channel_identity": [{"id": self._identity, "contact_id": self._contact, "kind": "mxid",
                                  "value": f"@customer{self.number}:x"}],
            "chat": [{"id": self._chat, "account": DESK, "remote": f"!chat{self.number}", "contact_id": self._contact,
                      "identity_id": self._identity, "language": "en", "conversation_id": self.id}],
            "conversation": [self._conversation()],
            "place": [{"conversation_id": self.id, "number": 1, "group_id": self._group_id,
                       "room_id": f"!group{self.group}", "card": self.card}],
            "event_log": [{"conversation_id": self.id, "version": version, "type": "MessageReceived", "actor": "",
                           "ids": {}, "at": self.at} for version in range(1, EVENTS + 1)],
        }  # fmt: skip
        return rows[table.name]

    def _conversation(self) -> dict[str, Any]:
        owned = self.owner is not None
        return {
            "id": self.id,
            "number": f"K-{self.number:05}",
            "version": EVENTS,
            "state": "open" if owned else "queued",
            "contact_id": self._contact,
            "chat_id": self._chat,
            "language": "en",
            "group_id": self._group_id,
            "owner_id": self.owner,
            "opened_at": self.at,
            "claimed_at": self.at if owned else None,
            "waiting_since": self.at,
            "queued_at": None if owned else self.at,
            "card_room": f"!group{self.group}",
            "card_event": self.card,
        }

    def trace(self, kind: Any, remote_id: str, *, message: MessageId | None = None, part: int = 0) -> Trace:
        room = f"!group{self.group}" if kind == "card" else f"!chat{self.number}"
        return Trace(account=DESK, room=room, remote_id=remote_id, kind=kind, conversation=self.id, message=message,
                     part=part)  # fmt: skip

    def messages(self) -> list[StoredMessage]:
        return [
            StoredMessage(id=MessageId(uuid4()), conversation=self.id, author=None, fate=None,
                          content=Content(text=f"{n} {WORDS}"), at=self.at)
            for n in range(MESSAGES)
        ]  # fmt: skip
