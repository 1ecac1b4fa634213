"""What a channel can carry, as data. The core asks before rendering and again just before sending, and degrades by it;
the numbers come from the bridge's manifest, with the day on which they were compared with the vendor's documents.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal


class Support(enum.IntEnum):
    """How well a channel carries one feature. Ordered: `>= PARTIAL` means that the bridge has the method for it."""

    REJECTED = -2
    """Must not be sent; the agent is told before sending."""
    DROPPED = -1
    """Vanishes on the way; the agent is told."""
    UNSUPPORTED = 0
    """Not native; the core's fallback carries the meaning."""
    PARTIAL = 1
    """Native with limits of age, subset or size."""
    FULL = 2


MediaKind = Literal["image", "video", "audio", "voice", "file", "sticker"]
TextUnit = Literal["codepoint", "utf16", "byte", "septet"]
Formatting = Literal["plain", "html", "whatsapp", "telegram-html", "markdown", "slack", "xhtml-im"]
Confidentiality = Literal["e2ee", "transport", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRule:
    """Limits for one kind of media. Sizes in bytes, `caption_max` in the channel's text unit (0 = no caption)."""

    mimes: Mapping[str, Support]
    max_size: int
    caption_max: int = 0
    max_per_message: int = 1

    def support(self, mime: str) -> Support:
        """Looked up as "image/png", then "image/*", then "*/*"; what no row names is REJECTED."""
        for pattern in (mime, f"{mime.split('/', 1)[0]}/*", "*/*"):
            if pattern in self.mimes:
                return self.mimes[pattern]
        return Support.REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """One answer for an account, or for one recipient at one moment (a session window may have closed).

    inbound          False: nobody can answer (alphanumeric SMS sender)
    buttons          how many quick answers one message may hold
    may_start        may we write first?
    session_window   free text only for so long after the customer's last message
    idempotent_send  the other side recognises a repeat by our key, so that a doubtful send may be repeated
    rate_*_per_s     messages a second the core lets through
    confidentiality  who can read on the way: nobody but the two ends, the channel's operator, anybody
    """

    checked_on: date
    text_max: int
    text_unit: TextUnit = "codepoint"
    text_parts_max: int = 1
    formatting: Formatting = "plain"
    media: Mapping[MediaKind, MediaRule] = field(default_factory=dict)
    inbound: bool = True
    reply: Support = Support.UNSUPPORTED
    thread: Support = Support.UNSUPPORTED
    edit: Support = Support.UNSUPPORTED
    edit_max_age: timedelta | None = None
    delete: Support = Support.UNSUPPORTED
    delete_max_age: timedelta | None = None
    reaction: Support = Support.UNSUPPORTED
    reactions_allowed: frozenset[str] | None = None
    location: Support = Support.UNSUPPORTED
    contact: Support = Support.UNSUPPORTED
    buttons: int = 0
    typing_in: bool = False
    typing_out: bool = False
    delivered: bool = False
    read_in: bool = False
    read_out: bool = False
    may_start: bool = True
    session_window: timedelta | None = None
    idempotent_send: bool = False
    rate_account_per_s: float | None = None
    rate_recipient_per_s: float | None = None
    confidentiality: Confidentiality = "transport"
