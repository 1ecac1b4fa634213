"""The homeserver and the desks."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from messenger.config.errors import ConfigError
from messenger.config.secret_files import read_secret
from messenger.config.sections.kinds import Homeserver, Section, ServerName, UserId


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

    homeserver: Homeserver = Field(
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
        description=(
            "How many invitations a minute are accepted from one other server; later ones wait. All other servers "
            "together: twelve times as many."
        ),
    )
    desks: tuple[Desk, ...] = Field(default=(), description="The bot accounts.")

    @model_validator(mode="after")
    def _distinct_desks(self) -> Self:
        names = [desk.user_id for desk in self.desks]
        if len(set(names)) != len(names):
            raise ValueError("two desks have the same `user_id`")
        return self
