"""One turn: one inbox row, one transaction, at most one locked conversation. The use cases add effects to the turn;
they leave together, so that their transaction ids are a function of the row alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from messenger.app.access import note_reads
from messenger.app.case_members import keep_members
from messenger.app.counting import Step
from messenger.app.effects.base import Effect
from messenger.app.effects.inside import RouteGroup, SetTimer
from messenger.app.gate import Gate
from messenger.app.items import RoutingWanted, StaffSaid, routing_lane
from messenger.app.ports import UnitOfWork
from messenger.app.react import fate_after, react
from messenger.app.records import NewItem, StoredMessage, Trace
from messenger.domain.case_room import arrives_in, placed_in_rooms
from messenger.domain.commands import Command
from messenger.domain.conversation import Conversation, evolve
from messenger.domain.decide import decide
from messenger.domain.events import Event, MessageDelivered, MessageReceived, NoteKept, Recorded, ReplyCancelled
from messenger.domain.ids import AgentId, ConversationId, GroupId
from messenger.domain.people import Assignment, DeskLayout, SkillGroup
from messenger.domain.replies import Fate
from messenger.observability.failpoints import fp

# What these make happen is the same in every group.
_SAME_EVERYWHERE = (MessageReceived, MessageDelivered, NoteKept)


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
    # Customers are let in by it; None: as fast as they like.
    gate: Gate | None = None
    # A command about the conversation that was given elsewhere: there its author looks for answers.
    answer_to: StaffSaid | None = None
    # The command carries a message, whose fate is the one marker on it.
    has_mark: bool = False
    # All that has happened in it, for the metrics.
    steps: list[Step] = field(default_factory=list)
    _groups: dict[GroupId, SkillGroup] = field(default_factory=dict)
    _hands: set[AgentId] = field(default_factory=set)
    _freed: set[AgentId] = field(default_factory=set)

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
        events = await self._in_rooms(decide(before, command))
        if not events:
            return events
        await self._record(id, before, events, actor)
        if message is not None and trace is not None:
            await self.unit.messages.add(replace(message, fate=_fate_of(events) or message.fate), trace)
        fp("effect_written")
        return events

    async def change_fate(
        self, id: ConversationId, before: Conversation, command: Command, *, actor: str
    ) -> Sequence[Event]:
        """As `act`, for messages that are stored already."""
        events = await self.act(id, before, command, actor=actor)
        await self.set_fates(events)
        return events

    async def set_fates(self, events: Sequence[Event]) -> None:
        """The fates that these events give to stored messages; an answer that was taken back does not leave."""
        for event in events:
            fate, message = fate_after(event), getattr(event, "message", None)
            if fate is not None and message is not None:
                await self.unit.messages.set_fate(message, fate)
            if isinstance(event, ReplyCancelled):
                await self.unit.outbox.cancel(event.message)
                fp("answer_cancelled")

    async def group(self, id: GroupId) -> SkillGroup:
        """Read once in a turn."""
        if id not in self._groups:
            self._groups[id] = await self.unit.people.group(id)
        return self._groups[id]

    async def finish(self) -> bool:
        """Returns whether there is something new in the inbox: a row for the router."""
        outward = [effect for effect in self.effects if not isinstance(effect, SetTimer | RouteGroup)]
        await self.unit.timers.set([effect for effect in self.effects if isinstance(effect, SetTimer)])
        if self._hands:
            await self.unit.routing.note_hands(self._hands, at=self.unit.now)
        wants_routing = await self._want_routing()
        if outward:
            await self.unit.outbox.put(self.source, outward)
            fp("outbox_inserted")
        return wants_routing

    async def _want_routing(self) -> bool:
        """One row for each group that gives work out by itself: those where something changed, and those that share
        somebody who has more room now. Its lane is what makes the router's turns follow each other."""
        groups = dict.fromkeys(GroupId(effect.group) for effect in self.effects if isinstance(effect, RouteGroup))
        shared = await self.unit.routing.groups_served_by(self._freed) if self._freed else []
        wanted = [id for id in groups if id not in shared and (await self.group(id)).assignment is Assignment.AUTOMATIC]
        if wanted or shared:
            await self.unit.inbox.add([self._routing(id) for id in (*wanted, *shared)])
        return bool(wanted or shared)

    def _routing(self, group: GroupId) -> NewItem:
        id = str(self.unit.new_id("routing", self.source, str(group)))
        return NewItem(source="routing", source_id=id, lane=routing_lane(group), item=RoutingWanted(group=group))

    def _note_hands(self, before: Conversation | None, after: Conversation) -> None:
        """Whose hands something left or came into, and who may have room for more."""
        was, became = before.in_hands_of if before else None, after.in_hands_of
        if was != became:
            self._hands |= {agent for agent in (was, became) if agent is not None}
        is_their_turn_no_more = before is not None and before.waiting_since is not None and after.waiting_since is None
        if was is not None and (was != became or is_their_turn_no_more):
            self._freed.add(was)

    async def _record(
        self, id: ConversationId, before: Conversation | None, events: Sequence[Event], actor: str
    ) -> None:
        now, conversation, recorded = self.unit.now, before, []
        steps: list[Step] = []
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
        await keep_members(self.unit, steps)
        self.steps.extend(steps)
        fp("event_appended")
        for event in events:
            fp(type(event).__name__)
        self._note_hands(before, conversation)
        group = await self._group_for(events, conversation)
        for event, was, became in steps:
            effects = react(event, was, became, group)
            await note_reads(self.unit, effects, became)
            self.effects.extend(effects)

    async def _in_rooms(self, events: Sequence[Event]) -> Sequence[Event]:
        groups = {group for event in events if (group := arrives_in(event)) is not None}
        with_rooms = [id for id in groups if (await self.group(id)).desk_layout is DeskLayout.ROOMS]
        return placed_in_rooms(events, with_rooms) if with_rooms else events

    async def _group_for(self, events: Sequence[Event], conversation: Conversation) -> SkillGroup | None:
        """Its settings, where what happens next depends on them."""
        if conversation.group is None or all(isinstance(event, _SAME_EVERYWHERE) for event in events):
            return None
        return await self.group(conversation.group)


def _fate_of(events: Sequence[Event]) -> Fate | None:
    return next((fate for event in events if (fate := fate_after(event))), None)
