"""Writes that nobody in their transaction reads wait for each other and go to the database in one statement: each way
there and back costs more than most of what is written.

They go before anything else is asked, and before the commit. So whoever reads finds all that was written before, and
what fails does so inside of the transaction."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.storage.database import Borrowed, fetch
from messenger.storage.statements import Statement

_PARAMETER = re.compile(r"(?<![:\w]):(\w+)(?!:)")
REMEMBERED = 500  # combinations; a message has one of a few


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """An INSERT or UPDATE of at most one row that is told of. `name` is its own among those that wait with it: no two
    of one name do, and different names write to different rows. Of what it returns, `told` is passed on."""

    name: str
    text: str
    told: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Waiting:
    write: Write
    values: Mapping[str, Any]
    hear: Callable[[Mapping[str, Any]], None] | None


class Together(Borrowed):
    """The connection of one unit of work. Whoever leaves it says `flush` before the commit."""

    def __init__(self, connection: Borrowed) -> None:
        super().__init__(connection.engine, connection.held)
        self._waiting: list[_Waiting] = []

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Sequence[Any]:
        await self.flush()
        return await super().fetch(statement, values)

    async def execute(self, *args: Any, **options: Any) -> Any:
        await self.flush()
        return await super().execute(*args, **options)

    async def exec_driver_sql(self, *args: Any, **options: Any) -> Any:
        await self.flush()
        return await super().exec_driver_sql(*args, **options)

    async def wait(self, waiting: _Waiting) -> None:
        if any(other.write.name == waiting.write.name for other in self._waiting):
            await self.flush()
        self._waiting.append(waiting)

    async def flush(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            await _carry_out(super().fetch, waiting)


async def write(
    connection: AsyncConnection,
    what: Write,
    values: Mapping[str, Any],
    hear: Callable[[Mapping[str, Any]], None] | None = None,
) -> None:
    """Soon, on a connection that collects; else at once. `hear` gets what it returned, with None for each value where
    no row was written."""
    waiting = _Waiting(what, values, hear)
    if isinstance(connection, Together):
        await connection.wait(waiting)
    else:
        await _carry_out(partial(fetch, connection), [waiting])


async def _carry_out(ask: Callable[..., Awaitable[Sequence[Any]]], waiting: Sequence[_Waiting]) -> None:
    values = {f"{each.write.name}_{name}": value for each in waiting for name, value in each.values.items()}
    (row,) = await ask(_statement(tuple(_named(each.write) for each in waiting)), values)
    for each in waiting:
        if each.hear is not None:
            each.hear({name: getattr(row, f"{each.write.name}_{name}") for name in each.write.told})


def _named(write: Write) -> tuple[str, str, tuple[str, ...]]:
    return write.name, write.text, tuple(write.told)


@lru_cache(maxsize=REMEMBERED)
def _statement(writes: tuple[tuple[str, str, tuple[str, ...]], ...]) -> Statement:
    """Every parameter bears the name of its write."""
    parts = [name + " AS (" + _PARAMETER.sub(f":{name}_" + r"\1", text) + ")" for name, text, _ in writes]
    told = [
        f"(SELECT {column} FROM {name}) AS {name}_{column}"  # noqa: S608 - fixed texts of ours
        for name, _, columns in writes
        for column in columns
    ]
    return Statement(f"WITH {', '.join(parts)} SELECT {', '.join(told) or '1'}")
