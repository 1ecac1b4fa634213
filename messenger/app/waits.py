"""Until when, as staff writes it, in the group's time zone and with its opening hours."""

from dataclasses import replace
from datetime import datetime

from messenger.domain.opening import hours_of
from messenger.domain.pauses import Cause
from messenger.domain.people import PauseDefault, SkillGroup
from messenger.domain.when import NotUnderstood, When, read_when

_ALWAYS = frozenset({Cause.CUSTOMER})


def pause_asked(text: str, group: SkillGroup, now: datetime) -> When | str:
    """What wakes it, or the code of what was wrong. Without a time the group's default holds."""
    if not text.strip():
        return default_pause(group, now)
    asked = read_when(text, now=now, hours=hours_of(group))
    return asked.code if isinstance(asked, NotUnderstood) else asked


def default_pause(group: SkillGroup, now: datetime) -> When:
    reply = When(until=None, wake_on=_ALWAYS)
    if group.pause_default is PauseDefault.REPLY:
        return reply
    return replace(reply, until=hours_of(group).next_morning(now), wake_on=_ALWAYS | {Cause.TIME})


def moment_asked(text: str, group: SkillGroup, now: datetime) -> When | str:
    """A time and the text that shall leave then, or the code of what was wrong."""
    asked = read_when(text, now=now, hours=hours_of(group), with_causes=False)
    if isinstance(asked, NotUnderstood):
        return asked.code
    return asked if asked.until is not None and asked.rest else "empty"
