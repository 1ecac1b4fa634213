"""`!why`: how a conversation came to its group and to its owner, or what it waits for. From the event log and the
router's own reasons; names and numbers, never a customer's word."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from messenger.app import render
from messenger.app.ports import UnitOfWork
from messenger.app.records import RoutingDecision
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, State
from messenger.domain.ids import AgentId, GroupId
from messenger.domain.people import Assignment
from messenger.domain.routing.rules import CLOSED
from messenger.i18n import Texts

MOST_CANDIDATES = 8

Line = tuple[str, Mapping[str, str]]


async def why(unit: UnitOfWork, conversation: Conversation) -> Sequence[Line]:
    """Each line is an id of the catalogue with its fields: names, numbers, moments as ISO texts."""
    log = await unit.conversations.history(conversation.id)
    decision = await unit.routing.latest(conversation.id)
    lines: list[Line] = [("why.head", {"ref": conversation.number})]
    for recorded in log:
        lines += await _step(unit, recorded)
    if conversation.state is State.QUEUED and conversation.group is not None:
        return [*lines, *await _waits(unit, conversation, conversation.group, decision)]
    if conversation.owner is not None and log and _was_routed(log):
        lines += await _candidates(unit, decision)
    return lines


def told(lines: Sequence[Line]) -> str:
    return json.dumps(lines)


def explained(words: Texts, lines: str, clock: render.Clock) -> render.Rendered:
    """What `told` has written, in somebody's language."""
    said = [render.notice(words, _known(words, id), clock=clock, **fields) for id, fields in json.loads(lines)]
    return render.Rendered("\n".join(line.plain for line in said), "<br>".join(line.html for line in said))


def _known(words: Texts, id: str) -> str:
    """A code of a later version is told by its family's general text."""
    return id if words.has(id) else f"{id.rpartition('.')[0]}.other"


async def _step(unit: UnitOfWork, recorded: e.Recorded) -> Sequence[Line]:
    at = recorded.at.isoformat()
    match recorded.event:
        case e.ConversationQueued() as event:
            code, _, closed = event.reason.partition(" ")
            came = f"why.came.{code.partition(':')[0]}", {"at": at, "group": await _group(unit, event.group)}
            return [came, ("why.closed", {})] if closed == CLOSED else [came]
        case e.ConversationTransferred() as event:
            fields = {"at": at, "group": await _group(unit, event.to_group), "person": await _name(unit, event.by)}
            return [(f"why.moved.{event.reason}", fields)]
        case e.ConversationClaimed() as event:
            return [("why.claimed", {"at": at, "person": await _name(unit, event.agent)})]
        case e.ConversationReleased() as event:
            kind = "why.released.left" if event.reason == "left" else "why.released"
            return [(kind, {"at": at, "person": await _name(unit, event.agent)})]
        case e.ConversationAssigned() as event:
            person = await _name(unit, event.agent)
            if event.by is None:
                return [("why.routed", {"at": at, "person": person})]
            return [("why.handed", {"at": at, "person": person, "giver": await _name(unit, event.by)})]
        case e.ConversationReopened(owner=owner):
            if owner is None:
                return [("why.reopened.queue", {"at": at})]
            return [("why.reopened.owner", {"at": at, "person": await _name(unit, owner)})]
        case _:
            return []


async def _waits(
    unit: UnitOfWork, conversation: Conversation, group: GroupId, decision: RoutingDecision | None
) -> Sequence[Line]:
    """Only a decision since it was queued says what it waits for."""
    if (await unit.people.group(group)).assignment is Assignment.MANUAL:
        return [("why.waits.manual", {})]
    if decision is None or (conversation.queued_at is not None and decision.at < conversation.queued_at):
        return [("why.waits.soon", {})]
    reason = str(decision.explanation["reason"])
    return [(f"why.waits.{reason}", {"at": decision.at.isoformat()}), *await _candidates(unit, decision)]


async def _candidates(unit: UnitOfWork, decision: RoutingDecision | None) -> Sequence[Line]:
    if decision is None:
        return []
    told = decision.explanation
    counts = {"free": str(told["free"]), "of": str(told["of"]), "at": decision.at.isoformat()}
    shown = told["candidates"][:MOST_CANDIDATES]
    lines = [("why.counts", counts), *[await _candidate(unit, each) for each in shown]]
    rest = told["of"] - len(shown)
    return [*lines, ("why.more", {"n": str(rest)})] if rest > 0 else lines


async def _candidate(unit: UnitOfWork, candidate: Mapping[str, Any]) -> Line:
    fields = {
        "person": await _name(unit, AgentId(UUID(candidate["agent"]))),
        "load": f"{candidate['load']:g}",
        "units": f"{candidate['units']:g}",
    }
    if candidate["position"] is None:
        return f"why.not.{candidate['removed_by'][0]}", fields
    since = {"since": candidate["idle_since"]} if candidate["idle_since"] else {}
    return "why.could" if since else "why.could.new", {**fields, **since, "position": str(candidate["position"])}


def _was_routed(log: Sequence[e.Recorded]) -> bool:
    """Has the present owner got it from the router?"""
    owning = e.ConversationClaimed, e.ConversationAssigned, e.ConversationReopened
    last = [recorded.event for recorded in log if isinstance(recorded.event, owning)][-1]
    return isinstance(last, e.ConversationAssigned) and last.by is None


async def _name(unit: UnitOfWork, id: AgentId) -> str:
    return (await unit.people.agent(id)).name


async def _group(unit: UnitOfWork, id: GroupId) -> str:
    return (await unit.people.group(id)).name
