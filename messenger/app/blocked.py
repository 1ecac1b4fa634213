"""What staff hears who work on a conversation of somebody whose data may not be used, or are gone."""

from collections.abc import Sequence

from messenger.app.effects.base import Effect
from messenger.app.effects.staff import AnswerInRoom, React
from messenger.app.items import Item, StaffReacted, StaffRedacted, StaffSaid
from messenger.domain.errors import Blocked
from messenger.domain.replies import MARKERS, Fate

STAFFS = (StaffSaid, StaffReacted, StaffRedacted)


def blocked_answer(item: Item, stop: Blocked) -> Sequence[Effect]:
    """A line at the same place, in the group's language; a message is marked as failed. Reactions get no answer: people
    look at their message or their command."""
    if not isinstance(item, StaffSaid) or item.edits or stop.conversation is None:
        return []
    line = AnswerInRoom(
        room=item.room, event=item.event, thread=item.thread, conversation=stop.conversation, text=stop.text
    )
    return [line, React(room=item.room, event=item.event, key=MARKERS[Fate.FAILED])]
