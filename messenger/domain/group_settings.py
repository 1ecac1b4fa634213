"""The settings of a skill group, declared once. Parsing, storing, the command line and the reference page come from
`SETTINGS`; the types and defaults are those of the fields of `SkillGroup`."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from rapidfuzz import process

from messenger.domain.hours import BadHours
from messenger.domain.people import (
    AgentIdentity,
    Assignment,
    DeskLayout,
    DevicePolicy,
    MentionOwner,
    PauseDefault,
    Reopen,
    ReplyMode,
    SkillGroup,
)
from messenger.domain.setting_kinds import (
    Choice,
    Flag,
    Hours,
    Kind,
    Language,
    Levels,
    Names,
    Number,
    Several,
    TimeZone,
    Words,
)

TELLABLE = ("claim", "pause", "resume", "transfer")
_SIMILAR = 60  # of 100; below that a suggestion would be a guess


class WrongSetting(ValueError):
    """A key or a value that cannot be. The text names the key and what is allowed, for the administrator."""


@dataclass(frozen=True, slots=True)
class Setting:
    key: str
    kind: Kind
    meaning: str

    @property
    def default(self) -> Any:
        return _DEFAULTS[self.key]


SETTINGS = (
    Setting(
        "reply_mode",
        Choice(ReplyMode),
        "Whose messages in a thread reach the customer: the owner's, only what `!r` or 📤 sends, or every agent's.",
    ),
    Setting("four_eyes", Flag(), "With `reply_mode` explicit: somebody else than the author must approve."),
    Setting("hold_seconds", Number(0, 60), "For so long an answer waits, so that it can be changed or taken back."),
    Setting("edit_window_minutes", Number(0, 1440), "Later edits of an answer stay inside."),
    Setting("desk_layout", Choice(DeskLayout), "Where a conversation stands: in a thread, or in a room of its own."),
    Setting("assignment", Choice(Assignment), "Staff claim what waits, or it is given to them."),
    Setting("required_skills", Levels(), "The skills that somebody needs to be given the group's conversations."),
    Setting(
        "load_waiting_percent",
        Number(0, 100),
        "How much of one conversation an open one counts while it waits for the customer.",
    ),
    Setting(
        "load_inactive_minutes",
        Number(0, 10080),
        "After so long without a message an open conversation counts as one that waits for the customer.",
    ),
    Setting("hours", Hours(), "When the group is open, in its time zone; empty means always."),
    Setting(
        "accounts",
        Names(),
        "The channel accounts (addresses of desks) whose conversations go here; what others bring does not. Empty "
        "means that the group serves every account that no group names.",
    ),
    Setting("transfer_to", Names(), "The groups that conversations may be handed to; empty means every group."),
    Setting(
        "fallback_group",
        Words(),
        "Where a transfer to this group goes while nobody here who may answer is available; empty means it waits here.",
    ),
    Setting("tell_customer", Several(TELLABLE), "What the customer is told about."),
    Setting("agent_identity", Choice(AgentIdentity), "As whom the customer sees the staff."),
    Setting("menu_label", Words(60), "How the group is called in the customers' numbered menu; empty leaves it out."),
    Setting("pause_default", Choice(PauseDefault), "What a pause without a time waits for."),
    Setting(
        "auto_resolve_days",
        Number(0, 365),
        "After so many days of the customer's silence a conversation is resolved, never while we owe the answer or one "
        "of ours waits to leave; 0 means never.",
    ),
    Setting("auto_resolve_warn_days", Number(0, 365), "So many days before that the customer is told once."),
    Setting(
        "reopen",
        Choice(Reopen),
        "When a customer's message reopens a resolved conversation instead of beginning a new one.",
    ),
    Setting("reopen_days", Number(0, 3650), "The length of that window, with `reopen` window."),
    Setting(
        "keep_messages_days",
        Number(0, 3650),
        "So many days after a conversation was resolved its words are erased, here and in the rooms; 0 means never. "
        "A legal hold or a restriction on the customer wins.",
    ),
    Setting(
        "keep_files_days", Number(0, 3650), "The same for files, which may go before the words; 0 means not before."
    ),
    Setting("announce_preview", Flag(), "Cards show the beginning of the customer's text until somebody claims."),
    Setting("recard_after_hours", Number(1, 8760), "After so long without activity a new card is posted."),
    Setting("recard_after_cards", Number(1, 10000), "With so many cards below it a new card is posted."),
    Setting("delivery_marks", Flag(), "📨 becomes ✅ when the channel confirms; that costs two events an answer."),
    Setting("mention_owner", Choice(MentionOwner), "Which of the customer's messages mention the owner."),
    Setting("device_policy", Choice(DevicePolicy), "Which devices of the staff get the keys of the group's rooms."),
    Setting("language", Language(), "The language of cards and notices in the group's room."),
    Setting("time_zone", TimeZone(), "The time zone of times on cards and of opening hours."),
)

_BY_KEY = {setting.key: setting for setting in SETTINGS}
_DEFAULTS: Mapping[str, Any] = {
    field.name: field.default if field.default_factory is MISSING else field.default_factory()
    for field in fields(SkillGroup)
    if field.name in _BY_KEY
}


def setting(key: str) -> Setting:
    """Raises WrongSetting with the key that was probably meant."""
    found = _BY_KEY.get(key)
    if found is None:
        near = process.extractOne(key[:60], list(_BY_KEY), score_cutoff=_SIMILAR)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_BY_KEY)}"
        raise WrongSetting(f"{key[:60]} is no setting of a group: {hint}")
    return found


def parse(key: str, text: str) -> Any:
    """The value of a setting that a person wrote. Raises WrongSetting."""
    found = setting(key)
    try:
        return found.kind.parse(text.strip())
    except ValueError as error:
        raise _refused(found, error) from None


def show(key: str, value: Any) -> str:
    """The text of a value, as `parse` reads it."""
    return _BY_KEY[key].kind.show(value)


def load(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of a group, with defaults for what is not stored. Keys of a newer version are left alone; a value
    that cannot be raises WrongSetting, for a default might be laxer than what was meant."""
    return {key: load_one(key, stored) for key in _BY_KEY}


def load_one(key: str, stored: Mapping[str, Any]) -> Any:
    """As `load`, of one setting."""
    found = setting(key)
    return _loaded(found, stored[key]) if key in stored else found.default


def store(values: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of these settings, given as values or in that form already. Raises WrongSetting."""
    return {key: setting(key).kind.store(_loaded(setting(key), value)) for key, value in values.items()}


def _loaded(found: Setting, stored: Any) -> Any:
    try:
        return found.kind.load(stored)
    except ValueError as error:
        raise _refused(found, error) from None


def _refused(found: Setting, error: ValueError) -> WrongSetting:
    wrong = ", ".join(problem.part for problem in error.problems) if isinstance(error, BadHours) else ""
    return WrongSetting(f"{found.key}: allowed is {found.kind.allowed}" + (f" (wrong: {wrong})" if wrong else ""))
