"""Pure: what follows where something is said, changed or taken back, and what becomes of an answer."""

from collections.abc import Sequence
from typing import assert_never

from messenger.app.effects.base import Effect
from messenger.app.effects.customer import DeleteAtCustomer, EditAtCustomer, SendToCustomer
from messenger.app.effects.inside import SetTimer
from messenger.app.effects.places import EditCard
from messenger.app.effects.thread import EditInThread, PostNotice, RelayToThread, ShowFate, ShowFateNow
from messenger.app.react_parts import silence_timer, turn_changed
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, Saying
from messenger.domain.ids import AgentId
from messenger.domain.people import SkillGroup


def spoken(event: Saying, before: Conversation, after: Conversation, group: SkillGroup | None) -> Sequence[Effect]:
    here = after.id
    match event:
        case e.MessageReceived():
            if after.group is None:
                return []  # shown when it has a place
            return [RelayToThread(conversation=here, message=event.message), *_card_changed(before, after)]
        case e.MessageEdited() | e.MessageDeleted():
            if after.group is None:
                return []  # what is shown later is the newest
            return [EditInThread(conversation=here, message=event.message), *_card_changed(before, after)]
        case e.ReplyAccepted():
            return _accepted(event, before, after, group)
        case e.ReplyScheduled() | e.ScheduleCancelled():
            return _scheduled(event, after)
        case e.ReplyEdited():
            follows = EditAtCustomer(conversation=here, chat=after.chat, message=event.message)
            return [follows] if event.is_sent else []  # else it leaves in its new words
        case e.ReplyRecalled():
            gone = DeleteAtCustomer(conversation=here, chat=after.chat, message=event.message)
            return [gone, ShowFateNow(conversation=here, message=event.message)]
        case e.ChangeKeptBack():
            kept = f"S14.{event.reason}"
            return [PostNotice(conversation=here, text=kept, mention=event.author, place=event.place)]
        case _:
            return _fate_changed(event, before, after)


def _card_changed(before: Conversation, after: Conversation) -> Sequence[Effect]:
    """The card says whose turn it is, and whether anybody vouches for the customer's device."""
    is_still_so = before.is_unverified == after.is_unverified
    return turn_changed(before, after) or ([] if is_still_so else [EditCard(conversation=after.id)])


def _accepted(
    event: e.ReplyAccepted, before: Conversation, after: Conversation, group: SkillGroup | None
) -> Sequence[Effect]:
    is_due = event.message in before.scheduled  # it has had all the time in the world to be taken back
    hold = float(group.hold_seconds) if group and not is_due else 0.0
    # With a hold window the marker says at once that the answer waits; else it waits for a better one.
    shown = ShowFateNow if hold else ShowFate
    approved = (
        [PostNotice(conversation=after.id, text="S9.sent", fields=_approval(event, after))]
        if event.approved_by not in (None, event.author)
        else []
    )
    return [
        SendToCustomer(conversation=after.id, chat=after.chat, message=event.message, hold_s=hold),
        shown(conversation=after.id, message=event.message),
        *approved,
        *turn_changed(before, after),
        *(silence_timer(after, group) if group else []),
    ]


def _approval(event: e.ReplyAccepted, after: Conversation) -> dict[str, str]:
    assert after.answered_at is not None, "it was answered by this"
    return {"by": str(event.approved_by), "owner": str(event.author), "at": after.answered_at.isoformat()}


def _scheduled(event: e.ReplyScheduled | e.ScheduleCancelled, after: Conversation) -> Sequence[Effect]:
    here, fate = after.id, ShowFateNow(conversation=after.id, message=event.message)
    if isinstance(event, e.ReplyScheduled):
        said = PostNotice(conversation=here, text="later.set", fields={"at": event.at.isoformat()})
        return [fate, said, SetTimer(conversation=here, kind="later", at=event.at, subject=event.message)]
    return [fate, PostNotice(conversation=here, text=f"later.cancelled.{event.reason}", mention=_if_news(event))]


def _if_news(event: e.ScheduleCancelled) -> AgentId | None:
    """Who cancelled it knows."""
    return None if event.reason == "withdrawn" else event.author


def _fate_changed(
    event: e.ReplyHeld | e.ReplyCancelled | e.NoteKept | e.MessageDelivered | e.MessageFailed,
    before: Conversation,
    after: Conversation,
) -> Sequence[Effect]:
    here = after.id
    match event:
        case e.ReplyHeld():
            return [
                ShowFateNow(conversation=here, message=event.message),
                PostNotice(conversation=here, text=f"S8.{event.reason}", mention=event.author),
            ]
        case e.ReplyCancelled():
            fate = ShowFateNow(conversation=here, message=event.message)
            return [fate, PostNotice(conversation=here, text="S15"), *turn_changed(before, after)]
        case e.NoteKept() | e.MessageDelivered() | e.MessageFailed():
            return [ShowFateNow(conversation=here, message=event.message), *turn_changed(before, after)]
        case _:
            assert_never(event)
