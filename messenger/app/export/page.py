"""The export as one page for people, in the person's language: no scripts, nothing from outside."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from html import escape
from urllib.parse import quote

from babel.dates import format_datetime

from messenger.app.export.document import Access, Conversation, Export, ExportedFile, Message
from messenger.domain.attachment import MARKS
from messenger.i18n import Texts

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem;border-top:1px solid #ccc;padding-top:1rem}
.m{margin:.7rem 0;padding:.5rem .8rem;border-radius:.5rem;background:#f1f1f1;overflow-wrap:anywhere}
.warning{color:#8a1f11;font-weight:600}
.person{background:#e4f0ff}.note{background:#fff6d8}.meta{color:#555;font-size:.85rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .6rem .2rem 0;vertical-align:top}
.accesses td:nth-child(-n+2){white-space:nowrap}
"""


def page(export: Export, words: Texts, zone: tzinfo) -> Iterator[str]:
    """In pieces, so that long ones need no memory. Everything of people is escaped."""
    title = words.plain("export.title", name=export.name or export.contact)
    yield (
        f'<!doctype html><html lang="{words.language}"><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        "img-src 'self'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"
    )
    made = words.plain("export.made", organisation=export.organisation, at=_moment(export.made_at, words, zone))
    yield f"<p>{escape(made)}</p><p>{escape(words.plain('export.machine'))}</p>"
    yield _table(words.plain("export.about"), list(_about(export, words, zone)))
    for conversation in export.conversations:
        yield from _conversation(conversation, words, zone)
    numbers = {f"conversation:{each.id}": each.number for each in export.conversations}
    yield from _accesses(export.accesses, numbers, words, zone)
    yield "</html>\n"


def _about(export: Export, words: Texts, zone: tzinfo) -> Iterator[tuple[str, str]]:
    yield words.plain("export.name"), export.name
    for address in export.addresses:
        yield words.plain("export.address"), address.value
    yield words.plain("export.since"), _moment(export.known_since, words, zone)
    if export.consent_at:
        yield (
            words.plain("export.consent"),
            f"{_moment(export.consent_at, words, zone)} ({export.consent_source or ''})",
        )
    if export.restricted_at:
        yield words.plain("export.restricted"), _moment(export.restricted_at, words, zone)
    if export.held_at:
        yield words.plain("export.held"), _moment(export.held_at, words, zone)
    for device in export.devices:
        yield words.plain("export.device"), device.device


def _conversation(conversation: Conversation, words: Texts, zone: tzinfo) -> Iterator[str]:
    opened = _moment(conversation.opened_at, words, zone)
    title = words.plain("export.conversation", ref=conversation.number, group=conversation.group, at=opened)
    yield f"<h2>{escape(title)}</h2>"
    if conversation.tags:
        yield f'<p class="meta">{escape(", ".join(conversation.tags))}</p>'
    if conversation.readers:
        readers = words.plain("export.readers", who=", ".join(conversation.readers))
        yield f'<p class="meta">{escape(readers)}</p>'
    for message in conversation.messages:
        yield _message(message, words, zone)


def _message(message: Message, words: Texts, zone: tzinfo) -> str:
    is_note, is_person = message.fate == "kept", message.author == "person"
    who = words.plain("export.you") if is_person else message.author
    about = [who, _moment(message.at, words, zone)]
    about += [words.plain("export.note")] if is_note else []
    about += [words.plain("export.edited")] if message.edited_at and not message.is_deleted else []
    about += [words.plain("export.deleted")] if message.is_deleted else []
    text = escape(message.text).replace("\n", "<br>")
    kind = "person" if is_person else "note" if is_note else "staff"
    files = "".join(_file(file, words) for file in message.files)
    return f'<div class="m {kind}"><div class="meta">{escape(" · ".join(about))}</div>{text}{files}</div>'


def _file(file: ExportedFile, words: Texts) -> str:
    if not file.path:
        return f"<div>{escape(words.plain('export.missing', name=file.name, reason=file.missing))}</div>"
    link = f'<a href="{escape(quote(file.path))}">{escape(file.name)}</a>'
    return f"<div>{link}{''.join(_warning(code, words) for code in file.warnings)}</div>"


def _warning(code: str, words: Texts) -> str:
    what = words.plain(f"mark.{code}" if code in MARKS else f"export.warning.{code}")
    return f'<div class="warning">{escape(words.plain("export.warning", what=what))}</div>'


def _accesses(accesses: Sequence[Access], numbers: Mapping[str, str], words: Texts, zone: tzinfo) -> Iterator[str]:
    title = words.plain("export.accesses")
    if not accesses:
        yield f"<h2>{escape(title)}</h2><p>{escape(words.plain('export.no_access'))}</p>"
        return
    yield f'<h2>{escape(title)}</h2><table class="accesses">'
    for each in accesses:
        outcome = words.plain("export.refused") if each.outcome == "refused" else ""
        what = _what(each, numbers.get(each.about, ""), words)
        cells = (_moment(each.at, words, zone), _who(each, words), what, _purpose(each, words), outcome)
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</table>"


def _what(access: Access, ref: str, words: Texts) -> str:
    """What was done with a conversation or a person's data in words; everything else, and what was refused, by its
    code."""
    if access.outcome == "allowed" and access.action == "group.join":
        return words.plain("export.access.group", group=access.group)
    known = f"export.access.{access.action.removeprefix('conversation.')}"
    if access.outcome == "allowed" and words.has(known) and (ref or access.action.startswith("contact.")):
        return words.plain(known, ref=ref)
    return words.plain("export.access.other", ref=ref, action=access.action) if ref else access.action


def _who(access: Access, words: Texts) -> str:
    return words.plain("label.operator") if access.who == "shell" else access.who


def _purpose(access: Access, words: Texts) -> str:
    """Why, in words; a rare one by its code."""
    known = f"export.purpose.{access.purpose.partition('.')[0]}"
    return words.plain(known) if words.has(known) else access.purpose


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows if value)
    return f"<h2>{escape(title)}</h2><table>{cells}</table>"


def _moment(at: datetime, words: Texts, zone: tzinfo) -> str:
    return format_datetime(at.astimezone(zone), "medium", locale=words.language)
