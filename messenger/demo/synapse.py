"""A Synapse of our own as a child process, for the demonstration and for tests. Synapse (AGPL) is started as a separate
program and never imported.

We render its configuration ourselves (`--generate-config` takes five seconds) and make its signing key
(`--generate-keys` takes three). The folder is persistent: the next start on it continues with the same users and rooms.
Its own store is SQLite, which is Synapse's affair; Stellwerk itself knows only PostgreSQL."""

import base64
import hashlib
import hmac
import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp

from messenger.demo.child import Child, free_port

REGISTER = "/_synapse/admin/v1/register"
UNLIMITED = {"per_second": 100_000, "burst_count": 100_000}
# Synapse's defaults (one room a minute, a message every five seconds) are made for people and stop a desk cold.
RAISED_LIMITS: Mapping[str, Any] = {
    "rc_message": UNLIMITED,
    "rc_registration": UNLIMITED,
    "rc_admin_redaction": UNLIMITED,
    "rc_login": {"address": UNLIMITED, "account": UNLIMITED, "failed_attempts": UNLIMITED},
    "rc_joins": {"local": UNLIMITED, "remote": UNLIMITED},
    "rc_joins_per_room": UNLIMITED,
    "rc_invites": {"per_room": UNLIMITED, "per_user": UNLIMITED, "per_issuer": UNLIMITED},
    "rc_room_creation": UNLIMITED,
}


class SynapseError(Exception):
    """Synapse refused what the demonstration or a test asked of it; `status` is HTTP's, 0 outside of it."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Registered(NamedTuple):
    user_id: str
    password: str


class Synapse:
    """`extra` is merged over the rendered configuration. `url` is known after `start`. `child`: how its program is
    started."""

    def __init__(
        self,
        folder: Path,
        *,
        server_name: str = "demo.localhost",
        default_limits: bool = False,
        extra: Mapping[str, Any] | None = None,
        child: type[Child] = Child,
    ) -> None:
        self.folder, self.server_name = folder.absolute(), server_name
        self.log = self.folder / "synapse.log"
        self._default_limits, self._extra = default_limits, dict(extra or {})
        self._port = 0
        command = [sys.executable, "-m", "synapse.app.homeserver", "-c", str(self._config)]
        self._child = child("Synapse", command, log=self.log, cwd=self.folder)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child.is_running

    @property
    def _config(self) -> Path:
        return self.folder / "homeserver.yaml"

    async def start(self, *, timeout_s: float = 120) -> None:
        """Returns when Synapse answers. A second start on the same folder resumes its data, on the same port if it is
        free."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._port = free_port(self._remembered_port())
        _write_private(self.folder / "port", str(self._port))
        _write_private(self._config, json.dumps(self._configuration(), indent=1))  # JSON is valid YAML
        self._make_signing_key()
        self._child.start()
        await self._child.wait_healthy(self.is_healthy, timeout_s=timeout_s)

    async def stop(self) -> None:
        await self._child.stop()

    def kill9(self) -> None:
        """As if the machine had failed: no shutdown, nothing flushed. `start` brings it back on the same port."""
        self._child.kill9()

    def pause(self) -> None:
        self._child.pause()

    def resume(self) -> None:
        self._child.resume()

    async def is_healthy(self) -> bool:
        try:
            await self._call("GET", "/_matrix/client/versions", timeout_s=2)
        except (aiohttp.ClientError, TimeoutError, OSError, SynapseError):
            return False
        return True

    async def register(
        self, name: str, password: str | None = None, *, admin: bool = False, displayname: str | None = None
    ) -> Registered:
        """By the shared secret (admin API, "Shared-Secret Registration"). Raises SynapseError if the name is taken."""
        password = password or secrets.token_urlsafe(12)
        nonce = (await self._call("GET", REGISTER))["nonce"]
        answer = await self._call(
            "POST",
            REGISTER,
            {
                "nonce": nonce,
                "username": name,
                "password": password,
                "admin": admin,
                "inhibit_login": True,
                "mac": _registration_mac(self._secret("registration"), nonce, name, password, admin=admin),
                **({"displayname": displayname} if displayname else {}),
            },
        )
        return Registered(user_id=answer["user_id"], password=password)

    async def is_registered(self, name: str) -> bool:
        user_id = quote(f"@{name}:{self.server_name}")
        try:
            await self._call("GET", f"/_matrix/client/v3/profile/{user_id}")
        except SynapseError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def _call(self, method: str, url: str, body: Any = None, *, timeout_s: float = 30) -> Any:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, self.url + url, json=body) as answer,
        ):
            if answer.status != 200:
                raise SynapseError(
                    f"{method} {url}: {answer.status} {(await answer.text())[:300]}", status=answer.status
                )
            return await answer.json()

    def _remembered_port(self) -> int | None:
        file = self.folder / "port"
        return int(file.read_text()) if file.exists() else None

    def _secret(self, name: str) -> str:
        """Random, made once, kept with mode 0600."""
        file = self.folder / f"{name}.secret"
        if not file.exists():
            _write_private(file, secrets.token_urlsafe(32))
        return file.read_text()

    def _make_signing_key(self) -> None:
        file = self.folder / "signing.key"
        if not file.exists():
            _write_private(file, _new_signing_key())

    def _configuration(self) -> dict[str, Any]:
        _write_private(self.folder / "log.yaml", json.dumps(_LOGGING))
        return {
            "server_name": self.server_name,
            "public_baseurl": self.url + "/",
            "report_stats": False,
            "pid_file": str(self.folder / "synapse.pid"),
            "signing_key_path": str(self.folder / "signing.key"),
            "log_config": str(self.folder / "log.yaml"),
            "media_store_path": str(self.folder / "media"),
            "max_upload_size": "100M",
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            # `federation` only for its version answer, which Stellwerk checks at start; nobody is let in or called.
            "listeners": [
                {
                    "port": self._port,
                    "bind_addresses": ["127.0.0.1"],
                    "type": "http",
                    "resources": [{"names": ["client", "federation"], "compress": False}],
                }
            ],
            "federation_domain_whitelist": [],
            "url_preview_enabled": False,
            "presence": {"enabled": False},
            "database": {"name": "sqlite3", "args": {"database": str(self.folder / "homeserver.db")}},
            "registration_shared_secret": self._secret("registration"),
            "macaroon_secret_key": self._secret("macaroon"),
            "form_secret": self._secret("form"),
            **({} if self._default_limits else RAISED_LIMITS),
            **self._extra,
        }


_LOGGING: Mapping[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(name)s %(levelname)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"level": "WARNING", "handlers": ["console"]},
}


def _new_signing_key() -> str:
    """As signedjson reads it: algorithm, version, seed in base64 without padding."""
    seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    return f"ed25519 a_{secrets.token_hex(2)} {seed}\n"


def _registration_mac(secret: str, nonce: str, name: str, password: str, *, admin: bool) -> str:
    # The admin API fixes HMAC-SHA1 and the order of the parts.
    parts = (nonce, name, password, "admin" if admin else "notadmin")
    return hmac.new(secret.encode(), b"\0".join(part.encode() for part in parts), hashlib.sha1).hexdigest()


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600, exist_ok=True)
    file.chmod(0o600)
    file.write_text(text)
