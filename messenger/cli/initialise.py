"""`stellwerk init`: the files that a new installation starts from. It never overwrites anything."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from messenger.cli import output
from messenger.cli.state import Failed, state_of
from messenger.config import ConfigError, Settings
from messenger.config.template import render


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    homeserver: str
    user_id: str
    organisation: str
    time_zone: str
    language: str
    database_url: str
    key_database_url: str
    password_file: Path


def init(
    ctx: typer.Context,
    homeserver: Annotated[str, typer.Option(prompt="Address of the homeserver", help="https://matrix.example.org")],
    user_id: Annotated[str, typer.Option(prompt="User id of the desk's account", help="@desk:example.org")],
    password_file: Annotated[
        Path | None, typer.Option(help="File with the account's password. Without it the password is asked for.")
    ] = None,
    organisation: Annotated[str, typer.Option(help="How you introduce yourself to customers.")] = "Customer service",
    time_zone: Annotated[str, typer.Option(help="For example Europe/Berlin.")] = "UTC",
    language: Annotated[str, typer.Option(help="First language to customers.")] = "en",
    database_url: Annotated[str, typer.Option(help="PostgreSQL address; empty: the embedded one.")] = "",
    key_database_url: Annotated[
        str, typer.Option(help="PostgreSQL address of the keys, in a cluster of its own; with --database-url.")
    ] = "",
) -> None:
    """Writes stellwerk.toml, a root key and the desk's password file next to it."""
    file = state_of(ctx).file.absolute()
    if file.exists():
        raise Failed(f"{file} exists already and was not touched. Edit it, or name another with --config")
    if password_file is not None and not password_file.is_file():
        raise Failed(f"there is no file {password_file}: write the account's password into it first")
    if database_url and not key_database_url:
        raise Failed("--database-url needs --key-database-url: persons' keys live in a small PostgreSQL of their own")
    kept = password_file or file.parent / "desk.password"
    if password_file is None and not kept.exists():
        _write_new(kept, typer.prompt("Password of the account", hide_input=True) + "\n")
    answers = Answers(homeserver=homeserver, user_id=user_id, organisation=organisation, time_zone=time_zone,
                      language=language, database_url=database_url, key_database_url=key_database_url,
                      password_file=kept)  # fmt: skip
    settings = _write_settings(file, answers)
    has_key = _ensure_root_key(settings.security.root_key_file)
    _tell(settings, kept, has_key)


def _write_settings(file: Path, answers: Answers) -> Settings:
    """Writes beside the final name, reads it back as a check, and links it to its name only if that is still free."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    _write_new(draft, render(_values(file.parent, answers)))
    try:
        settings = Settings.load(draft)
        os.link(draft, file)
    except ConfigError as error:
        raise Failed(str(error).replace(f"{draft}: ", "")) from None
    except FileExistsError:
        raise Failed(f"{file} exists already and was not touched") from None
    finally:
        draft.unlink()
    return settings


def _values(folder: Path, answers: Answers) -> dict[str, dict[str, object]]:
    secret = answers.password_file.absolute()
    shown = secret.relative_to(folder) if secret.is_relative_to(folder) else secret
    desk = {"user_id": answers.user_id, "password_file": str(shown)}
    languages = list(dict.fromkeys([answers.language, "en", "de", "zh"]))
    return {
        "server": {"organisation": answers.organisation, "time_zone": answers.time_zone},
        "database": {"url": answers.database_url} if answers.database_url else {},
        "key_database": {"url": answers.key_database_url} if answers.key_database_url else {},
        "matrix": {"homeserver": answers.homeserver, "desks": [desk]},
        "i18n": {"default": answers.language, "languages": languages},
    }


def _write_new(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)


def _ensure_root_key(file: Path) -> bool:
    """True: the key was there already and stays."""
    from messenger.storage.encryption import write_root_key

    if file.exists():
        return True
    write_root_key(file)
    return False


def _tell(settings: Settings, password_file: Path, has_key: bool) -> None:
    key = settings.security.root_key_file
    output.say(f"written  {settings.file.with_name('stellwerk.toml')}")
    output.say(f"{'kept' if has_key else 'written':<8} {key}   copy it to a safe place: nothing can be read without it")
    output.say(f"password {password_file}   needed for the first login only")
    output.say("\nNext:\n  stellwerk doctor                 is everything in place?\n"
               "  stellwerk migrate up             make the tables\n"
               "  stellwerk group add General --default\n"
               "  stellwerk agent add @anna:example.org \"Anna Krüger\" --language de\n"
               "  stellwerk group member add General @anna:example.org\n"
               "  stellwerk serve")  # fmt: skip
