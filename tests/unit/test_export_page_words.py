"""The archive's page has words for whatever can be done with a conversation."""

import pytest

from messenger.domain.access import Action
from messenger.i18n import LANGUAGES, texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_action_in_a_conversation_is_told_in_words(language: str) -> None:
    actions = [action.removeprefix("conversation.") for action in Action if action.startswith("conversation.")]
    assert len(actions) > 8
    assert not [action for action in actions if not texts(language).has(f"export.access.{action}")]
