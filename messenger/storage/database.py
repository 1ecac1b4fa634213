"""One engine per process. Reads are short, transactions shorter: none is open while something is awaited outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from messenger.app.ports import StorageAway

# A stopped process must not keep its locks (the fence of a desk among them) for longer than this.
IDLE_IN_TRANSACTION_MS = 10_000
# What PostgreSQL itself does when its client is gone without a word. A unix socket has no such end, and ignores them.
_SERVER = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
# A session that waits for the second half of a request is not idle, and would keep its locks for ever. From 17 on.
_END_LONG_TRANSACTIONS = (
    "SELECT set_config('transaction_timeout', '60s', false) FROM pg_settings WHERE name = 'transaction_timeout'"
)
# PostgreSQL, appendix A: connection exceptions, operator intervention (shutdown, crash, start), too many connections.
_AWAY = ("08", "57P", "53300")


def connect(
    url: str, *, pool_size: int = 20, application: str = "stellwerk", patience_s: float | None = None
) -> AsyncEngine:
    """`url` is `postgresql+asyncpg://…`; a plain `postgresql://…` is understood too. With `patience_s` a statement that
    has no answer for so long counts as one to a database that is away: a line may be dead at one end only."""
    url = url.replace("postgresql://", "postgresql+asyncpg://", 1)
    settings = {"application_name": application, "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS)}
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
    if patience_s is not None:
        sa.event.listen(engine.sync_engine, "connect", _end_long_transactions)
    return engine


def _end_long_transactions(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(_END_LONG_TRANSACTIONS)
    cursor.close()
    connection.commit()


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """As `engine.begin`. Raises StorageAway when the database goes away, before or inside."""
    async with _telling(), engine.begin() as connection:
        yield connection


@asynccontextmanager
async def at_once(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Every statement is a transaction of its own, committed when it returns: one way to the database and back instead
    of three. For reads, and for a write that is one statement. Raises StorageAway."""
    async with _telling(), engine.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def _telling() -> AsyncIterator[None]:
    try:
        yield
    except (DBAPIError, NoFreeConnection, OSError) as error:
        if _is_away(error):
            raise StorageAway(type(error.__cause__ or error).__name__) from error
        raise


def _is_away(error: DBAPIError | NoFreeConnection | OSError) -> bool:
    if not isinstance(error, DBAPIError):
        return True
    code = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or code.startswith(_AWAY)
