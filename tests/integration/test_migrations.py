"""The migrations make exactly the tables that the program reads and writes, and take them away again; they give way to
whoever works, and say what they do to an older program."""

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData

from messenger.bootstrap.database import SchemaIsNewer, SchemaIsOld, check_schema, status_of
from messenger.storage import migration
from messenger.storage.database import connect
from messenger.storage.migration import Schema
from messenger.storage.models import whole_schema
from messenger.storage.models.subject_keys import key_metadata
from tests.support.databases import create_schema
from tests.support.next_version import CONTRACT, NEXT, NextVersion


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


FILES = sorted((Path(__file__).parents[2] / "migrations").rglob("versions/*.py"))
HEAD = re.compile(r"\n\nRevision: (\w+)   After: (\w+|-)\nPhase: (expand|backfill|contract)\n\Z")
# What an older program that serves meanwhile would stumble over.
TAKES_AWAY = {"drop_column", "drop_table", "rename_table", "drop_constraint"}


def _constants(tree: ast.Module) -> dict[str, object]:
    return {
        ast.unparse(node.targets[0]): node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }


def _calls(tree: ast.Module, function: str) -> Iterator[ast.Call]:
    (body,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    return (node for node in ast.walk(body) if isinstance(node, ast.Call))


def _takes_away(call: ast.Call) -> bool:
    name = ast.unparse(call.func).removeprefix("op.")
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    is_stricter = name == "alter_column" and (given.get("nullable") == "False" or "new_column_name" in given)
    column = ast.unparse(call) if name == "add_column" else ""
    is_demanding = "nullable=False" in column and "server_default" not in column and "Identity(" not in column
    return name in TAKES_AWAY or is_stricter or is_demanding


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_migration_says_in_its_head_what_it_is_to_a_program_that_serves(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    told, known = HEAD.search(f"{ast.get_docstring(tree)}\n"), _constants(tree)
    assert told, "its head has no `Revision: …   After: …` and `Phase: expand | backfill | contract`"
    assert (told[1], told[2]) == (known["revision"], known["down_revision"] or "-")
    assert (told[3] == "contract") == ("oldest_program" in known), "who takes away says which program is too old"
    if told[3] != "contract":
        assert not [ast.unparse(call) for call in _calls(tree, "upgrade") if _takes_away(call)]


@pytest.mark.parametrize(
    ("call", "takes_away"),
    [
        ('op.drop_column("message", "at")', True),
        ('op.alter_column("message", "at", nullable=False)', True),
        ('op.alter_column("message", "at", new_column_name="moment")', True),
        ('op.add_column("message", sa.Column("x", sa.Text(), nullable=False))', True),
        ('op.add_column("message", sa.Column("x", sa.Text(), nullable=False, server_default="x"))', False),
        ('op.add_column("message", sa.Column("x", sa.Text(), nullable=True))', False),
    ],
)
def test_what_an_older_program_would_stumble_over_is_seen(call: str, takes_away: bool) -> None:
    tree = ast.parse(f"def upgrade():\n    {call}")
    assert any(map(_takes_away, _calls(tree, "upgrade"))) is takes_away


async def test_a_migration_waits_for_nobody_and_is_tried_again(empty_database_url: str) -> None:
    """Behind one that waits for a table everybody else would wait, too."""
    engine, worker = connect(empty_database_url), connect(empty_database_url)
    await migration.upgrade(engine, "0002")
    async with worker.begin() as connection:
        await connection.execute(sa.text("LOCK TABLE conversation IN ACCESS SHARE MODE"))
        coming = asyncio.create_task(migration.upgrade(engine))
        async with worker.connect() as another:
            waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'conversation'::regclass")
            while not await another.scalar(waiting):
                await asyncio.sleep(0.01)
            while await another.scalar(waiting):
                await asyncio.sleep(0.01)
            assert not coming.done(), "it gave way"
    await coming
    assert await migration.current(engine) == migration.head()
    async with engine.connect() as connection:
        assert await connection.scalar(sa.text("SHOW lock_timeout")) == "0", "the connection is as it was"
    await worker.dispose()
    await engine.dispose()


async def test_two_parts_of_a_program_that_find_an_old_schema_at_once_bring_it_up_once(empty_database_url: str) -> None:
    """As the checks of the doctor do on an embedded database: Alembic knows one command at a time."""
    engine = connect(empty_database_url)
    await asyncio.gather(*(migration.upgrade(engine) for _ in range(3)))
    assert await migration.current(engine) == migration.head()
    await engine.dispose()


async def test_a_program_serves_on_a_newer_schema_that_only_grew(empty_database_url: str, tmp_path: Path) -> None:
    await create_schema(empty_database_url)
    engine = connect(empty_database_url)
    await NextVersion.write(tmp_path).up(engine)
    status = await status_of(engine, engine)
    assert (status.current, status.fits, status.is_newer) == (NEXT, True, True)
    check_schema(status)
    await NextVersion.write(tmp_path).down(engine)
    assert (await status_of(engine, engine)).is_newer is False
    await engine.dispose()


async def test_a_program_refuses_a_newer_schema_that_lacks_what_it_needs(
    empty_database_url: str, tmp_path: Path
) -> None:
    await create_schema(empty_database_url)
    engine = connect(empty_database_url)
    await NextVersion.write(tmp_path, steps=CONTRACT, phase="contract").up(engine)
    with pytest.raises(SchemaIsNewer, match="install the newer version"):
        check_schema(await status_of(engine, engine))
    await engine.dispose()


async def test_a_schema_that_lacks_migrations_is_told_apart(empty_database_url: str) -> None:
    engine = connect(empty_database_url)
    await migration.upgrade(engine, "0002")
    with pytest.raises(SchemaIsOld):
        check_schema(await status_of(engine, engine))
    await engine.dispose()
