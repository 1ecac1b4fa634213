"""Pure: what follows from several kinds of events."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from messenger.app.effects.base import Effect
from messenger.app.effects.customer import TellCustomer
from messenger.app.effects.inside import RouteGroup, SetTimer
from messenger.app.effects.places import EditCard
from messenger.app.effects.thread import PostPack
from messenger.domain.conversation import Conversation
from messenger.domain.ids import AgentId
from messenger.domain.life import silence_ends
from messenger.domain.opening import opens_at
from messenger.domain.people import SkillGroup


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


def tell(
    after: Conversation, group: SkillGroup | None, what: str, text: str, fields: Mapping[str, str] | None = None
) -> Sequence[Effect]:
    if group is None or what not in group.tell_customer:
        return []
    return [TellCustomer(chat=after.chat, conversation=after.id, text=text, fields=fields or {})]


def post_pack(after: Conversation, cause: str, by: AgentId | None) -> Effect:
    return PostPack(conversation=after.id, cause=cause, by=by)


def turn_changed(before: Conversation, after: Conversation) -> Sequence[Effect]:
    """The card says whose turn it is: it is edited when that changes, not with every message. The load of the owner
    changes with it."""
    if (before.waiting_since is None) == (after.waiting_since is None):
        return []
    return [EditCard(conversation=after.id), *queue_changed(before, after)]


def queue_changed(before: Conversation, after: Conversation) -> Sequence[Effect]:
    """Somebody may have room for another conversation now, or one more waits. (Boards look for themselves.)"""
    groups = dict.fromkeys(group for group in (before.group, after.group) if group is not None)
    return [RouteGroup(group=group) for group in groups]
