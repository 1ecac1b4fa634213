"""Alembic's entry. The connection comes from the caller (messenger/storage/migration.py); without one, SQL is
printed."""

from alembic import context

from messenger.storage.models import whole_schema


def run() -> None:
    connection = context.config.attributes.get("connection")
    if connection is None:
        context.configure(dialect_name="postgresql", target_metadata=whole_schema(), literal_binds=True)
    else:
        # A migration that waits for a lock would stop the running service behind it: better it fails and is tried
        # again.
        connection.exec_driver_sql("SET lock_timeout = '2s'")
        context.configure(connection=connection, target_metadata=whole_schema(), compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


run()
