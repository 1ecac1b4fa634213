"""The contract as tests: one suite for every bridge. Subclass `BridgeContract`, return a `Rig` from `rig`, and run it:

    class TestMyBridge(BridgeContract):
        def rig(self) -> Rig:
            return MyRig()          # an emulator of the other side, or a real server, and how to make it misbehave

A test that needs an ability which the bridge does not declare is skipped with the reason. Each test runs in an event
loop of its own. No part of it is specific to a channel: what differs is in the rig.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypeVar
from unittest import SkipTest

from messenger.channels.capabilities import Support
from messenger.channels.contract import (
    DeletesMessages,
    EditsMessages,
    FetchesMedia,
    Listens,
    MarksRead,
    Reconciles,
    SendsReactions,
    SendsTyping,
    TakesWebhooks,
)
from messenger.channels.errors import CODES, BadCredentials, Rejected, Temporary, Uncertain
from messenger.channels.health import HealthState
from messenger.channels.messages import InboundMessage, Unsupported
from messenger.channels.testing.bench import GRACE_S, Bench, Rig

BOUND = 500
_Error = TypeVar("_Error", bound=Exception)


class BridgeContract:
    """Every bridge passes these. The names of the tests are the rules."""

    def rig(self) -> Rig:
        raise NotImplementedError("Return a Rig for the bridge under test.")

    def on_bench(self, scenario: Callable[[Bench], Awaitable[None]]) -> None:
        asyncio.run(_on_bench(self.rig, scenario))

    # addresses and capabilities

    def test_normalising_an_address_twice_changes_nothing(self) -> None:
        async def scenario(bench: Bench) -> None:
            for raw in bench.rig.addresses:
                handle = bench.bridge.normalise(raw)
                assert bench.bridge.normalise(handle.value) == handle

        self.on_bench(scenario)

    def test_nonsense_is_refused_with_a_text_for_the_person(self) -> None:
        async def scenario(bench: Bench) -> None:
            for raw in bench.rig.nonsense:
                assert len(_refusal(bench.bridge.normalise, raw)) > 10, raw

        self.on_bench(scenario)

    def test_declared_capabilities_agree_with_the_protocols(self) -> None:
        async def scenario(bench: Bench) -> None:
            bridge, can = bench.bridge, bench.can
            assert can.text_max > 0 and can.text_parts_max > 0
            assert (can.edit >= Support.PARTIAL) == isinstance(bridge, EditsMessages)
            assert (can.delete >= Support.PARTIAL) == isinstance(bridge, DeletesMessages)
            assert (can.reaction >= Support.PARTIAL) == isinstance(bridge, SendsReactions)
            assert can.typing_out == isinstance(bridge, SendsTyping)
            assert can.read_out == isinstance(bridge, MarksRead)
            assert not can.inbound or isinstance(bridge, Listens | TakesWebhooks)
            assert not can.media or isinstance(bridge, FetchesMedia)

        self.on_bench(scenario)

    # reading

    def test_a_message_delivered_twice_is_one_row(self) -> None:
        async def scenario(bench: Bench) -> None:
            async with bench.reading():
                await bench.rig.customer_writes("once")
                await bench.intake.until(lambda: bench.intake.texts == ["once"])
                await bench.rig.redeliver()
                await bench.rig.customer_writes("last")
                await bench.intake.until(lambda: "last" in bench.intake.texts)
            assert bench.intake.texts == ["once", "last"]

        self.on_bench(scenario)

    def test_a_kill_between_accept_and_commit_loses_nothing(self) -> None:
        async def scenario(bench: Bench) -> None:
            bench.intake.die_before_next_commit()
            async with bench.reading() as task:
                await bench.rig.customer_writes("survives")
                if task is not None:
                    await asyncio.wait([task], timeout=GRACE_S)
            assert bench.intake.texts == []
            await bench.restart()
            if isinstance(bench.bridge, TakesWebhooks):
                await bench.rig.redeliver()  # our answer was no 200
            async with bench.reading():
                await bench.intake.until(lambda: bench.intake.texts == ["survives"])

        self.on_bench(scenario)

    def test_a_restart_goes_on_at_the_cursor(self) -> None:
        async def scenario(bench: Bench) -> None:
            async with bench.reading():
                await bench.rig.customer_writes("before")
                await bench.intake.until(lambda: bench.intake.texts == ["before"])
            await bench.restart()
            await bench.rig.customer_writes("while away")
            async with bench.reading():
                await bench.intake.until(lambda: bench.intake.texts == ["before", "while away"])

        self.on_bench(scenario)

    def test_a_lost_lease_stops_the_reader_and_acknowledges_nothing(self) -> None:
        async def scenario(bench: Bench) -> None:
            _need(isinstance(bench.bridge, Listens), "does not read by itself")
            bench.intake.lose_lease()
            async with bench.reading() as task:
                await bench.rig.customer_writes("for the other process")
                assert task is not None
                done, _ = await asyncio.wait([task], timeout=GRACE_S)
                assert task in done
            await bench.restart()
            async with bench.reading():
                await bench.intake.until(lambda: bench.intake.texts == ["for the other process"])

        self.on_bench(scenario)

    def test_a_poison_item_does_not_hide_the_good_one_behind_it(self) -> None:
        async def scenario(bench: Bench) -> None:
            async with bench.reading():
                await bench.rig.poison()
                await bench.rig.customer_writes("good")
                await bench.intake.until(lambda: bench.intake.texts == ["good"])
            kinds = [type(row) for row in bench.intake.rows.values()]
            assert kinds == [Unsupported, InboundMessage]

        self.on_bench(scenario)

    def test_a_slow_core_holds_the_reader_back_and_order_is_kept(self) -> None:
        async def scenario(bench: Bench) -> None:
            _need(isinstance(bench.bridge, Listens), "does not read by itself")
            texts = [f"message {number}" for number in range(BOUND + 50)]
            bench.intake.fall_behind()
            async with bench.reading():
                for text in texts:
                    await bench.rig.customer_writes(text)
                assert bench.intake.texts == []
                bench.intake.catch_up()
                await bench.intake.until(lambda: len(bench.intake.texts) == len(texts), within_s=60.0)
            assert bench.intake.texts == texts
            assert bench.intake.most_under_way <= BOUND

        self.on_bench(scenario)

    def test_a_message_has_stable_ids_and_an_aware_time(self) -> None:
        async def scenario(bench: Bench) -> None:
            async with bench.reading():
                await bench.rig.customer_writes("hello")
                await bench.intake.until(lambda: bench.intake.texts == ["hello"])
            row = next(iter(bench.intake.rows.values()))
            assert isinstance(row, InboundMessage)
            assert row.source_id and row.remote_ids and row.sender.value
            assert row.at.tzinfo is not None

        self.on_bench(scenario)

    def test_the_reader_reports_that_it_is_connected(self) -> None:
        async def scenario(bench: Bench) -> None:
            _need(isinstance(bench.bridge, Listens), "does not read by itself")
            async with bench.reading():
                await bench.intake.until(
                    lambda: any(health.state is HealthState.CONNECTED for health in bench.intake.reported)
                )

        self.on_bench(scenario)

    def test_a_forged_webhook_is_refused(self) -> None:
        async def scenario(bench: Bench) -> None:
            _need(isinstance(bench.bridge, TakesWebhooks), "takes no webhooks")
            assert await bench.ingress({}, b'{"id": "forged"}', "https://desk.example/hooks/x") == 403
            assert bench.intake.rows == {}

        self.on_bench(scenario)

    def test_no_accepted_body_makes_the_converter_raise(self) -> None:
        async def scenario(bench: Bench) -> None:
            if not isinstance(bench.bridge, TakesWebhooks):
                raise SkipTest("takes no webhooks")
            for body in (b"", b"\x00", b"{}", b"[]", b"null", b'{"id": 1}', b"\xff\xfe", b"[" * 400 + b"]" * 400):
                items = bench.bridge.parse(body, await bench.intake.keep_raw(body))
                again = bench.bridge.parse(body, await bench.intake.keep_raw(body))
                assert [item.source_id for item in items] == [item.source_id for item in again]

        self.on_bench(scenario)

    # sending

    def test_a_sent_message_reaches_the_customer_once(self) -> None:
        async def scenario(bench: Bench) -> None:
            sent = await bench.bridge.send(bench.message("hello"))
            assert sent.remote_ids
            assert list(bench.rig.received()) == ["hello"]

        self.on_bench(scenario)

    def test_a_temporary_failure_delivers_nothing_and_the_retry_delivers_once(self) -> None:
        async def scenario(bench: Bench) -> None:
            bench.rig.break_next_send("temporary")
            error = await _fails(Temporary, bench.bridge.send(bench.message("again")))
            assert error.code in CODES and list(bench.rig.received()) == []
            await bench.bridge.send(bench.message("again"))
            assert list(bench.rig.received()) == ["again"]

        self.on_bench(scenario)

    def test_a_refusal_is_for_the_agent_and_carries_our_code(self) -> None:
        async def scenario(bench: Bench) -> None:
            bench.rig.break_next_send("rejected")
            error = await _fails(Rejected, bench.bridge.send(bench.message("never")))
            assert error.code in CODES and list(bench.rig.received()) == []

        self.on_bench(scenario)

    def test_after_a_lost_answer_nothing_is_delivered_twice(self) -> None:
        async def scenario(bench: Bench) -> None:
            message = bench.message("perhaps")
            bench.rig.break_next_send("uncertain")
            await _fails(Uncertain, bench.bridge.send(message))
            if isinstance(bench.bridge, Reconciles):
                found = await bench.bridge.find_sent(message)
                assert (found is not None) == (list(bench.rig.received()) == ["perhaps"])
            if bench.can.idempotent_send:
                await bench.bridge.send(message)
                assert list(bench.rig.received()) == ["perhaps"]

        self.on_bench(scenario)

    def test_refused_credentials_are_for_the_operator(self) -> None:
        async def scenario(bench: Bench) -> None:
            assert (await bench.bridge.check()).state is HealthState.CONNECTED
            bench.rig.revoke_credentials()
            await _fails(BadCredentials, bench.bridge.send(bench.message("no")))
            health = await bench.bridge.check()
            assert health.state is HealthState.BAD_CREDENTIALS and health.action

        self.on_bench(scenario)

    def test_a_message_can_be_edited_and_deleted_where_declared(self) -> None:
        async def scenario(bench: Bench) -> None:
            bridge = bench.bridge
            if not isinstance(bridge, EditsMessages) or not isinstance(bridge, DeletesMessages):
                raise SkipTest("cannot edit and delete")
            target = (await bridge.send(bench.message("frist"))).remote_ids[0]
            await bridge.edit(target, bench.message("first", key="key-2"))
            assert list(bench.rig.received()) == ["first"]
            for _ in range(2):
                await bridge.delete(target, bench.rig.recipient, key="key-3", reply_token=bench.message("").reply_token)
                assert list(bench.rig.received()) == []

        self.on_bench(scenario)

    def test_reactions_are_set_as_a_whole(self) -> None:
        async def scenario(bench: Bench) -> None:
            if not isinstance(bench.bridge, SendsReactions):
                raise SkipTest("cannot react")
            target = (await bench.bridge.send(bench.message("well done"))).remote_ids[0]
            for now in (frozenset({"👍"}), frozenset({"👍"}), frozenset[str]()):
                token = bench.message("").reply_token
                await bench.bridge.react(target, bench.rig.recipient, now, key="key-2", reply_token=token)
                assert bench.rig.reactions(target) == now

        self.on_bench(scenario)

    # logs

    def test_no_secret_and_no_text_is_logged(self) -> None:
        async def scenario(bench: Bench) -> None:
            with _captured_logs() as lines:
                async with bench.reading():
                    await bench.rig.customer_writes("private words of a customer")
                    await bench.intake.until(lambda: bool(bench.intake.texts))
                await bench.bridge.send(bench.message("private words of an agent"))
                bench.rig.revoke_credentials()
                await _fails(BadCredentials, bench.bridge.send(bench.message("no", key="key-2")))
            for secret in (*bench.rig.secrets, "private words"):
                assert not [line for line in lines if secret in line]

        self.on_bench(scenario)


async def _on_bench(make_rig: Callable[[], Rig], scenario: Callable[[Bench], Awaitable[None]]) -> None:
    rig = make_rig()
    bench: Bench | None = None

    async def poster(headers: Mapping[str, str], body: bytes, url: str) -> int:
        assert bench is not None
        return await bench.ingress(headers, body, url)

    await rig.start(poster)
    try:
        bench = Bench(rig)
        await scenario(bench)
        async with asyncio.timeout(GRACE_S):
            await bench.bridge.aclose()
    finally:
        await rig.stop()


async def _fails(kind: type[_Error], call: Awaitable[object]) -> _Error:
    try:
        await call
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def _refusal(call: Callable[[str], object], raw: str) -> str:
    try:
        call(raw)
    except ValueError as error:
        return str(error)
    raise AssertionError(f"{raw!r} was accepted as an address")


def _need(condition: bool, reason: str) -> None:
    if not condition:
        raise SkipTest(reason)


class _Collect(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextlib.contextmanager
def _captured_logs() -> Iterator[list[str]]:
    """Every line of every logger at DEBUG, formatted with its exceptions."""
    root, collect = logging.getLogger(), _Collect()
    level = root.level
    root.addHandler(collect)
    root.setLevel(logging.DEBUG)
    try:
        yield collect.lines
    finally:
        root.removeHandler(collect)
        root.setLevel(level)
