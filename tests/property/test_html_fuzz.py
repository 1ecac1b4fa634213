"""Hostile pieces of HTML, and a reader of our own that finds nothing in what is left. (`fuzz/test_xss` has ten thousand
more, and a browser.)"""

import random
import re
import time
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messenger.app.html import ATTRIBUTES, MAX_BYTES, TAGS, clean_html, to_html, to_text

SEEDS = """
<script>alert(1)</script>
<img src=x onerror=alert(1)>
<svg onload=alert(1)>
<svg><script>alert(1)</script></svg>
<a href="javascript:alert(1)">x</a>
<a href="jav&#x09;ascript:alert(1)">x</a>
<a href=" data:text/html,<script>alert(1)</script>">x</a>
<a href='vbscript:x'>y</a>
<iframe src="//e.example">
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">
<noscript><p title="</noscript><img src=x onerror=alert(1)>">
<b onclick=alert(1)>x</b>
<p style="background:url(//e.example/x)">x</p>
<form action=//e.example><input name=a><button>x</button></form>
<base href=//e.example>
<link rel=stylesheet href=//e.example>
<meta http-equiv=refresh content="0;url=//e.example">
<object data=x>
<embed src=x>
<video src=x onerror=alert(1)>
<details open ontoggle=alert(1)><summary>x</summary></details>
<template><img src=x onerror=alert(1)></template>
<style>@import '//e.example';</style>
<textarea><img src=x onerror=alert(1)></textarea>
<title><img src=x></title>
<xmp><img src=x></xmp>
<!--><img src=x onerror=alert(1)>-->
<![CDATA[<img src=x>]]>
<a href="https://ok.example" target=_blank ping=//e.example>ok</a>
<span data-mx-bg-color="#f00" style=x>x</span>
<font color=red>x</font>
<mx-reply>q</mx-reply>
<ol start="9999999999"><li>x</ol>
<code class="language-js evil">x</code>
<pre><code>x</code></pre>
<h1>x
</b></i></p>
<table><tr><td>x
<blockquote><p>x
<a href="matrix:r/room:example.org">m</a>
<a href="mailto:a@b.example">m</a>
<a href="tel:1">t</a>
<a href="//e.example">r</a>
<a href="/x">r</a>
<a xlink:href="javascript:x">r</a>
<isindex action=javascript:x>
<marquee onstart=alert(1)>
<body onload=alert(1)>
<html manifest=x>
<plaintext>
<select><option>x
\x00<scr\x00ipt>alert(1)</scr\x00ipt>
<<b>>
<b
""".splitlines()[1:]
PIECES = [
    "<", ">", '"', "'", "/", "=", "&", ";", "\x00", "\u202e",
    "--", "&lt;", "&#60;", "&#x202e;", "&#0;", "&Tab;", " on", "<!--", "]]>", "`", "\t", "</", "javascript:",
]  # fmt: skip


def mutated(chance: random.Random) -> str:
    text = "".join(chance.choices(SEEDS, k=chance.randint(1, 4)))
    for _ in range(chance.randint(0, 5)):
        at = chance.randrange(len(text) + 1)
        cut = chance.randint(0, 3)
        text = text[:at] + chance.choice(PIECES) + text[at + cut :]
    return text


class Reader(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            if name not in ATTRIBUTES.get(tag, set()) and not (tag == "a" and name == "rel"):
                self.wrong.append(f"{tag} {name}={value}")
            if name == "href" and not re.match(r"(https?|mailto|matrix):", value or "", re.IGNORECASE):
                self.wrong.append(f"href={value}")

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"comment {data}")

    def handle_decl(self, decl: str) -> None:
        self.wrong.append(f"declaration {decl}")

    def unknown_decl(self, data: str) -> None:
        self.wrong.append(f"section {data}")

    def handle_pi(self, data: str) -> None:
        self.wrong.append(f"instruction {data}")


def wrong_in(html: str) -> list[str]:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader.wrong


def test_the_reader_sees_what_it_must_not_find() -> None:
    assert wrong_in("<img src=x><b onclick=x><a href='javascript:x'><!--c-->") == [
        "<img>", "img src=x", "b onclick=x", "href=javascript:x", "comment c",
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_hostile_payloads_leave_nothing_that_acts(count: int) -> None:
    chance = random.Random(20261124)
    begun = time.process_time()
    for _ in range(count):
        payload = mutated(chance)
        clean = clean_html(payload)
        assert wrong_in(clean) == [], payload
        assert wrong_in(clean_html(clean)) == [], payload
        assert "\u202e" not in clean and "\x00" not in clean
    assert time.process_time() - begun < 15, "of our own work"


def test_every_link_tells_its_target_nothing() -> None:
    clean = clean_html('<a href="https://a.example/?x=1&y=2" rel="opener" target="_top">x</a>')
    assert clean == '<a href="https://a.example/?x=1&amp;y=2" rel="noopener noreferrer nofollow">x</a>'


def test_ordinary_formatting_stays() -> None:
    text = '<p>Guten <b>Tag</b>,<br>eine <i>Liste</i>:</p><ol start="2"><li>a</li></ol>'
    text += '<pre><code class="language-py">x</code></pre>'
    assert clean_html(text) == text


def test_deep_nesting_is_refused_and_costs_little() -> None:
    begun = time.process_time()
    assert clean_html("<div>" * 30_000 + "words") == ""
    assert clean_html("<div></b>" * 15_000 + "words") == ""
    assert clean_html("<p>x" * 300).count("<p>") == 300
    assert clean_html("<b>" * 99 + "words").count("<b>") == 99
    assert time.process_time() - begun < 0.5


def test_the_words_of_html_keep_their_lines() -> None:
    assert to_text(
        "<p>Guten <b>Tag</b>,</p>a &lt; b<br>c<script>x</script><ul><li>d</li></ul>"
    ) == "Guten Tag,\na < b\nc\nd".replace("c\nd", "cd")


def test_too_much_html_gives_way_to_the_plain_text() -> None:
    assert clean_html("<b>x</b>" * 30_000) == ""
    assert len(clean_html("x" * MAX_BYTES)) == MAX_BYTES
    assert clean_html("&" * MAX_BYTES) == ""


def test_unclosed_declarations_do_not_take_forever() -> None:
    begun = time.process_time()
    for opening in ("<![", "<!--", "<!", "<a ", "<?", "</", "&#", "<script", "<a b='"):
        clean_html(opening * 20_000)
    assert time.process_time() - begun < 10


@given(st.text())
def test_plain_text_as_html_reads_the_same(text: str) -> None:
    html = to_html(text)
    assert wrong_in(html) == []
    assert unescape(html.replace("<br>", "\n")) == text


@given(st.text(alphabet="ab <>&/\"'=;!-", max_size=60))
def test_any_soup_is_clean_and_has_words_without_markup(soup: str) -> None:
    assert wrong_in(clean_html(soup)) == []
    assert isinstance(to_text(soup), str)
