"""docker-compose.yml, judged without docker: the schema, the references inside it, and the programs it configures."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from messenger.config import Settings

CHECKOUT = Path(__file__).parents[2]
SCHEMA = json.loads((CHECKOUT / "tests" / "support" / "compose_schema.json").read_text())


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    return content


def interpolated(text: str) -> str:
    """As compose does it with an empty environment: `${NAME:-default}` and `$$`."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")


def test_it_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(compose)


def test_a_misspelt_key_is_found(compose: dict[str, Any]) -> None:
    broken = {**compose, "services": {"stellwerk": {"image": "stellwerk:local", "enviroment": {}}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(broken)


def test_everything_it_refers_to_exists(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert set(service.get("networks", [])) <= set(compose["networks"]), name
        assert {config["source"] for config in service.get("configs", [])} <= set(compose["configs"]), name
        assert {mount["source"] for mount in service.get("volumes", [])} <= set(compose["volumes"]), name


def test_what_it_takes_from_the_checkout_is_there(compose: dict[str, Any]) -> None:
    files = [config["file"] for config in compose["configs"].values() if "file" in config]
    assert files and [file for file in files if not (CHECKOUT / file).exists()] == []


def test_prometheus_asks_where_stellwerk_listens(compose: dict[str, Any]) -> None:
    (job,) = yaml.safe_load(interpolated(compose["configs"]["prometheus"]["content"]))["scrape_configs"]
    port = compose["services"]["stellwerk"]["environment"]["STELLWERK__WEB__METRICS_LISTEN"].rpartition(":")[2]
    assert job["static_configs"] == [{"targets": [f"stellwerk:{port}"]}]
    assert "ports" not in compose["services"]["stellwerk"], "nobody outside reaches the numbers"


def test_whoever_must_be_healthy_has_a_health_check(compose: dict[str, Any]) -> None:
    services = compose["services"]
    awaited = [
        other
        for service in services.values()
        for other, dependency in service.get("depends_on", {}).items()
        if dependency["condition"] == "service_healthy"
    ]
    lasting = [name for name, service in services.items() if "restart" in service]
    assert all("healthcheck" in services[name] for name in [*awaited, *lasting])


def test_every_image_has_a_pinned_tag(compose: dict[str, Any]) -> None:
    tags = {service["image"].rpartition(":")[2] for service in compose["services"].values()}
    assert tags == {"local"} | {tag for tag in tags if re.match(r"v?\d+\.\d+", tag)}


def test_the_image_copies_only_what_the_checkout_has(compose: dict[str, Any]) -> None:
    dockerfile = compose["x-stellwerk-image"]["build"]["dockerfile_inline"]
    copied = [word for line in re.findall(r"^COPY (.*)$", dockerfile, re.M) for word in line.split()[:-1]]
    assert "messenger" in copied
    assert [name for name in copied if not (CHECKOUT / name).exists()] == []


def test_no_secret_stands_in_the_file(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for key, value in service.get("environment", {}).items():
            assert not re.search(r"(password|secret|token)$", key, re.I), key
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value)), key


def test_the_homeserver_cannot_read_the_root_key(compose: dict[str, Any]) -> None:
    readers = {
        name
        for name, service in compose["services"].items()
        for mount in service.get("volumes", [])
        if mount["source"] == "stellwerk-secrets"
    }
    assert readers == {"prepare", "migrate", "stellwerk"}


def test_stellwerk_understands_its_environment(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in compose["services"]["stellwerk"]["environment"].items():
        monkeypatch.setenv(key, interpolated(value))
    settings = Settings.load(secrets_dir=Path("/nonexistent"))
    assert settings.desk().user_id == "@desk:localhost"
    assert settings.matrix.homeserver == "http://synapse:8008"


def test_element_gets_valid_json(compose: dict[str, Any]) -> None:
    config = json.loads(interpolated(compose["configs"]["element"]["content"]))
    assert config["default_server_config"]["m.homeserver"]["server_name"] == "localhost"


def test_synapse_accepts_its_configuration(compose: dict[str, Any], tmp_path: Path) -> None:
    text = interpolated(compose["configs"]["homeserver"]["content"])
    for folder in ("data", "secrets"):
        (tmp_path / folder).mkdir()
        text = text.replace(f"/{folder}/", f"{tmp_path}/{folder}/")
    for secret in ("registration", "macaroon", "form", "pgpass"):
        (tmp_path / "secrets" / secret).write_text("x" * 32)
    file = tmp_path / "homeserver.yaml"
    file.write_text(text)
    command = [sys.executable, "-m", "synapse.app.homeserver", "-c", str(file), "--generate-keys"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "data" / "signing.key").exists()
