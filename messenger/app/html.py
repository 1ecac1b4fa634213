"""HTML from outside, reduced to what Matrix allows and what tells no third party that it was read: no images, no
styles, links that carry no referrer. It is cleaned once, when it is stored; what was cleaned may be shown in Element
and in the console."""

from __future__ import annotations

import html
import re
from collections import Counter

import nh3

from messenger.domain.text import clean_message, to_html

__all__ = ["clean_html", "to_html", "to_text"]

MAX_BYTES = 40_000
MAX_DEPTH = 100  # Matrix spec v1.16 §11.3.1.7: clients limit nesting to 100 levels

# Matrix spec v1.16 §11.3.1.7, without img (a remote picture tells its server who read when) and mx-reply (a fallback)
TAGS = frozenset({
    "del", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "p", "a", "ul", "ol", "sup", "sub", "li", "b", "i", "u",
    "strong", "em", "s", "code", "hr", "br", "div", "table", "thead", "tbody", "tr", "th", "td", "caption", "pre",
    "span", "details", "summary",
})  # fmt: skip
ATTRIBUTES = {
    "a": {"href"},
    "ol": {"start"},
    "span": {"data-mx-spoiler"},
    "code": {"class"},
}
SCHEMES = frozenset({"https", "http", "mailto", "matrix"})
_CODE_CLASS = "language-"
_READINGS = 4
_MAX_INPUT = 4 * MAX_BYTES  # characters; markup that is taken away counts too
_SCHEME = re.compile(rf"(?:{'|'.join(sorted(SCHEMES))}):", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_LINE_ENDS = re.compile(r"<br>|</(?:p|div|li|tr|h[1-6]|blockquote|pre|summary|caption)>|<hr>")
_ANY_TAG = re.compile(r"<[^>]*>")
# Never inside another of its kind, or without content: a row of them is no depth.
_CLOSED_BY_THE_NEXT = frozenset({
    "p", "li", "td", "th", "tr", "br", "hr", "img", "wbr", "input", "col", "link", "meta", "base", "embed", "source",
})  # fmt: skip

_cleaner = nh3.Cleaner(
    tags=set(TAGS),
    clean_content_tags={"script", "style", "title", "textarea", "iframe", "noscript", "template", "mx-reply"},
    attributes={"*": set(), **{tag: set(names) for tag, names in ATTRIBUTES.items()}},  # without "*": lang and title
    attribute_filter=lambda tag, name, value: _attribute(tag, name, value),
    strip_comments=True,
    link_rel="noopener noreferrer nofollow",
    url_schemes=set(SCHEMES),
    url_relative="deny",
)


def clean_html(untrusted: str) -> str:
    """Safe HTML with the same words. Too long or too deeply nested HTML comes back as the empty string: the plain text,
    which always exists beside it, then speaks alone. Cleaning twice changes nothing."""
    # Deep nesting is refused before the tree is built: the parser needs quadratic time for it.
    if len(untrusted) > _MAX_INPUT or _depth(untrusted) > MAX_DEPTH:
        return ""
    safe = _stable(untrusted)
    return safe if len(safe.encode()) <= MAX_BYTES and _depth(safe) <= MAX_DEPTH else ""


def _stable(untrusted: str) -> str:
    """What is written is read once more, as the next one will: where elements are wrongly nested, a reading may differ
    from what was written, and such differences are what hides markup from one reader. Empty if it never settles."""
    safe = _cleaned(untrusted)
    for _ in range(_READINGS):
        again = _cleaned(safe)
        if again == safe:
            return safe
        safe = again
    return ""


def _cleaned(markup: str) -> str:
    return clean_message(_cleaner.clean(clean_message(markup)))  # twice: entities bring controls back


def to_text(untrusted: str) -> str:
    """Only the words of some HTML, for a place where there is no markup. Empty where `clean_html` is."""
    lines = _LINE_ENDS.sub("\n", clean_html(untrusted))  # what was cleaned is regular enough for this
    return html.unescape(_ANY_TAG.sub("", lines)).strip()


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "href":
        address = re.sub(r"[\x00-\x20]", "", clean_message(value))
        return address if _SCHEME.match(address) else None
    if tag == "code" and name == "class":
        return " ".join(word for word in value.split() if word.startswith(_CODE_CLASS)) or None
    if tag == "ol" and name == "start":
        return value if value.isdecimal() and len(value) < 7 else None
    return value


def _depth(markup: str) -> int:
    """How deep elements are nested at most, in one pass. Counts from above: an end tag closes only its own name."""
    is_open: Counter[str] = Counter()
    depth = deepest = 0
    for slash, name in _TAG.findall(markup):
        tag = name.lower()
        if tag in _CLOSED_BY_THE_NEXT or (slash and not is_open[tag]):
            continue
        step = -1 if slash else 1
        is_open[tag] += step
        depth += step
        deepest = max(deepest, depth)
    return deepest
