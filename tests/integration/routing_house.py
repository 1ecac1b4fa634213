"""Groups that give work out by themselves, their people, and many customers; on `StaffDesk`'s real database."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.handle import handle_next
from messenger.app.items import ChatReady
from messenger.app.records import RoutingDecision, Serving, Trace
from messenger.channels.messages import Handle
from messenger.domain.conversation import Conversation
from messenger.domain.ids import AgentId, ConversationId, GroupId
from messenger.observability.time import utc_now
from messenger.storage.administration import Administration
from messenger.storage.models.conversations import conversation, routing_decision
from messenger.storage.models.people import skill_group, staff
from messenger.storage.models.queues import timer
from messenger.storage.timers import fire_due
from messenger.storage.unit_of_work import SqlUnits
from tests.integration.staff_desk import DESK, StaffDesk, customer_says, staff_says
from tests.support.keyring import keys_of, new_root


class RoutingHouse(StaffDesk):
    """Its clock stands still until a test moves it, so that nothing happens by the clock alone."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        # Later than whatever the database has stamped by its own clock.
        self.now = utc_now() + timedelta(days=1)
        self.root = new_root()
        self.keys = keys_of(engine, self.root)
        self.connect()

    def connect(self) -> None:
        self.units = SqlUnits(self.engine, self.keys, namespace=self.namespace, desk=DESK, clock=lambda: self.now)
        self.change = Administration(self.engine, self.keys, namespace=self.namespace, desk=DESK)

    def restarted(self) -> "RoutingHouse":
        """A new process on the same database: it knows nothing but what stands there, and has the same root key."""
        again = RoutingHouse(self.engine)
        again.keys, again.namespace, again.now = keys_of(self.engine, self.root), self.namespace, self.now
        again.connect()
        return again

    async def group(self, name: str, agents: Sequence[str], **settings: object) -> None:
        settings = {"assignment": "automatic", "hold_seconds": 0, "tell_customer": [], **settings}
        await self.change.add_group(name, is_default=False, languages=(), keywords=[name], settings=settings)
        for address in agents:
            await self.change.add_member(name, address, "agent")

    async def capacity(self, units: Mapping[str, float]) -> None:
        for address, value in units.items():
            await self.change.set_capacity(address, value)

    async def customer(self, word: str, number: int) -> ConversationId:
        """Somebody new whose first message holds the group's word; the conversation has its card."""
        self.now += timedelta(milliseconds=1)  # the next one comes later
        chat = f"!chat{number}"
        person = Handle(kind="mxid", value=f"@c{number}:x")
        ready = ChatReady(account=DESK, chat=chat, person=person, name=f"C{number}", at=self.now)
        said = customer_says(f"$c{number}", f"about {word}", chat=chat, sender=person.value)
        await self.put(ready, said, lane=chat)
        while await self._of_chat(chat) is None:
            assert await handle_next(self.units) is not None
        id = await self._of_chat(chat)
        assert id is not None
        async with self.units() as unit:
            trace = Trace(
                account=DESK, room=f"!{word}", remote_id=card_of(number), kind="card", conversation=id, part=1
            )
            await unit.messages.add_trace(trace)
        return id

    async def writes(self, agent: str, number: int, text: str) -> None:
        await self.put(replace(staff_says(agent, text), thread=card_of(number)), lane=card_of(number))

    async def owner(self, id: ConversationId) -> str | None:
        async with self.engine.begin() as connection:
            query = sa.select(staff.c.address).join(conversation, conversation.c.owner_id == staff.c.id)
            found: str | None = await connection.scalar(query.where(conversation.c.id == id))
            return found

    async def in_work(self) -> list[tuple[ConversationId, str]]:
        """What somebody has open or paused, and who."""
        query = sa.select(conversation.c.id, staff.c.address).join(staff, staff.c.id == conversation.c.owner_id)
        query = query.where(conversation.c.state.in_(("open", "paused"))).order_by(conversation.c.queued_at)
        async with self.engine.begin() as connection:
            return [(ConversationId(row.id), row.address) for row in await connection.execute(query)]

    async def loads(self, group: str) -> dict[str, tuple[float, float]]:
        """Load and units of everybody with a seat there, by address."""
        async with self.units() as unit:
            serving = await unit.routing.serving(await self.id_of(group), now=self.now)
        async with self.engine.begin() as connection:
            names = {row.id: row.address for row in await connection.execute(sa.select(staff.c.id, staff.c.address))}
        return {names[each.person.agent]: (each.person.load, each.person.units) for each in serving}

    async def serving(self, group: str) -> Sequence[Serving]:
        async with self.units() as unit:
            return await unit.routing.serving(await self.id_of(group), now=self.now)

    async def decision(self, id: ConversationId) -> RoutingDecision:
        async with self.units() as unit:
            found = await unit.routing.latest(id)
        assert found is not None
        return found

    async def decisions(self) -> int:
        async with self.engine.begin() as connection:
            return await connection.scalar(sa.select(sa.func.count()).select_from(routing_decision)) or 0

    async def id_of(self, group: str) -> GroupId:
        async with self.engine.begin() as connection:
            query = sa.select(skill_group.c.id).where(skill_group.c.name == group)
            return GroupId((await connection.execute(query)).scalar_one())

    async def person(self, address: str) -> AgentId:
        async with self.engine.begin() as connection:
            query = sa.select(staff.c.id).where(staff.c.address == address)
            return AgentId((await connection.execute(query)).scalar_one())

    async def state(self, id: ConversationId) -> Conversation:
        return (await self.state_and_log(id))[0]

    async def tick(self, passed: timedelta) -> int:
        """Moves the clock and fires what is due then."""
        self.now += passed
        return await fire_due(self.engine, self.keys, at=self.now)

    async def timers(self, kind: str) -> int:
        async with self.engine.begin() as connection:
            query = sa.select(sa.func.count()).select_from(timer).where(timer.c.kind == kind)
            return await connection.scalar(query) or 0

    async def _of_chat(self, chat: str) -> ConversationId | None:
        async with self.units() as unit:
            found = await unit.chats.find(DESK, chat)
        return found.conversation if found else None


def card_of(number: int) -> str:
    return f"$card{number}"
