"""The way out: the one place that opens HTTP connections. Addresses that somebody gives us (a webhook, a redirect, a
file) are fetched with `SafeClient`; what the operator has configured has a session of its own (`configured_session`).
A test fails the build when a connection is opened anywhere else."""

from messenger.channels.outbound.client import Answer, SafeClient
from messenger.channels.outbound.errors import Refused, TooLarge, Unanswered
from messenger.channels.outbound.session import Session, configured_session
from messenger.channels.outbound.targets import Outlets, joined, origin_of

__all__ = [
    "Answer",
    "Outlets",
    "Refused",
    "SafeClient",
    "Session",
    "TooLarge",
    "Unanswered",
    "configured_session",
    "joined",
    "origin_of",
]
