"""Pure: what is asked of the rules when staff changes, takes back or lets go what is stored, or when a timer is due."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from messenger.app.records import StoredMessage
from messenger.domain.commands import (
    ApproveMessage,
    DeleteStaffMessage,
    EditStaffMessage,
    MindSilence,
    SendScheduled,
)
from messenger.domain.events import NoteKept, Recorded, ReplyHeld, ReplyScheduled
from messenger.domain.ids import AgentId, MessageId
from messenger.domain.people import DevicePolicy, Role, SkillGroup
from messenger.domain.replies import Fate, Said, is_command


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A stored message of staff and what stands around it. `is_waiting`: it has not left yet, and is kept back now."""

    message: StoredMessage
    author: AgentId
    log: Sequence[Recorded]
    group: SkillGroup
    now: datetime
    is_waiting: bool = False
    is_customer_room_safe: bool = True

    @property
    def was(self) -> str:
        return self.message.fate.value if self.message.fate else ""

    @property
    def may_follow(self) -> bool:
        return self.now - self.message.at <= timedelta(minutes=self.group.edit_window_minutes)

    @property
    def is_draft(self) -> bool:
        """Kept only because the group sends nothing unasked. A note is no draft, whatever the group's mode is."""
        if self.message.fate is not Fate.KEPT or self.message.is_deleted:
            return False
        verdicts = [
            entry.event
            for entry in self.log
            if isinstance(entry.event, NoteKept) and entry.event.message == self.message.id
        ]
        return bool(verdicts) and verdicts[-1].reason == "draft"

    @property
    def time(self) -> datetime | None:
        return time_in(self.log, self.message.id)


def time_in(log: Sequence[Recorded], message: MessageId) -> datetime | None:
    """When an answer shall leave that is scheduled, or would be if somebody let it go: an edit may have moved it, and
    the timer of the first time does nothing."""
    times = [
        entry.event.at if isinstance(entry.event, ReplyScheduled) else entry.event.later
        for entry in log
        if isinstance(entry.event, ReplyScheduled | ReplyHeld | NoteKept) and entry.event.message == message
    ]
    return times[-1] if times else None


def edit(
    stored: Standing, said: Said, *, role: Role, at: datetime | None = None, stood_at: datetime | None = None
) -> EditStaffMessage:
    # Where drafts are the rule, what has been sent was approved: its author may still correct it, except where that
    # takes four eyes. An order instead of words is never an answer.
    is_sent = stored.message.fate in (Fate.QUEUED, Fate.SENT, Fate.DELIVERED) and not is_command(said)
    is_trusted = said.is_from_trusted_device or stored.group.device_policy is DevicePolicy.ANY
    return EditStaffMessage(
        message=stored.message.id,
        author=stored.author,
        role=role,
        said=replace(said, is_from_trusted_device=is_trusted, is_explicit=said.is_explicit or is_sent),
        mode=stored.group.reply_mode,
        was=stored.was,
        is_draft=stored.is_draft,
        is_waiting=stored.is_waiting,
        may_follow=stored.may_follow,
        four_eyes=stored.group.four_eyes,
        is_customer_room_safe=stored.is_customer_room_safe,
        at=at,
        stood_at=stood_at,
    )


def deletion(stored: Standing) -> DeleteStaffMessage:
    return DeleteStaffMessage(
        message=stored.message.id,
        author=stored.author,
        was=stored.was,
        is_waiting=stored.is_waiting,
        may_follow=stored.may_follow,
    )


def approval(stored: Standing, by: AgentId, role: Role) -> ApproveMessage | None:
    """None: there is nothing that waits for it."""
    if not (stored.message.fate is Fate.HELD or stored.is_draft):
        return None
    later = stored.time
    return ApproveMessage(
        message=stored.message.id,
        author=stored.author,
        by=by,
        role=role,
        mode=stored.group.reply_mode,
        is_held=True,
        four_eyes=stored.group.four_eyes,
        is_customer_room_safe=stored.is_customer_room_safe,
        at=later if later and later > stored.now else None,
    )


def due_answer(stored: Standing, due: datetime) -> SendScheduled | None:
    """None: it has another time now."""
    if stored.time != due:
        return None
    return SendScheduled(
        message=stored.message.id, author=stored.author, is_customer_room_safe=stored.is_customer_room_safe
    )


def silence(group: SkillGroup, now: datetime, *, is_answer_held: bool) -> MindSilence:
    after, warn_before = timedelta(days=group.auto_resolve_days), timedelta(days=group.auto_resolve_warn_days)
    return MindSilence(now=now, after=after, warn_before=warn_before, is_answer_held=is_answer_held)
