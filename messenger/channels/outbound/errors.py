"""What can become of a request. None of them names the address: it may hold a secret or a person's name."""

from typing import Literal

Cause = Literal["address", "scheme", "port", "host", "credentials", "redirect", "type", "encoding"]


class Refused(Exception):
    """We do not go there, or do not take what is there; trying again changes nothing. For a bridge this is
    `Rejected`."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause


class Unanswered(Exception):
    """No whole answer came: no such name, no connection, or no end within the time. For a bridge this is `Temporary`
    if nothing can have arrived, else `Uncertain`."""


class TooLarge(Exception):
    """The answer has more bytes than were asked for. What had come is thrown away."""
