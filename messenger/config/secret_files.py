"""Files that hold secrets: what is wrong with one, before anybody trusts it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, SecretStr

from messenger.config.errors import ConfigError

# Keys, whose setting is the file alone. Every other secret may stand in the settings too, named without `_file`.
KEY_FILES = frozenset({"root_key_file", "recovery_key_file", "signing_key_file"})


def wrong_with(file: Path) -> str | None:
    """In words for the operator; None: it is in order, or there is none."""
    try:
        details = file.stat()
    except OSError:
        return None  # whoever needs it says so
    if stat.S_IMODE(details.st_mode) & (0o037 if _is_credential(file) else 0o077):
        return f"{file} can be read by others: chmod 400 {file}"
    if details.st_size == 0:
        return f"{file} is empty"
    return None


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


def _is_credential(file: Path) -> bool:
    """Given to this service by systemd: the right of the service's user to read it shows where the group's rights do
    (acl(5), "Correspondence between ACL entries and file permission bits")."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return bool(folder) and file.parent == Path(folder)


def named_secrets(model: BaseModel) -> Iterator[tuple[str, Path]]:
    """(setting, file) of every secret's own file that these settings name, found from the models."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from ((f"{name}.{inner}", file) for inner, file in named_secrets(value))
        elif isinstance(value, tuple):
            for part in value:
                if isinstance(part, BaseModel):
                    yield from ((f"{name}.{inner}", file) for inner, file in named_secrets(part))
        elif isinstance(value, Path) and _is_secret(model, name):
            yield name, value


def _is_secret(model: BaseModel, name: str) -> bool:
    if name in KEY_FILES:
        return True
    other = type(model).model_fields.get(name.removesuffix("_file")) if name.endswith("_file") else None
    return other is not None and SecretStr.__name__ in str(other.annotation)
