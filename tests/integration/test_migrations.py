"""The migrations make exactly the tables that the program reads and writes, and take them away again."""

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData

from messenger.storage import migration
from messenger.storage.database import connect
from messenger.storage.migration import Schema
from messenger.storage.models import whole_schema
from messenger.storage.models.subject_keys import key_metadata


def _differences(connection: Connection, schema: Schema, models: MetaData) -> list[object]:
    options = {"compare_server_default": True, "version_table": schema.version_table}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), models))


def _partial_indexes(connection: Connection) -> dict[str, str]:
    query = sa.text(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE '%WHERE%'"
    )
    return {row.indexname: row.indexdef for row in connection.execute(query)}


SCHEMAS = {"main": (migration.MAIN, whole_schema()), "keys": (migration.KEYS, key_metadata)}
both = pytest.mark.parametrize(("schema", "models"), SCHEMAS.values(), ids=SCHEMAS)


@both
async def test_the_migrated_schema_is_the_one_of_the_models(
    schema: Schema, models: MetaData, empty_database_url: str
) -> None:
    engine = connect(empty_database_url)
    async with engine.begin() as connection:
        await connection.run_sync(models.create_all)
        wanted = await connection.run_sync(_partial_indexes)
        await connection.run_sync(models.drop_all)
    await migration.upgrade(engine, schema=schema)
    async with engine.begin() as connection:
        assert await connection.run_sync(_differences, schema, models) == []
        assert await connection.run_sync(_partial_indexes) == wanted
    await engine.dispose()


@both
async def test_up_down_up(schema: Schema, models: MetaData, empty_database_url: str) -> None:
    engine = connect(empty_database_url)
    await migration.upgrade(engine, schema=schema)
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(migration.config(sync, schema), "base"))
    assert await migration.current(engine, schema) is None
    await migration.upgrade(engine, schema=schema)
    assert await migration.current(engine, schema) == migration.head(schema)
    await engine.dispose()


def test_the_statements_can_be_given_to_somebody_else() -> None:
    assert "CREATE TABLE conversation" in migration.as_sql()
    assert "CREATE TABLE subject_key" in migration.as_sql(migration.KEYS)
