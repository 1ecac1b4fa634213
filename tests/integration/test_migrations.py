"""The migrations make exactly the tables that the program reads and writes, and take them away again."""

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from messenger.storage import migration
from messenger.storage.database import connect
from messenger.storage.models import whole_schema


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_server_default": True})
    return list(compare_metadata(context, whole_schema()))


def _partial_indexes(connection: Connection) -> dict[str, str]:
    query = sa.text(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE '%WHERE%'"
    )
    return {row.indexname: row.indexdef for row in connection.execute(query)}


async def test_the_migrated_schema_is_the_one_of_the_models(database_url: str, empty_database_url: str) -> None:
    migrated, made = connect(database_url), connect(empty_database_url)
    async with made.begin() as connection:
        await connection.run_sync(whole_schema().create_all)
        wanted = await connection.run_sync(_partial_indexes)
    async with migrated.begin() as connection:
        assert await connection.run_sync(_differences) == []
        assert await connection.run_sync(_partial_indexes) == wanted
    await migrated.dispose()
    await made.dispose()


async def test_up_down_up(empty_database_url: str) -> None:
    engine = connect(empty_database_url)
    await migration.upgrade(engine)
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(migration.config(sync), "base"))
    assert await migration.current(engine) is None
    await migration.upgrade(engine)
    assert await migration.current(engine) == migration.head()
    await engine.dispose()


def test_the_statements_can_be_given_to_somebody_else() -> None:
    assert "CREATE TABLE conversation" in migration.as_sql()
