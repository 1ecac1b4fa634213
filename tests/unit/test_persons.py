"""Which words name a person."""

import pytest

from messenger.app.persons import matrix_address


@pytest.mark.parametrize(
    ("word", "address"),
    [
        ("@anna:example.org", "@anna:example.org"),
        ("https://matrix.to/#/@anna:example.org?via=example.org", "@anna:example.org"),
        ("https://matrix.to/#/%40anna%3Aexample.org", "@anna:example.org"),
        ("anna", ""),
        ("https://matrix.to/#/@an%00na:example.org", ""),
        ("@an\x1bna:example.org", ""),
    ],
)
def test_an_address_is_typed_or_pasted_and_has_only_characters_that_are_seen(word: str, address: str) -> None:
    assert matrix_address(word) == address
