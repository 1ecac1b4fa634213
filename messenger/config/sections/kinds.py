"""What every section is, and the kinds of values in them."""

from typing import Annotated, Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
RoomId = Annotated[str, StringConstraints(pattern=r"^(![^\s]+)?$")]
ServerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:\[\]-]+$", to_lower=True)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*")
    @classmethod
    def _is_visible(cls, value: Any) -> Any:
        """It is written into rows and messages, which take no control characters."""
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and not text.isprintable():
                raise ValueError("must be one line of visible characters")
        return value

    @model_validator(mode="after")
    def _a_secret_has_one_place(self) -> Self:
        fields = type(self).model_fields
        for name in fields:
            file = f"{name}_file"
            if file in fields and getattr(self, name) != fields[name].default and getattr(self, file) is not None:
                raise ValueError(f"set either `{name}` or `{file}`, not both")
        return self


UserId = Annotated[str, StringConstraints(pattern=r"^@[^:\s]+:[^\s]+$")]


def _homeserver(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must be an address like https://matrix.example.org")
    return url.rstrip("/")


Homeserver = Annotated[str, AfterValidator(_homeserver)]


def checked_postgres(url: str) -> str:
    """Raises ValueError, without the value: a password is in it."""
    if url and not url.startswith(("postgresql://", "postgresql+asyncpg://")):
        raise ValueError("must be an address like postgresql://user:password@host/name, or empty")
    return url


def _postgres(url: SecretStr) -> SecretStr:
    checked_postgres(url.get_secret_value())
    return url


PostgresAddress = Annotated[SecretStr, AfterValidator(_postgres)]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.path.strip("/") or parts.username:
        raise ValueError("must be an address without a path, like https://cdn.example.org or http://10.0.0.7:8080")
    return url.rstrip("/")


Origin = Annotated[str, AfterValidator(_origin)]


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError("must be a time zone name like Europe/Berlin or UTC") from None
    return name


TimeZone = Annotated[str, AfterValidator(_time_zone)]


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if text and not (host and colon and port.isdecimal() and int(port) < 65_536):
        raise ValueError("must be an address like 127.0.0.1:9090, or empty")
    return text


ListenAddress = Annotated[str, AfterValidator(_address)]


def _socket_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if value and not value.startswith("/") and not (host and port.isdecimal() and 0 < int(port) < 65_536):
        raise ValueError("must be the path of a socket, like /run/clamav/clamd.ctl, or host:port")
    return value


SocketAddress = Annotated[str, AfterValidator(_socket_address)]
