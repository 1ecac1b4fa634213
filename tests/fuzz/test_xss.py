"""Markup from strangers, both ways: nothing that is left of it acts, in the thread or at the customer's, whether it
came as HTML, as words, as a name or as the name of a file."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from messenger.app import render, render_cards, render_packs
from messenger.app.html import clean_html, to_text
from messenger.app.message_parts import safe_html
from messenger.domain.text import to_html
from messenger.i18n import texts
from tests.fuzz import browser
from tests.fuzz.xss import ACTS, acting, payloads

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
CLOCK = render.Clock(now=AT)
WORDS = texts("en")
AMOUNTS = pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.long)])


def test_the_judge_sees_what_it_must_not_find() -> None:
    blind = [act for act in ACTS if not acting(act.replace("%s", "x"))]
    assert blind == []
    assert acting("<a href=' java\tscript:x'>y</a>") and acting("<b title=x>y</b>") and acting("a<!-- b -->")
    assert not acting('<p>Guten <b>Tag</b>, <a href="https://x" rel="noopener">x</a><br></p><ol start="2"><li>x</ol>')


@AMOUNTS
def test_what_the_sanitiser_leaves_does_not_act_and_stays_as_it_is(count: int) -> None:
    for payload in payloads(count, seed=count):
        clean = clean_html(payload)
        assert acting(clean) == [], payload
        assert clean_html(clean) == clean, payload
        assert "\0" not in clean and "\u202e" not in clean
        clean.encode()


@AMOUNTS
def test_nothing_that_people_read_acts_whatever_it_was_made_of(count: int) -> None:
    for payload in payloads(count // 15, seed=count + 1):
        for shown in everywhere(payload):
            assert acting(shown.html) == [], f"{payload!r} in {shown.html!r}"


def everywhere(payload: str) -> Iterator[render.Rendered]:
    """Each place of the two sides where somebody's words, name or file's name stands in HTML."""
    yield render.customer_message(WORDS, payload, payload, safe_html(payload), quote=payload, edited=AT, clock=CLOCK)
    yield render.customer_message(WORDS, payload, payload, unverified=True, late=AT, clock=CLOCK)
    yield render.attachment_caption(WORDS, payload, "document", payload, 5, caption=payload, quote=payload)
    yield render.held_back(WORDS, payload, payload, "mismatch")
    yield render.menu(WORDS, [payload, payload])
    yield render.notice(WORDS, "S4.deleted", clock=CLOCK, name=payload, at=AT)
    yield render_cards.card(WORDS, card_of(payload))
    yield render_cards.context(WORDS, card_of(payload))
    yield render_packs.pack(WORDS, pack_of(payload))
    yield render_packs.history(WORDS, pack_of(payload).last)
    yield render.Rendered("", to_html(to_text(payload)))


def card_of(payload: str) -> render_cards.CardView:
    return render_cards.CardView(
        ref="K-4F7Q", label=payload, channel="matrix", language="en", state="queued", owner=payload, since=AT,
        claimed_at=None, waiting_since=AT, preview=payload, leg="matrix", tz=UTC, now=AT, pause_note=payload,
        tags=[payload],
    )  # fmt: skip


def pack_of(payload: str) -> render_packs.PackView:
    lines = [render_packs.PastLine(at="12:00", who=payload, text=payload, side=side) for side in ("customer", "note")]
    return render_packs.PackView(
        ref="K-4F7Q", cause="agent", owner=payload, by=payload, rested=60, steps=[], note=payload, open_point=payload,
        earlier="", files=[payload], last=lines, clock=CLOCK,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("is_inserted", [True, False], ids=["put in by a script", "parsed with the page"])
async def test_in_a_browser_nothing_runs_and_nothing_is_asked_for(is_inserted: bool) -> None:
    given = list(payloads(10_000, seed=7, code="hit(1)", address=browser.TRAP))
    seen = await browser.opened([clean_html(payload) for payload in given], is_inserted=is_inserted)
    assert (seen.hits, seen.strange) == ([], [])


@pytest.mark.long
async def test_the_browser_notices_what_acts() -> None:
    """Of what was not cleaned; without it the proof above proves nothing."""
    wild = ["<img src=x onerror=hit(1)>", f"<img src=//{browser.TRAP}/x>", "<a href='java\tscript:x'>x</a>"]
    seen = await browser.opened(wild, is_inserted=True)
    assert {hit.partition(" ")[0] for hit in seen.hits} == {"ran", "listens", "leads"}
    assert any(browser.TRAP in each for each in seen.strange)
