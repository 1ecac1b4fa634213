"""Is a group open, and when is it next? A group without opening hours is always open."""

from datetime import datetime
from zoneinfo import ZoneInfo

from messenger.domain.hours import OpeningHours, parse_hours
from messenger.domain.people import SkillGroup


def hours_of(group: SkillGroup) -> OpeningHours:
    zone = ZoneInfo(group.time_zone)
    return parse_hours(group.hours, zone) if group.hours else OpeningHours(zone=zone)


def is_open(group: SkillGroup, at: datetime) -> bool:
    return not group.hours or hours_of(group).is_open(at)


def opens_at(group: SkillGroup, at: datetime) -> datetime | None:
    """When a closed group is open again; None while it is open, and for one that never opens."""
    return None if is_open(group, at) else hours_of(group).next_opening(at)
