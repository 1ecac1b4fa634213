"""Test doubles and the contract suite. They ship with the product, so that a bridge in another distribution is tested
by the same rules as ours: `class TestMyBridge(BridgeContract)` with a `rig` method is all it needs. Nothing here
imports pytest."""

from messenger.channels.testing.bench import Failure, Poster, Rig
from messenger.channels.testing.fake import FakeBridge, FakePeer, FakeWebhookBridge
from messenger.channels.testing.intake import MemoryIntake, Unplugged
from messenger.channels.testing.suite import BridgeContract

__all__ = [
    "BridgeContract",
    "Failure",
    "FakeBridge",
    "FakePeer",
    "FakeWebhookBridge",
    "MemoryIntake",
    "Poster",
    "Rig",
    "Unplugged",
]
