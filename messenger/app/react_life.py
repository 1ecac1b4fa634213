"""Pure: what follows where a conversation changes hands, rests, goes on or ends."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from messenger.app.effects.base import Effect
from messenger.app.effects.customer import TellCustomer
from messenger.app.effects.inside import SetTimer
from messenger.app.effects.places import EditCard, SeatInCase
from messenger.app.effects.thread import PostContext, PostNotice, PostPack
from messenger.app.react_parts import post_pack, queue_changed, silence_timer, tell
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, Living, Owning
from messenger.domain.ids import AgentId
from messenger.domain.life import silence_ends
from messenger.domain.pauses import Cause
from messenger.domain.people import SkillGroup


def owned(
    event: Owning,
    before: Conversation,
    after: Conversation,
    group: SkillGroup | None,
) -> Sequence[Effect]:
    here = after.id
    card, changed = EditCard(conversation=here), queue_changed(before, after)
    match event:
        case e.ConversationClaimed() | e.ConversationAssigned():
            seat = [SeatInCase(conversation=here, agent=event.agent)] if after.is_in_room else []
            is_handed = isinstance(event, e.ConversationAssigned) and event.by is not None
            told = _tell_owner(after, group, "transfer" if is_handed else "claim")
            return [card, *seat, _briefing(before, after, event.agent), *told, *changed]
        case e.ConversationReleased():
            return [card, *_owner_left(event, before), *changed]
        case _:
            assert_never(event)


def _owner_left(event: e.ConversationReleased, before: Conversation) -> Sequence[Effect]:
    """Of a room of its own the group's thread must say so, too: there may be nobody in the room any more."""
    if event.reason != "left":
        return []
    text = "owner.left.paused" if before.is_paused else "owner.left"
    said = PostNotice(conversation=before.id, text=text, fields={"person": str(event.agent)})
    return [said, replace(said, place=before.place - 1)] if before.is_in_room else [said]


def _briefing(before: Conversation, after: Conversation, agent: AgentId) -> Effect:
    """The first owner reads what there is; a later one what has happened."""
    if before.claimed_at is None:
        return PostContext(conversation=after.id, agent=agent)
    return PostPack(conversation=after.id, cause="claim", by=agent)


def _tell_owner(after: Conversation, group: SkillGroup | None, what: str) -> Sequence[Effect]:
    has_begun_with_us = after.waiting_since is None and after.answered_at is None
    if group is None or what not in group.tell_customer or has_begun_with_us:
        return []
    return [TellCustomer(chat=after.chat, conversation=after.id, text="C4", agent=after.owner)]


def living(
    event: Living | e.WakeSuppressed | e.SilenceWarned,
    before: Conversation,
    after: Conversation,
    group: SkillGroup | None,
) -> Sequence[Effect]:
    here = after.id
    card, changed = EditCard(conversation=here), queue_changed(before, after)
    match event:
        case e.ConversationPaused():
            timer = [SetTimer(conversation=here, kind="wake", at=event.until)] if event.until else []
            told = {
                "by": str(event.by),
                "until": event.until.isoformat() if event.until else "",
                "wakes": " ".join(event.wake_on),
                "note": str(event.note or ""),
            }
            notice = PostNotice(conversation=here, text="S18", fields=told)
            waits = tell(after, group, "pause", _awaited(event), {"until": told["until"]})
            return [card, notice, *waits, *timer, *changed]
        case e.ConversationResumed():
            pack = [] if _goes_on_alone(event, before) else [post_pack(after, event.cause, event.by)]
            return [card, *pack, *tell(after, group, "resume", "C6"), *changed]
        case e.WakeSuppressed():
            assert after.pause is not None
            until = after.pause.until.isoformat() if after.pause.until else ""
            still = {"until": until, "wakes": " ".join(sorted(after.pause.wake_on))}
            return [PostNotice(conversation=here, text="S18b", fields=still)]
        case e.ConversationResolved():
            return [card, _resolved_notice(event, before, group), *changed]
        case e.ConversationReopened():
            pack = [] if event.cause == "reply" else [post_pack(after, f"reopen_{event.cause}", event.owner)]
            return [card, *pack, *changed]
        case e.SilenceWarned():
            fields = _silence_fields(after, group)
            return [
                TellCustomer(chat=after.chat, conversation=here, text="C15", fields=fields),
                PostNotice(conversation=here, text="S22.warned", fields=fields),
                *(silence_timer(after, group) if group else []),
            ]
        case _:
            assert_never(event)


def _awaited(event: e.ConversationPaused) -> str:
    """What the customer may know of what is waited for: of several things the one that is least theirs. The reason is
    a note, and stays inside."""
    if set(event.wake_on) == {Cause.CUSTOMER}:
        return "C5.customer"
    known = [cause for cause in (Cause.PARTNER, Cause.DOCUMENT, Cause.TIME) if cause in event.wake_on]
    return f"C5.{known[0].value}" if known else "C5"


def _goes_on_alone(event: e.ConversationResumed, before: Conversation) -> bool:
    """Who answers into a pause knows what it is about; who takes it over gets the pack with the claim."""
    return event.cause == "reply" or (event.cause == "agent" and event.by != before.owner)


def _resolved_notice(event: e.ConversationResolved, before: Conversation, group: SkillGroup | None) -> Effect:
    """With what the customer's next message will do in this group."""
    assert group is not None, "what is resolved has a group"
    further = {"reopen": group.reopen.value, "days": str(group.reopen_days)}
    if event.by is None:
        since = before.answered_at.isoformat() if before.answered_at else ""
        return PostNotice(conversation=before.id, text="S22.silence", fields={"since": since, **further})
    told = {"by": str(event.by), "resolution": event.reason, "note": str(event.note or "")}
    return PostNotice(conversation=before.id, text="S22", fields={**told, **further})


def _silence_fields(after: Conversation, group: SkillGroup | None) -> dict[str, str]:
    days = timedelta(days=group.auto_resolve_days if group else 0)
    warn = timedelta(days=group.auto_resolve_warn_days if group else 0)
    _, close_at = silence_ends(after, days, warn)
    return {
        "since": after.answered_at.isoformat() if after.answered_at else "",
        "until": close_at.isoformat() if close_at else "",
    }
