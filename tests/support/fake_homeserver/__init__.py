"""A homeserver in memory that answers fast and misbehaves on command: for hostile, fuzz and throughput tests.

    server = FakeHomeserver()
    await server.start()                        # server.url
    account = server.register("desk")           # (user id, password)
    server.faults.limit("/send/", retry_after_ms=50, times=3)
    server.answer_sync_with({"rooms": "nonsense"}, b"not json")

It checks access tokens and membership, remembers transaction ids, and keeps everything else as simple as it can."""

from tests.support.fake_homeserver.faults import Faults
from tests.support.fake_homeserver.server import FakeHomeserver, Request
from tests.support.fake_homeserver.world import Refused, World

__all__ = ["FakeHomeserver", "Faults", "Refused", "Request", "World"]
