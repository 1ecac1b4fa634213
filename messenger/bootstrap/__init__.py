"""The composition root: the one place that sees everything and puts it together."""

from messenger.bootstrap.admin import Admin, open_admin
from messenger.bootstrap.database import (
    SchemaStatus,
    embedded_database,
    key_migration_sql,
    migrate,
    migration_sql,
    open_engine,
    schema_status,
)
from messenger.bootstrap.desk import DeskIdentity, desk_findings, desk_identity, open_desk_client
from messenger.bootstrap.keys import key_status, rotate_root_key
from messenger.bootstrap.service import serve
from messenger.storage.encryption import write_root_key

__all__ = [
    "Admin",
    "DeskIdentity",
    "SchemaStatus",
    "desk_findings",
    "desk_identity",
    "embedded_database",
    "key_migration_sql",
    "key_status",
    "migrate",
    "migration_sql",
    "open_admin",
    "open_desk_client",
    "open_engine",
    "rotate_root_key",
    "schema_status",
    "serve",
    "write_root_key",
]
