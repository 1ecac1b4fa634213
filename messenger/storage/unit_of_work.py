"""The unit of work: one transaction with all ports over it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.ports import StorageAway
from messenger.observability.time import utc_now
from messenger.storage.audit import SqlAudit
from messenger.storage.boards import SqlBoards
from messenger.storage.case_members import SqlCaseMembers
from messenger.storage.chats import ChatRows
from messenger.storage.contacts import ContactRows
from messenger.storage.conversations import SqlConversations
from messenger.storage.courier import NOBODY, Courier
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import at_once, transaction
from messenger.storage.floods import SqlFloods
from messenger.storage.glass import SqlGlass
from messenger.storage.inbox import SqlInbox
from messenger.storage.lanes import Round
from messenger.storage.lists import SqlLists
from messenger.storage.messages import SqlMessages
from messenger.storage.outbox import SqlOutbox
from messenger.storage.people import SqlPeople
from messenger.storage.reactions import SqlReactions
from messenger.storage.routing import SqlRouting
from messenger.storage.successions import SqlSuccessions
from messenger.storage.timers import SqlTimers
from messenger.storage.together import Together
from messenger.storage.trust import SqlTrust


class SqlUnit:
    def __init__(
        self,
        connection: AsyncConnection,
        keys: DataKeys,
        *,
        namespace: UUID,
        desk: str,
        now: datetime,
        is_theirs: bool,
        round: Round,
        courier: Courier,
    ) -> None:
        """`is_theirs`: whoever takes a row from the inbox goes by the database's clock from then on. Ours may jump."""
        self.now, self._namespace, self._is_theirs = now, namespace, is_theirs
        self.inbox = SqlInbox(connection, keys, round, lease=courier.lease, on_claim=self._claimed)
        self.outbox = SqlOutbox(connection, keys, desk=desk, namespace=namespace, courier=courier)
        self.timers = SqlTimers(connection)
        self.conversations = SqlConversations(connection, keys)
        self.messages = SqlMessages(connection, keys)
        self.reactions = SqlReactions(connection)
        self.people = SqlPeople(connection, keys)
        self.routing = SqlRouting(connection)
        self.case_members = SqlCaseMembers(connection)
        self.chats = ChatRows(connection, keys, namespace)
        self.contacts = ContactRows(connection, keys, namespace)
        self.lists = SqlLists(connection)
        self.boards = SqlBoards(connection)
        self.glass = SqlGlass(connection)
        self.audit = SqlAudit(connection, keys, now)
        self.successions = SqlSuccessions(connection)
        self.floods = SqlFloods(connection, now=now)
        self.trust = SqlTrust(connection, now=now)

    def _claimed(self, now: datetime, of_lane: Any) -> None:
        if self._is_theirs:
            self.now = self.audit.now = self.trust.now = self.floods.now = now
        self.chats.remember(of_lane)
        self.conversations.remember(of_lane)
        self.floods.remember(of_lane)

    def new_id(self, *parts: str) -> UUID:
        return uuid5(self._namespace, "|".join(parts))


class SqlUnits:
    """Opens units. `desk` is the account whose outbox takes the effects."""

    def __init__(
        self,
        engine: AsyncEngine,
        keys: DataKeys,
        *,
        namespace: UUID,
        desk: str,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._engine, self._keys, self._namespace, self._desk, self._clock = engine, keys, namespace, desk, clock
        self._round = Round()
        self._courier = NOBODY

    def send_by(self, courier: Courier) -> None:
        """From now on what the units put into the outbox is sent by this process."""
        self._courier = courier

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[SqlUnit]:
        unit = None
        try:
            async with transaction(self._engine) as connection:
                together = Together(connection)
                unit = self._unit(together)
                yield unit
                await unit.audit.flush()
                await together.flush()
        except StorageAway:
            if unit is not None:
                unit.outbox.in_doubt()
            raise
        unit.outbox.committed()

    @asynccontextmanager
    async def look(self) -> AsyncIterator[SqlUnit]:
        async with at_once(self._engine) as connection:
            together = Together(connection)
            unit = self._unit(together)
            yield unit
            await together.flush()
        await unit.audit.flush_alone(self._engine)

    def _unit(self, connection: AsyncConnection) -> SqlUnit:
        return SqlUnit(
            connection,
            self._keys,
            namespace=self._namespace,
            desk=self._desk,
            now=self._clock() if self._clock else utc_now(),
            is_theirs=self._clock is None,
            round=self._round,
            courier=self._courier,
        )
