"""The fakes pass the contract of every bridge: what tests of the core build on behaves as the real thing must."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from importlib.metadata import EntryPoint

import pytest

from messenger.channels.capabilities import MediaRule, Support
from messenger.channels.contract import Bridge, Intake
from messenger.channels.errors import Quota, Rejected
from messenger.channels.messages import Handle, MediaRef, RemoteId
from messenger.channels.registry import GROUP, BrokenBridge, Registry, UnknownBridge
from messenger.channels.testing import (
    BridgeContract,
    Failure,
    FakeBridge,
    FakePeer,
    FakeWebhookBridge,
    MemoryIntake,
    Poster,
    Rig,
)
from messenger.channels.testing.fake import convert


class FakeRig:
    """The fake peer seen as a rig."""

    addresses: Sequence[str] = ("kim", " @Kim ", "KIM42")
    nonsense: Sequence[str] = ("", "kim smith", "a@b.example")
    secrets: Sequence[str] = ()
    recipient = Handle("fake", "kim")
    kind: type[FakeBridge] | type[FakeWebhookBridge] = FakeBridge

    async def start(self, poster: Poster) -> None:
        self.peer = FakePeer(poster=poster if self.kind is FakeWebhookBridge else None)
        self.secrets = [self.peer.token]

    async def stop(self) -> None:
        self.peer.poster = None

    def bridge(self) -> Bridge:
        return self.kind(self.peer)

    async def customer_writes(self, text: str) -> None:
        await self.peer.customer_writes(text)

    async def redeliver(self) -> None:
        await self.peer.redeliver()

    async def poison(self) -> None:
        await self.peer.poison()

    def break_next_send(self, failure: Failure) -> None:
        self.peer.break_next_send(failure)

    def revoke_credentials(self) -> None:
        self.peer.change_token()

    def received(self) -> Sequence[str]:
        return [message.text for message in self.peer.delivered if not message.deleted]

    def reactions(self, target: RemoteId) -> frozenset[str]:
        return self.peer.find(target).reactions


class WebhookRig(FakeRig):
    kind = FakeWebhookBridge


class TestFakeBridge(BridgeContract):
    def rig(self) -> Rig:
        return FakeRig()


class TestFakeWebhookBridge(BridgeContract):
    def rig(self) -> Rig:
        return WebhookRig()


class ForgetfulBridge(FakeBridge):
    """Reads everything again under new ids after a restart."""

    async def run(self, intake: Intake) -> None:
        assert isinstance(intake, MemoryIntake)
        intake.rows = {f"{id}-old": row for id, row in intake.rows.items()}
        intake.cursor = self._nowhere  # type: ignore[method-assign]
        self._peer.acknowledged = 0
        await super().run(intake)

    async def _nowhere(self) -> str | None:
        return None


class HastyBridge(FakeBridge):
    """Acknowledges before the commit."""

    async def run(self, intake: Intake) -> None:
        bodies = await self._peer.read(after=0)
        self._peer.acknowledged += len(bodies)
        await intake.put([convert(self._account, body) for body in bodies])


class FragileBridge(FakeBridge):
    """Dies of the first payload it does not understand."""

    async def run(self, intake: Intake) -> None:
        json.loads((await self._peer.read(after=0))[0])
        await super().run(intake)


@pytest.mark.parametrize(
    ("bridge", "rule"),
    [
        (ForgetfulBridge, "test_a_restart_goes_on_at_the_cursor"),
        (HastyBridge, "test_a_kill_between_accept_and_commit_loses_nothing"),
        (FragileBridge, "test_a_poison_item_does_not_hide_the_good_one_behind_it"),
    ],
)
def test_the_suite_catches_a_careless_reader(
    bridge: type[FakeBridge], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Careless(BridgeContract):
        def rig(self) -> Rig:
            rig = FakeRig()
            rig.kind = bridge
            return rig

    monkeypatch.setattr(MemoryIntake, "patience_s", 0.2)
    with pytest.raises((AssertionError, TimeoutError, ValueError)):
        getattr(Careless(), rule)()


def test_the_suite_catches_a_bridge_that_declares_what_it_cannot_do() -> None:
    class NoEditing(FakeBridge):
        edit = None  # type: ignore[assignment]

    class Boastful(BridgeContract):
        def rig(self) -> Rig:
            rig = FakeRig()
            rig.kind = NoEditing
            return rig

    with pytest.raises(AssertionError):
        Boastful().test_declared_capabilities_agree_with_the_protocols()


def test_media_are_streamed_and_a_lost_reference_is_refused() -> None:
    async def scenario() -> None:
        peer = FakePeer(media={"m1": b"x" * 200_000})
        bridge = FakeBridge(peer)
        async with bridge.open_media(MediaRef(id="m1")) as chunks:
            assert sum([len(chunk) async for chunk in chunks]) == 200_000
        with pytest.raises(Rejected):
            async with bridge.open_media(MediaRef(id="gone")):
                pass

    asyncio.run(scenario())


def test_every_kind_of_change_by_the_customer_arrives_in_order() -> None:
    async def scenario() -> None:
        peer, intake = FakePeer(), MemoryIntake()
        target = await peer.customer_writes("helo")
        await peer.customer_edits(target, "hello")
        await peer.customer_reacts(target, ["👍"])
        await peer.customer_deletes(target)
        reader = asyncio.create_task(FakeBridge(peer).run(intake))
        await intake.until(lambda: len(intake.rows) == 4)
        reader.cancel()
        names = [type(row).__name__ for row in intake.rows.values()]
        assert names == ["InboundMessage", "MessageEdited", "ReactionsChanged", "MessageDeleted"]
        assert peer.acknowledged == 4

    asyncio.run(scenario())


def test_a_media_rule_is_looked_up_from_the_special_to_the_general() -> None:
    rule = MediaRule(mimes={"image/png": Support.FULL, "image/*": Support.PARTIAL}, max_size=1)
    assert rule.support("image/png") is Support.FULL
    assert rule.support("image/heic") is Support.PARTIAL
    assert rule.support("text/html") is Support.REJECTED


def test_an_error_with_an_unknown_code_is_a_bug_and_says_so() -> None:
    with pytest.raises(ValueError, match=r"errors\.CODES"):
        Rejected("because")
    assert Quota(scope="recipient", retry_after=timedelta(seconds=3)).retry_after == timedelta(seconds=3)


def test_display_is_no_part_of_a_handles_identity() -> None:
    assert Handle("tel", "+49170", display="Anna") == Handle("tel", "+49170", display="A. K.")


def make_fake(account: str, settings: object, services: object) -> FakeBridge:
    return FakeBridge(FakePeer(), account=account)


make_fake.settings_model = dict  # type: ignore[attr-defined]


def test_a_bridge_is_found_by_its_entry_point() -> None:
    here = f"{__name__}:make_fake"
    registry = Registry([EntryPoint("fake", here, GROUP), EntryPoint("broken", "no.such.module:make", GROUP)])
    assert registry.names() == ["broken", "fake"]
    assert registry.factory("fake") is make_fake
    with pytest.raises(BrokenBridge, match="broken"):
        registry.factory("broken")
    with pytest.raises(UnknownBridge, match="Installed: broken, fake"):
        registry.factory("email")


def test_two_bridges_of_one_name_are_refused() -> None:
    with pytest.raises(BrokenBridge, match="Remove one"):
        Registry([EntryPoint("x", "a:make", GROUP), EntryPoint("x", "b:make", GROUP)])


def test_an_entry_without_a_settings_model_is_no_bridge() -> None:
    with pytest.raises(BrokenBridge, match="settings_model"):
        Registry([EntryPoint("x", "json:dumps", GROUP)]).factory("x")
