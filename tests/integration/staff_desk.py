"""The use cases on a real database without any Matrix: items go into the inbox, workers take them, nothing is sent."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.base import Effect
from messenger.app.effects.thread import PostNotice
from messenger.app.handle import handle_next
from messenger.app.items import ChatReady, Item, StaffReacted, StaffSaid
from messenger.app.pace import Pace
from messenger.app.records import NewItem, Trace
from messenger.channels.messages import Assurance, ChannelAccountId, Content, Handle, InboundMessage, RemoteId
from messenger.domain.conversation import Conversation
from messenger.domain.events import Recorded
from messenger.domain.ids import ChatId, ConversationId, GroupId
from messenger.storage.administration import Administration
from messenger.storage.codec import load_effect
from messenger.storage.data_keys import DataKeys
from messenger.storage.models.conversations import chat as chats
from messenger.storage.models.conversations import conversation
from messenger.storage.models.queues import inbox, outbox
from messenger.storage.outbox import outbox_place
from messenger.storage.unit_of_work import SqlUnits
from tests.support.keyring import keys_of

DESK, CUSTOMER, GROUP, CARD, ROOM, CHAT = "@desk:x", "@anna:x", "Claims", "$card", "!room", "!chat"
AT = datetime(2026, 11, 24, 9, tzinfo=UTC)


class StaffDesk:
    def __init__(self, engine: AsyncEngine, *, keys: DataKeys | None = None, namespace: UUID | None = None) -> None:
        self.engine = engine
        self.keys = keys or keys_of(engine)
        self.namespace = namespace or uuid4()
        self.units = SqlUnits(engine, self.keys, namespace=self.namespace, desk=DESK)
        self.pace: Pace | None = None
        self._change = Administration(engine, self.keys, namespace=self.namespace, desk=DESK)

    async def set_up(self, agents: Sequence[str], **settings: object) -> ConversationId:
        """A group of agents and a conversation with its card. Answers leave at once unless `hold_seconds` says
        otherwise."""
        await self.add_group(GROUP, is_default=True, **settings)
        for address in agents:
            await self._change.add_member(GROUP, address, "agent")
        await self.put(ready())
        await self.put(customer_says("$first", "Hello"))
        await self.work(1)
        id = (await self.conversations())[0]
        async with self.units() as unit:
            await unit.messages.add_trace(
                Trace(account=DESK, room=ROOM, remote_id=CARD, kind="card", conversation=id, part=1)
            )
        return id

    async def add_group(
        self, name: str, *, is_default: bool = False, keywords: Sequence[str] = (), **settings: object
    ) -> None:
        settings = {"hold_seconds": 0, **settings}
        await self._change.add_group(name, is_default=is_default, languages=(), keywords=keywords, settings=settings)

    async def change_group(self, name: str, **settings: object) -> None:
        await self._change.change_settings(name, settings)

    async def add_member(self, group: str, address: str, role: str = "agent") -> None:
        await self._change.add_member(group, address, role)

    async def remove_member(self, group: str, address: str) -> None:
        await self._change.remove_member(group, address)

    async def consent(self, address: str, *, is_given: bool = True) -> None:
        await self._change.set_consent(address, "test", is_given=is_given)

    async def greet(self, address: str, name: str, *, chat: str = "!others") -> None:
        """One more customer comes in."""
        person = Handle(kind="mxid", value=address)
        await self.put(ChatReady(account=DESK, chat=chat, person=person, name=name, at=AT))
        await self.work(1)

    async def chat_is_open(self, id: ChatId, room: str) -> None:
        """What the delivery of `OpenChat` leaves behind."""
        async with self.engine.begin() as connection:
            await connection.execute(sa.update(chats).where(chats.c.id == id).values(remote=room))

    async def group_name(self, id: GroupId | None) -> str:
        assert id is not None
        async with self.units() as unit:
            return (await unit.people.group(id)).name

    async def says(self, sender: str, text: str, *, event: str = "", mentions: Sequence[str] = ()) -> None:
        """At the first card; handled at once."""
        await self.put(staff_says(sender, text, event=event, mentions=mentions))
        await self.work(1)

    async def only_conversation(self) -> tuple[Conversation, Sequence[Recorded]]:
        [id] = await self.conversations()
        return await self.state_and_log(id)

    async def notices(self) -> list[PostNotice]:
        return [each for each in await self.effects() if isinstance(each, PostNotice)]

    async def put(self, *items: Item, lane: str | None = None) -> None:
        """Each item in a lane of its own unless one is named."""
        async with self.units() as unit:
            await unit.inbox.add(
                [NewItem(source=DESK, source_id=uuid4().hex, lane=lane or uuid4().hex, item=item) for item in items]
            )

    async def work(self, workers: int) -> int:
        """Handles what is due, side by side; returns how many rows that were."""

        async def until_empty() -> int:
            done = 0
            while await handle_next(self.units, self.pace) is not None:
                done += 1
            return done

        return sum(await asyncio.gather(*(until_empty() for _ in range(workers))))

    async def conversations(self) -> list[ConversationId]:
        async with self.engine.begin() as connection:
            return [ConversationId(id) for id in await connection.scalars(sa.select(conversation.c.id))]

    async def state_and_log(self, id: ConversationId) -> tuple[Conversation, Sequence[Recorded]]:
        async with self.units() as unit:
            return await unit.conversations.lock(id), await unit.conversations.history(id)

    async def effects(self) -> list[Effect]:
        async with self.engine.begin() as connection:
            rows = (await connection.execute(sa.select(outbox).order_by(outbox.c.id))).all()
        return [load_effect(row.kind, await self.keys.open(row.enc_body, where=outbox_place(row.txn))) for row in rows]

    async def claim_everything(self) -> None:
        """As if all that waits in the outbox were just being sent."""
        async with self.engine.begin() as connection:
            await connection.execute(outbox.update().values(state="claimed", attempts=1))

    async def hurry_inbox(self) -> None:
        """What waits to be looked at again is due."""
        async with self.engine.begin() as connection:
            await connection.execute(inbox.update().values(next_at=sa.func.now()))

    async def inbox_states(self, kind: str) -> list[str]:
        async with self.engine.begin() as connection:
            query = sa.select(inbox.c.state).where(inbox.c.kind == kind).order_by(inbox.c.id)
            return list(await connection.scalars(query))


def ready(chat: str = CHAT) -> ChatReady:
    return ChatReady(account=DESK, chat=chat, person=Handle(kind="mxid", value=CUSTOMER), name="Anna", at=AT)


def customer_says(event: str, text: str, *, sender: str = CUSTOMER, chat: str = CHAT) -> InboundMessage:
    return InboundMessage(
        account=ChannelAccountId(DESK),
        source_id=event,
        at=AT,
        sender=Handle(kind="mxid", value=sender),
        content=Content(text=text),
        hints=(chat,),
        remote_ids=(RemoteId(event),),
        assurance=Assurance.AUTHENTICATED,
    )


def votes(answer: str, menu: str, *, sender: str = CUSTOMER) -> InboundMessage:
    said = customer_says(f"${uuid4().hex}", answer, sender=sender)
    return replace(said, reply_to=RemoteId(menu), signals={"button": answer})


def staff_says(sender: str, text: str, *, event: str = "", mentions: Sequence[str] = ()) -> StaffSaid:
    return StaffSaid(
        account=DESK,
        room=ROOM,
        thread=CARD,
        event=event or f"${uuid4().hex}",
        sender=sender,
        at=AT,
        type="m.text",
        content=Content(text=text),
        mentions=mentions,
    )


def staff_reacts(sender: str, key: str, *, target: str = CARD, at: datetime = AT) -> StaffReacted:
    return StaffReacted(account=DESK, room=ROOM, event=f"${uuid4().hex}", target=target, key=key, sender=sender, at=at)
