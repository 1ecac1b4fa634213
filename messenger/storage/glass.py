"""Who may read a foreign conversation for a while. The reason stands, sealed, in the audit log."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import Seat
from messenger.domain.ids import AgentId, ConversationId
from messenger.domain.people import Role
from messenger.storage.models.access import broken_glass
from messenger.storage.models.people import staff
from messenger.storage.people import as_agent


class SqlGlass:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def open(self, conversation: ConversationId, agent: AgentId, *, until: datetime) -> None:
        new = insert(broken_glass).values(conversation_id=conversation, staff_id=agent, until=until)
        longer = new.on_conflict_do_update(index_elements=list(broken_glass.primary_key), set_={"until": until})
        await self._connection.execute(longer)

    async def seat(self, conversation: ConversationId, address: str, *, now: datetime) -> Seat | None:
        query = (
            sa.select(staff)
            .join_from(staff, broken_glass, broken_glass.c.staff_id == staff.c.id)
            .where(
                broken_glass.c.conversation_id == conversation, staff.c.address == address, broken_glass.c.until > now
            )
        )
        row = (await self._connection.execute(query)).first()
        return Seat(agent=as_agent(row), role=Role.CLERK, is_behind_glass=True) if row else None
