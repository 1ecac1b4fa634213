"""What a timer finds when it is due. It only asks; whether there is still anything to do is the domain's decision, so
an old timer does nothing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from messenger.app import asking
from messenger.app.effects.inside import RouteGroup, SetTimer
from messenger.app.items import TimerDue
from messenger.app.menus import nothing_chosen
from messenger.app.react_parts import silence_timer
from messenger.app.sight import is_out_of_sight
from messenger.app.staff_changes import standing
from messenger.app.turn import Turn
from messenger.domain.commands import Command, WakeConversation
from messenger.domain.conversation import Conversation, State
from messenger.domain.events import NoteKept
from messenger.domain.ids import ConversationId, MessageId
from messenger.domain.pauses import Cause
from messenger.domain.people import SkillGroup

CLOCK = "clock"
LOOK_AGAIN = timedelta(hours=1)


async def timer_due(turn: Turn, item: TimerDue) -> None:
    conversation = await turn.unit.conversations.lock(ConversationId(item.conversation))
    if item.kind == "load":
        return await _load_fell(turn, conversation)
    command = await _asked(turn, conversation, item)
    events = await turn.change_fate(conversation.id, conversation, command, actor=CLOCK) if command else ()
    if item.kind == "silence" and not events and conversation.group is not None:
        turn.effects += look_again(conversation, await turn.group(conversation.group), turn.unit.now)


def look_again(conversation: Conversation, group: SkillGroup, now: datetime) -> Sequence[SetTimer]:
    """Somebody has written in between, or the group now waits longer: silence is looked at when that is over. What
    waits to be said may be said, or not, at any time: then at a full hour, so that several old timers become one."""
    soon = (now + 2 * LOOK_AGAIN).replace(minute=0, second=0, microsecond=0)
    return [timer if timer.at > now else replace(timer, at=soon) for timer in silence_timer(conversation, group)]


async def _load_fell(turn: Turn, conversation: Conversation) -> None:
    """What waits may be given out now: somebody's conversation has been the customer's turn for so long that it weighs
    nothing."""
    if conversation.group is not None and conversation.state is State.QUEUED:
        turn.effects.append(RouteGroup(group=conversation.group))


async def _asked(turn: Turn, conversation: Conversation, item: TimerDue) -> Command | None:
    match item.kind:
        case "wake":
            is_far = conversation.is_paused and await is_out_of_sight(turn, conversation)
            return WakeConversation(cause=Cause.TIME, due=item.due, is_out_of_sight=is_far)
        case "silence":
            return await _silence(turn, conversation)
        case "later":
            return await _scheduled(turn, conversation, item)
        case "load":
            return None
        case "menu":
            if conversation.state is not State.NEW:
                return None
            return await nothing_chosen(turn, conversation)


async def _silence(turn: Turn, conversation: Conversation) -> Command | None:
    if conversation.group is None:
        return None
    group = await turn.group(conversation.group)
    is_held = await turn.unit.messages.has_held(conversation.id) or await _has_draft(turn, conversation, group)
    return asking.silence(group, turn.unit.now, is_answer_held=is_held)


async def _has_draft(turn: Turn, conversation: Conversation, group: SkillGroup) -> bool:
    """Where a second person must agree, words since our last answer may still wait for that one. (Elsewhere whoever has
    written a draft could have sent it.)"""
    if not group.four_eyes or conversation.answered_at is None:
        return False
    history = await turn.unit.conversations.history(conversation.id)
    since = [entry.event for entry in history if entry.at > conversation.answered_at]
    drafts = {event.message for event in since if isinstance(event, NoteKept) and event.reason == "draft"}
    messages = [await turn.unit.messages.get(id) for id in drafts]
    return any([(await standing(turn, conversation, message)).is_draft for message in messages])


async def _scheduled(turn: Turn, conversation: Conversation, item: TimerDue) -> Command | None:
    assert item.subject is not None, "the timer of an answer names it"
    message = await turn.unit.messages.get(MessageId(item.subject))
    if message.author is None:
        return None
    return asking.due_answer(await standing(turn, conversation, message), item.due)
