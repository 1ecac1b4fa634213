"""Which staff message leaves. The relay is an allow-list: what no row sends stays inside.

The first matching row wins. A message outside the conversation's place never gets here (it is ordinary team chat), and
one that could not be decrypted has no text to rule on.

    1  begins with ! or ！                              command
    2  begins with a note prefix                        keep
    3  not text, image, file, audio or video            keep
    4  author is a clerk                                keep
    5  mode `explicit`, and not sent by !r; or by !r
       where a second person must approve               keep   (a draft)
    6  mode `owner`, and the author is not the owner    keep
    7  the device is not one that the group trusts      keep
    8  mentions staff, or a line inside is a note
       (or, after !r, a command)                        hold
    9  the conversation is resolved                     hold
    10 the customer's room is not safe any more         hold   (fail closed)
    11 otherwise                                        send
"""

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from messenger.domain.people import ReplyMode, Role

# Element turns `//text` into `/text` before it sends: everything that begins with a slash is a note. Compared after
# `_beginning`, which makes full-width signs (！ ： ／) narrow ones.
NOTE_PREFIXES = ("/", "note:", "notiz:", "备注:", "🔒")
COMMAND_PREFIX = "!"
_LONGEST_PREFIX = 20
RELAYED_TYPES = frozenset({"m.text", "m.image", "m.file", "m.audio", "m.video"})


class Verdict(StrEnum):
    SEND = "send"
    HOLD = "hold"
    KEEP = "keep"
    COMMAND = "command"
    IGNORE = "ignore"


class Fate(StrEnum):
    """What became of a staff message; each has one marker, the desk's reaction on it."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    KEPT = "kept"
    HELD = "held"
    FAILED = "failed"
    DONE = "done"


MARKERS = {
    Fate.QUEUED: "📨",
    Fate.SENT: "📨",
    Fate.DELIVERED: "✅",
    Fate.KEPT: "🔒",
    Fate.HELD: "✋",
    Fate.FAILED: "⚠️",
    Fate.DONE: "⚙️",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A staff message as far as the rule looks at it. `is_explicit`: asked to be sent by `!r`; `is_note`: by
    `!note`."""

    type: str
    text: str
    mentions_staff: bool = False
    is_explicit: bool = False
    is_note: bool = False
    is_from_trusted_device: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where the author stands to the conversation."""

    role: Role
    is_owner: bool
    has_owner: bool
    mode: ReplyMode
    four_eyes: bool = False
    is_resolved: bool = False
    is_customer_room_safe: bool = True


@dataclass(frozen=True, slots=True)
class Ruling:
    verdict: Verdict
    reason: str


def rule(said: Said, standing: Standing) -> Ruling:
    if is_command(said):
        return Ruling(Verdict.COMMAND, "command")
    if reason := _kept_because(said, standing):
        return Ruling(Verdict.KEEP, reason)
    if reason := _held_because(said, standing):
        return Ruling(Verdict.HOLD, reason)
    return Ruling(Verdict.SEND, "answer")


def _kept_because(said: Said, standing: Standing) -> str:
    if said.is_note or is_note(said.text):
        return "note"
    if said.type not in RELAYED_TYPES:
        return "type"
    if not standing.role.can_answer:
        return "role"
    if _is_draft(said, standing):
        return "draft"
    if standing.mode is not ReplyMode.OPEN and not standing.is_owner:
        return "not_owner" if standing.has_owner else "no_owner"
    return "" if said.is_from_trusted_device else "device"


def _held_because(said: Said, standing: Standing) -> str:
    if said.mentions_staff:
        return "mentions_staff"
    if _begins_as_command(said.text) or any(map(_is_note_inside, said.text.splitlines())):
        return "note_inside"
    if standing.is_resolved:
        return "resolved"
    return "" if standing.is_customer_room_safe else "unsafe"


def _is_draft(said: Said, standing: Standing) -> bool:
    """Where two people must agree, even an order to send is only a draft."""
    return standing.mode is ReplyMode.EXPLICIT and (standing.four_eyes or not said.is_explicit)


def is_note(text: str) -> bool:
    return _beginning(text).startswith(NOTE_PREFIXES)


def _is_note_inside(line: str) -> bool:
    """Quotation marks do not turn a note into an answer: clients quote with `>` before each line."""
    return is_note(line.lstrip("> "))


def is_command(said: Said) -> bool:
    return not (said.is_note or said.is_explicit) and _begins_as_command(said.text)


def _begins_as_command(text: str) -> bool:
    return _beginning(text).startswith(COMMAND_PREFIX)


def _beginning(text: str) -> str:
    """What a reader sees first: a pasted invisible character or a full-width sign must not turn a note into an
    answer."""
    visible = (char for char in text if not (char.isspace() or unicodedata.category(char) in ("Cc", "Cf")))
    return unicodedata.normalize("NFKC", "".join(islice(visible, _LONGEST_PREFIX))).casefold()
