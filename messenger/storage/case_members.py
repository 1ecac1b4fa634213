"""Who may read a conversation that has a room of its own: need to know, one row a person."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import Seat
from messenger.domain.ids import AgentId, ConversationId
from messenger.domain.people import Agent, Role
from messenger.storage.models.conversations import case_member
from messenger.storage.models.people import group_member, staff
from messenger.storage.people import as_agent

_ANSWERS_ANYWHERE = sa.exists().where(
    group_member.c.staff_id == staff.c.id,
    group_member.c.role.in_([role.value for role in Role if role.can_answer]),
)


class SqlCaseMembers:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def of(self, conversation: ConversationId) -> Sequence[Agent]:
        query = (
            sa.select(staff)
            .join_from(staff, case_member, case_member.c.staff_id == staff.c.id)
            .where(case_member.c.conversation_id == conversation)
            .order_by(staff.c.name, staff.c.address)
        )
        return [as_agent(row) for row in await self._connection.execute(query)]

    async def seat(self, conversation: ConversationId, address: str) -> Seat | None:
        query = (
            sa.select(staff, _ANSWERS_ANYWHERE.label("answers"))
            .join_from(staff, case_member, case_member.c.staff_id == staff.c.id)
            .where(case_member.c.conversation_id == conversation, staff.c.address == address)
        )
        row = (await self._connection.execute(query)).first()
        return Seat(agent=as_agent(row), role=Role.AGENT if row.answers else Role.CLERK) if row else None

    async def add(self, conversation: ConversationId, agents: Sequence[AgentId]) -> None:
        if agents:
            new = insert(case_member).values([{"conversation_id": conversation, "staff_id": agent} for agent in agents])
            await self._connection.execute(new.on_conflict_do_nothing())

    async def remove(self, conversation: ConversationId, agent: AgentId) -> None:
        gone = case_member.delete().where(case_member.c.conversation_id == conversation)
        await self._connection.execute(gone.where(case_member.c.staff_id == agent))

    async def clear(self, conversation: ConversationId) -> None:
        await self._connection.execute(case_member.delete().where(case_member.c.conversation_id == conversation))
