"""Tags: short words on a conversation, for people who sort. What they say is sealed like a message."""

from collections.abc import Sequence

from messenger.domain.text import clean_message

MOST, LONGEST = 20, 40


def changed(tags: Sequence[str], text: str) -> tuple[str, ...]:
    """`+word` and `word` add, `-word` takes away; spelling is kept, but capital letters make no second tag. More than
    fit are left out."""
    now = {tag.casefold(): tag for tag in tags}
    for word in clean_message(text).replace(",", " ").split():
        tag = word.lstrip("+-#")[:LONGEST]
        if word.startswith("-"):
            now.pop(tag.casefold(), None)
        elif tag:
            now.setdefault(tag.casefold(), tag)
    return tuple(now.values())[:MOST]
