"""What a test needs and this machine does not have."""

import os
from typing import NoReturn

import pytest


def absent(what: str) -> NoReturn:
    """The test is skipped; the project's own checks (CI=true) fail with this one line, for there nothing may be left
    out that nobody sees."""
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
