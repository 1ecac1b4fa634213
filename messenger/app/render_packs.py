"""S20: what a colleague reads who was not there, and the past said again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from messenger.app.render import Clock, Rendered, both, say_duration, say_time, shortened, stacked
from messenger.app.render_cards import Earlier, _follows
from messenger.domain.text import clean_filename, clean_message
from messenger.i18n import Field, Texts


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened; `kind` names its text (`step.<kind>`)."""

    kind: str
    at: datetime
    who: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLine:
    """One message of the past: of the customer, an answer, or a note."""

    at: str
    who: str
    text: str
    side: Literal["customer", "answer", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackView:
    """What a resume pack shows. `rested` in seconds; `note` is the comment or reason of the newest step."""

    ref: str
    cause: str
    owner: str
    by: str
    rested: float
    steps: Sequence[Step]
    note: str
    open_point: str
    earlier: str
    files: Sequence[str]
    last: Sequence[PastLine]
    clock: Clock
    follows: Earlier | None = None


def pack(texts: Texts, view: PackView) -> Rendered:
    """S20: why it is back, what happened, the open point, files, the last messages; each once."""
    lines = [
        both(texts, f"S20.{view.cause}" if texts.has(f"S20.{view.cause}") else "S20.other", **_pack_fields(texts, view))
    ]
    lines += _follows(texts, view.follows)
    if view.steps:
        lines.append(
            both(texts, "S20.history", steps=" · ".join(_step(texts, step, view.clock) for step in view.steps))
        )
    if view.note:
        lines.append(both(texts, "S20.note", note=shortened(clean_message(view.note))))
    if view.open_point:
        lines.append(both(texts, "S20.open", text=shortened(clean_message(view.open_point))))
    if view.earlier:
        lines.append(both(texts, "S20.earlier", link=view.earlier))
    if view.files:
        lines.append(both(texts, "S20.files", files=", ".join(clean_filename(file) for file in view.files)))
    if view.last:
        lines += [both(texts, "S20.last", n=len(view.last)), _quoted(texts, view.last)]
    return Rendered("\n".join(line.plain for line in lines), stacked([line.html for line in lines]))


def history(texts: Texts, lines: Sequence[PastLine]) -> Rendered:
    """The last messages, notes with their sign."""
    head = both(texts, "S20.last", n=len(lines))
    if not lines:
        return head
    said = _quoted(texts, lines)
    return Rendered(f"{head.plain}\n{said.plain}", head.html + said.html)


def _pack_fields(texts: Texts, view: PackView) -> dict[str, Field]:
    return {
        "ref": view.ref,
        "owner": view.owner or texts.plain("label.nobody"),
        "by": view.by or texts.plain("label.nobody"),
        "rested": say_duration(texts, view.rested),
    }


def _step(texts: Texts, step: Step, clock: Clock) -> str:
    who = step.who or texts.plain("label.nobody")
    return texts.plain(f"step.{step.kind}", at=say_time(texts, step.at, clock), who=who, group=step.group)


def _quoted(texts: Texts, lines: Sequence[PastLine]) -> Rendered:
    """One quotation, not events sent again."""
    said = [both(texts, f"S20.line.{line.side}", at=line.at, who=line.who, text=_past_text(line)) for line in lines]
    plain = "\n".join(f"> {each.plain}" for each in said)
    return Rendered(plain, f"<blockquote>{'<br>'.join(each.html for each in said)}</blockquote>")


def _past_text(line: PastLine) -> str:
    return shortened(clean_message(line.text), limit=300)
