"""The installation itself: its name, its databases, its listeners, languages and logs."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from messenger.config.errors import ConfigError
from messenger.config.secret_files import read_secret
from messenger.config.sections.kinds import (
    Language,
    ListenAddress,
    PostgresAddress,
    Section,
    TimeZone,
    checked_postgres,
)
from messenger.i18n import LANGUAGES


class Server(Section):
    """The installation as a whole."""

    data_dir: Path = Field(
        default=Path("var"),
        description=(
            "Folder for everything Stellwerk writes itself: the embedded database, recovery keys, logs of "
            "child processes. Relative paths start at the folder of this file."
        ),
    )
    organisation: str = Field(
        default="Customer service", min_length=1, description="How your organisation introduces itself to customers."
    )
    time_zone: TimeZone = Field(
        default="UTC", description="Time zone of times shown to staff and customers, for example `Europe/Berlin`."
    )


class Database(Section):
    """Where the data lives. Without an address Stellwerk starts its own PostgreSQL under `server.data_dir`."""

    url: PostgresAddress = Field(
        default=SecretStr(""),
        description=(
            "Address of a PostgreSQL database: `postgresql://user:password@host/name`. Empty: the embedded PostgreSQL."
        ),
    )
    url_file: Path | None = Field(default=None, description="File that holds the address, instead of `url`.")
    pool_size: int = Field(default=10, ge=2, le=100, description="Database connections kept open by one process.")

    def address(self) -> str:
        """The database's address; "" means the embedded one. Raises ConfigError if `url_file` cannot be read."""
        return _address("database", self.url, self.url_file)


class KeyDatabase(Section):
    """Where the keys of persons live, apart from what is sealed under them. Its backups are kept 30 days at most."""

    url: PostgresAddress = Field(
        default=SecretStr(""),
        description=(
            "Address of the key database, in a small PostgreSQL cluster of its own, so that what was erased cannot "
            "come back from an old backup of the messages. Needed when `database.url` is set. Empty: a second database "
            "of the embedded PostgreSQL, which is weaker: both then share their files and backups."
        ),
    )
    url_file: Path | None = Field(default=None, description="File that holds the address, instead of `url`.")

    def address(self) -> str:
        """As `Database.address`."""
        return _address("key_database", self.url, self.url_file)


def _address(section: str, url: SecretStr, file: Path | None) -> str:
    if file is None:
        return url.get_secret_value()
    try:
        return checked_postgres(read_secret(f"{section}.url_file", file))
    except ValueError as error:
        raise ConfigError(f"{section}.url_file: {file} {error}") from None


class Web(Section):
    """Listeners."""

    metrics_listen: ListenAddress = Field(
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
