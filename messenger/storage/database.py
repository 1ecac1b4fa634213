"""One engine per process. Reads are short, transactions shorter: none is open while something is awaited outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from messenger.app.ports import StorageAway

# A stopped process must not keep its locks (the fence of a desk among them) for longer than this.
IDLE_IN_TRANSACTION_MS = 10_000
# PostgreSQL, appendix A: connection exceptions, operator intervention (shutdown, crash, start), too many connections.
_AWAY = ("08", "57P", "53300")


def connect(url: str, *, pool_size: int = 20, application: str = "stellwerk") -> AsyncEngine:
    """`url` is `postgresql+asyncpg://…`; a plain `postgresql://…` is understood too."""
    url = url.replace("postgresql://", "postgresql+asyncpg://", 1)
    settings = {"application_name": application, "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS)}
    return create_async_engine(
        url,
        pool_size=pool_size,
        # A connection beyond the pool would be opened and thrown away at every turn: far dearer than waiting for one.
        max_overflow=0,
        pool_use_lifo=True,
        pool_pre_ping=False,
        hide_parameters=True,
        connect_args={"server_settings": settings, "timeout": 10},
    )


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
