"""The archive's page has words for whatever can be done with a conversation."""

import pytest

from messenger.domain.access import Action
from messenger.i18n import LANGUAGES, texts

DEEDS = ("see", "consent", "hold", "release", "restrict", "unrestrict", "export", "erase")
STEPS = ("export.asked", "export.approved", "erase.asked", "erase.approved")
PURPOSES = ("context", "pack", "serve", "member", "glass", "administration", "rights")


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_done_with_a_persons_data_and_why_is_told_in_words(language: str) -> None:
    about = [f"access.contact.{deed}" for deed in (*DEEDS, *STEPS)] + [f"purpose.{purpose}" for purpose in PURPOSES]
    assert not [each for each in about if not texts(language).has(f"export.{each}")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_action_in_a_conversation_is_told_in_words(language: str) -> None:
    actions = [action.removeprefix("conversation.") for action in Action if action.startswith("conversation.")]
    assert len(actions) > 8
    assert not [action for action in actions if not texts(language).has(f"export.access.{action}")]
