"""Reads the settings from all their sources. The first source that names a value wins: command line, environment
(`STELLWERK__SECTION__KEY`), secrets directory (files `stellwerk__section__key`), `stellwerk.toml`, defaults."""

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from messenger.config.errors import ConfigError
from messenger.config.explain import Sources, explain, unknown_variables
from messenger.config.secret_files import named_secrets, wrong_with
from messenger.config.sections.installation import Database, I18n, KeyDatabase, Log, Server, Web
from messenger.config.sections.limits import Limits, Outbound, Scanner
from messenger.config.sections.matrix import Desk, Matrix
from messenger.config.sections.protection import Audit, Privacy, Security

DEFAULT_FILE = Path("stellwerk.toml")
ENV_PREFIX = "STELLWERK__"
SECRETS_VARIABLE = "STELLWERK_SECRETS_DIR"
SECRETS_DIR = Path("/run/secrets")

_M = TypeVar("_M", bound=BaseModel)


class Settings(BaseSettings):
    """All settings. Make one with `Settings.load`; it is frozen from then on."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    server: Server = Field(default=Server())
    database: Database = Field(default=Database())
    key_database: KeyDatabase = Field(default=KeyDatabase())
    matrix: Matrix
    security: Security = Field(default=Security())
    audit: Audit = Field(default=Audit())
    privacy: Privacy = Field(default=Privacy())
    limits: Limits = Field(default=Limits())
    outbound: Outbound = Field(default=Outbound())
    web: Web = Field(default=Web())
    scanner: Scanner = Field(default=Scanner())
    i18n: I18n = Field(default=I18n())
    log: Log = Field(default=Log())

    _file: Path = PrivateAttr(default=DEFAULT_FILE)
    _warnings: tuple[str, ...] = PrivateAttr(default=())

    @property
    def file(self) -> Path:
        """The settings file these values came from (it may not exist when all of them came from the environment)."""
        return self._file

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works but should be changed; the command line prints it."""
        return self._warnings

    def recovery_key_file(self, desk: Desk) -> Path:
        return desk.recovery_key_file or self.server.data_dir / f"{desk.localpart}.recovery"

    def checkpoint_file(self) -> Path:
        return self.audit.checkpoint_file or self.server.data_dir / "audit-checkpoints.jsonl"

    def signing_key_file(self) -> Path:
        return self.privacy.signing_key_file or self.server.data_dir / "signing.key"

    def erasure_ledger_file(self) -> Path:
        return self.privacy.erasure_ledger_file or self.server.data_dir / "erasure-ledger.jsonl"

    def desk(self, user_id: str | None = None) -> Desk:
        """The named desk, or the first one. Raises ConfigError."""
        for desk in self.matrix.desks:
            if user_id in (None, desk.user_id):
                return desk
        raise ConfigError(
            f"{self._file}: no desk {user_id or ''} is configured. Add a [[matrix.desks]] section with its user_id"
        )

    def refuse_open_secrets(self) -> None:
        """At the start of a service: no secret that others can read, not even one that is not needed just now. Raises
        ConfigError."""
        if problems := [*self._warnings, *(f"{name}: {wrong}" for name, wrong in self.wrong_secrets())]:
            raise ConfigError("\n".join(problems))

    def wrong_secrets(self) -> Iterator[tuple[str, str]]:
        """(setting, what is wrong with its file), the files at their usual places included."""
        files = {file: name for name, file in named_secrets(self)}
        files |= {self.recovery_key_file(desk): f"recovery key of {desk.user_id}" for desk in self.matrix.desks}
        files[self.signing_key_file()] = "privacy.signing_key_file"
        yield from ((name, wrong) for file, name in files.items() if (wrong := wrong_with(file)))

    @classmethod
    def load(
        cls,
        path: Path | str | None = None,
        *,
        overrides: Mapping[str, Any] | None = None,
        secrets_dir: Path | None = None,
    ) -> "Settings":
        """`path` None means `stellwerk.toml` in the current folder. `overrides` come from the command line, nested by
        section. Paths in the settings are made absolute from the file's folder. Raises ConfigError."""
        file = Path(path or DEFAULT_FILE).absolute()
        sources = Sources(
            file=file,
            overrides=dict(overrides or {}),
            env_prefix=ENV_PREFIX,
            toml=_read_toml(file, must_exist=path is not None),
            secrets_dir=secrets_dir or _secrets_dir(),
        )
        settings = _anchored(_validated(cls, sources), file.parent)
        settings._file = file
        settings._warnings = _mode_warnings(file, sources.toml)
        return settings


def _secrets_dir() -> Path | None:
    folder = Path(os.environ.get(SECRETS_VARIABLE) or SECRETS_DIR)
    return folder if folder.is_dir() else None


def _read_toml(file: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        if not must_exist and any(name.startswith(ENV_PREFIX) for name in os.environ):
            return {}
        raise ConfigError(
            f"there is no settings file {file}. `stellwerk init` writes one; `--config PATH` names another"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}. Correct that line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from None


def _validated(cls: type[Settings], sources: Sources) -> Settings:
    """A subclass per call carries the sources of that call: pydantic-settings asks the class for them."""

    class Loaded(cls):  # type: ignore[valid-type, misc]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            secrets = NestedSecretsSettingsSource(
                file_secret_settings, secrets_dir=sources.secrets_dir, secrets_dir_missing="ok"
            )
            return init_settings, env_settings, secrets, InitSettingsSource(settings_cls, sources.toml)

    if problems := unknown_variables(sources, cls):
        raise ConfigError("\n".join(problems))
    try:
        return Loaded(**sources.overrides)
    except ValidationError as error:
        raise ConfigError(explain(error, sources, cls)) from None
    except SettingsError as error:
        raise ConfigError(f"{error}: lists and tables in environment variables are written as JSON") from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"a file in {sources.secrets_dir} is not UTF-8 text. Write the secret into it as text"
        ) from None


def _anchored(model: _M, base: Path) -> _M:
    """The same settings with every relative path made absolute."""
    changes = {name: _anchored_value(getattr(model, name), base) for name in type(model).model_fields}
    return model.model_copy(update=changes)


def _anchored_value(value: Any, base: Path) -> Any:
    match value:
        case Path():
            return base / _at_home(value)
        case BaseModel():
            return _anchored(value, base)
        case tuple():
            return tuple(_anchored_value(item, base) for item in value)
        case _:
            return value


def _at_home(path: Path) -> Path:
    """Raises ConfigError."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: there is no such user here. Write the whole path") from None


def _mode_warnings(file: Path, toml: dict[str, Any]) -> tuple[str, ...]:
    if not file.exists() or not stat.S_IMODE(file.stat().st_mode) & 0o077 or not _holds_secret(Settings, toml):
        return ()
    return (f"{file} holds a secret and can be read by other users of this machine: chmod 600 {file}",)


def _holds_secret(model: type[BaseModel], table: Mapping[str, Any]) -> bool:
    for name, field in model.model_fields.items():
        value = table.get(name)
        if not value:
            continue
        if SecretStr in _types(field.annotation):
            return True
        nested = [kind for kind in _types(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        rows = value if isinstance(value, list) else [value]
        if any(_holds_secret(kind, row) for kind in nested for row in rows if isinstance(row, Mapping)):
            return True
    return False


def _types(annotation: Any) -> set[Any]:
    """The annotation and all its arguments: `tuple[Desk, ...]` -> tuple[Desk, ...], Desk."""
    found = {annotation}
    for part in getattr(annotation, "__args__", ()):
        found |= _types(part)
    return found
