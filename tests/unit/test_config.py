"""Settings: which source wins, and what an operator reads when something is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from messenger.config import ConfigError, Settings
from messenger.config.reference import page, schema

Write = Callable[[str], Path]
MINIMAL = '[matrix]\nhomeserver = "https://matrix.example.org"\n'
DESK = '[[matrix.desks]]\nuser_id = "@desk:example.org"\n'


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STELLWERK_SECRETS_DIR", str(tmp_path / "secrets"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str) -> Path:
        file = tmp_path / "stellwerk.toml"
        file.write_text(text, "utf-8")
        file.chmod(0o600)
        return file

    return write_file


def _fault(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        Settings.load(file)
    return str(caught.value)


def test_two_lines_are_enough(write: Write) -> None:
    settings = Settings.load(write(MINIMAL))
    assert settings.matrix.homeserver == "https://matrix.example.org"
    assert settings.database.address() == ""
    assert settings.i18n.languages == ("en", "de", "zh")
    assert settings.warnings == ()


def test_relative_paths_start_at_the_folder_of_the_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(MINIMAL + DESK + 'password_file = "secrets/desk"\n')
    monkeypatch.chdir("/")
    settings = Settings.load(file)
    assert settings.server.data_dir == tmp_path / "var"
    assert settings.security.root_key_file == tmp_path / "root.key"
    assert settings.matrix.desks[0].password_file == tmp_path / "secrets/desk"
    assert settings.recovery_key_file(settings.desk()) == tmp_path / "var/desk.recovery"


def test_command_line_wins_over_environment_over_secrets_over_file_over_default(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(MINIMAL)
    assert Settings.load(file).limits.attachment_max_mb == 25
    write(MINIMAL + "[limits]\nattachment_max_mb = 1\n")
    assert Settings.load(file).limits.attachment_max_mb == 1
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/stellwerk__limits__attachment_max_mb").write_text("2\n")
    assert Settings.load(file).limits.attachment_max_mb == 2
    monkeypatch.setenv("STELLWERK__LIMITS__ATTACHMENT_MAX_MB", "3")
    assert Settings.load(file).limits.attachment_max_mb == 3
    assert Settings.load(file, overrides={"limits": {"attachment_max_mb": 4}}).limits.attachment_max_mb == 4


def test_one_value_from_the_environment_leaves_the_rest_of_its_section(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STELLWERK__MATRIX__INVITES_PER_MINUTE", "5")
    settings = Settings.load(write(MINIMAL))
    assert (settings.matrix.homeserver, settings.matrix.invites_per_minute) == ("https://matrix.example.org", 5)


def test_a_container_can_do_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLWERK__MATRIX__HOMESERVER", "http://synapse:8008")
    monkeypatch.setenv("STELLWERK__MATRIX__DESKS", json.dumps([{"user_id": "@desk:example.org", "password": "x"}]))
    settings = Settings.load()
    assert settings.desk().read_password() == "x"


def test_a_missing_file_says_what_writes_one(tmp_path: Path) -> None:
    assert "stellwerk init" in _fault(tmp_path / "nowhere.toml")


def test_an_unknown_key_is_refused_with_file_key_and_guess(write: Write) -> None:
    file = write(MINIMAL + "invites_per_minutes = 3\n")
    assert _fault(file) == (f"{file}: there is no key `matrix.invites_per_minutes`. Did you mean `invites_per_minute`?")


def test_an_unknown_section_is_refused_with_guess(write: Write) -> None:
    assert "there is no section `databse`. Did you mean `database`?" in _fault(write(MINIMAL + "[databse]\nurl = ''\n"))


def test_an_unknown_key_of_a_desk_names_the_desk(write: Write) -> None:
    text = _fault(write(MINIMAL + DESK + 'pasword = "hunter2"\n'))
    assert "there is no key `matrix.desks[1].pasword`. Did you mean `password`?" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("variable", "guess"),
    [("STELLWERK__MATRX__HOMESERVER", "`matrix`"), ("STELLWERK__MATRIX__HOMSERVER", "`homeserver`")],
)
def test_an_unknown_variable_is_refused_with_its_name_and_guess(
    write: Write, monkeypatch: pytest.MonkeyPatch, variable: str, guess: str
) -> None:
    monkeypatch.setenv(variable, "http://synapse:8008")
    text = _fault(write(MINIMAL))
    assert f"environment variable {variable}" in text and f"Did you mean {guess}?" in text


def test_a_missing_value_says_what_belongs_there(write: Write) -> None:
    assert "`matrix.homeserver` is missing. Address of the homeserver" in _fault(write("[matrix]\n"))


def test_all_faults_are_told_at_once(write: Write) -> None:
    text = _fault(write('[matrix]\nhomeserver = "matrix.org"\n[log]\nlevel = "loud"\n[server]\ntime_zone = "Mars"\n'))
    assert len(text.splitlines()) == 3
    assert "https://matrix.example.org" in text and "Europe/Berlin" in text and "'debug'" in text


def test_a_faulty_value_from_the_environment_names_the_variable(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLWERK__LOG__LEVEL", "loud")
    assert _fault(write(MINIMAL)).startswith("environment variable STELLWERK__LOG__LEVEL: `log.level`")


@pytest.mark.parametrize(
    "line",
    [
        'matrix.homeserver = "https://m\\u0000.org"',
        'outbound.internal = ["https://w\\u001b.org"]',
        "limits.attachment_max_mb = %s",
    ],
    ids=["address", "internal", "number"],
)
def test_what_the_database_could_not_take_is_refused(write: Write, line: str) -> None:
    assert line.partition(" ")[0].split(".")[1] in _fault(write(line.replace("%s", "9" * 30)))


def test_no_text_of_any_section_takes_a_control_character() -> None:
    sections = {name: of["$ref"].rpartition("/")[2] for name, of in schema()["properties"].items() if "$ref" in of}
    texts = [
        (section, name)
        for section, model in sections.items()
        for name, field in schema()["$defs"][model]["properties"].items()
        if field.get("type") == "string" and field.get("format") not in ("path", "password")
    ]
    assert {("server", "organisation"), ("matrix", "homeserver"), ("scanner", "clamd")} <= {*texts}
    for section, name in texts:
        with pytest.raises(ValidationError):
            Settings.model_fields[section].annotation.model_validate({name: "https://a.b:1\x07"})


def test_every_whole_number_has_both_bounds() -> None:
    sections = schema()["$defs"].items()
    numbers = {
        f"{section}.{name}": field for section, of in sections for name, field in of.get("properties", {}).items()
    }
    whole = {name: field for name, field in numbers.items() if field.get("type") == "integer"}
    assert whole
    assert not [name for name, field in whole.items() if not {"minimum", "maximum"} <= field.keys()]


def test_broken_toml_names_the_line(write: Write) -> None:
    assert "line 1" in _fault(write("[matrix\n"))


def test_the_value_of_a_secret_is_in_no_message_and_no_repr(write: Write) -> None:
    file = write(MINIMAL + DESK + 'password = "hunter2"\npassword_file = "x"\n')
    assert "hunter2" not in _fault(file)
    write(MINIMAL + DESK + 'password = "hunter2"\n')
    assert "hunter2" not in repr(Settings.load(file))


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("[database]\n", "url"),
        ("[key_database]\n", "url"),
        (DESK, "password"),
        ("[privacy]\n", "homeserver_admin_token"),
    ],
)
def test_a_secret_stands_in_one_place(write: Write, section: str, key: str) -> None:
    file = write(f'{MINIMAL}{section}{key} = "postgresql://x"\n{key}_file = "y"\n')
    assert _fault(file).endswith(f"set either `{key}` or `{key}_file`, not both")
    for one in (key, f"{key}_file"):
        Settings.load(write(f'{MINIMAL}{section}{one} = "postgresql://x"\n'))


@pytest.mark.parametrize("section", ["database", "key_database"])
def test_another_kind_of_database_is_refused_without_its_password(write: Write, tmp_path: Path, section: str) -> None:
    fault = _fault(write(f'{MINIMAL}[{section}]\nurl = "mysql://desk:hunter2@db/stellwerk"\n'))
    assert fault.endswith(f"`{section}.url`: must be an address like postgresql://user:password@host/name, or empty")
    (tmp_path / "db").write_text("mysql://desk:hunter2@db/stellwerk\n")
    (tmp_path / "db").chmod(0o400)
    settings = Settings.load(write(f'{MINIMAL}[{section}]\nurl_file = "db"\n'))
    with pytest.raises(ConfigError, match=rf"{section}.url_file: .*db must be an address") as told:
        getattr(settings, section).address()
    assert "hunter2" not in fault + str(told.value)


def test_a_secret_file_is_read_when_needed(write: Write, tmp_path: Path) -> None:
    settings = Settings.load(write(MINIMAL + DESK + 'password_file = "pw"\n[database]\nurl_file = "db"\n'))
    with pytest.raises(ConfigError, match=r"cannot read .*pw"):
        settings.desk().read_password()
    (tmp_path / "pw").write_text("hunter2\n")
    (tmp_path / "db").write_text("postgresql://db/stellwerk\n")
    with pytest.raises(ConfigError, match="chmod 400"):
        settings.database.address()
    for name in ("pw", "db"):
        (tmp_path / name).chmod(0o400)
    assert settings.desk().read_password() == "hunter2"
    assert settings.database.address() == "postgresql://db/stellwerk"


def test_a_readable_file_with_a_secret_is_warned_about(write: Write) -> None:
    file = write(MINIMAL + DESK + 'password = "hunter2"\n')
    assert Settings.load(file).warnings == ()
    file.chmod(0o644)
    (warning,) = Settings.load(file).warnings
    assert f"chmod 600 {file}" in warning
    write(MINIMAL + DESK + 'password_file = "pw"\n').chmod(0o644)
    assert Settings.load(file).warnings == ()


def test_two_desks_need_two_accounts(write: Write) -> None:
    assert "two desks have the same `user_id`" in _fault(write(MINIMAL + DESK + DESK))


def test_an_unknown_desk_is_named(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"no desk @other:example.org"):
        Settings.load(write(MINIMAL + DESK)).desk("@other:example.org")


def test_the_reference_page_is_current() -> None:
    written = Path(__file__).parents[2] / "docs/reference/configuration.md"
    assert written.read_text("utf-8") == page(), "run: python -m messenger.config docs docs/reference/configuration.md"


def test_the_schema_accepts_what_load_accepts_and_refuses_the_rest() -> None:
    validator = Draft202012Validator(schema())
    assert validator.is_valid({"matrix": {"homeserver": "https://matrix.example.org"}})
    assert not validator.is_valid({"matrix": {"homeserver": "https://matrix.example.org", "homserver": ""}})
