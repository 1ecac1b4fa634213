"""Texts of the product, quoted in a page that a person writes. A fenced block whose info string is `text of NAME`, or
`text of NAME in LANGUAGE`, is filled with what the program says: a text of the catalogue by its id, or a scene of this
module. `python -m messenger.reference` writes the blocks anew and a test compares, so that a page cannot go stale."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from messenger.app.render import Clock, customer_message, notice
from messenger.app.render_cards import CardView, card, context, former_card
from messenger.app.render_packs import PackView, PastLine, Step, pack
from messenger.i18n import DEFAULT, Texts, texts

FENCE = re.compile(r"^```text of (?P<name>[\w. ]+?)(?: in (?P<language>[a-z]{2}))?\n.*?^```$", re.M | re.S)
_NOW = datetime(2026, 11, 24, 9, 20, tzinfo=UTC)
_CLOCK = Clock(_NOW, ZoneInfo("Europe/Berlin"))
_LINK = "https://matrix.to/#/!room/$card"
_NEW = CardView(
    ref="K-4F7Q",
    label="Anna Krüger",
    channel="matrix",
    language="de",
    state="queued",
    owner=None,
    claimed_at=None,
    since=_NOW - timedelta(minutes=17),
    waiting_since=_NOW - timedelta(minutes=17),
    leg="matrix",
    tz=_CLOCK.tz,
    now=_NOW,
    preview="Guten Tag, mein Rezept ist abgelaufen.",
)
_OPEN = replace(_NEW, state="open", owner="Leonie Brandt", claimed_at=_NOW - timedelta(minutes=14))
_PAUSED = replace(
    _OPEN,
    state="paused",
    waiting_since=None,
    paused_until=_NOW + timedelta(days=7),
    wake_on=("customer", "time"),
    pause_note="the hospital's letter",
)
_PACK = PackView(
    ref="K-4F7Q",
    cause="time",
    owner="Leonie Brandt",
    by="",
    rested=7 * 86400,
    steps=[
        Step("opened", _NOW - timedelta(days=7, minutes=17)),
        Step("claimed", _NOW - timedelta(days=7, minutes=14), who="Leonie Brandt"),
        Step("paused", _NOW - timedelta(days=7), who="Leonie Brandt"),
        Step("resumed", _NOW),
    ],
    note="the hospital's letter",
    open_point="",
    earlier="",
    files=["packung.png"],
    last=[
        PastLine(at="Tue 17 Nov 10:03", who="Anna Krüger", text="Mein Rezept ist abgelaufen.", side="customer"),
        PastLine(at="Tue 17 Nov 10:10", who="Leonie Brandt", text="dose unchanged", side="note"),
        PastLine(at="Tue 17 Nov 10:12", who="Leonie Brandt", text="Wir fragen im Krankenhaus nach.", side="answer"),
    ],
    clock=_CLOCK,
)
_SCENES: Mapping[str, Callable[[Texts], str]] = {
    "card new": lambda words: card(words, _NEW).plain,
    "card open": lambda words: card(words, _OPEN).plain,
    "card paused": lambda words: card(words, _PAUSED).plain,
    "card transferred": lambda words: (
        former_card(words, "transferred", ref="K-4F7Q", group="Prescriptions", link=_LINK).plain
    ),
    "context": lambda words: context(words, _OPEN).plain,
    "pack": lambda words: pack(words, _PACK).plain,
    "edited message": lambda words: (
        customer_message(
            words, "Anna Krüger", "Mein Rezept ist seit Montag abgelaufen.", edited=_NOW, clock=_CLOCK
        ).plain
    ),
}
_FIELDS: Mapping[str, str | int | datetime] = {
    "ref": "K-4F7Q",
    "label": "Anna Krüger",
    "name": "Anna Krüger",
    "owner": "Leonie Brandt",
    "by": "Ruth Albers",
    "agent": "Leonie",
    "group": "Prescriptions",
    "to_group": "Prescriptions",
    "channel": "Matrix",
    "note": "needs a pharmacist",
    "link": _LINK,
    "told": "yes",
    "resolution": "solved",
    "wakes": "customer time",
    "at": _NOW + timedelta(hours=3, minutes=40),
    "since": _NOW - timedelta(days=20),
    "until": _NOW + timedelta(days=7),
    "word": "cliam",
    "guess": "claim",
    "usage": "!pause [WHEN] [keep] [REASON]",
    "example": "!pause fri 9:00 waiting for the report",
    "action": "pause",
    "rested": "3 days",
}
# Where the story of the page is another one.
_FIELDS_OF: Mapping[str, Mapping[str, str]] = {
    "S22": {"by": "Leonie Brandt", "note": "sent by post", "reopen": "window", "days": "7"}
}


class UnknownQuote(LookupError):
    """A block names neither a text nor a scene."""


def filled(page: str) -> str:
    """The page with every quotation as the program says it today. Raises UnknownQuote."""
    return FENCE.sub(_quotation, page)


def _quotation(block: re.Match[str]) -> str:
    name, language = block["name"], block["language"]
    said = _said(texts(language or DEFAULT), name)
    info = f"text of {name} in {language}" if language else f"text of {name}"
    return f"```{info}\n{said}\n```"


def _said(words: Texts, name: str) -> str:
    if name in _SCENES:
        return _SCENES[name](words)
    if not words.has(name):
        raise UnknownQuote(f"no text and no scene is called {name!r}")
    return notice(words, name, clock=_CLOCK, **{**_FIELDS, **_FIELDS_OF.get(name, {})}).plain
