"""The product at work for the tests of a whole module: one start of the program, many conversations in it.

The house has a group with an owner-to-be (Ben), a colleague (Cleo), a clerk (Dana) and a lead (Lea). Each test brings
its own customer, so that tests do not see each other's threads."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from messenger.demo.synapse import Synapse
from messenger.domain.replies import MARKERS, Fate
from messenger.storage.database import connect
from messenger.storage.models.queues import dead_letter, outbox
from messenger.storage.models.rooms import mx_member
from tests.support.databases import TestDatabases
from tests.support.people import People, Person
from tests.support.product import Product
from tests.support.timeline import Seen
from tests.support.waiting import eventually, settled

STAFF = {
    "ben": ("Ben Li", "agent"),
    "cleo": ("Cleo Marsh", "agent"),
    "dana": ("Dana Ito", "clerk"),
    "lea": ("Lea Funk", "lead"),
}
GROUP = "General"


@dataclass
class House:
    product: Product
    people: People
    staff: Mapping[str, Person]
    room: str

    def __getattr__(self, name: str) -> Person:
        try:
            return self.staff[name]
        except KeyError:
            raise AttributeError(name) from None

    async def conversation(self, text: str = "Hello", *, owner: Person | None = None, name: str = "anna") -> "Thread":
        """A new customer who writes; with `owner` the conversation is claimed."""
        customer = await self.people.person(name)
        chat = await customer.start_direct_chat(self.product.desk)
        return await self.asked(customer, chat, text, owner=owner)

    async def desk_knows_that_left(self, user_id: str) -> None:
        """What somebody does in a room is known to the desk a sync later."""
        engine = connect(self.product.database_url)
        query = sa.select(mx_member.c.membership).where(mx_member.c.user_id == user_id)

        async def has_left() -> bool:
            async with engine.begin() as connection:
                return set(await connection.scalars(query)) == {"leave"}

        await eventually(has_left, what="the desk knows that the person left")
        await engine.dispose()

    async def nothing_is_left(self) -> bool:
        """Neither dead letters nor rows that wait."""
        engine = connect(self.product.database_url)
        waiting = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.state.in_(("new", "claimed")))
        dead = sa.select(sa.func.count()).select_from(dead_letter)
        async with engine.begin() as connection:
            counts = [await connection.scalar(query) for query in (waiting, dead)]
        await engine.dispose()
        return counts == [0, 0]

    async def asked(self, customer: Person, chat: str, text: str, *, owner: Person | None = None) -> "Thread":
        marked = f"{text} #{customer.user_id[1:8]}{time.monotonic_ns()}"
        await customer.say(chat, marked)
        reader = owner or next(iter(self.staff.values()))
        card = await reader.wait_for(self.room, lambda seen: seen.thread is None and marked in seen.body)
        thread = Thread(self, customer, chat, card.event_id)
        if owner is not None:
            await thread.claim(owner)
        return thread


@dataclass
class Thread:
    """One conversation as the test sees it: the customer's chat on one side, the thread under the card on the other."""

    house: House
    customer: Person
    chat: str
    card: str

    async def claim(self, agent: Person) -> str:
        reaction = await agent.react(self.house.room, self.card, "👀")
        await self.told(agent, "You have K-")
        return reaction

    async def say(self, author: Person, text: str, **extra: object) -> str:
        return await author.say(self.house.room, text, thread=self.card, **extra)

    async def told(self, reader: Person, text: str) -> Seen:
        """A line of the desk in the thread."""
        return await reader.wait_for(
            self.house.room,
            lambda seen: seen.thread == self.card and seen.sender == self.house.product.desk and text in seen.body,
        )

    async def changed(self, reader: Person, event: str, text: str) -> Seen:
        """The desk has changed one of its lines."""
        return await reader.wait_for(self.house.room, lambda seen: seen.replaces == event and text in seen.body)

    def lines(self, reader: Person, text: str) -> list[Seen]:
        desk = self.house.product.desk
        return [each for each in reader.messages(self.house.room, thread=self.card, sender=desk) if text in each.body]

    async def fate(self, event: str, fate: Fate) -> None:
        """Waits until the desk's only marker on the message is this one."""
        await eventually(lambda: self.markers(event) == [MARKERS[fate]], what=f"the marker {fate} on {event}")

    def markers(self, event: str) -> list[str]:
        reader = next(iter(self.house.staff.values()))
        desk = self.house.product.desk
        return [each.key for each in reader.reactions(self.house.room) if each.target == event and each.sender == desk]

    async def received(self, text: str) -> Seen:
        """At the customer's."""
        return await self.customer.wait_for(self.chat, lambda seen: text in seen.body)

    async def everything_the_customer_has(self) -> str:
        """After nothing moves any more: all that is in the customer's room, with its raw contents."""
        await settled(lambda: len(self.customer.events(self.chat)), quiet_s=1)
        seen = await self.customer.read_back(self.chat)
        assert all(each.is_readable for each in seen)
        return "\n".join(f"{each.body} {dict(each.content)}" for each in seen)


@asynccontextmanager
async def open_house(
    folder: Path,
    synapse: Synapse,
    databases: TestDatabases,
    *,
    staff: Sequence[str] = tuple(STAFF),
    environment: Mapping[str, str] | None = None,
    more_groups: Mapping[str, Mapping[str, object]] | None = None,
    behind: Any = None,
    **group: object,
) -> AsyncIterator[House]:
    """`behind`: what the program takes for its homeserver; people always talk to the real one."""
    name = await databases.fresh()
    product = await Product.install(folder / "stellwerk", behind or synapse, databases.server.uri(name))
    people = People(synapse)
    try:
        persons = {each: await people.colleague(each) for each in staff}
        members = [(person.user_id, *STAFF[each]) for each, person in persons.items()]
        await product.add_group(GROUP, members, default=True, **group)
        for title, rules in (more_groups or {}).items():
            await product.add_group(title, members, **rules)
        await product.start(environment=environment)
        room = await product.group_room(GROUP)
        for person in persons.values():
            await eventually(lambda person=person: room in person.rooms, what=f"{person.name} is in the room")  # type: ignore[misc]
            await person.wait_for_members(room, [each.user_id for each in persons.values()])
        yield House(product, people, persons, room)
    finally:
        await people.leave()
        await product.stop()
        await databases.drop(name)
