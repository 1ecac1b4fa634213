"""For how long what is kept. One purpose, one time: never one number for everything."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from messenger.domain.people import SkillGroup

Purpose = Literal["messages", "files"]
BATCH = 500

KEEP_DECISIONS = timedelta(days=90)  # of the router: they serve the organisation only while they are fresh


@dataclass(frozen=True, slots=True)
class Limit:
    """Of one group: what was resolved before this moment has lived long enough."""

    group: SkillGroup
    purpose: Purpose
    days: int
    before: datetime


def limits_of(group: SkillGroup, now: datetime) -> list[Limit]:
    """0 days: for ever. Files never outlive the words they came with, so a limit that is no shorter says nothing."""
    words, files = group.keep_messages_days, group.keep_files_days
    found: list[Limit] = []
    if words:
        found.append(Limit(group, "messages", words, now - timedelta(days=words)))
    if files and (not words or files < words):
        found.append(Limit(group, "files", files, now - timedelta(days=files)))
    return found
