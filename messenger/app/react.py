"""Pure: what an event of a conversation makes happen outside."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import assert_never

from messenger.app.effects.base import Effect
from messenger.app.effects.customer import (
    DeleteAtCustomer,
    EditAtCustomer,
    EndMenu,
    OfferMenu,
    SendToCustomer,
    TellCustomer,
)
from messenger.app.effects.inside import RouteGroup, SetTimer
from messenger.app.effects.places import (
    EditCard,
    EditFormerCard,
    PostCard,
    ProvideCaseRoom,
    SeatCase,
    SeatInCase,
    UnseatFromCase,
)
from messenger.app.effects.thread import (
    EditInThread,
    PostContext,
    PostNotice,
    PostPack,
    RelayToThread,
    ShowFate,
    ShowFateNow,
    ShowFiles,
    ShowTranscript,
)
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, Living, Owning, Placing, Saying, State
from messenger.domain.ids import AgentId
from messenger.domain.life import silence_ends
from messenger.domain.opening import opens_at
from messenger.domain.people import DeskLayout, SkillGroup
from messenger.domain.replies import Fate

MENU_PATIENCE = timedelta(minutes=10)


def react(
    event: e.Event, before: Conversation | None, after: Conversation, group: SkillGroup | None
) -> Sequence[Effect]:
    """The effects of one event, in the order in which they shall leave. `group` is where the conversation is now."""
    if before is None:
        return []
    match event:
        case e.ConversationOpened():
            return []
        case e.MenuOffered() | e.ConversationQueued() | e.ConversationTransferred() | e.CardRenewed() | e.MovedToRoom():
            return _placed(event, before, after, group)
        case e.ConversationClaimed() | e.ConversationReleased() | e.ConversationAssigned():
            return _owned(event, before, after, group)
        case e.MemberInvited() | e.MemberRemoved():
            return _membership(event, after)
        case (
            e.ConversationPaused()
            | e.ConversationResumed()
            | e.WakeSuppressed()
            | e.ConversationResolved()
            | e.ConversationReopened()
            | e.SilenceWarned()
        ):
            return _living(event, before, after, group)
        case _:
            return _said(event, before, after, group)


def fate_after(event: e.Event) -> Fate | None:
    """The fate that an event gives to its message."""
    match event:
        case e.ReplyAccepted() | e.ReplyScheduled():
            return Fate.QUEUED
        case e.NoteKept() | e.ReplyCancelled() | e.ScheduleCancelled():
            return Fate.KEPT
        case e.ReplyHeld():
            return Fate.HELD
        case e.MessageDelivered():
            return Fate.DELIVERED
        case e.MessageFailed():
            return Fate.FAILED
        case _:
            return None


def away_word(conversation: Conversation, group: SkillGroup | None, at: datetime | None) -> Sequence[Effect]:
    """C2: who writes to a group that is closed hears when it is open again."""
    opening = opens_at(group, at) if group is not None and at is not None else None
    if opening is None:
        return []
    fields = {"until": opening.isoformat()}
    return [TellCustomer(chat=conversation.chat, conversation=conversation.id, text="C2", fields=fields)]


def silence_timer(conversation: Conversation, group: SkillGroup) -> Sequence[SetTimer]:
    """When the customer's silence shall be looked at next."""
    after, warn_before = timedelta(days=group.auto_resolve_days), timedelta(days=group.auto_resolve_warn_days)
    at = next((moment for moment in silence_ends(conversation, after, warn_before) if moment is not None), None)
    return [SetTimer(conversation=conversation.id, kind="silence", at=at)] if at else []


def _placed(
    event: e.MenuOffered | Placing,
    before: Conversation,
    after: Conversation,
    group: SkillGroup | None,
) -> Sequence[Effect]:
    here = after.id
    moved = [
        PostCard(conversation=here, place=after.place),
        EditFormerCard(conversation=here, place=before.place),
    ]
    match event:
        case e.MenuOffered():
            at = after.opened_at + MENU_PATIENCE
            menu = OfferMenu(chat=after.chat, conversation=here, message=after.unrouted[0], groups=event.groups)
            return [menu, SetTimer(conversation=here, kind="menu", at=at)]
        case e.ConversationQueued():
            relayed = [RelayToThread(conversation=here, message=message) for message in before.unrouted]
            card = PostCard(conversation=here, place=after.place)
            # Without a message it was us who began.
            said = [*_menu_ended(before, event), *away_word(after, group, after.queued_at)] if relayed else []
            room = _own_room(after, after.place) if _has_rooms(group) else []
            return [card, *room, *relayed, *said, *_queue_changed(before, after)]
        case e.ConversationTransferred():
            told = {"by": str(event.by), "note": str(event.note or "")}
            return [
                moved[0],
                *(_own_room(after, after.place) if _has_rooms(group) else []),
                *_past(after, "transfer", event.by),
                moved[1],
                PostNotice(conversation=here, text=_moved_text(event), fields=told, place=before.place),
                *_tell(after, group, "transfer", "C4b"),
                *_queue_changed(before, after),
            ]
        case e.CardRenewed():
            # What rests, or is over, comes back with a pack of its own.
            is_in_work = before.state in (State.OPEN, State.QUEUED) and not before.is_in_room
            return [moved[0], *([PostPack(conversation=here, cause="renewed")] if is_in_work else []), moved[1]]
        case e.MovedToRoom(again=True):
            closed = PostNotice(conversation=here, text="S36.case")
            return [*_own_room(before, before.place), closed, *_past(after, "renewed", event.by)]
        case e.MovedToRoom():
            # Where the group has rooms, the event that brought it into the group has made this one.
            return [*_own_room(before, before.place), *_past(after, "room", event.by)] if event.by else []
        case _:
            assert_never(event)


def _menu_ended(before: Conversation, event: e.ConversationQueued) -> Sequence[Effect]:
    if event.reason.split()[0] not in ("choice", "no_choice"):
        return []
    first = before.unrouted[0]
    return [EndMenu(chat=before.chat, conversation=before.id, message=first, group=event.group)]


def _own_room(conversation: Conversation, former: int) -> Sequence[Effect]:
    """The room that follows this place: made, its people in it before the first word, and the former card points to
    it."""
    here, place = conversation.id, former + 1
    return [
        ProvideCaseRoom(conversation=here, place=place),
        SeatCase(conversation=here),
        PostCard(conversation=here, place=place, is_room=True),
        PostNotice(conversation=here, text="S29", fields={"members": str(here)}),
        EditFormerCard(conversation=here, place=former),
    ]


def _past(after: Conversation, cause: str, by: AgentId | None) -> Sequence[Effect]:
    """For people who cannot scroll back."""
    return [_pack(after, cause, by), ShowFiles(conversation=after.id), ShowTranscript(conversation=after.id)]


def _has_rooms(group: SkillGroup | None) -> bool:
    return group is not None and group.desk_layout is DeskLayout.ROOMS


def _membership(event: e.MemberInvited | e.MemberRemoved, after: Conversation) -> Sequence[Effect]:
    here, told = after.id, {"person": str(event.agent), "by": str(event.by)}
    if isinstance(event, e.MemberInvited):
        seat = SeatInCase(conversation=here, agent=event.agent)
        return [seat, PostNotice(conversation=here, text="S29.invited", fields=told)]
    unseat = UnseatFromCase(conversation=here, agent=event.agent)
    return [unseat, PostNotice(conversation=here, text="S29.removed", fields=told)]


def _owned(
    event: Owning,
    before: Conversation,
    after: Conversation,
    group: SkillGroup | None,
) -> Sequence[Effect]:
    here = after.id
    card, changed = EditCard(conversation=here), _queue_changed(before, after)
    match event:
        case e.ConversationClaimed() | e.ConversationAssigned():
            seat = [SeatInCase(conversation=here, agent=event.agent)] if after.is_in_room else []
            is_handed = isinstance(event, e.ConversationAssigned) and event.by is not None
            told = _tell_owner(after, group, "transfer" if is_handed else "claim")
            return [card, *seat, _briefing(before, after, event.agent), *told, *changed]
        case e.ConversationReleased():
            return [card, *changed]
        case _:
            assert_never(event)


def _living(
    event: Living | e.WakeSuppressed | e.SilenceWarned,
    before: Conversation,
    after: Conversation,
    group: SkillGroup | None,
) -> Sequence[Effect]:
    here = after.id
    card, changed = EditCard(conversation=here), _queue_changed(before, after)
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
            return [card, notice, *_tell(after, group, "pause", "C5"), *timer, *changed]
        case e.ConversationResumed():
            pack = [] if _goes_on_alone(event, before) else [_pack(after, event.cause, event.by)]
            return [card, *pack, *_tell(after, group, "resume", "C6"), *changed]
        case e.WakeSuppressed():
            assert after.pause is not None
            until = after.pause.until.isoformat() if after.pause.until else ""
            return [PostNotice(conversation=here, text="S18b", fields={"until": until})]
        case e.ConversationResolved():
            return [card, _resolved_notice(event, before), *changed]
        case e.ConversationReopened():
            pack = [] if event.cause == "reply" else [_pack(after, f"reopen_{event.cause}", event.owner)]
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


def _said(event: Saying, before: Conversation, after: Conversation, group: SkillGroup | None) -> Sequence[Effect]:
    here = after.id
    match event:
        case e.MessageReceived():
            if after.group is None:
                return []  # shown when it has a place
            return [RelayToThread(conversation=here, message=event.message), *_turn_changed(before, after)]
        case e.MessageEdited() | e.MessageDeleted():
            if after.group is None:
                return []  # what is shown later is the newest
            return [EditInThread(conversation=here, message=event.message)]
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
            return [fate, PostNotice(conversation=here, text="S15"), *_turn_changed(before, after)]
        case e.NoteKept() | e.MessageDelivered() | e.MessageFailed():
            return [ShowFateNow(conversation=here, message=event.message), *_turn_changed(before, after)]
        case _:
            assert_never(event)


def _scheduled(event: e.ReplyScheduled | e.ScheduleCancelled, after: Conversation) -> Sequence[Effect]:
    here, fate = after.id, ShowFateNow(conversation=after.id, message=event.message)
    if isinstance(event, e.ReplyScheduled):
        said = PostNotice(conversation=here, text="later.set", fields={"at": event.at.isoformat()})
        return [fate, said, SetTimer(conversation=here, kind="later", at=event.at, subject=event.message)]
    return [fate, PostNotice(conversation=here, text=f"later.cancelled.{event.reason}", mention=_if_news(event))]


def _accepted(
    event: e.ReplyAccepted, before: Conversation, after: Conversation, group: SkillGroup | None
) -> Sequence[Effect]:
    is_due = event.message in before.scheduled  # it has had all the time in the world to be taken back
    hold = float(group.hold_seconds) if group and not is_due else 0.0
    # With a hold window the marker says at once that the answer waits; else it waits for a better one.
    shown = ShowFateNow if hold else ShowFate
    approved = (
        [PostNotice(conversation=after.id, text="S9.sent", fields=_approval(event))]
        if event.approved_by not in (None, event.author)
        else []
    )
    return [
        SendToCustomer(conversation=after.id, chat=after.chat, message=event.message, hold_s=hold),
        shown(conversation=after.id, message=event.message),
        *approved,
        *_turn_changed(before, after),
        *(silence_timer(after, group) if group else []),
    ]


def _approval(event: e.ReplyAccepted) -> dict[str, str]:
    return {"by": str(event.approved_by), "owner": str(event.author)}


def _if_news(event: e.ScheduleCancelled) -> AgentId | None:
    """Who cancelled it knows."""
    return None if event.reason == "withdrawn" else event.author


def _goes_on_alone(event: e.ConversationResumed, before: Conversation) -> bool:
    """Who answers into a pause knows what it is about; who takes it over gets the pack with the claim."""
    return event.cause == "reply" or (event.cause == "agent" and event.by != before.owner)


def _briefing(before: Conversation, after: Conversation, agent: AgentId) -> Effect:
    """The first owner reads what there is; a later one what has happened."""
    if before.claimed_at is None:
        return PostContext(conversation=after.id, agent=agent)
    return PostPack(conversation=after.id, cause="claim", by=agent)


def _pack(after: Conversation, cause: str, by: AgentId | None) -> Effect:
    return PostPack(conversation=after.id, cause=cause, by=by)


def _tell(after: Conversation, group: SkillGroup | None, what: str, text: str) -> Sequence[Effect]:
    if group is None or what not in group.tell_customer:
        return []
    return [TellCustomer(chat=after.chat, conversation=after.id, text=text)]


def _tell_owner(after: Conversation, group: SkillGroup | None, what: str) -> Sequence[Effect]:
    has_begun_with_us = after.waiting_since is None and after.answered_at is None
    if group is None or what not in group.tell_customer or has_begun_with_us:
        return []
    return [TellCustomer(chat=after.chat, conversation=after.id, text="C4", agent=after.owner)]


def _moved_text(event: e.ConversationTransferred) -> str:
    return "S17.fallback" if event.reason == "fallback" else "S17"


def _resolved_notice(event: e.ConversationResolved, before: Conversation) -> Effect:
    if event.by is None:
        since = before.answered_at.isoformat() if before.answered_at else ""
        return PostNotice(conversation=before.id, text="S22.silence", fields={"since": since})
    told = {"by": str(event.by), "resolution": event.reason, "note": str(event.note or "")}
    return PostNotice(conversation=before.id, text="S22", fields=told)


def _silence_fields(after: Conversation, group: SkillGroup | None) -> dict[str, str]:
    days = timedelta(days=group.auto_resolve_days if group else 0)
    warn = timedelta(days=group.auto_resolve_warn_days if group else 0)
    _, close_at = silence_ends(after, days, warn)
    return {
        "since": after.answered_at.isoformat() if after.answered_at else "",
        "until": close_at.isoformat() if close_at else "",
    }


def _turn_changed(before: Conversation, after: Conversation) -> Sequence[Effect]:
    """The card says whose turn it is: it is edited when that changes, not with every message. The load of the owner
    changes with it."""
    if (before.waiting_since is None) == (after.waiting_since is None):
        return []
    return [EditCard(conversation=after.id), *_queue_changed(before, after)]


def _queue_changed(before: Conversation, after: Conversation) -> Sequence[Effect]:
    """Somebody may have room for another conversation now, or one more waits. (Boards look for themselves.)"""
    groups = dict.fromkeys(group for group in (before.group, after.group) if group is not None)
    return [RouteGroup(group=group) for group in groups]
