"""The router at work: one turn gives out one conversation of one group, or finds that nothing can be given out and why.
Whatever may change that (somebody has more room, one more waits, somebody is available again, the clock) asks for
another turn.

Locks, in this order: the group, one conversation, one person. The person is counted again under the lock, so groups
that share people never give anybody more than fits."""

from collections.abc import Sequence
from dataclasses import replace

from messenger.app.effects.inside import RouteGroup, SetTimer
from messenger.app.items import RoutingWanted, routing_lane
from messenger.app.records import Serving
from messenger.app.turn import Turn
from messenger.domain.commands import AssignConversation
from messenger.domain.conversation import State
from messenger.domain.ids import AgentId, ConversationId, GroupId
from messenger.domain.people import Assignment, SkillGroup
from messenger.domain.routing.capacity import admissible
from messenger.domain.routing.explanation import Explanation, Filter
from messenger.domain.routing.matcher import Assign, Hold, Snapshot, Waiting, decisions, explain
from messenger.observability.failpoints import fp

ROUTER = "router"
# So many of the queue are looked at in one turn: in a group all need the same, so the first ones speak for the rest.
WINDOW = 100
# So many candidates of a decision are kept in full.
EXPLAINED = 20


async def give_out(turn: Turn, item: RoutingWanted) -> None:
    unit = turn.unit
    group = await unit.routing.lock_group(GroupId(item.group))
    if group.assignment is not Assignment.AUTOMATIC:
        return
    await unit.inbox.absorb(routing_lane(group.id))
    waiting = await unit.routing.waiting(group, most=WINDOW)
    if not waiting:
        return
    serving = await unit.routing.serving(group.id, now=unit.now)
    snapshot = Snapshot(waiting=waiting, people=[each.person for each in serving], now=unit.now)
    held: list[Hold] = []
    for decision in decisions(snapshot):
        if isinstance(decision, Assign):
            await _assign(turn, group, snapshot, decision)
            break
        held.append(decision)
    await _explain_holds(turn, snapshot, held)
    if len(held) == len(waiting):
        _look_again_when_load_falls(turn, waiting[0], serving)


async def _assign(turn: Turn, group: SkillGroup, snapshot: Snapshot, decision: Assign) -> None:
    """Somebody else may have been quicker, with the conversation or with the person: then it is looked at again."""
    conversation = await turn.unit.conversations.lock(decision.conversation)
    item = _item(snapshot, decision)
    is_waiting = conversation.state is State.QUEUED and conversation.group == group.id
    now_serving = await turn.unit.routing.lock_person(group.id, decision.agent, now=turn.unit.now)
    if not is_waiting or now_serving is None or not _can_take(now_serving, item):
        turn.effects.append(RouteGroup(group=group.id))
        return
    command = AssignConversation(agent=decision.agent, agent_role=now_serving.role, reason="routed")
    await turn.act(conversation.id, conversation, command, actor=ROUTER)
    told = explain(snapshot, item, decision.reserved).as_json(most=EXPLAINED)
    await turn.unit.routing.keep([conversation.id], told, at=turn.unit.now)
    fp("given_out")


def _can_take(serving: Serving, item: Waiting) -> bool:
    person = serving.person
    is_there = person.is_answering_role and person.availability.takes_assignments
    return is_there and admissible(person.load, item.weight, person.units)


async def _explain_holds(turn: Turn, snapshot: Snapshot, held: Sequence[Hold]) -> None:
    """Kept when the reason is another than the last time: a queue that stands still writes nothing."""
    if not held:
        return
    known = await turn.unit.routing.reasons([hold.conversation for hold in held])
    # What differs between conversations of a group; equal ones wait for the same reason.
    explained: dict[tuple[frozenset[AgentId], frozenset[AgentId]], Explanation] = {}
    news: dict[tuple[frozenset[AgentId], frozenset[AgentId]], list[ConversationId]] = {}
    for hold in held:
        item = _item(snapshot, hold)
        alike = item.not_to, hold.reserved
        if alike not in explained:
            explained[alike] = explain(snapshot, item, hold.reserved)
        if known.get(hold.conversation) != explained[alike].reason:
            news.setdefault(alike, []).append(hold.conversation)
    for alike, conversations in news.items():
        told = explained[alike].as_json(most=EXPLAINED)
        await turn.unit.routing.keep(conversations, told, at=turn.unit.now)


def _item(snapshot: Snapshot, decision: Assign | Hold) -> Waiting:
    return next(item for item in snapshot.waiting if item.conversation == decision.conversation)


def _look_again_when_load_falls(turn: Turn, first: Waiting, serving: Sequence[Serving]) -> None:
    moments = [each.falls_at for each in serving if each.falls_at and _only_lacks_room(each, first)]
    if moments:
        turn.effects.append(SetTimer(conversation=first.conversation, kind="load", at=min(moments)))


def _only_lacks_room(serving: Serving, item: Waiting) -> bool:
    asked = replace(item, not_to=frozenset())
    snapshot = Snapshot(waiting=(asked,), people=(serving.person,), now=item.queued_at)
    return explain(snapshot, asked).reason == Filter.CAPACITY
