"""Contents of messages as the core reads them. Pure; nothing in them is trusted, and nothing here raises."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from messenger.channels.messages import Content, MediaRef
from messenger.matrix.batch import as_dict, as_list, as_text

TEXTS = frozenset({"m.text", "m.notice", "m.emote"})
FILES = frozenset({"m.image", "m.file", "m.audio", "m.video"})
VOTES = frozenset({"m.poll.response", "org.matrix.msc3381.poll.response"})
_QUOTATIONS = ("> <@", "> * <@")
# MSC1767 and MSC3246: so many values say how loud it is, over time.
LOUDEST, MOST_WAVES, LONGEST_MS = 1024, 256, 86_400_000


def message_content(content: Mapping[str, Any], *, is_reply: bool = False) -> Content:
    """Text, HTML and file of an m.room.message, raw: cleaning is the core's (it is the same for every channel)."""
    body, kind = as_text(content.get("body")), as_text(content.get("msgtype"))
    body = without_quotation(body) if is_reply else body
    is_html = content.get("format") == "org.matrix.custom.html"
    html = as_text(content.get("formatted_body")) if is_html else ""
    if kind not in FILES:
        return Content(text=body, html=html)
    name = as_text(content.get("filename")) or body
    caption = body if content.get("filename") and body != name else ""  # MSC2530
    return Content(text=caption, html=html if caption else "", media=(_media(content, name),))


def without_quotation(body: str) -> str:
    """Older clients put what they reply to above their words ("rich reply fallback", removed in spec v1.13). It must
    go: an answer that quotes an internal note would carry the note out, and a quoted line hides a command or a note."""
    if not body.startswith(_QUOTATIONS):
        return body
    lines = body.split("\n")
    own = next((n for n, line in enumerate(lines) if not line.startswith(">")), len(lines))
    return "\n".join(lines[own:]).removeprefix("\n")


def with_quotation(content: Content, raw: Mapping[str, Any]) -> Content:
    """A customer quotes only what they can see: their quotation is kept, for a reply to something that we do not
    know."""
    body = as_text(raw.get("body"))
    return replace(content, full_text=body) if body.startswith(_QUOTATIONS) and body != content.text else content


def new_content(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What an edit puts in the place of a message; None if it holds no message."""
    new = as_dict(content.get("m.new_content"))
    is_file = as_text(new.get("msgtype")) in FILES and bool(as_dict(new.get("file")))
    says_something = bool(as_text(new.get("msgtype")) and as_text(new.get("body")))
    return new if is_file or says_something else None


def chosen(type: str, content: Mapping[str, Any]) -> str:
    """The id of the answer that a vote chooses; empty for a vote that was withdrawn or holds nonsense.

    `m.selections` is MSC3381's last form, `answers` the one that Element sends."""
    nested = as_dict(content.get(type)) or as_dict(content.get("org.matrix.msc3381.poll.response"))
    found = as_list(content.get("m.selections")) or as_list(nested.get("answers"))
    return as_text(found[0])[:255] if found else ""


def _media(content: Mapping[str, Any], name: str) -> MediaRef:
    info, file = as_dict(content.get("info")), as_dict(content.get("file"))
    size = info.get("size")
    return MediaRef(
        id=json.dumps(file) if file else "",
        mime=as_text(info.get("mimetype"))[:127] or "application/octet-stream",
        filename=name[:1000],
        size=size if isinstance(size, int) and size >= 0 else None,
        voice="org.matrix.msc3245.voice" in content,
        duration_ms=_duration_ms(content),
        waveform=_waveform(content),
    )


def _duration_ms(content: Mapping[str, Any]) -> int | None:
    for said in (as_dict(content.get("org.matrix.msc1767.audio")), as_dict(content.get("info"))):
        duration = said.get("duration")
        if type(duration) is int and 0 <= duration <= LONGEST_MS:
            return duration
    return None


def _waveform(content: Mapping[str, Any]) -> Sequence[int]:
    waves = as_list(as_dict(content.get("org.matrix.msc1767.audio")).get("waveform"))[:MOST_WAVES]
    return [min(max(each, 0), LOUDEST) for each in waves if type(each) is int]
