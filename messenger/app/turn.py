"""One turn: one inbox row, one transaction, at most one locked conversation. The use cases add effects to the turn;
they leave together, so that their transaction ids are a function of the row alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from messenger.app.effects import Effect
from messenger.app.ports import StoredMessage, Trace, UnitOfWork
from messenger.app.react import fate_after, react
from messenger.domain.commands import Command
from messenger.domain.conversation import Conversation, decide, evolve
from messenger.domain.events import ConversationClaimed, Event, Recorded
from messenger.domain.ids import ConversationId
from messenger.domain.replies import Fate
from messenger.observability.failpoints import fp


class NotYet(Exception):
    """The item names something that is still on its way; the row is tried again in its place. `until`: not before then.
    After so many `tries` the item is settled without effect, unless it `is_vital`: then a person finds it among the
    dead letters."""

    def __init__(self, what: str, *, tries: int = 60, until: datetime | None = None, is_vital: bool = False) -> None:
        super().__init__(what)
        self.tries, self.until, self.is_vital = tries, until, is_vital


@dataclass(slots=True)
class Turn:
    unit: UnitOfWork
    source: str
    effects: list[Effect] = field(default_factory=list)

    async def act(
        self,
        id: ConversationId,
        before: Conversation | None,
        command: Command,
        *,
        actor: str,
        message: StoredMessage | None = None,
        trace: Trace | None = None,
    ) -> Sequence[Event]:
        """Decides, records and reacts. A new `message` is stored with the fate that the events give it. Raises
        DomainError, then nothing has been written."""
        events = decide(before, command)
        if not events:
            return events
        await self._record(id, before, events, actor)
        if message is not None and trace is not None:
            await self.unit.messages.add(replace(message, fate=_fate_of(events) or message.fate), trace)
        fp("effect_written")
        return events

    async def change_fate(self, id: ConversationId, before: Conversation, command: Command, *, actor: str) -> None:
        """As `act`, for a message that is stored already."""
        for event in await self.act(id, before, command, actor=actor):
            fate, message = fate_after(event), getattr(event, "message", None)
            if fate is not None and message is not None:
                await self.unit.messages.set_fate(message, fate)

    async def finish(self) -> None:
        if self.effects:
            await self.unit.outbox.put(self.source, self.effects)
            fp("outbox_inserted")

    async def _record(
        self, id: ConversationId, before: Conversation | None, events: Sequence[Event], actor: str
    ) -> None:
        now, conversation, recorded = self.unit.now, before, []
        steps = []
        for event in events:
            entry = Recorded(
                conversation=id,
                version=conversation.version + 1 if conversation else 1,
                event=event,
                at=now,
                actor=actor,
            )
            was, conversation = conversation, evolve(conversation, entry)
            recorded.append(entry)
            steps.append((event, was, conversation))
        assert conversation is not None
        await self.unit.conversations.record(before, recorded, conversation)
        fp("event_appended")
        tell = await self._told_to_customers(conversation, events)
        for event, was, became in steps:
            self.effects.extend(react(event, was, became, tell=tell))

    async def _told_to_customers(self, conversation: Conversation, events: Sequence[Event]) -> frozenset[str]:
        if conversation.group is None or not any(isinstance(event, ConversationClaimed) for event in events):
            return frozenset()
        return (await self.unit.people.group(conversation.group)).tell_customer


def _fate_of(events: Sequence[Event]) -> Fate | None:
    return next((fate for event in events if (fate := fate_after(event))), None)
