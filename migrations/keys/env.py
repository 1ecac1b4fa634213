"""Alembic's entry for the key database, beside the one of the main database. Its versions have a table of their own
name, so that nobody takes the one database for the other."""

from alembic import context

from messenger.storage.models.subject_keys import key_metadata

VERSION_TABLE = "key_schema_version"


def run() -> None:
    connection = context.config.attributes.get("connection")
    if connection is None:
        context.configure(
            dialect_name="postgresql", target_metadata=key_metadata, literal_binds=True, version_table=VERSION_TABLE
        )
    else:
        connection.exec_driver_sql("SET lock_timeout = '2s'")
        context.configure(connection=connection, target_metadata=key_metadata, version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()


run()
