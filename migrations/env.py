"""Alembic's entry. The connection and its limits come from the caller (messenger/storage/migration.py); without one,
SQL is printed."""

from alembic import context

from messenger.storage.migration import note_oldest_program
from messenger.storage.models import whole_schema


def run() -> None:
    connection = context.config.attributes.get("connection")
    if connection is None:
        context.configure(
            dialect_name="postgresql",
            target_metadata=whole_schema(),
            literal_binds=True,
            transaction_per_migration=True,
            on_version_apply=note_oldest_program,
        )
    else:
        context.configure(
            connection=connection,
            target_metadata=whole_schema(),
            compare_type=True,
            transaction_per_migration=True,
            on_version_apply=note_oldest_program,
        )
    with context.begin_transaction():
        context.run_migrations()


run()
