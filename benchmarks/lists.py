"""What staff's commands and boards cost a desk that has much to do, without the homeserver: each from its inbox row to
what the desk would send.

    python benchmarks/lists.py [--open 5000] [--resolved 100000] [--agents 200] [--groups 20] [--rounds 200]

The target is 50 ms for 95 of 100; a machine whose cores are busy with other things does not show it."""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from messenger.app.effects.groups import EditBoard
from messenger.app.effects.staff import ShowMine, ShowQueue

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.parts import full_desk, report, servers
from benchmarks.parts.meter import own_cpu_seconds, percentile
from messenger.app.boards import edit_board, renew_boards
from messenger.app.deliver import Deliverer
from messenger.app.handle import handle_next
from messenger.app.hands import Hands, Organisation
from messenger.app.items import StaffSaid
from messenger.app.records import NewItem, Place, Said
from messenger.channels.messages import Content
from messenger.storage.codec import load_effect
from messenger.storage.database import connect
from messenger.storage.migration import KEYS, upgrade
from messenger.storage.models.people import skill_group
from messenger.storage.models.queues import outbox
from messenger.storage.outbox import outbox_place
from messenger.storage.unit_of_work import SqlUnits
from tests.support.keyring import keys_of

Step = Callable[[int], Awaitable[object]]
DESK = "@desk:x"


class Nowhere:
    """A desk whose homeserver costs nothing."""

    account = DESK

    def __init__(self) -> None:
        self.said = 0

    def link(self, place: Place) -> str:
        return f"https://matrix.to/#/{place.room}/{place.thread}"

    async def find(self, room: str, txn: str) -> None:
        return None

    async def post(self, place: Place, said: Said, *, txn: str, policy: object) -> str:
        self.said += len(said.plain)
        return f"${txn}"

    async def pin(self, room: str, events: object) -> None:
        pass


class Town:
    def __init__(self, url: str) -> None:
        self.engine = connect(url)
        self.keys = keys_of(self.engine)
        self.units = SqlUnits(self.engine, self.keys, namespace=uuid4(), desk=DESK)
        self.desk = Nowhere()
        unused: Any = None
        parts: dict[str, Any] = {"channel": unused, "door": unused, "files": unused}
        self.hands = Hands(units=self.units, desk=cast(Any, self.desk), organisation=Organisation(name="x"), **parts)

    async def answer(self) -> None:
        """From the inbox to the last list that it asks for; the posts are free."""
        await handle_next(self.units)
        async with self.engine.begin() as connection:
            rows = (await connection.execute(outbox.delete().returning(outbox))).all()
        for row in rows:
            effect = load_effect(row.kind, await self.keys.open(row.enc_body, where=outbox_place(row.txn)))
            if isinstance(effect, ShowQueue | ShowMine):
                await Deliverer(self.hands).deliver(effect, row.txn)

    async def forget_boards(self, n: int) -> None:
        """All are due, and all have changed."""
        async with self.engine.begin() as connection:
            await connection.execute(skill_group.update().values(board_edit_at=None))
            await connection.execute(outbox.delete())

    async def say(self, agent: int, text: str, groups: int) -> None:
        item = StaffSaid(
            account=DESK,
            room=f"!room{agent % groups}",
            thread=None,
            event=f"${uuid4().hex}",
            sender=f"@agent{agent}:x",
            at=datetime.now(UTC),
            type="m.text",
            content=Content(text=text),
        )
        async with self.units() as unit:
            await unit.inbox.add([NewItem(source=DESK, source_id=item.event, lane=item.event, item=item)])


async def nothing(n: int) -> None:
    """What needs no preparation."""


async def timed(rounds: int, prepare: Step, work: Step) -> dict[str, float]:
    took: list[float] = []
    cpu = 0.0
    for n in range(rounds + 5):
        await prepare(n)
        begun, used = time.perf_counter(), own_cpu_seconds()
        await work(n)
        took.append(1000 * (time.perf_counter() - begun))
        cpu += 1000 * (own_cpu_seconds() - used)
    took, cpu = took[5:], cpu / (rounds + 5)
    shares = {"p50": percentile(took, 0.5), "p95": percentile(took, 0.95), "cpu": cpu}
    return {name: round(value, 1) for name, value in shares.items()}


async def measure(arguments: argparse.Namespace) -> report.Figures:
    figures = report.surroundings()
    sizes = {name: getattr(arguments, name) for name in ("open", "resolved", "agents", "groups")}
    async with servers.folder() as folder, servers.postgres(folder) as postgres:
        url = await postgres.create_database("lists")
        town = Town(url)
        await upgrade(town.engine)
        await upgrade(town.engine, schema=KEYS)
        await full_desk.fill(town.engine, **sizes)
        for name, text in (("queue", "!queue"), ("mine", "!mine"), ("next", "!next")):
            figures |= _named(name, await _command(town, text, arguments))
        async with town.units.look() as unit:
            groups = await unit.boards.due()

        boards = [EditBoard(group=group) for group in groups]
        one = await timed(arguments.rounds, nothing, lambda n: edit_board(town.hands, boards[n % len(boards)], f"b{n}"))
        looks = await timed(arguments.rounds // 10, town.forget_boards, lambda n: renew_boards(town.hands))
        figures |= _named("one_board", one) | _named("all_boards_looked_at", looks)
        await town.engine.dispose()
    return figures | sizes


async def _command(town: Town, text: str, arguments: argparse.Namespace) -> dict[str, float]:
    agents, groups = arguments.agents, arguments.groups
    return await timed(
        arguments.rounds,
        lambda n: town.say(n * 7 % agents, text, groups),
        lambda n: town.answer(),
    )


def _named(name: str, figures: dict[str, float]) -> report.Figures:
    return {f"{name}_{what}_ms": value for what, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("open", 5000), ("resolved", 100_000), ("agents", 200), ("groups", 20), ("rounds", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    report.show("lists", asyncio.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
