"""What people read, as values: plain text and HTML that say the same. No Matrix here; the adapters wrap it into events.
Cards stand in `render_cards`, the past in `render_packs`, lists in `render_lists`.

Values of customers are cleaned here once more and always escaped, so that no caller can forget it. The plain text of
everything stands alone: it names the reference, the state and the next action.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Literal

from babel.dates import format_datetime
from babel.numbers import format_decimal

from messenger.app import sas_emoji
from messenger.domain.attachment import MARKS, MAX_BYTES, Mark
from messenger.domain.people import Reopen
from messenger.domain.text import clean_filename, clean_message, clean_name, to_html
from messenger.i18n import Field, Texts
from messenger.observability.time import utc_now

Leg = Literal["matrix", "web", "web_sealed", "provider", "readable"]
FileKind = Literal["image", "document", "audio", "video"]
# Which text speaks when a code of a family has none of its own: a visible line is better than none.
_GENERAL = {
    "S5b": "S5b.unreadable",
    "S8": "S8.other",
    "S10c": "S10c.agent",
    "S13": "S13.internal",
    "C10": "C10.unreadable",
}


@dataclass(frozen=True, slots=True)
class Rendered:
    plain: str
    html: str


@dataclass(frozen=True, slots=True)
class Clock:
    """The moment and the time zone of the readers: times of another day carry their date."""

    now: datetime = field(default_factory=utc_now)
    tz: tzinfo = UTC


def shown_name(texts: Texts, name: str, *, unverified: bool = False) -> str:
    """The customer's name as everybody on the staff side reads it: cleaned, "customer" when there is none. Use the same
    value as display name of a per-message profile, or clients do not recognise the fallback."""
    clean = clean_name(name, default=texts.plain("label.customer"))
    return texts.plain("S4.unverified", name=clean) if unverified else clean


def customer_message(
    texts: Texts, name: str, text: str, html: str = "", *, unverified: bool = False, edited: datetime | None = None,
    late: datetime | None = None, clock: Clock | None = None, quote: str = "",
) -> Rendered:  # fmt: skip
    """S4: `name: text`. `html` must come from `clean_html`; without it the text is escaped. The colon and the space are
    the fallback of MSC4144 and the same in every language. `late`: written then, readable only now. `quote`: what is
    answered, where no relation can say so."""
    who, words = shown_name(texts, name, unverified=unverified), clean_message(text)
    body, formatted = words, html or to_html(words)
    for id, moment in (("S4.edited", edited), ("S4.late", late)):
        if moment is not None:
            at = say_time(texts, moment, clock or Clock())
            body = texts.plain(id, text=body, at=at)
            formatted = f"{formatted} {texts.html(id, text='', at=at)}"
    if quote:
        body, formatted = f"> {quote}\n\n{body}", f"<blockquote>{to_html(quote)}</blockquote>{formatted}"
    return Rendered(f"{who}: {body}", f"{_named(who)}{formatted}")


def attachment_caption(
    texts: Texts, name: str, kind: FileKind, file: str, size: int, *, caption: str = "", unverified: bool = False,
    scanned: bool = False, marks: Collection[Mark] = (), edited: datetime | None = None, clock: Clock | None = None,
    quote: str = "",
) -> Rendered:  # fmt: skip
    """S5: who sent which file, and what was said with it. `size` in bytes. `marks`: what acts when it is opened."""
    who, words = shown_name(texts, name, unverified=unverified), clean_message(caption)
    id = "S5.scanned" if scanned else "S5"
    what = texts.plain(id, kind=texts.plain(f"file.{kind}"), file=clean_filename(file), size=say_size(texts, size))
    if edited is not None:
        words = texts.plain("S4.edited", text=words, at=say_time(texts, edited, clock or Clock())).strip()
    if quote:
        words = f"> {quote}\n\n{words}"
    said = f"{words} " if words else ""
    plain, formatted = f"{who}: {said}{what}", f"{_named(who)}{to_html(said)}<i>{to_html(what)}</i>"
    return cautioned(texts, Rendered(plain, formatted), marks)


def cautioned(texts: Texts, said: Rendered, marks: Collection[Mark]) -> Rendered:
    """With a line on what acts when the file is opened, in words."""
    if not marks:
        return said
    what = texts.plain("file.and").join(texts.plain(f"mark.{mark}") for mark in MARKS if mark in marks)
    line = both(texts, "file.marked", what=what)
    if not said.plain:
        return line
    return Rendered(f"{said.plain}\n{line.plain}", stacked([said.html, line.html]))


def held_back(texts: Texts, label: str, file: str, code: str, *, limit: int = MAX_BYTES, found: str = "") -> Rendered:
    """S5b to staff; the customer gets `notice(texts, f"C10.{code}", file=…)`. `code` is that of `attachment.judge`."""
    return notice(texts, f"S5b.{code}", label=label, file=file, limit=say_size(texts, limit), found=found)


def greeting(texts_by_language: Sequence[Texts], org: str) -> Rendered:
    """C1, before anything is known of the person: in the first language in full, in each other one a line."""
    first, *others = texts_by_language
    lines = [both(first, "C1", org=org, security=first.plain("C1.security.matrix"))]
    lines += [both(other, "C1.other", org=org) for other in others if other.language != first.language]
    return Rendered("\n\n".join(line.plain for line in lines), "<br><br>".join(line.html for line in lines))


def menu(texts: Texts, labels: Sequence[str]) -> Rendered:
    """The question and its numbered answers, for channels without quick answers."""
    asked, lines = both(texts, "menu.ask"), [f"{number}. {label}" for number, label in enumerate(labels, 1)]
    return Rendered("\n".join([asked.plain, *lines]), stacked([asked.html, *map(to_html, lines)]))


def notice(texts: Texts, id: str, *, clock: Clock | None = None, **fields: Field | datetime) -> Rendered:
    """Any text of the catalogue. Fields a text does not name are ignored, so that a caller may give all it knows. Aware
    datetimes, and ISO texts in `at`, `since` and `until`, are shown as times of the clock; a missing `limit` is the
    attachment policy's; names of customers and files are cleaned; an unknown code of a family is told by the family's
    general text. With `reopen` and `days`, settings of the group, a line says what the customer's next message does."""
    clock = clock or Clock()
    shown: dict[str, Field] = {"limit": say_size(texts, MAX_BYTES)}
    shown.update({name: _shown_field(texts, name, value, clock) for name, value in fields.items()})
    if texts.has(f"action.{shown.get('action')}"):
        shown["action"] = texts.plain(f"action.{shown['action']}")
    if texts.has(f"availability.{shown.get('status')}"):
        shown["status"] = texts.plain(f"availability.{shown['status']}")
    if "wakes" in shown:
        until = fields.get("until")
        wakes_at = datetime.fromisoformat(until) if isinstance(until, str) and until else until
        shown["wakes"] = say_wakes(
            texts, wakes_at if isinstance(wakes_at, datetime) else None, str(shown["wakes"]).split(), clock
        )
    if "resolution" in shown:
        shown["resolution"] = say_resolution(texts, str(shown["resolution"]))
    shown["told"] = texts.plain("S17.told") if shown.get("told") else ""
    shown["comment"] = texts.plain("comment", note=shown["note"]) if shown.get("note") else ""
    if id in ("S10c.owner", "S10c.owner_only") and not shown.get("owner"):
        id = "S10c.nobody"
    said = both(texts, _known(texts, id), **shown)
    if not fields.get("reopen"):
        return said
    line = say_reopening(texts, Reopen(str(fields["reopen"])), int(str(fields["days"])))
    return Rendered(f"{said.plain}\n{line.plain}", stacked([said.html, line.html]))


def say_time(texts: Texts, at: datetime, clock: Clock) -> str:
    """24 hours; with the date if it is not the readers' today, with the year if it is not this one."""
    local, today = at.astimezone(clock.tz), clock.now.astimezone(clock.tz)
    if local.date() == today.date():
        pattern = "format.time"
    else:
        pattern = "format.date_time" if local.year == today.year else "format.date_time_year"
    return format_datetime(local, texts.plain(pattern), tzinfo=clock.tz, locale=texts.language)


def say_duration(texts: Texts, seconds: float) -> str:
    """Rounded to what matters: minutes, hours, days."""
    minutes = max(0, round(seconds / 60))
    if minutes == 0:
        return texts.plain("duration.moment")
    if minutes < 60:
        return texts.plain("duration.minutes", n=minutes)
    if minutes < 48 * 60:
        return texts.plain("duration.hours", n=round(minutes / 60))
    return texts.plain("duration.days", n=round(minutes / 60 / 24))


def say_size(texts: Texts, size: int) -> str:
    """Bytes as people count them: 25 MB are 25,000,000."""
    for unit, factor in (("MB", 1_000_000), ("kB", 1_000)):
        if size >= factor:
            return f"{format_decimal(round(size / factor, 1), locale=texts.language)} {unit}"
    return f"{size} B"


def say_channel(texts: Texts, channel: str) -> str:
    """The medium's name; one we have no word for is called by its own."""
    return texts.plain(f"channel.{channel}") if texts.has(f"channel.{channel}") else channel


def say_leg(texts: Texts, leg: Leg, channel: str) -> str:
    """Who can read this leg: shown on the card, never without its end."""
    return texts.plain(f"leg.{leg}", provider=say_channel(texts, channel))


def say_wakes(texts: Texts, until: datetime | None, wake_on: Sequence[str], clock: Clock) -> str:
    """What ends a pause: `Tue 24 Nov 09:00, or when the customer writes`."""
    causes = [texts.plain(f"wake.{cause}") for cause in wake_on if cause != "time"]
    others = texts.plain("wake.or").join(causes)
    if until is None:
        return texts.plain("wake.when", causes=others)
    at = say_time(texts, until, clock)
    return texts.plain("wake.until_or", at=at, causes=others) if others else texts.plain("wake.until", at=at)


def say_reopening(texts: Texts, policy: Reopen, days: int) -> Rendered:
    """S22: what the customer's next message does to a resolved conversation (`life.reopens`). A window of no days is
    over as soon as it begins."""
    if policy is Reopen.WINDOW and days > 0:
        return both(texts, "S22.next.window", n=days)
    return both(texts, "S22.next.always" if policy is Reopen.ALWAYS else "S22.next.never")


def say_resolution(texts: Texts, code: str) -> str:
    return texts.plain(f"resolution.{code}") if texts.has(f"resolution.{code}") else code


def _shown_field(texts: Texts, name: str, value: Field | datetime, clock: Clock) -> Field:
    match name, value:
        case _, datetime():
            return say_time(texts, value, clock)
        case (("at" | "since" | "until"), str()) if value:
            return say_time(texts, datetime.fromisoformat(value), clock)
        case "label", str():
            return shown_name(texts, value)
        case "pictures", str():
            return sas_emoji.shown(texts, value)
        case "file", str():
            return clean_filename(value)
        case _, str():
            return clean_message(value)
        case _:
            return value


def both(texts: Texts, id: str, **fields: Field) -> Rendered:
    return Rendered(texts.plain(id, **fields), texts.html(id, **fields))


def _known(texts: Texts, id: str) -> str:
    return id if texts.has(id) else _GENERAL.get(id.split(".")[0], id)


def _named(who: str) -> str:
    return f"<strong data-mx-profile-fallback>{to_html(who)}: </strong>"


def stacked(parts: Sequence[str]) -> str:
    """Lines under each other; a quotation stands on lines of its own."""
    return "<br>".join(parts).replace("<br><blockquote>", "<blockquote>").replace("</blockquote><br>", "</blockquote>")


def shortened(text: str, *, limit: int = 160) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= limit else f"{one_line[: limit - 1].rstrip()}…"
