"""Whatever is done to a conversation in whatever order: its states agree with each other, the log is the state, no note
leaves, no customer's message is lost, and what was sent was sent once."""

from collections import Counter
from collections.abc import Iterable, Sequence

import pytest

from messenger.domain import events as e
from messenger.domain.conversation import State, fold
from messenger.domain.replies import Fate
from messenger.storage.codec import event_ids, load_event
from tests.property.scripts import Step, World, script

SCRIPTS, MANY = 2_000, 100_000


def play(steps: Sequence[Step]) -> World:
    """Every step is looked at. Raises AssertionError."""
    world = World()
    for step in steps:
        world.take(step)
        states_agree(world)
        nothing_leaks(world)
    books_balance(world)
    return world


def states_agree(world: World) -> None:
    now = world.conversation
    if now is None:
        return
    assert (now.state in (State.OPEN, State.PAUSED)) <= (now.owner is not None), "in work without an owner"
    assert (now.state in (State.NEW, State.QUEUED)) <= (now.owner is None), "waiting, and somebody owns it"
    assert (now.pause is not None) == now.is_paused
    assert now.state is State.NEW or now.group is not None
    assert not now.scheduled or now.owner is not None, "an answer is to leave later, and nobody's"
    if now.is_resolved:
        assert (now.waiting_since, now.on_their_way, now.scheduled) == (None, (), frozenset()), "a clock runs on"
    assert len(world.log) == now.version


def nothing_leaks(world: World) -> None:
    assert not world.leaks, world.leaks[0]
    for row in world.lane:
        if row.state == "new" and row.what == "send":
            assert world.fates[row.message] not in (Fate.KEPT, Fate.HELD), "it stays inside, and is on its way"


def books_balance(world: World) -> None:
    assert fold(world.log) == world.conversation
    read = [load_event(type(entry.event).__name__, event_ids(entry.event)) for entry in world.log]
    assert read == [entry.event for entry in world.log], "the log does not come back as it was written"
    now = world.conversation
    while any(row.state == "new" for row in world.lane):
        world.deliver()
    nothing_leaks(world)
    shown = Counter({message: 1 for message in world.received if not now or message not in now.unrouted})
    assert world.relayed == shown, "a customer's message is lost or shown twice"
    accepted = Counter(entry.event.message for entry in world.log if isinstance(entry.event, e.ReplyAccepted))
    accepted -= Counter(entry.event.message for entry in world.log if isinstance(entry.event, e.ReplyCancelled))
    assert world.sends == accepted, "an answer is lost or sent twice"
    for id, message in world.written.items():
        if message.is_deleted:
            assert id not in world.customer_has, "taken back, and the customer has it"


def failing(steps: Sequence[Step]) -> str:
    try:
        play(steps)
    except AssertionError as error:
        return str(error) or "an assertion without words"
    return ""


def smallest(steps: list[Step]) -> list[Step]:
    """What is left when everything is taken away that the failure does not need."""
    position = 0
    while position < len(steps):
        fewer = steps[:position] + steps[position + 1 :]
        if failing(fewer):
            steps = fewer
        else:
            position += 1
    return steps


def try_all(seeds: Iterable[int]) -> None:
    for seed in seeds:
        steps = script(seed)
        if failing(steps):
            steps = smallest(steps)
            told = "\n".join(str(step) for step in steps)
            raise AssertionError(f"script {seed}: {failing(steps)}\n{told}\n{log_of(steps)}")


def log_of(steps: Sequence[Step]) -> str:
    world = World()
    for step in steps:
        world.take(step)
    return "\n".join(str(entry.event) for entry in world.log)


def test_two_thousand_lives_lose_nothing_and_leak_nothing() -> None:
    try_all(range(SCRIPTS))


@pytest.mark.long
def test_a_hundred_thousand_lives_lose_nothing_and_leak_nothing() -> None:
    try_all(range(SCRIPTS, SCRIPTS + MANY))


def test_the_lives_are_full_of_everything() -> None:
    """Or the proof above proves little: each kind of event happens often."""
    happened = Counter(type(entry.event).__name__ for seed in range(1000) for entry in play(script(seed)).log)
    assert set(happened) == set(e.NAMES)
    assert min(happened.values()) >= 10, happened.most_common()[::-1]
