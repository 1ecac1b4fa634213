"""What protects the data and the persons whose data it is: keys, the audit log, a person's rights."""

from pathlib import Path

from pydantic import Field, SecretStr

from messenger.config.secret_files import read_secret
from messenger.config.sections.kinds import RoomId, Section


class Security(Section):
    """Keys at rest."""

    root_key_file: Path = Field(
        default=Path("root.key"),
        description=(
            "File with the root key, which opens everything stored. Mode 0400. Without it the data cannot be "
            "read: keep a copy in a safe place, apart from the database."
        ),
    )
    operator: str = Field(
        default="",
        description=(
            "In whose name verbs of the command line are done when `--as` does not say: a name or user id of the "
            "staff, whose roles decide. Empty: whoever works at this machine, as an administrator."
        ),
    )


class Audit(Section):
    """Signed checkpoints of the audit log, written to a second place so that nobody can cut it unseen."""

    checkpoint_file: Path | None = Field(
        default=None,
        description=(
            "File to which signed checkpoints are added. Empty: `audit-checkpoints.jsonl` under `server.data_dir`. "
            "Better is a place that whoever runs the database cannot write to, for example another machine's folder."
        ),
    )
    checkpoint_minutes: float = Field(
        default=5,
        gt=0,
        le=1440,
        description="How often a checkpoint is written while something was added; one is written at every stop, too.",
    )
    room: RoomId = Field(
        default="",
        description=(
            "Matrix room id to which every checkpoint is posted, too, in clear: they hold no secrets. Invite the desk "
            "there. The room must never have been encrypted, else none is posted. Empty: none."
        ),
    )


class Privacy(Section):
    """The rights of a person: export, erasure, retention."""

    four_eyes: bool = Field(
        default=False,
        description="An export or an erasure that one person asks for must be approved by another (`contact approve`).",
    )
    approval_hours: int = Field(
        default=72, ge=1, le=720, description="For so long a request can be approved, and an approved one be used."
    )
    signing_key_file: Path | None = Field(
        default=None,
        description=(
            "File with the key that signs certificates and the erasure ledger. Made at first use. Empty: `signing.key` "
            "under `server.data_dir`. Keep a copy elsewhere."
        ),
    )
    erasure_ledger_file: Path | None = Field(
        default=None,
        description=(
            "File that remembers who was erased, so that a restored backup can be cleaned before it serves. Empty: "
            "`erasure-ledger.jsonl` under `server.data_dir`. Each backup holds a copy; who was erased since the last "
            "one is known only here and in `erasure_ledger_copy_file`."
        ),
    )
    erasure_ledger_copy_file: Path | None = Field(
        default=None,
        description=(
            "A second place for the erasure ledger, on another disk: it has each entry before anything is destroyed. "
            "`restore` looks there, too."
        ),
    )
    homeserver_admin_token: SecretStr | None = Field(
        default=None,
        description=(
            "Access token of an administrator of the homeserver (Synapse), to delete files there. Without it files of "
            "an erased person stay on the homeserver, encrypted and without their keys."
        ),
    )
    homeserver_admin_token_file: Path | None = Field(
        default=None, description="File that holds the token, instead of `homeserver_admin_token`."
    )
    backup_days: int = Field(
        default=90,
        ge=1,
        le=3650,
        description="How long you keep backups of the main database: certificates say until when.",
    )
    key_backup_days: int = Field(
        default=30,
        ge=1,
        le=30,
        description="How long you keep backups of the key database: certificates say until when.",
    )
    export_max_mb: int = Field(
        default=2048, ge=1, le=102_400, description="Files of one export together; what is more is named and left out."
    )

    def admin_token(self) -> str:
        """Empty: there is none. Raises ConfigError."""
        if self.homeserver_admin_token_file is not None:
            return read_secret("privacy.homeserver_admin_token_file", self.homeserver_admin_token_file)
        return self.homeserver_admin_token.get_secret_value() if self.homeserver_admin_token else ""
