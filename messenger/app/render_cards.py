"""S1 and S3: the card of a conversation in each of its states, what points to it, and what its first owner reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Literal

from messenger.app.render import (
    Clock,
    Leg,
    Rendered,
    both,
    say_channel,
    say_duration,
    say_leg,
    say_reopening,
    say_resolution,
    say_time,
    say_wakes,
    shortened,
    shown_name,
    stacked,
)
from messenger.domain.people import Reopen
from messenger.domain.text import clean_message
from messenger.i18n import LANGUAGES, Texts

CardState = Literal["new", "released", "open", "waiting", "paused", "resolved"]


@dataclass(frozen=True, slots=True)
class Earlier:
    """The conversation that this one follows: its number, and where it is."""

    ref: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """What a card shows. `label` is the customer's name, `owner` the staff member's; `waiting_since` is None when the
    customer has our answer. `preview` is None where the group shows no text on cards. Times are aware."""

    ref: str
    label: str
    channel: str
    language: str
    state: str
    owner: str | None
    since: datetime
    claimed_at: datetime | None
    waiting_since: datetime | None
    preview: str | None
    leg: Leg
    tz: tzinfo
    now: datetime
    is_released: bool = False
    paused_until: datetime | None = None
    wake_on: Sequence[str] = ()
    pause_note: str = ""
    resolved_at: datetime | None = None
    resolution: str = ""
    reopen: Reopen = Reopen.WINDOW
    reopen_days: int = 7
    tags: Sequence[str] = ()
    origin: str = ""
    follows: Earlier | None = None
    is_room: bool = False
    is_unverified: bool = False  # nobody vouches for the device of the customer's newest words


def card(texts: Texts, view: CardView) -> Rendered:
    """S1 in the state the conversation has now. Posted once and edited afterwards."""
    state = _card_state(view)
    fields = _card_fields(texts, view)
    lines = [both(texts, f"S1.{state}", **fields)]
    if view.pause_note and state == "paused":
        lines.append(both(texts, "S1.paused.note", note=shortened(clean_message(view.pause_note))))
    if view.preview and state in ("new", "released"):
        lines.append(both(texts, "S1.preview", preview=shortened(clean_message(view.preview))))
    if view.is_unverified:
        lines.append(both(texts, "S1.unverified"))
    if view.tags:
        lines.append(both(texts, "S1.tags", tags=", ".join(map(clean_message, view.tags))))
    lines += [*_follows(texts, view.follows), both(texts, _next(view, state), **fields)]
    if state == "resolved":
        lines.append(say_reopening(texts, view.reopen, view.reopen_days))
    return Rendered("\n".join(line.plain for line in lines), stacked([line.html for line in lines]))


def _next(view: CardView, state: str) -> str:
    """In a room of its own, the thread is the wrong place to write."""
    step = _NEXT[state]
    return f"S29.next.{step}" if view.is_room and step in ("claim", "answer", "customer") else f"S1.next.{step}"


def context(texts: Texts, view: CardView, *, explicit: bool = False, url: str = "") -> Rendered:
    """S3: for the new owner, after a claim. `explicit` says how the group replies."""
    rule = f"S3.rule.{'explicit' if explicit else 'owner'}"
    lines = [both(texts, "S3", **_card_fields(texts, view)), *_follows(texts, view.follows), both(texts, rule)]
    if url:
        lines.append(both(texts, "S3.console", url=url))
    return Rendered("\n".join(line.plain for line in lines), "<br>".join(line.html for line in lines))


def _follows(texts: Texts, earlier: Earlier | None) -> list[Rendered]:
    return [both(texts, "S1.earlier", ref=earlier.ref, link=earlier.link)] if earlier else []


def pointer(texts: Texts, view: CardView, link: str) -> Rendered:
    """S29, the card in the group's room of what has a room of its own: its state, and where it is."""
    state, fields = _card_state(view), _card_fields(texts, view)
    lines = [both(texts, f"S1.{state}", **fields)]
    if link:
        lines.append(both(texts, "S29.pointer", link=link))
    if state in ("new", "released"):
        lines.append(both(texts, "S29.claim"))
    return Rendered("\n".join(line.plain for line in lines), stacked([line.html for line in lines]))


def former_card(texts: Texts, kind: str, *, ref: str, group: str, link: str) -> Rendered:
    """S1 of a card whose conversation goes on elsewhere: `transferred`, `continues`, `in_room`."""
    return both(texts, f"S1.{kind}", ref=ref, group=group, link=link)


_NEXT = {
    "new": "claim",
    "released": "claim",
    "open": "answer",
    "waiting": "customer",
    "paused": "resume",
    "resolved": "reopen",
}


def _card_state(view: CardView) -> CardState:
    match view.state:
        case "new" | "queued":
            return "released" if view.is_released else "new"
        case "open":
            return "waiting" if view.waiting_since is None else "open"
        case "paused" | "resolved" as state:
            return state
        case other:
            raise ValueError(f"no card shows the state {other!r}; a developer gives it a text S1.{other}")


def _card_fields(texts: Texts, view: CardView) -> dict[str, str]:
    clock = Clock(view.now, view.tz)
    claimed = view.claimed_at or view.since
    return {
        "ref": view.ref,
        "label": shown_name(texts, view.label),
        "channel": say_channel(texts, view.channel),
        "language": texts.plain(f"language.{view.language if view.language in LANGUAGES else 'unknown'}"),
        "leg": say_leg(texts, view.leg, view.channel),
        "owner": view.owner or texts.plain("label.nobody"),
        "since": say_time(texts, view.since, clock),
        "claimed": say_time(texts, claimed, clock),
        "waited": say_duration(texts, (claimed - view.since).total_seconds()),
        "waiting": say_time(texts, view.waiting_since or view.since, clock),
        "wakes": say_wakes(texts, view.paused_until, view.wake_on, clock),
        "resolved": say_time(texts, view.resolved_at or view.now, clock),
        "resolution": say_resolution(texts, view.resolution),
    }
