"""The whole core in whatever order things happen and wherever its process dies: no message is lost, doubled or out of
order, no note leaves and nothing of those who may not answer, a conversation has one owner, timers stay, the log plays
back to the state, and of whoever was erased nothing is readable, while of the others everything is.

Real are the database, the sync loop, the use cases, the queues and their workers; played are the homeserver, the
customers' ends and the ciphers (core_outside.py, core_program.py)."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from messenger.observability import failpoints
from messenger.workers import outbox as outbox_worker
from tests.property.core_books import balance, nothing_leaks
from tests.property.core_erased import nothing_is_left_of_the_erased
from tests.property.core_house import PLAIN, House
from tests.property.core_program import Lines, Reaper
from tests.property.core_seats import BEN, STAFF
from tests.property.core_steps import STEPS
from tests.support.databases import TestDatabases
from tests.support.keyring import new_root

WHICH = st.integers(0, 5)
WHO = st.sampled_from(STAFF)
LETTERS = st.sampled_from("ab")
TIMES = st.sampled_from([timedelta(seconds=30), timedelta(hours=1), timedelta(days=1), timedelta(days=8)])
COMMANDS = st.sampled_from(
    ["!claim", "!release", "!pause 3d", "!pause 2h", "!pause until reply", "!resume", "!resolve", "!reopen",
     "!transfer Pharmacy", "!transfer Claims", "!assign @cleo:x", "!room", "!undo", "!history 5"]
)  # fmt: skip
SIGNS = st.sampled_from(["👀", "👀", "✅", "💤"])
# What happens after each thing that is done: nothing yet, a turn of the workers, or a turn in which something breaks.
THEN = st.one_of(
    st.just(("", 0)),
    st.just(("works", 0)),
    st.tuples(st.sampled_from(["dies", "breaks"]), st.integers(1, 40)),
    st.tuples(st.just("trap"), st.sampled_from(["dies", "dies", "breaks"]), st.sampled_from(STEPS)),
    st.tuples(st.just("trap"), st.just("dies"), st.sampled_from(STEPS)),
    st.tuples(st.just("commit"), st.integers(1, 8)),
    st.tuples(st.sampled_from(["away", "deaf"]), st.integers(1, 3)),
)


class WholeCore(RuleBasedStateMachine):
    databases: ClassVar[TestDatabases]
    reaper: ClassVar[Reaper]
    ours: ClassVar[Lines]
    programs: ClassVar[Lines]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.runner.run(work)

    @initialize(
        layout=st.sampled_from(["threads", "rooms"]),
        assignment=st.sampled_from(["manual", "automatic"]),
        hold_s=st.sampled_from([0, 5]),
        mode=st.sampled_from(["owner", "open"]),
    )
    def opens(self, **settings: Any) -> None:
        async def open_house() -> None:
            self.name = await self.databases.fresh()
            for lines in (self.ours, self.programs):
                lines.move(self.databases.server.uri(self.name))
            self.reaper.disarm()
            self.house = House(self.ours.engine, self.programs, new_root(), self.reaper)
            await self.house.open(**settings)
            self.house.customer_says("a")
            await self.house.rest()
            await self.house.staff_reacts(BEN, 0, "👀")

        self.run(open_house())

    @rule(letter=LETTERS, has_file=st.booleans(), is_key_late=st.booleans(), then=THEN)
    def customer_sends(self, letter: str, has_file: bool, is_key_late: bool, then: tuple[Any, ...]) -> None:
        self.house.customer_says(letter, has_file=has_file, is_key_late=is_key_late and has_file)
        self.run(self._then(*then))

    @rule(then=THEN)
    def keys_come(self, then: tuple[Any, ...]) -> None:
        self.house.key_comes()
        self.run(self._then(*then))

    @rule(which=WHICH, deletes=st.booleans(), then=THEN)
    def customer_changes(self, which: int, deletes: bool, then: tuple[Any, ...]) -> None:
        self.house.customer_changes(which, deletes=deletes)
        self.run(self._then(*then))

    @rule(who=WHO, which=WHICH, then=THEN)
    def staff_replies(self, who: str, which: int, then: tuple[Any, ...]) -> None:
        self._staff(who, which, PLAIN, "r", then)

    @rule(which=WHICH, then=THEN)
    def owner_replies(self, which: int, then: tuple[Any, ...]) -> None:
        async def reply() -> None:
            known = [each for each in await self.house.known() if each.owner]
            if known:
                await self.house.staff_says(known[which % len(known)].owner or "", which, PLAIN, kind="r")
            await self._then(*then)

        self.run(reply())

    @rule(who=WHO, which=WHICH, text=st.sampled_from(["// {token}", "!note {token}", "{token}\n// {token}"]), then=THEN)
    def staff_notes(self, who: str, which: int, text: str, then: tuple[Any, ...]) -> None:
        self._staff(who, which, text, "n", then)

    @rule(who=WHO, which=WHICH, then=THEN)
    def staff_answers_later(self, who: str, which: int, then: tuple[Any, ...]) -> None:
        self._staff(who, which, "!later 1h {token} as I said", "r", then)

    @rule(which=WHICH, deletes=st.booleans(), to_note=st.booleans(), then=THEN)
    def staff_changes(self, which: int, deletes: bool, to_note: bool, then: tuple[Any, ...]) -> None:
        self.house.staff_changes(which, deletes=deletes, to_note=to_note)
        self.run(self._then(*then))

    @rule(who=WHO, which=WHICH, text=COMMANDS, then=THEN)
    def staff_orders(self, who: str, which: int, text: str, then: tuple[Any, ...]) -> None:
        self._staff(who, which, text, "", then)

    @rule(who=WHO, which=WHICH, sign=SIGNS, then=THEN)
    def staff_reacts(self, who: str, which: int, sign: str, then: tuple[Any, ...]) -> None:
        async def react() -> None:
            await self.house.staff_reacts(who, which, sign)
            await self._then(*then)

        self.run(react())

    @rule(
        group=st.sampled_from(["Claims", "Pharmacy"]),
        who=WHO,
        role=st.sampled_from(["agent", "agent", "clerk", ""]),
        then=THEN,
    )
    def seat_changes(self, group: str, who: str, role: str, then: tuple[Any, ...]) -> None:
        """Without a role they are out."""

        async def change() -> None:
            await self.house.seat_changes(group, who, role)
            await self._then(*then)

        self.run(change())

    @rule(letter=LETTERS, then=THEN)
    def customer_is_erased(self, letter: str, then: tuple[Any, ...]) -> None:
        async def erase() -> None:
            await self.house.erase(letter)
            await self._then(*then)

        self.run(erase())

    @rule(by=TIMES, then=THEN)
    def time_passes(self, by: timedelta, then: tuple[Any, ...]) -> None:
        async def passes() -> None:
            await self.house.passes(by)
            await self._then(*then)

        self.run(passes())

    @rule(device=st.sampled_from(["", "", "E", "F"]))
    def process_ends(self, device: str) -> None:
        """The next one may have a device of its own, as after a restored backup."""
        self.run(self.house.restart(device=device))

    @rule()
    def all_comes_to_rest(self) -> None:
        self.run(self._rest())

    @invariant()
    def nothing_leaks(self) -> None:
        if hasattr(self, "house"):
            nothing_leaks(self.house)

    def teardown(self) -> None:
        async def end() -> None:
            if not hasattr(self, "house"):
                return
            try:
                await self._rest()
            finally:
                await self.house.close()
                await self.databases.drop(self.name)

        try:
            self.run(end())
        finally:
            self.runner.close()

    def _staff(self, who: str, which: int, text: str, kind: str, then: tuple[Any, ...]) -> None:
        async def say() -> None:
            await self.house.staff_says(who, which, text, kind=kind)
            await self._then(*then)

        self.run(say())

    async def _then(self, what: Any, *how: Any) -> None:
        match what, *how:
            case "works", _:
                await self.house.rest()
            case "dies" | "breaks" | "commit", number:
                self.reaper.arm(what, number)
                await self.house.work()
                self.reaper.left = 0
            case "trap", end, name:
                self.reaper.traps[name] = end
                await self.house.work()
            case "away" | "deaf", number:
                setattr(self.house.line, what, number)
                await self.house.work()
            case _:
                pass

    async def _rest(self) -> None:
        self.reaper.disarm()
        await self.house.rest()
        await balance(self.house)
        await nothing_is_left_of_the_erased(self.house)


@pytest.fixture
def whole_core(test_databases: TestDatabases, monkeypatch: pytest.MonkeyPatch) -> type[WholeCore]:
    """Every crash point of the product is a step that the reaper hears."""
    reaper, unarmed = Reaper(), failpoints.fp
    for name, module in [*sys.modules.items()]:
        if name.startswith("messenger.") and getattr(module, "fp", None) is unarmed:
            monkeypatch.setattr(module, "fp", reaper.step)
    monkeypatch.setattr(outbox_worker, "GIVE_BACK_PAUSE_S", 0.01)
    url = test_databases.server.uri()
    WholeCore.databases, WholeCore.reaper = test_databases, reaper
    WholeCore.ours, WholeCore.programs = Lines(url, pool_size=3), Lines(url, pool_size=8, commits=reaper.commits)
    return WholeCore


# A life costs a second of the processor.
FEW, MANY = 3, int(os.environ.get("LIVES", "1000"))
QUICK = settings(
    max_examples=FEW,
    stateful_step_count=20,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=[*HealthCheck],
)


def test_whatever_happens_and_wherever_it_dies_the_books_balance(whole_core: type[WholeCore]) -> None:
    run_state_machine_as_test(whole_core, settings=QUICK)
    assert len(whole_core.reaper.passed) > 20, "nobody hears the crash points"
    assert set(whole_core.reaper.passed) <= set(STEPS), "a new step: lives shall end there, too"


@pytest.mark.long
def test_a_thousand_lives_balance_that_died_everywhere(whole_core: type[WholeCore]) -> None:
    """With `LIVES` another number of them. What fails is not made smaller: each try costs a second."""
    run_state_machine_as_test(whole_core, settings=settings(QUICK, max_examples=MANY, stateful_step_count=50))
    told = Counter(how.partition(":")[0] for how in whole_core.reaper.ended_at.elements())
    died = {how for how in whole_core.reaper.ended_at if how.startswith("dies:")}
    print(f"{dict(told)}; died at {len(died)} different steps of {len(whole_core.reaper.passed)}")
    assert len(died) > min(50, MANY // 4), sorted(died)
    assert set(whole_core.reaper.passed) <= set(STEPS), "a new step: lives shall end there, too"
