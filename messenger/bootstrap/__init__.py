"""The composition root: the one place that sees everything and puts it together."""

from messenger.bootstrap.admin import Admin, open_admin
from messenger.bootstrap.backup import back_up, back_up_keys, last_backups, program, restore, restore_ledger, verify
from messenger.bootstrap.checkpoint_room import is_checkpoint_room_encrypted
from messenger.bootstrap.database import (
    SchemaStatus,
    embedded_database,
    key_migration_sql,
    migrate,
    migration_sql,
    open_engine,
    schema_status,
)
from messenger.bootstrap.desk import DeskIdentity, desk_findings, desk_identity, desk_well_known, open_desk_client
from messenger.bootstrap.drill import Drilled, drill
from messenger.bootstrap.keys import key_status, rotate_root_key
from messenger.bootstrap.point_in_time import back_up_continuously, end_continuous_backup, restore_to, verify_continuous
from messenger.bootstrap.recovery import Recovered, recover_desk
from messenger.bootstrap.service import serve
from messenger.storage.backup_set import Manifest
from messenger.storage.encryption import write_root_key

__all__ = [
    "Admin",
    "DeskIdentity",
    "Drilled",
    "Manifest",
    "Recovered",
    "SchemaStatus",
    "back_up",
    "back_up_continuously",
    "back_up_keys",
    "desk_findings",
    "desk_identity",
    "desk_well_known",
    "drill",
    "embedded_database",
    "end_continuous_backup",
    "is_checkpoint_room_encrypted",
    "key_migration_sql",
    "key_status",
    "last_backups",
    "migrate",
    "migration_sql",
    "open_admin",
    "open_desk_client",
    "open_engine",
    "program",
    "recover_desk",
    "restore",
    "restore_ledger",
    "restore_to",
    "rotate_root_key",
    "schema_status",
    "serve",
    "verify",
    "verify_continuous",
    "write_root_key",
]
