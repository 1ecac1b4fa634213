"""What people read about Stellwerk is what Stellwerk says and understands."""

import re
from pathlib import Path

import pytest

from messenger.domain.group_settings import parse as parse_setting
from messenger.domain.staff_commands import Asked, parse
from messenger.reference.quotes import FENCE, UnknownQuote, filled

DOCS = Path(__file__).parents[2] / "docs"
TUTORIAL = DOCS / "tutorials/agents.md"
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if path.parent.name != "reference"]
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def code_in(page: Path) -> list[str]:
    """What stands between single backticks, outside of fenced blocks."""
    return CODE.findall(re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S))


def test_the_quotations_are_what_the_program_says() -> None:
    page = TUTORIAL.read_text("utf-8")
    assert len(FENCE.findall(page)) >= 10
    assert filled(page) == page, "python -m messenger.reference"


def test_every_fence_that_claims_to_quote_is_one() -> None:
    page = TUTORIAL.read_text("utf-8")
    assert page.count("```text of ") == len(FENCE.findall(page))


def test_a_text_that_is_gone_is_noticed() -> None:
    with pytest.raises(UnknownQuote, match=r"S99\.gone"):
        filled("```text of S99.gone\nold words\n```\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_the_manual_exists(page: Path) -> None:
    for text in code_in(page):
        if text[0] in "!！":
            assert isinstance(parse(text), Asked), text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_in_the_manual_is_allowed(page: Path) -> None:
    lines = re.findall(r"^stellwerk group (?:set|add) .*$", page.read_text("utf-8"), re.M)
    for key, quoted, plain in re.findall(r'\b([a-z_]+)=(?:"([^"]*)"|(\S+))', "\n".join(lines)):
        parse_setting(key, quoted or plain)


@pytest.mark.parametrize("page", [*PAGES, DOCS.parent / "README.md"], ids=lambda page: page.name)
def test_every_link_to_a_page_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target
