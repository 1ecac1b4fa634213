"""The values that travel between a bridge and the core: addresses, content, inbound items, outbound messages.

Every value is frozen. A bridge makes inbound values from what the other side sent (`convert.py` of the bridge, pure)
and reads outbound values that the core has already rendered for the channel. Times are aware datetimes in UTC, sizes
are bytes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NewType

ChannelAccountId = NewType("ChannelAccountId", str)
"""One configured mailbox, number or bot."""
RemoteId = NewType("RemoteId", str)
"""An id the other side gave: Message-ID, wamid, stanza-id, event id."""
RawRef = NewType("RawRef", str)
"""Pointer to the sealed raw payload, as `Intake.keep_raw` returned it."""


class Assurance(enum.IntEnum):
    """Who vouches that this handle wrote the message. Ordered: a higher value may do more."""

    CLAIMED = 0
    """Only the message says so: a From header, a form field, an SMS sender id."""
    CHANNEL = 1
    """The channel's operator says so: Telegram id, WhatsApp user_id, DMARC-aligned mail, mxid."""
    POSSESSION = 2
    """The person answered a one-time code or link that we sent to this handle."""
    AUTHENTICATED = 3
    """A login or a signature: portal JWT or OIDC, verified Matrix device, S/MIME or KIM signature."""


@dataclass(frozen=True, slots=True)
class Handle:
    """An address on a channel. Equal handles are the same ChannelIdentity; `display` is for people and never a key.

    kind   email tel mxid jid wa tg web threema signal slack teams mm zulip fhir ..., declared in the bridge's manifest
    value  as `Bridge.normalise` made it
    scope  for ids that mean something only inside one account: bot id, WABA, page, tenant, workspace
    """

    kind: str
    value: str
    scope: str = ""
    display: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRef:
    """Where bytes can be fetched, never the bytes themselves. `mime`, `filename` and `size` are the sender's claims, as
    is what is said of sound: how long it is, and its loudness over that time (0 to 1024), as it is drawn."""

    id: str
    mime: str = "application/octet-stream"
    filename: str = ""
    size: int | None = None
    sha256: str | None = None
    inline_cid: str | None = None
    voice: bool = False
    duration_ms: int | None = None
    waveform: Sequence[int] = ()
    expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A point in WGS 84 degrees; `live_until` when the sender keeps updating it."""

    lat: float
    lon: float
    label: str = ""
    live_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What was said.

    text       always filled (may be empty beside media), plain, only the new words: quotes and signature are cut
    html       the same words, already cleaned with our allow-list; empty when there is no formatting
    full_text  `text` with what was cut; shown on demand, never lost
    contacts   vCard 4 texts
    buttons    (id, label); the chosen id comes back as text plus signals["button"]
    lang       BCP 47, empty when unknown
    """

    text: str = ""
    html: str = ""
    full_text: str = ""
    media: Sequence[MediaRef] = ()
    location: Location | None = None
    contacts: Sequence[str] = ()
    buttons: Sequence[tuple[str, str]] = ()
    subject: str = ""
    lang: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What every inbound item has.

    source_id  with `account` unique in the inbox, and the same again when the other side delivers again
    at         the remote clock; the core stores its own time of receipt too and orders by that
    raw        evidence, and replay after a converter was repaired
    """

    account: ChannelAccountId
    source_id: str
    at: datetime
    raw: RawRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundMessage(Received):
    """Somebody wrote.

    remote_ids  every id by which later edits, reactions and receipts may name this message; at least one
    hints       which conversation, strongest first: plus-address token, In-Reply-To, chat id. The core chooses
    also_to     Cc, or the members of a group
    signals     auto_submitted, list_id, dmarc, spam, forwarded, ephemeral, button ...
    """

    sender: Handle
    content: Content
    remote_ids: Sequence[RemoteId]
    hints: Sequence[str] = ()
    reply_to: RemoteId | None = None
    also_to: Sequence[Handle] = ()
    assurance: Assurance = Assurance.CLAIMED
    signals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEdited(Received):
    """The sender replaced an earlier message; `content` is the whole new content. An unknown target becomes a
    message: `hints` name its conversation, as in `InboundMessage`."""

    sender: Handle
    target: RemoteId
    content: Content
    hints: Sequence[str] = ()
    assurance: Assurance = Assurance.CLAIMED


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDeleted(Received):
    """The sender took an earlier message back."""

    sender: Handle
    target: RemoteId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionsChanged(Received):
    """`now` is the sender's whole set after the change, so that a repeat changes nothing; empty = removed."""

    sender: Handle
    target: RemoteId
    now: frozenset[str]


DeliveryState = Literal["sent", "delivered", "read", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport(Received):
    """What became of something we sent. May arrive before `send` returned, twice, or out of order: the core sorts it
    out.

    part    number of the wire part from 0, when the channel reports parts
    code    one of `channels.errors.CODES` when `state` is "failed"
    detail  the vendor's words; never text of the customer
    """

    remote_id: RemoteId
    state: DeliveryState
    part: int | None = None
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantsChanged(Received):
    """People joined or left a group, room or mail thread; `hints` name the conversation as in `InboundMessage`."""

    hints: Sequence[str]
    joined: Sequence[Handle] = ()
    left: Sequence[Handle] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HandleChanged(Received):
    """An address changed or stopped to be this person's. `new` is None when it was given up or recycled."""

    old: Handle
    new: Handle | None
    reason: Literal["changed", "recycled", "blocked", "unblocked"] = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptedOut(Received):
    """The person wants no messages here any more (STOP, unsubscribe), or wants them again."""

    sender: Handle
    back_in: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported(Received):
    """A payload we do not understand. The core shows a message that says so; nothing is ever dropped."""

    sender: Handle | None
    what: str
    hints: Sequence[str] = ()


Inbound = (
    InboundMessage
    | MessageEdited
    | MessageDeleted
    | ReactionsChanged
    | DeliveryReport
    | ParticipantsChanged
    | HandleChanged
    | OptedOut
    | Unsupported
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundMessage:
    """One message, already rendered for this channel: the bridge converts, it does not decide.

    key          the outbox key, the same on every try. Message-ID, txn id, SMPP user_message_reference derive from it
    thread       earlier remote ids of the conversation, newest last (References, thread_ts)
    reply_token  opaque; e-mail puts it into the plus-address
    template     (name, language, parameters), outside a session window
    automatic    an acknowledgement, not a person: loop headers, stricter rate limits
    not_after    after this time the message must not leave any more
    """

    key: str
    to: Handle
    content: Content
    thread: Sequence[RemoteId] = ()
    reply_token: str = ""
    reply_to: RemoteId | None = None
    also_to: Sequence[Handle] = ()
    template: tuple[str, str, Sequence[str]] | None = None
    automatic: bool = False
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The other side has accepted. One id for every wire part, in order; never empty."""

    remote_ids: Sequence[RemoteId]
