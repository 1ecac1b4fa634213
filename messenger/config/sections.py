"""The sections of `stellwerk.toml`, one model each. The descriptions are the reference page of the manual, so they are
written for operators. Every secret can also come from a file of its own (`*_file`), outside the main file."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from messenger.config.errors import ConfigError
from messenger.config.secret_files import wrong_with
from messenger.i18n import LANGUAGES

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
ServerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:\[\]-]+$", to_lower=True)]


def _shown(text: str) -> str:
    """It is written into rows and messages, which take no control characters."""
    if not text.isprintable():
        raise ValueError("must be one line of visible characters")
    return text


UserId = Annotated[str, StringConstraints(pattern=r"^@[^:\s]+:[^\s]+$"), AfterValidator(_shown)]


def _homeserver(url: str) -> str:
    parts = urlsplit(_shown(url))
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must be an address like https://matrix.example.org")
    return url.rstrip("/")


def _origin(url: str) -> str:
    parts = urlsplit(_shown(url))
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.path.strip("/") or parts.username:
        raise ValueError("must be an address without a path, like https://cdn.example.org or http://10.0.0.7:8080")
    return url.rstrip("/")


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError("must be a time zone name like Europe/Berlin or UTC") from None
    return name


def read_secret(key: str, file: Path) -> str:
    """The content of a secret's own file, without the line end. Raises ConfigError also for one that others can read,
    or that is empty."""
    if wrong := wrong_with(file):
        raise ConfigError(f"{key}: {wrong}")
    try:
        return file.read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"{key}: cannot read {file} ({error.strerror}). Write the secret into that file, "
            f"readable only by the user that runs Stellwerk"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{key}: {file} is not UTF-8 text. Write the secret into it as text") from None


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(Section):
    """The installation as a whole."""

    data_dir: Path = Field(
        default=Path("var"),
        description=(
            "Folder for everything Stellwerk writes itself: the embedded database, recovery keys, logs of "
            "child processes. Relative paths start at the folder of this file."
        ),
    )
    organisation: Annotated[str, AfterValidator(_shown)] = Field(
        default="Customer service", min_length=1, description="How your organisation introduces itself to customers."
    )
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(
        default="UTC", description="Time zone of times shown to staff and customers, for example `Europe/Berlin`."
    )


class Database(Section):
    """Where the data lives. Without an address Stellwerk starts its own PostgreSQL under `server.data_dir`."""

    url: SecretStr = Field(
        default=SecretStr(""),
        description=(
            "Address of a PostgreSQL database: `postgresql://user:password@host/name`. Empty: the embedded PostgreSQL."
        ),
    )
    url_file: Path | None = Field(default=None, description="File that holds the address, instead of `url`.")
    pool_size: int = Field(default=10, ge=2, le=100, description="Database connections kept open by one process.")

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.url_file is not None and self.url.get_secret_value():
            raise ValueError("set either `url` or `url_file`, not both")
        return self

    def address(self) -> str:
        """The database's address; "" means the embedded one. Raises ConfigError if `url_file` cannot be read."""
        return read_secret("database.url_file", self.url_file) if self.url_file else self.url.get_secret_value()


class KeyDatabase(Section):
    """Where the keys of persons live, apart from what is sealed under them. Its backups are kept 30 days at most."""

    url: SecretStr = Field(
        default=SecretStr(""),
        description=(
            "Address of the key database, in a small PostgreSQL cluster of its own, so that what was erased cannot "
            "come back from an old backup of the messages. Needed when `database.url` is set. Empty: a second database "
            "of the embedded PostgreSQL, which is weaker: both then share their files and backups."
        ),
    )
    url_file: Path | None = Field(default=None, description="File that holds the address, instead of `url`.")

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.url_file is not None and self.url.get_secret_value():
            raise ValueError("set either `url` or `url_file`, not both")
        return self

    def address(self) -> str:
        """As `Database.address`."""
        return read_secret("key_database.url_file", self.url_file) if self.url_file else self.url.get_secret_value()


class Desk(Section):
    """One bot account: the address that customers write to. One process at a time writes with it."""

    user_id: UserId = Field(description="Matrix user id of the account, for example `@desk:example.org`.")
    password: SecretStr | None = Field(
        default=None, description="Password of the account, needed for the first login only."
    )
    password_file: Path | None = Field(default=None, description="File that holds the password, instead of `password`.")
    recovery_key_file: Path | None = Field(
        default=None,
        description=(
            "File with the recovery key of the account's identity and key backup. Stellwerk writes it at the "
            "first start if the account has none. Empty: `<user name>.recovery` under `server.data_dir`. Keep "
            "a copy elsewhere."
        ),
    )

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("set either `password` or `password_file`, not both")
        return self

    @property
    def localpart(self) -> str:
        return self.user_id[1:].split(":", 1)[0]

    def read_password(self) -> str:
        """For the first login. Raises ConfigError if there is none."""
        if self.password is not None:
            return self.password.get_secret_value()
        if self.password_file is not None:
            return read_secret(f"matrix.desks ({self.user_id}).password_file", self.password_file)
        raise ConfigError(f"matrix.desks ({self.user_id}): the first login needs `password` or `password_file`")


class Matrix(Section):
    """The homeserver and the bot accounts on it."""

    homeserver: Annotated[str, AfterValidator(_homeserver)] = Field(
        description="Address of the homeserver's client-server API, for example `https://matrix.example.org`."
    )
    allowed_servers: tuple[ServerName, ...] = Field(
        default=(),
        description=(
            "Servers whose users may open a chat with a desk (the part after the colon of their user id). Empty: all."
        ),
    )
    invites_per_minute: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="How many invitations a minute are accepted from one other server; later ones wait.",
    )
    desks: tuple[Desk, ...] = Field(default=(), description="The bot accounts.")

    @model_validator(mode="after")
    def _distinct_desks(self) -> Self:
        names = [desk.user_id for desk in self.desks]
        if len(set(names)) != len(names):
            raise ValueError("two desks have the same `user_id`")
        return self


class Security(Section):
    """Keys at rest."""

    root_key_file: Path = Field(
        default=Path("root.key"),
        description=(
            "File with the root key, which opens everything stored. Mode 0400. Without it the data cannot be "
            "read: keep a copy in a safe place, apart from the database."
        ),
    )
    operator: Annotated[str, AfterValidator(_shown)] = Field(
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
    room: Annotated[str, StringConstraints(pattern=r"^(![^\s]+)?$")] = Field(
        default="",
        description=(
            "Matrix room id to which every checkpoint is posted, too. Invite the desk there. Checkpoints hold no "
            "secrets, so the room needs no encryption. Empty: none."
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

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.homeserver_admin_token is not None and self.homeserver_admin_token_file is not None:
            raise ValueError("set either `homeserver_admin_token` or `homeserver_admin_token_file`, not both")
        return self

    def admin_token(self) -> str:
        """Empty: there is none. Raises ConfigError."""
        if self.homeserver_admin_token_file is not None:
            return read_secret("privacy.homeserver_admin_token_file", self.homeserver_admin_token_file)
        return self.homeserver_admin_token.get_secret_value() if self.homeserver_admin_token else ""


class Limits(Section):
    """Bounds that protect the installation."""

    attachment_max_mb: int = Field(
        default=25, ge=1, le=1024, description="Largest file, in megabytes, that is relayed in either direction."
    )
    contact_per_minute: int = Field(
        default=20,
        ge=0,
        le=10_000,
        description=(
            "How much one customer may say a minute. What is more comes later, in order, marked as late; nothing is "
            "lost. 0: no limit."
        ),
    )
    contact_burst: int = Field(
        default=10, ge=1, le=10_000, description="So much of it may come at once, after a quiet time."
    )
    flood_messages: int = Field(
        default=30,
        ge=1,
        le=10_000,
        description=(
            "When more than so many messages of one customer wait for the limit, it is a flood: they are held back, "
            "one card in the group's room says so, and the team lets them in or throws them away (`!flood`)."
        ),
    )
    server_per_minute: int = Field(
        default=600,
        ge=0,
        le=100_000,
        description="How much all people of one other homeserver may say a minute, and at once. 0: no limit.",
    )
    account_per_minute: int = Field(
        default=120,
        ge=0,
        le=100_000,
        description="How many conversations may begin a minute, and at once, at one desk. 0: no limit.",
    )
    group_per_minute: int = Field(
        default=60,
        ge=0,
        le=100_000,
        description="How many conversations may begin a minute, and at once, in one group. 0: no limit.",
    )
    lease_seconds: float = Field(
        default=15.0,
        ge=1,
        le=300,
        description="After so many seconds without a sign of life another process may take a desk over.",
    )


class Outbound(Section):
    """Where the desk may fetch from when somebody else names the address: so far, where the homeserver says that a file
    lies. Without settings: `https` on port 443 of public addresses, never the own network."""

    allow_http: bool = Field(default=False, description="Also `http` on port 80 of public addresses.")
    internal: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        default=(),
        description=(
            "Systems of your own network that may be fetched from, each with scheme and port, for example "
            "`http://10.0.0.7:8080`. (The homeserver itself needs no entry.)"
        ),
    )


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if text and not (host and colon and port.isdecimal() and int(port) < 65_536):
        raise ValueError("must be an address like 127.0.0.1:9090, or empty")
    return text


class Web(Section):
    """Listeners."""

    metrics_listen: Annotated[str, AfterValidator(_address)] = Field(
        default="",
        description=(
            "Address of health and metrics for those who run the service, for example `127.0.0.1:9090`: `/livez`, "
            "`/readyz`, `/startupz`, `/metrics`. It asks for no password: let only them reach it. Empty: none."
        ),
    )

    def listens_at(self) -> tuple[str, int] | None:
        """Host and port, or None."""
        host, _, port = self.metrics_listen.rpartition(":")
        return (host.strip("[]"), int(port)) if host else None


def _socket_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if value and not value.startswith("/") and not (host and port.isdecimal() and 0 < int(port) < 65_536):
        raise ValueError("must be the path of a socket, like /run/clamav/clamd.ctl, or host:port")
    return value


class Scanner(Section):
    """A virus scanner that every file passes in both directions, before it is relayed."""

    clamd: Annotated[str, AfterValidator(_socket_address)] = Field(
        default="",
        description=(
            "Where ClamAV's daemon listens: the path of its socket, for example `/run/clamav/clamd.ctl`, or "
            "`host:port`, where nobody else can listen. While it does not answer, files wait and texts go on. Empty: "
            "files are looked into, but not scanned for known viruses."
        ),
    )
    scan_seconds: float = Field(
        default=120, ge=1, le=600, description="So long one file may take; then the scanner counts as away."
    )


class I18n(Section):
    """Languages."""

    default: Language = Field(
        default="en", description="Language of the first text to a customer whose language is not known yet."
    )
    languages: tuple[Language, ...] = Field(
        default=("en", "de", "zh"), min_length=1, description="Languages spoken to customers."
    )

    @model_validator(mode="after")
    def _texts_exist(self) -> Self:
        if unknown := set(self.languages) - set(LANGUAGES):
            raise ValueError(f"no texts exist in {', '.join(sorted(unknown))}; there are {', '.join(LANGUAGES)}")
        if self.default not in self.languages:
            raise ValueError(f"`default` ({self.default}) must be one of `languages` ({', '.join(self.languages)})")
        return self


class Log(Section):
    """Log lines on standard error. They hold ids and codes, never texts of messages."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least important lines to write."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description=(
            "`json` for machines, `console` for people; `auto` is `console` on a terminal and `json` otherwise."
        ),
    )
