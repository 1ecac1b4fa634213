"""Markup that wants to act, made from a corpus of our own, and a judge that reads what is left as browsers do (html5lib
follows the HTML Standard's parsing rules, which nh3 does not share code with)."""

import random
import re
from collections.abc import Iterator

import html5lib
from html5lib.constants import namespaces

from messenger.app.html import ATTRIBUTES, SCHEMES, TAGS

# `%s` is a place for code or an address; what it is filled with would be heard of.
ACTS = (
    "<script>%s</script>", "<script src=//%s></script>", "<script type=module>%s</script>",
    "<scr<script>ipt>%s</script>", "<SCRIPT/x>%s</ScRiPt >", "<svg onload=%s>", "<svg><script>%s</script></svg>",
    "<svg><script href=//%s />", "<svg><animate onbegin=%s attributeName=x dur=1s>",
    "<svg><a xlink:href=javascript:%s><text y=9>x</text></a></svg>",
    "<svg><foreignObject><iframe srcdoc='<script>%s</script>'></foreignObject></svg>", "<svg><use href=//%s#x>",
    "<svg><style><img src=x onerror=%s></style></svg>", "<math><mtext><img src=x onerror=%s></mtext></math>",
    "<math><maction actiontype=statusline xlink:href=javascript:%s>x</maction></math>",
    "<math href=javascript:%s>x",
    "<math><annotation-xml encoding=text/html><img src=x onerror=%s></annotation-xml></math>",
    "<img src=x onerror=%s>", "<img src=//%s>", "<img srcset='//%s 1x'>", "<image src=x onerror=%s>",
    "<picture><source srcset=//%s><img></picture>", "<video src=x onerror=%s></video>",
    "<video poster=//%s></video>", "<audio src=x onerror=%s>", "<input autofocus onfocus=%s>",
    "<video><source onerror=%s></video>", "<object data=javascript:%s></object>", "<object data=//%s></object>",
    "<embed src=//%s>", "<iframe src=javascript:%s></iframe>",
    "<iframe srcdoc='&lt;script&gt;%s&lt;/script&gt;'></iframe>", "<iframe src=//%s>", "<body onload=%s>",
    "<body background=//%s>", "<html onmouseover=%s>", "<details open ontoggle=%s>x</details>",
    "<marquee onstart=%s>x", "<select autofocus onfocus=%s>", "<textarea autofocus onfocus=%s>",
    "<b onfocus=%s tabindex=1 autofocus>x</b>", "<p onclick=%s>x</p>", "<a href=javascript:%s>x</a>",
    "<a href='jav&#x0A;ascript:%s'>x</a>", "<a href=' &#14; javascript:%s'>x</a>",
    "<a href='JaVaScRiPt:%s'>x</a>", "<a href='javascript&colon;%s'>x</a>", "<a href='java\tscript:%s'>x</a>",
    "<a href=vbscript:%s>x</a>", "<a href=//%s>x</a>", "<a href=/%s>x</a>",
    "<a href='data:text/html,<script>%s</script>'>x</a>", "<a href='data:text/html;base64,PHNjcmlwdD4='>%s</a>",
    "<a href=blob:%s>x</a>", "<a href=https://x ping=//%s>x</a>", "<a href='https://x' onclick='%s'>x</a>",
    "<a href=file:///%s>x</a>", "<a href=view-source:%s>x</a>",
    "<form action=javascript:%s><input type=submit></form>", "<button formaction=javascript:%s>x</button>",
    "<isindex action=javascript:%s>", "<base href=//%s>", "<link rel=stylesheet href=//%s>",
    "<link rel=import href=//%s>", "<link rel=preload as=image href=//%s>",
    "<meta http-equiv=refresh content='0;url=//%s'>", "<meta http-equiv=refresh content='0;url=javascript:%s'>",
    "<style>@import '//%s';</style>", "<style>*{background:url(//%s)}</style>",
    "<p style='background:url(//%s)'>x</p>", "<p style='width:expression(%s)'>x</p>",
    "<table background=//%s><td background=//%s>", "<font face='x' color='red;background:url(//%s)'>x</font>",
    "<bgsound src=//%s>", "<applet code=%s>", "<param name=movie value=//%s>", "<keygen autofocus onfocus=%s>",
    "<template><img src=x onerror=%s></template>", "<dialog open onclose=%s><form method=dialog>",
    "<portal src=//%s>", "<track src=//%s>", "<x onclick=%s>x</x>",
    "<custom-element onfocus=%s tabindex=0 autofocus>", "<button popovertarget=x onclick=%s>x",
    "<div popover id=x onbeforetoggle=%s>",
)  # fmt: skip
# What changes its meaning between one reading and the next.
SHIFTS = (
    "%s", "<!--%s-->", "<!-->%s-->", "<!--->%s-->", "<!--><!---%s--!>", "<![CDATA[%s]]>",
    "<svg><![CDATA[><%s]]></svg>", "<?xml %s ?>", "<!%s>", "<noscript><p title='</noscript>%s'>",
    "<noembed>%s</noembed>", "<noframes>%s</noframes>", "<xmp>%s</xmp>", "<plaintext>%s",
    "<listing>%s</listing>", "<title>%s</title>", "<textarea>%s</textarea>", "<style><!--</style>%s-->",
    "<style>%s</style>", "<script><!--</script>%s-->", "<template>%s</template>", "<select>%s</select>",
    "<select><option>%s", "<option><style></option></select>%s", "<table>%s</table>", "<table><caption>%s",
    "<table><tr>%s<td>", "<table><colgroup>%s", "<form><form>%s", "<form><div></form><form>%s",
    "<p><table><p>%s", "<b><i></b>%s</i>", "<a><b><a>%s</b>", "<nobr><nobr>%s",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;%s\">",
    "<math><mi><mglyph><svg><mtext><style><path id='</style>%s'>", "<svg><p><style><a id='</style>%s'>",
    "<svg></p><style><a id='</style>%s'>", "<svg><desc><noscript>%s</noscript></desc>", "<svg><title><style>%s",
    "<math><annotation-xml encoding='text/html'>%s",
    "<math><mtext><h1><a><h6></a></h6><mglyph><svg><mtext><style><a title='</style>%s'></style></h1>",
    "<svg><foreignObject>%s", "<svg><textPath>%s", "<math>%s</math>", "<svg>%s</svg>", "<b title='%s'>x</b>",
    "<b title=\"%s\">x</b>", "<b title=`%s`>x</b>", "<a href='%s'>x</a>", "<a href=\"https://x/%s\">x</a>",
    "<code class='language-%s'>x</code>", "<ol start='%s'>x</ol>", "<span data-mx-spoiler='%s'>x</span>",
    "&lt;b&gt;%s", "<div><pre>\n%s</pre></div>", "<ruby><rt>%s", "<mx-reply>%s</mx-reply>",
    "<object><param>%s</object>", "<iframe>%s</iframe>", "<img title='%s'>", "<%s", "</%s>", "<x%s", "<x/%s>",
    "<b/x=%s>y</b>", "%s%s", "<details><summary>%s</summary></details>", "<blockquote>%s</blockquote>", "<h1>%s",
)  # fmt: skip
PIECES = (
    "<", ">", '"', "'", "`", "/", "=", "&", ";", "\x00", "\x0b", "\x0c", "\x1b", "\xa0", "\u2028", "\u202e",
    "\ufeff", "\ufffe", "\ud800", "--", "--!>", "]]>", "&lt;", "&gt;", "&#60;", "&#x3c;", "&#0;", "&Tab;",
    "&NewLine;", "&colon;", "&lpar;", "&amp;lt;", "&ltscript", " on", "<!--", "-->", "\t", "\n", "\r", "</",
    "/>", "<b>", "</b>", "</p>", "</svg>", "</math>", "</style>", "</title>", "</table>", "<!", "<?",
    "javascript:", "data:", " style=", " src=", "İ", "ſ", "K", "％", "＜", "＞",
)  # fmt: skip


def payloads(count: int, *, seed: int, code: str = "alert(1)", address: str = "e.example") -> Iterator[str]:
    """`code` and `address` stand where something would act; each payload has its number in them."""
    chance = random.Random(seed)
    for number in range(count):
        yield _spoiled(chance, _nested(chance, _act(chance, number, code, address)))


def _act(chance: random.Random, number: int, code: str, address: str) -> str:
    act = "".join(chance.choices(ACTS, k=chance.choice([1, 1, 2])))
    return re.sub(r"//%s", f"//{address}/trap/{number}", act).replace("%s", code)


def _nested(chance: random.Random, markup: str) -> str:
    for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
        markup = chance.choice(SHIFTS).replace("%s", markup)
    return markup


def _spoiled(chance: random.Random, markup: str) -> str:
    for _ in range(chance.choice([0, 0, 0, 1, 2, 4])):
        at = chance.randrange(len(markup) + 1)
        markup = markup[:at] + chance.choice(PIECES) + markup[at + chance.choice([0, 0, 1, 2]) :]
    return markup


# ── The judge ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_MORE_ATTRIBUTES = {"a": {"rel"}, "strong": {"data-mx-profile-fallback"}}
_ADDRESS = re.compile(rf"(?:{'|'.join(sorted(SCHEMES))}):", re.IGNORECASE)
_IGNORED_BY_BROWSERS = re.compile(r"^[\x00-\x20]+|[\t\n\r]")
_XHTML = f"{{{namespaces['html']}}}"
_OF_A_DOCUMENT = {"html", "head", "body", "tbody", "colgroup"}  # made by the parser where they are missing
CONTEXTS = ("div", "td", "a", "li")


def acting(html: str) -> list[str]:
    """What a browser would act on, wherever the markup is put."""
    found = [name for context in CONTEXTS for name in _in(html5lib.parseFragment(html, container=context))]
    return found + list(_in(html5lib.parse(f"<!DOCTYPE html><body>{html}")))


def _in(tree: object) -> Iterator[str]:
    for element in tree.iter():  # type: ignore[attr-defined]
        if not isinstance(element.tag, str):
            yield f"comment {element.text}"
        elif not element.tag.startswith(_XHTML) and element.tag not in ("DOCUMENT_FRAGMENT", "<!DOCTYPE>"):
            yield element.tag
        else:
            yield from _wrong_with(element.tag.removeprefix(_XHTML), element.attrib)


def _wrong_with(tag: str, attributes: dict[str, str]) -> Iterator[str]:
    if tag not in TAGS | _OF_A_DOCUMENT and tag not in ("DOCUMENT_FRAGMENT", "<!DOCTYPE>"):
        yield f"<{tag}>"
    for name, value in attributes.items():
        if name not in ATTRIBUTES.get(tag, set()) | _MORE_ATTRIBUTES.get(tag, set()):
            yield f"{tag} {name}={value}"
        if name == "href" and not _ADDRESS.match(_IGNORED_BY_BROWSERS.sub("", value)):
            yield f"href={value}"
