"""A text as it fits into events: cut where it is too long, without markup where that would be too much."""

from collections.abc import Sequence
from dataclasses import replace

from messenger.app.html import clean_html
from messenger.app.records import Said
from messenger.channels.messages import Content
from messenger.domain.text import json_size, pieces

MAX_BODY = 30_000  # a plain body; with ids and relations below the 40 kB of plaintext that fit into one event
MAX_HTML = 12_000  # more markup than this is left out: the plain text says it all
MAX_BOTH = 38_000
APART = 100  # from here on parts are numbered that are words which went ahead of their file


def parts_of(content: Content) -> Sequence[Content]:
    """A text that does not fit into one event goes as several."""
    if json_size(content.text) <= MAX_BODY:
        return [content]
    return [replace(content, text=part, html="") for part in pieces(content.text, MAX_BODY)]


def safe_html(html: str) -> str:
    return clean_html(html) if html and len(html) <= MAX_HTML else ""


def fitted(said: Said) -> Said:
    return said if json_size(said.plain) + json_size(said.html) <= MAX_BOTH else replace(said, html="")


def part_txn(txn: str, n: int) -> str:
    return txn if n == 0 else f"{txn}p{n}"
