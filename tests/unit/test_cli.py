"""The command line: exit codes, what `init` writes, what `doctor` says when things are broken."""

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import typer
from aiohttp import web
from typer.testing import CliRunner

from messenger.cli.doctor import account, homeserver, local
from messenger.cli.doctor.finding import Finding, ok, run_checks
from messenger.cli.doctor.verb import examine
from messenger.cli.state import State, overrides_of
from messenger.config import Settings
from messenger.config.reference import schema
from messenger.matrix.versions import SERVER_VERSION
from messenger.observability.service_manager import notify_service_manager
from tests.support.verbs import run_verb as stellwerk

INIT = ["init", "--homeserver", "https://matrix.example.org", "--user-id", "@desk:example.org"]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STELLWERK_SECRETS_DIR", str(tmp_path / "secrets"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_init_writes_settings_that_load_and_secrets_that_only_the_owner_reads(tmp_path: Path) -> None:
    done = stellwerk(*INIT, "--organisation", "Klinik Süd", "--language", "de", typed="hunter2\n")
    assert done.exit_code == 0, done.output
    settings = Settings.load(tmp_path / "stellwerk.toml")
    assert settings.server.organisation == "Klinik Süd"
    assert settings.i18n.default == "de"
    assert settings.desk().read_password() == "hunter2"
    assert settings.warnings == ()
    assert mode(tmp_path / "stellwerk.toml") == mode(tmp_path / "desk.password") == 0o600
    assert mode(settings.security.root_key_file) == 0o400
    assert "stellwerk serve" in done.output and "hunter2" not in done.output
    assert sorted(file.name for file in tmp_path.iterdir()) == ["desk.password", "root.key", "stellwerk.toml"]


def test_init_shows_every_key_of_every_section_in_the_file(tmp_path: Path) -> None:
    stellwerk(*INIT, typed="hunter2\n")
    text = (tmp_path / "stellwerk.toml").read_text("utf-8")
    for model in schema()["$defs"].values():
        assert all(f"\n{key} = " in text or f"\n# {key} = " in text or f"[[matrix.{key}]]" in text
                   for key in model["properties"])  # fmt: skip


def test_init_never_overwrites_and_says_what_exists(tmp_path: Path) -> None:
    stellwerk(*INIT, typed="hunter2\n")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    again = stellwerk(*INIT, typed="other\n")
    assert again.exit_code == 1
    assert f"{tmp_path / 'stellwerk.toml'} exists already" in again.output
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_init_keeps_a_root_key_that_is_there(tmp_path: Path) -> None:
    stellwerk(*INIT, typed="hunter2\n")
    key = (tmp_path / "root.key").read_bytes()
    (tmp_path / "stellwerk.toml").unlink()
    again = stellwerk(*INIT)
    assert again.exit_code == 0 and "kept" in again.output
    assert (tmp_path / "root.key").read_bytes() == key


def test_init_refuses_what_cannot_work_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter2")
    done = stellwerk("init", "--homeserver", "example.org", "--user-id", "desk", "--password-file", "pw")
    assert done.exit_code == 1
    assert "`matrix.homeserver`" in done.output and "`matrix.desks[1].user_id`" in done.output
    assert [file.name for file in tmp_path.iterdir()] == ["pw"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["group", "member", "add"],
        ["group", "member", "add", "General", "@a:b", "--role", "boss"],
        ["group", "rule", "add", "General"],
        ["conversation", "list", "--state", "snoozed"],
        ["--set", "log=1", "version"],
        ["serve", "--surprise"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert stellwerk(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "verb", [["group", "list"], ["agent", "list"], ["desk", "show"], ["migrate", "status"], ["serve"]]
)
def test_without_settings_every_verb_says_what_to_do(verb: list[str]) -> None:
    done = stellwerk(*verb)
    assert done.exit_code == 1
    assert "stellwerk init" in done.output and "Traceback" not in done.output


def test_an_unexpected_failure_shows_neither_values_nor_texts() -> None:
    from messenger.cli.state import Verbs

    failing = typer.Typer(cls=Verbs, pretty_exceptions_enable=False)

    @failing.command()
    def fail() -> None:
        raise ValueError("Ich habe Schmerzen")

    @failing.command()
    def other() -> None: ...

    done = CliRunner().invoke(failing, ["fail"])
    assert done.exit_code == 1
    assert "ValueError" in done.output and "Schmerzen" not in done.output


def test_config_schema_is_json() -> None:
    assert json.loads(stellwerk("config", "schema").output) == schema()


def test_version_names_the_crypto_library() -> None:
    assert "vodozemac 0." in stellwerk("version").output


def test_set_overrides_one_setting() -> None:
    stellwerk(*INIT, typed="hunter2\n")
    assert overrides_of(["limits.attachment_max_mb=3", 'i18n.languages=["en"]']) == {
        "limits": {"attachment_max_mb": "3"},
        "i18n": {"languages": ["en"]},
    }
    done = stellwerk("--set", "log.level=loud", "config", "check")
    assert done.exit_code == 1 and "command line: `log.level`" in done.output
    assert stellwerk("--set", "log.level=debug", "config", "check").exit_code == 0


def test_doctor_works_without_settings_and_fails() -> None:
    done = stellwerk("doctor", "--json")
    found = {finding["check"]: finding["level"] for finding in json.loads(done.stdout)}
    assert done.exit_code == 1
    assert found == {"settings": "fail", "vodozemac": "ok", "matrix-nio": "ok"}


async def test_one_broken_check_neither_hides_nor_delays_the_others() -> None:
    async def breaks() -> Sequence[Finding]:
        raise ValueError("Ich habe Schmerzen")

    async def hangs() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    async def works() -> Sequence[Finding]:
        return [ok("disk", "there is room")]

    found = await run_checks({"one": breaks, "two": hangs, "three": works}, timeout_s=0.05)
    assert [finding.level for finding in found] == ["fail", "fail", "ok"]
    assert "ValueError" in found[0].words and "Schmerzen" not in found[0].words
    assert "no answer within" in found[1].words


@asynccontextmanager
async def server(*, software: dict[str, str] | None, skew: timedelta = timedelta(0)) -> AsyncIterator[str]:
    """A small real HTTP server that answers like a homeserver."""
    date = {"Date": format_datetime(datetime.now(UTC) + skew, usegmt=True)}

    async def versions(request: web.Request) -> web.Response:
        return web.json_response({"versions": ["v1.16"]}, headers=date)

    async def version(request: web.Request) -> web.Response:
        return web.json_response({"server": software}) if software else web.Response(status=404)

    application = web.Application()
    application.add_routes([web.get(homeserver.VERSIONS, versions), web.get(SERVER_VERSION, version)])
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def levels(findings: Sequence[Finding]) -> dict[str, str]:
    return {finding.check: finding.level for finding in findings}


async def test_a_current_homeserver_is_in_order() -> None:
    async with server(software={"name": "Synapse", "version": "1.163.2"}) as url:
        found = levels(await homeserver.homeserver(url))
    assert found == {"homeserver": "ok", "homeserver version": "ok", "clock": "ok"}


async def test_an_unreadable_version_and_a_wrong_clock_are_told() -> None:
    async with server(software=None, skew=timedelta(minutes=5)) as url:
        found = await homeserver.homeserver(url)
    assert levels(found) == {"homeserver": "ok", "homeserver version": "warn", "clock": "fail"}
    assert "NTP" in found[-1].words


async def test_a_silent_homeserver_and_a_wrong_address_are_told() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        (found,) = await homeserver.homeserver(f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert found.level == "fail" and "Is it running" in found.words
    async with server(software=None) as url:
        (found,) = await homeserver.homeserver(url + "/wrong")
    assert found.level == "fail" and "not as a Matrix homeserver" in found.words


async def test_an_old_homeserver_fails_and_another_software_is_told() -> None:
    for software, level in (({"name": "Synapse", "version": "1.99.0"}, "fail"), ({"name": "Dendrite"}, "warn")):
        async with server(software=software) as url:
            assert levels(await homeserver.homeserver(url))["homeserver version"] == level


async def test_a_readable_root_key_and_a_missing_recovery_key_are_told(tmp_path: Path) -> None:
    stellwerk(*INIT, typed="hunter2\n")
    settings = Settings.load()
    assert levels(await local.root_key(settings)) == {"root key": "ok"}
    assert levels(await local.recovery_keys(settings)) == {"recovery key of @desk:example.org": "warn"}
    (tmp_path / "root.key").chmod(0o444)
    (finding,) = await local.root_key(settings)
    assert finding.level == "fail" and "chmod 400" in finding.words


@pytest.mark.parametrize(
    ("setting", "level"),
    [({}, "warn"), ({"checkpoint_file": "/proc/checkpoints.jsonl"}, "ok"), ({"room": "!audit:example.org"}, "ok")],
)
async def test_checkpoints_on_the_file_system_of_the_data_are_told(setting: dict[str, str], level: str) -> None:
    stellwerk(*INIT, typed="hunter2\n")
    (finding,) = await local.checkpoints(Settings.load(overrides={"audit": setting}))
    assert finding.level == level and (level == "ok" or "audit.checkpoint_file" in finding.words)


async def test_doctor_names_the_line_that_lifts_the_rate_limit() -> None:
    stellwerk(*INIT, typed="hunter2\n")
    settings = Settings.load()
    (finding,) = await account.rate_limit(settings, settings.desk())
    assert "/_synapse/admin/v1/users/%40desk%3Aexample.org/override_ratelimit" in finding.words


async def test_doctor_goes_on_when_the_homeserver_is_away(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter2")
    stellwerk("init", "--homeserver", "http://127.0.0.1:1", "--user-id", "@desk:example.org", "--password-file", "pw")
    findings = await examine(State())
    found = levels(findings)
    assert found["homeserver"] == "fail"
    assert found["settings"] == found["root key"] == found["vodozemac"] == "ok"
    assert found["schema"] == found["rooms"] == found["dead letters"] == found["floods"] == "ok"
    assert found["groups"] == "warn"
    assert not [finding for finding in findings if "unexpected failure" in finding.words]


def test_the_service_manager_is_told(socket_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(socket_folder / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(socket_folder / "notify"))
        notify_service_manager("READY=1")
        assert manager.recv(100) == b"READY=1"
