"""One engine per process. Reads are short, transactions shorter: none is open while something is awaited outside."""

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

# A stopped process must not keep its locks (the fence of a desk among them) for longer than this.
IDLE_IN_TRANSACTION_MS = 10_000


def connect(url: str, *, pool_size: int = 10, application: str = "stellwerk") -> AsyncEngine:
    """`url` is `postgresql+asyncpg://…`; a plain `postgresql://…` is understood too."""
    url = url.replace("postgresql://", "postgresql+asyncpg://", 1)
    settings = {"application_name": application, "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS)}
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=10,
        pool_pre_ping=False,
        hide_parameters=True,
        connect_args={"server_settings": settings, "timeout": 10},
    )
