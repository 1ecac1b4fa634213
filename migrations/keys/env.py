"""Alembic's entry for the key database, beside the one of the main database. Its versions have a table of their own
name, so that nobody takes the one database for the other."""

from alembic import context

from messenger.storage.migration import KEYS, note_oldest_program
from messenger.storage.models.subject_keys import key_metadata


def run() -> None:
    connection = context.config.attributes.get("connection")
    if connection is None:
        context.configure(
            dialect_name="postgresql",
            target_metadata=key_metadata,
            literal_binds=True,
            version_table=KEYS.version_table,
            transaction_per_migration=True,
            on_version_apply=note_oldest_program,
        )
    else:
        context.configure(
            connection=connection,
            target_metadata=key_metadata,
            version_table=KEYS.version_table,
            transaction_per_migration=True,
            on_version_apply=note_oldest_program,
        )
    with context.begin_transaction():
        context.run_migrations()


run()
