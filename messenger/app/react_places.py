"""Pure: what follows where a conversation comes to another place, or people into its own room."""

from collections.abc import Sequence
from datetime import timedelta
from typing import assert_never

from messenger.app.effects.base import Effect
from messenger.app.effects.customer import EndMenu, OfferMenu
from messenger.app.effects.inside import SetTimer
from messenger.app.effects.places import EditFormerCard, PostCard, ProvideCaseRoom, SeatCase, SeatInCase, UnseatFromCase
from messenger.app.effects.thread import PostNotice, RelayToThread, ShowFiles, ShowTranscript
from messenger.app.react_parts import away_word, post_pack, queue_changed, tell
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, Placing, State
from messenger.domain.ids import AgentId
from messenger.domain.people import DeskLayout, SkillGroup

MENU_PATIENCE = timedelta(minutes=10)


def placed(
    event: e.MenuOffered | Placing,
    before: Conversation,
    after: Conversation,
    group: SkillGroup | None,
) -> Sequence[Effect]:
    here = after.id
    card, former = PostCard(conversation=here, place=after.place), EditFormerCard(conversation=here, place=before.place)
    match event:
        case e.MenuOffered():
            at = after.opened_at + MENU_PATIENCE
            menu = OfferMenu(chat=after.chat, conversation=here, message=after.unrouted[0], groups=event.groups)
            return [menu, SetTimer(conversation=here, kind="menu", at=at)]
        case e.ConversationQueued():
            relayed = [RelayToThread(conversation=here, message=message) for message in before.unrouted]
            # Without a message it was us who began.
            said = [*_menu_ended(before, event), *away_word(after, group, after.queued_at)] if relayed else []
            return [card, *_room_at_once(after, group), *relayed, *said, *queue_changed(before, after)]
        case e.ConversationTransferred():
            hears = tell(after, group, "transfer", "C4b")
            told = {"by": str(event.by), "note": str(event.note or ""), "told": "yes" if hears else ""}
            return [
                card,
                *_room_at_once(after, group),
                *_past(after, "transfer", event.by),
                former,
                PostNotice(conversation=here, text=_moved_text(event), fields=told, place=before.place),
                *hears,
                *queue_changed(before, after),
            ]
        case e.CardRenewed():
            # What rests, or is over, comes back with a pack of its own.
            is_in_work = before.state in (State.OPEN, State.QUEUED) and not before.is_in_room
            return [card, *([post_pack(after, "renewed", None)] if is_in_work else []), former]
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


def _moved_text(event: e.ConversationTransferred) -> str:
    return "S17.fallback" if event.reason == "fallback" else "S17"


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
    return [post_pack(after, cause, by), ShowFiles(conversation=after.id), ShowTranscript(conversation=after.id)]


def _room_at_once(after: Conversation, group: SkillGroup | None) -> Sequence[Effect]:
    """Where the group has rooms, a conversation that comes to it gets one."""
    return _own_room(after, after.place) if group is not None and group.desk_layout is DeskLayout.ROOMS else []


def membership(event: e.MemberInvited | e.MemberRemoved, after: Conversation) -> Sequence[Effect]:
    here, told = after.id, {"person": str(event.agent), "by": str(event.by)}
    if isinstance(event, e.MemberInvited):
        seat = SeatInCase(conversation=here, agent=event.agent)
        return [seat, PostNotice(conversation=here, text="S29.invited", fields=told)]
    unseat = UnseatFromCase(conversation=here, agent=event.agent)
    return [unseat, PostNotice(conversation=here, text="S29.removed", fields=told)]
