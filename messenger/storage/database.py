"""One engine per process. Reads are short, transactions shorter: none is open while something is awaited outside."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from messenger.app.ports import StorageAway
from messenger.storage.statements import Statement

# A stopped process must not keep its locks (the fence of a desk among them) for longer than this, nor end later what it
# has begun.
IDLE_IN_TRANSACTION_S = 10.0
# What PostgreSQL itself does when its client is gone without a word. A unix socket has no such end, and ignores them.
_SERVER = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
# A session that waits for the second half of a request is not idle, and would keep its locks for ever. From 17 on.
_END_LONG_TRANSACTIONS = (
    "SELECT set_config('transaction_timeout', '60s', false) "
    "WHERE current_setting('transaction_timeout', true) IS NOT NULL"
)
# PostgreSQL, appendix A: connection exceptions, operator intervention (shutdown, crash, start), too many connections,
# sessions that were ended because their transaction stood still or took too long.
_AWAY = ("08", "57P", "53300", "25P03", "25P04")
_GUARD = "stellwerk_may_begin"
_OF_ASYNCPG = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def connect(
    url: str,
    *,
    pool_size: int = 20,
    application: str = "stellwerk",
    patience_s: float | None = None,
    idle_s: float = IDLE_IN_TRANSACTION_S,
) -> AsyncEngine:
    """`url` is `postgresql+asyncpg://…`; a plain `postgresql://…` is understood too. With `patience_s` a statement that
    has no answer for so long counts as one to a database that is away: a line may be dead at one end only. A
    transaction in which nothing is asked for `idle_s` is ended by the database."""
    url = url.replace("postgresql://", "postgresql+asyncpg://", 1)
    settings = {"application_name": application, "idle_in_transaction_session_timeout": str(int(idle_s * 1000))}
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        # A connection beyond the pool would be opened and thrown away at every turn: far dearer than waiting for one.
        max_overflow=0,
        pool_use_lifo=True,
        pool_pre_ping=False,
        hide_parameters=True,
        connect_args={"server_settings": settings | _SERVER, "timeout": 10, "command_timeout": patience_s},
    )
    sa.event.listen(engine.sync_engine, "checkout", _must_be_open)
    if patience_s is not None:
        sa.event.listen(engine.sync_engine, "connect", _end_long_transactions)
    return engine


def _end_long_transactions(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(_END_LONG_TRANSACTIONS)
    cursor.close()
    connection.commit()


def guarded(engine: AsyncEngine, may_begin: Callable[[], Awaitable[None]]) -> AsyncEngine:
    """The same engine for somebody who may not always write: `transaction` and `at_once` ask first, and wait with
    it."""
    return engine.execution_options(**{_GUARD: may_begin})


class Borrowed(AsyncConnection):
    """A connection of the pool, on which SQLAlchemy begins and ends nothing. What it needs for its own statements is
    made when the first is asked: most transactions need none."""

    def __init__(self, engine: AsyncEngine, held: PoolProxiedConnection) -> None:
        super().__init__(engine)
        self.held = held

    @property
    def driver(self) -> Any:
        """asyncpg's own connection."""
        return self.held.driver_connection

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Sequence[Any]:
        return await statement.ask(self.driver, values)

    async def execute(self, *args: Any, **options: Any) -> Any:
        self._open()
        return await super().execute(*args, **options)

    async def exec_driver_sql(self, *args: Any, **options: Any) -> Any:
        self._open()
        return await super().exec_driver_sql(*args, **options)

    async def get_raw_connection(self) -> PoolProxiedConnection:
        return self.held

    def _open(self) -> None:
        if self.sync_connection is None:
            made = sa.Connection(self.sync_engine, self.held)
            self.sync_connection = made.execution_options(isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[Borrowed]:
    """As `engine.begin`. Raises StorageAway when the database goes away, before or inside; what it refuses leaves as
    SQLAlchemy's DBAPIError."""
    async with _telling(), _borrowed(engine) as connection, _begun(connection.driver):
        yield connection


@asynccontextmanager
async def at_once(engine: AsyncEngine) -> AsyncIterator[Borrowed]:
    """Every statement is a transaction of its own, committed when it returns: one way to the database and back instead
    of three. For reads, and for a write that is one statement. Raises StorageAway."""
    async with _telling(), _borrowed(engine) as connection:
        yield connection


async def fetch(connection: AsyncConnection, statement: Statement, values: Mapping[str, Any]) -> Sequence[Any]:
    """Rows whose columns are attributes, straight from asyncpg where the connection is one of ours."""
    if isinstance(connection, Borrowed):
        return await connection.fetch(statement, values)
    return (await connection.execute(statement.of, values)).all()


async def first(connection: AsyncConnection, statement: Statement, values: Mapping[str, Any]) -> Any:
    """The first row; None if there is none."""
    return next(iter(await fetch(connection, statement, values)), None)


@asynccontextmanager
async def _borrowed(engine: AsyncEngine) -> AsyncIterator[Borrowed]:
    if (may_begin := engine.get_execution_options().get(_GUARD)) is not None:
        await may_begin()
    try:
        held = await greenlet_spawn(engine.sync_engine.raw_connection)
    except AsyncAdapt_asyncpg_dbapi.Error as error:
        raise DBAPIError(None, None, error) from error
    try:
        yield Borrowed(engine, held)
    except asyncpg.InternalClientError:  # the server has hung up, and asyncpg was told while nobody was asking
        await greenlet_spawn(held.invalidate)
        raise
    finally:
        await greenlet_spawn(_give_back, held)


def _give_back(held: PoolProxiedConnection) -> None:
    """One that was left in the middle of something goes to nobody else."""
    driver: Any = held.driver_connection
    if driver is not None and (driver.is_closed() or driver.is_in_transaction()):
        held.invalidate()
    held.close()


@asynccontextmanager
async def _begun(driver: Any) -> AsyncIterator[None]:
    begun = driver.transaction()
    await begun.start()
    try:
        yield
    except BaseException:
        with suppress(OSError, *_OF_ASYNCPG):
            await begun.rollback()
        raise
    await begun.commit()


def _must_be_open(connection: Any, record: object, held: object) -> None:
    """A connection that ended while it lay in the pool is replaced before anybody gets it."""
    if connection.driver_connection.is_closed():
        raise sa.exc.DisconnectionError


@asynccontextmanager
async def _telling() -> AsyncIterator[None]:
    try:
        yield
    except (DBAPIError, NoFreeConnection, OSError, *_OF_ASYNCPG) as error:
        if _is_away(error):
            raise StorageAway(type(error.__cause__ or error).__name__) from error
        if isinstance(error, _OF_ASYNCPG):
            raise DBAPIError(None, None, error) from error
        raise


def _is_away(error: Exception) -> bool:
    match error:
        case DBAPIError():
            code = getattr(error.orig, "sqlstate", None) or ""
            return error.connection_invalidated or code.startswith(_AWAY)
        case asyncpg.PostgresError():
            return (error.sqlstate or "").startswith(_AWAY)
        case asyncpg.InterfaceError():
            return "closed" in str(error)  # it has no code
        case _:
            return True
