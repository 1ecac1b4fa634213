"""Errors of a channel, sorted by who must act. A bridge raises them, the core decides what happens next.

    ChannelError
    ├── Rejected         the agent acts: never retried, the fate marker says why and what to do instead
    ├── Temporary        we retry with backoff until the message's `not_after`
    │   └── Quota        we wait for `retry_after`; only this recipient, or the whole account
    ├── BadCredentials   the operator acts: the account stops sending and keeps its queue
    └── Uncertain        nobody knows: reconcile, else ask a person; never sent again blindly
    Forbidden            a webhook that is not from whom it says; answered 401 or 403
    LeaseLost            another process reads this account now

Any other exception that leaves a bridge is a bug: Uncertain if the body may have left, else Temporary.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

CODES = frozenset({
    "window_closed", "blocked", "no_such_recipient", "no_key", "too_large", "bad_media", "content_refused", "opted_out",
    "expired", "throttled", "unreachable", "auth", "paused", "internal", "left", "virus", "bomb", "active", "unchecked",
})  # fmt: skip


class ChannelError(Exception):
    """`code` is ours (one of CODES) and drives the text the agent sees; `raw_code` is the vendor's, for the operator.
    `detail` never holds text of the customer, an address or a secret: it is logged."""

    def __init__(self, code: str, *, raw_code: str = "", detail: str = "") -> None:
        if code not in CODES:
            raise ValueError(f"{code!r} is no code of a channel error; choose one of channels.errors.CODES")
        super().__init__(code, raw_code)
        self.code, self.raw_code, self.detail = code, raw_code, detail


class Rejected(ChannelError):
    """The other side will never take this. The agent acts; never retried."""


class Temporary(ChannelError):
    """Nothing was accepted. We retry: after `retry_after` if given, else with backoff and jitter."""

    def __init__(
        self, code: str, *, retry_after: timedelta | None = None, raw_code: str = "", detail: str = ""
    ) -> None:
        super().__init__(code, raw_code=raw_code, detail=detail)
        self.retry_after = retry_after


class Undecided(Temporary):
    """Nothing leaves there until a person has done something: decided about somebody's keys, let us in again. However
    long that takes, it keeps its place."""

    def __init__(self, *, retry_after: timedelta, raw_code: str = "trust") -> None:
        super().__init__("paused", retry_after=retry_after, raw_code=raw_code)


class Quota(Temporary):
    """Too fast. We wait for `retry_after`: only this recipient, or the whole account."""

    retry_after: timedelta

    def __init__(self, *, scope: Literal["recipient", "account"], retry_after: timedelta, raw_code: str = "") -> None:
        super().__init__("throttled", retry_after=retry_after, raw_code=raw_code)
        self.scope = scope


class BadCredentials(ChannelError):
    """The operator acts. The account stops sending, keeps its queue, and shows what to do."""


class Uncertain(ChannelError):
    """The connection was lost after the body was written. Reconcile, or ask a person; never sent again blindly."""


class Forbidden(Exception):
    """A webhook's signature, secret or time is wrong. Answered 401 or 403 without detail, counted."""


class LeaseLost(Exception):
    """Another process reads this account now. Stop at once, acknowledge nothing."""
