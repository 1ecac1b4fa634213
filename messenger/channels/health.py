"""How one channel account is doing, and what the operator must do. Stored at every change, shown in the console."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Literal


class HealthState(enum.Enum):
    STARTING = "starting"
    CATCHING_UP = "catching_up"
    """Reading what arrived while we were away."""
    CONNECTED = "connected"
    """A round trip succeeded within the bridge's own watchdog time."""
    DEGRADED = "degraded"
    """Works with losses: quota nearly used, one of two sessions, backlog grows."""
    DISCONNECTED = "disconnected"
    """Transient; the bridge reconnects with jitter."""
    BAD_CREDENTIALS = "bad_credentials"
    """Waits for the operator."""
    FAILED = "failed"
    """The configuration or the vendor refuses for good, or an unknown error."""
    STOPPED = "stopped"
    """Switched off on purpose, or the lease is elsewhere."""


HealthAction = Literal["", "relogin", "restart", "fix_settings", "raise_quota", "renew_certificate", "wait"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`code` is one of `channels.errors.CODES` or empty; `action` is what the operator must do; `backlog` counts items
    not yet read or sent; `quota_left` is a share from 0 to 1."""

    state: HealthState
    since: datetime
    code: str = ""
    detail: str = ""
    action: HealthAction = ""
    last_in: datetime | None = None
    last_out: datetime | None = None
    backlog: int = 0
    quota_left: float | None = None
