"""Nothing starts with a key or a secret that is missing, trivial, or open to others; and no image of the process is
left on a disk."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from messenger.config import ConfigError, Settings
from messenger.config.secret_files import KEY_FILES, named_secrets, wrong_with
from messenger.storage.encryption import BadRootKey, new_secret, read_root_key, root_key, write_root_key

TRIVIAL = {
    "zeros": bytes(32),
    "one byte": b"\xa5" * 32,
    "a pattern": bytes.fromhex("deadbeef") * 8,
    "a count": bytes(range(32)),
    "a count by threes": bytes(n * 3 % 256 for n in range(32)),
    "half of it twice": os.urandom(16) * 2,
    "typed": b"correct horse battery staple 123",
    "an example": hashlib.sha256(b"changeme").digest(),
    "the default of others": hashlib.sha256(b"DEFAULT_KEY").digest(),
    "short": os.urandom(31),
    "long": os.urandom(33),
    "nothing": b"",
}
SETTINGS = """
[database]
url_file = "database_url"
[key_database]
url_file = "key_database_url"
[matrix]
homeserver = "https://matrix.example.org"
[[matrix.desks]]
user_id = "@desk:example.org"
password_file = "desk.password"
[server]
data_dir = "."
"""
FILES = ("database_url", "key_database_url", "desk.password", "root.key", "desk.recovery", "signing.key")


@pytest.mark.parametrize("secret", TRIVIAL.values(), ids=TRIVIAL)
def test_a_trivial_root_key_is_refused(secret: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadRootKey):
        root_key(secret)
    file = tmp_path / "root.key"
    file.write_text(secret.hex())
    file.chmod(0o400)
    with pytest.raises(BadRootKey):
        read_root_key(file)


def test_a_random_root_key_is_accepted() -> None:
    for _ in range(10_000):
        root_key(new_secret())


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o444, 0o600 | 0o010, 0o666])
def test_a_root_key_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    file = tmp_path / "root.key"
    write_root_key(file)
    read_root_key(file)
    file.chmod(mode)
    with pytest.raises(BadRootKey, match="chmod 400"):
        read_root_key(file)


def test_what_is_no_key_is_refused_without_being_quoted(tmp_path: Path) -> None:
    file = tmp_path / "root.key"
    file.write_text("my very secret passphrase")
    file.chmod(0o400)
    with pytest.raises(BadRootKey) as refused:
        read_root_key(file)
    assert "passphrase" not in str(refused.value)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "stellwerk.toml").write_text(SETTINGS)
    for name in FILES:
        (tmp_path / name).write_text("postgresql://x/y")
        (tmp_path / name).chmod(0o400)
    return Settings.load(tmp_path / "stellwerk.toml")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["group", "world", "empty"])
def test_no_service_starts_with_a_secret_that_is_open_or_empty(settings: Settings, name: str, harm: str) -> None:
    settings.refuse_open_secrets()
    file = settings.file.with_name(name)
    if harm == "empty":
        file.chmod(0o600)
        file.write_text("")
    else:
        file.chmod(0o440 if harm == "group" else 0o404)
    with pytest.raises(ConfigError, match=name):
        settings.refuse_open_secrets()


def test_settings_with_a_secret_in_them_are_one_too(tmp_path: Path) -> None:
    file = tmp_path / "stellwerk.toml"
    file.write_text(SETTINGS.replace('url_file = "database_url"', 'url = "postgresql://u:secret@h/d"'))
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Settings.load(file).refuse_open_secrets()


def test_every_file_of_a_secret_is_found_from_the_models(settings: Settings) -> None:
    """A new setting of the form `x` and `x_file`, or of a key, is found by itself."""
    found = {name for name, _ in named_secrets(settings)}
    assert found == {
        "database.url_file",
        "key_database.url_file",
        "matrix.desks.password_file",
        "security.root_key_file",
    }
    fields = {name for section in type(settings).model_fields.values() for name in section.annotation.model_fields}  # type: ignore[union-attr]
    assert {name for name in fields if name.endswith("key_file")} <= KEY_FILES


def test_an_empty_or_open_file_is_named(tmp_path: Path) -> None:
    assert wrong_with(tmp_path / "missing") is None
    file = tmp_path / "secret"
    file.touch(0o400)
    assert "empty" in str(wrong_with(file))


def test_the_program_leaves_no_image_of_itself() -> None:
    look = (
        "import resource, ctypes; from messenger.observability.process import no_core_dumps; no_core_dumps();"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["(0,", "0)", "0"]
    main = (
        "import messenger.cli, sys; sys.modules['messenger.cli.app'].no_core_dumps = lambda: sys.exit(42);"
        "messenger.cli.main()"
    )
    assert subprocess.run([sys.executable, "-c", main], check=False).returncode == 42, "before anything is read"
