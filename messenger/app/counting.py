"""What the events of a turn, and the sends that follow, are to the metrics. Counted once they are committed: what was
rolled back has not happened. A process that dies in between counts nothing; the next one begins at nought anyway."""

from collections.abc import Iterable
from datetime import datetime

from messenger.app.effects.customer import SendToCustomer
from messenger.app.effects.thread import RelayToThread, ShowFate
from messenger.app.react import fate_after
from messenger.app.records import OutboxRow
from messenger.domain import events as e
from messenger.domain.conversation import Conversation
from messenger.observability import metrics

Step = tuple[e.Event, Conversation | None, Conversation]  # what happened, before it, after it

CHANNEL = "matrix"  # of both sides of every conversation, as long as no bridge brings any


def count(steps: Iterable[Step], now: datetime) -> None:
    for event, was, became in steps:
        fate = fate_after(event)
        if fate is not None:
            metrics.FATE_CHANGES.of(group=became.group, fate=fate.value).inc()
        if was is not None:
            _count_life(event, was, became, now)
        _count_speech(event)


def _count_life(event: e.Event, was: Conversation, became: Conversation, now: datetime) -> None:
    group = became.group
    match event:
        case e.ConversationQueued() if was.group is None:
            metrics.OPENED.of(group=group, channel=CHANNEL).inc()
        case e.ConversationClaimed() | e.ConversationAssigned() if was.owner is None and was.queued_at is not None:
            metrics.WAITED.of(group=group).observe(_seconds(was.queued_at, now))
        case e.ReplyAccepted() if was.answered_at is None:
            metrics.FIRST_RESPONSE.of(group=group, channel=CHANNEL).observe(_seconds(was.opened_at, now))
        case e.ConversationResolved():
            metrics.RESOLVED.of(group=group, reason=event.reason).inc()
            metrics.RESOLUTION.of(group=group).observe(_seconds(was.opened_at, now))
        case _:
            pass


def _count_speech(event: e.Event) -> None:
    match event:
        case e.MessageReceived():
            direction = "in"
        case e.MessageDelivered():
            direction = "out"
        case e.NoteKept():
            direction = "internal"
        case _:
            return
    metrics.MESSAGES.of(channel=CHANNEL, direction=direction).inc()


def count_sent(row: OutboxRow, now: datetime) -> None:
    """What waits on purpose (an answer in its hold window) is no delay."""
    match row.effect:
        case RelayToThread():
            metrics.DELIVERY.of(channel=CHANNEL).observe(_seconds(row.made_at, now))
        case SendToCustomer():
            metrics.DELIVERY.of(channel=CHANNEL).observe(_seconds(row.first_try_at, now))
        case ShowFate():
            metrics.MARKERS.of().observe(_seconds(row.made_at, now))
        case _:
            pass


def _seconds(since: datetime, now: datetime) -> float:
    """Clocks that were set back count as no time."""
    return max(0.0, (now - since).total_seconds())
