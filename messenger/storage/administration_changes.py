"""One change by an administrator: a transaction in which rows are found, changed and noted, and others told."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.audit import AuditEntry
from messenger.app.effects.base import Effect
from messenger.app.items import RoutingWanted, SeatLost, routing_lane
from messenger.app.records import NewItem
from messenger.domain.ids import AgentId
from messenger.observability.time import utc_now
from messenger.storage.audit import append
from messenger.storage.data_keys import DataKeys
from messenger.storage.inbox import add_rows, sealed_row
from messenger.storage.models.people import skill_group, staff
from messenger.storage.outbox import SqlOutbox
from messenger.storage.routing import SqlRouting

# Who claims in the moment in which they lose their seat may have it when they are asked, and own it a moment later.
CLAIMS_END_IN = timedelta(seconds=5)


class NotPossible(Exception):
    """What was asked cannot be done; the text says why and what to do."""


class Change:
    """`connection`: the transaction, committed by whoever opened it."""

    def __init__(self, connection: AsyncConnection, keys: DataKeys, *, namespace: UUID, desk: str, actor: str) -> None:
        self.connection, self._keys, self._namespace, self._desk = connection, keys, namespace, desk
        self._actor = actor

    async def group(self, name: str) -> Any:
        """Its row. Raises NotPossible."""
        query = sa.select(skill_group).where(sa.func.lower(skill_group.c.name) == name.lower())
        row = (await self.connection.execute(query)).first()
        if row is None:
            raise NotPossible(f"there is no group {name}: stellwerk group list shows all")
        return row

    async def person(self, address: str) -> UUID:
        """Raises NotPossible."""
        who: UUID | None = await self.connection.scalar(sa.select(staff.c.id).where(staff.c.address == address))
        if who is None:
            raise NotPossible(f"{address} is not known: stellwerk agent add {address} NAME")
        return who

    async def locked(self, address: str) -> UUID:
        """As `person`; two changes of somebody's rights at once see each other."""
        await self.connection.execute(sa.select(staff.c.id).where(staff.c.address == address).with_for_update())
        return await self.person(address)

    async def note(self, action: str, object: str, *more: AuditEntry, **details: str) -> None:
        """The last step: the audit log's end is locked from here on."""
        entry = AuditEntry(actor=self._actor, action=action, object=object, purpose="administration", details=details)
        await append(self.connection, self._keys, [entry, *more], at=utc_now())

    async def route_for(self, who: UUID) -> None:
        """What this person may be given has changed."""
        await self.route(await SqlRouting(self.connection).groups_served_by([AgentId(who)]))

    async def route(self, groups: Sequence[UUID]) -> None:
        wanted = [
            NewItem(source="routing", source_id=str(uuid4()), lane=routing_lane(id), item=RoutingWanted(group=id))
            for id in groups
        ]
        await add_rows(self.connection, [await sealed_row(self._keys, item) for item in wanted])

    async def give_back(self, who: UUID) -> None:
        """What this person owns and may not answer any more; not at once, for what they are claiming in this moment."""
        lost = NewItem(source="seat", source_id=str(uuid4()), lane=f"seat:{who}", item=SeatLost(agent=who))
        await add_rows(self.connection, [await sealed_row(self._keys, lost) | {"patience": CLAIMS_END_IN}])

    async def put(self, source: str, *effects: Effect) -> None:
        outbox = SqlOutbox(self.connection, self._keys, desk=self._desk, namespace=self._namespace)
        await outbox.put(source, effects)
