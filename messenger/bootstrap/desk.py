"""One bot account: its login, its identity, and what `doctor` finds out about it."""

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from messenger.bootstrap.database import Storage, open_storage
from messenger.config import Desk, Settings
from messenger.config.secret_files import read_secret
from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError
from messenger.matrix.identity.cross_signing import query_own_keys
from messenger.matrix.identity.ensure import ensure_identity
from messenger.matrix.identity.health import Finding, check_identity
from messenger.matrix.identity.values import Identity
from messenger.matrix.identity.well_known import desk_page
from messenger.observability.failpoints import fp
from messenger.storage.desk_life import is_alive
from messenger.storage.desk_store import SqlDeskStore
from messenger.storage.desks import DeskLogin, desk_key, load_begun, load_login, save_identity, save_login
from messenger.storage.leases import Lease

log = logging.getLogger(__name__)

DEVICE_NAME = "Stellwerk"
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskIdentity:
    """A desk as others see it."""

    device_id: str
    fingerprint: str


class DeskRestored(Exception):
    """The desk's database is not the one that the desk last worked with; the text says what to do."""


async def log_in(storage: Storage, settings: Settings, desk: Desk) -> DeskLogin:
    """The stored login, or a new one with a device of its own. A login that the homeserver has ended is replaced; the
    identity stays, and signs the new device. Raises DeskRestored."""
    known = await load_begun(storage.engine, storage.keys, desk.user_id)
    if known is not None and not await is_alive(storage.engine, desk.user_id):
        raise DeskRestored(
            f"the database of {desk.user_id} comes from a backup, and its device must not be used again: "
            "run `stellwerk recover-desk`, which makes a new one; then start the service"
        )
    if known is not None and known.token and await _is_valid(settings, known):
        return known
    if known is not None and known.token:
        log.warning("the homeserver has ended this login; logging in anew", extra={"account": desk.user_id})
    begun = known if known is not None and not known.token else await _begin(storage, desk, known)
    login = await log_in_with_password(settings, desk, device_id=begun.device_id)
    login = replace(login, identity=begun.identity)
    fp("logged_in")
    await save_login(storage.engine, storage.keys, login)
    return login


async def _begin(storage: Storage, desk: Desk, known: DeskLogin | None) -> DeskLogin:
    """The device is chosen and kept before it is made: a crash in between leaves none that nobody knows."""
    identity = known.identity if known else None
    begun = DeskLogin(account=desk.user_id, device_id=new_device_id(), token="", identity=identity)
    await save_login(storage.engine, storage.keys, begun, is_first=known is None)
    return begun


async def patiently(step: Callable[[], Awaitable[Result]]) -> Result:
    """One step of a start, again after the pause that a homeserver asks for. A step may be repeated as whole starts
    are."""
    is_told = False
    while True:
        try:
            return await step()
        except MatrixError as error:
            if not error.is_throttled:
                raise
            if not is_told:
                log.warning("the homeserver asks for a pause", extra={"seconds": error.pause.total_seconds()})
            is_told = True
            await asyncio.sleep(error.pause.total_seconds())


async def be_quiet(http: HomeserverClient) -> None:
    """Turns the desk's notifications off (client-server API, "Push Rules": `.m.rule.master`): nobody looks at them, and
    for each message the homeserver would keep one, and count them at each /sync."""
    try:
        await http.call("PUT", f"{CLIENT}/pushrules/global/override/.m.rule.master/enabled", {"enabled": True})
    except MatrixError as error:
        if error.is_throttled:
            raise
        log.info("the homeserver keeps notifications for the desk", extra={"errcode": error.errcode})


async def _is_valid(settings: Settings, login: DeskLogin) -> bool:
    async with client(settings, login.token) as http:
        try:
            await http.call("GET", f"{CLIENT}/account/whoami")
        except MatrixError as error:
            if error.errcode != "M_UNKNOWN_TOKEN":
                raise
            return False
    return True


def new_device_id() -> str:
    return secrets.token_hex(5).upper()


async def log_in_with_password(settings: Settings, desk: Desk, *, device_id: str = "") -> DeskLogin:
    """With the same `device_id` again it is the same device."""
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": desk.user_id},
        "password": desk.read_password(),
        "device_id": device_id or new_device_id(),
        "initial_device_display_name": DEVICE_NAME,
    }
    async with client(settings) as http:
        answer = await http.call("POST", f"{CLIENT}/login", body)
    return DeskLogin(account=desk.user_id, device_id=answer["device_id"], token=answer["access_token"])


@asynccontextmanager
async def client(settings: Settings, token: str = "") -> AsyncIterator[HomeserverClient]:
    http = HomeserverClient(settings.matrix.homeserver, token=token)
    try:
        yield http
    finally:
        await http.close()


async def identify(
    storage: Storage, settings: Settings, desk: Desk, http: HomeserverClient, engine: NioEngine, login: DeskLogin
) -> Identity:
    """Cross-signs the device; makes the identity at the first start and leaves its recovery key with the operator."""
    file = settings.recovery_key_file(desk)
    password = desk.read_password() if desk.password or desk.password_file else None

    async def keep(recovery_key: str) -> None:
        _write_once(file, recovery_key)

    stored = Identity.from_secret(login.identity) if login.identity else None
    identity = await ensure_identity(
        http,
        engine,
        password=password,
        stored=stored,
        keep_recovery_key=keep,
        recovery_key=read_secret(f"recovery key of {desk.user_id}", file) if file.exists() else None,
    )
    await save_identity(storage.engine, storage.keys, desk.user_id, identity.to_secret())
    return identity


def _write_once(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())


async def desk_identity(settings: Settings, desk: Desk) -> DeskIdentity | None:
    """None before the first start."""
    async with open_storage(settings) as storage:
        login = await load_login(storage.engine, storage.keys, desk.user_id)
    if login is None or login.identity is None:
        return None
    return DeskIdentity(device_id=login.device_id, fingerprint=Identity.from_secret(login.identity).fingerprint)


async def desk_well_known(settings: Settings, desk: Desk, *, made_at: str) -> dict[str, Any] | None:
    """The page with the desk's keys; None before the first start. Raises NotOurs."""
    async with open_storage(settings) as storage:
        login = await load_login(storage.engine, storage.keys, desk.user_id)
    if login is None or login.identity is None:
        return None
    async with client(settings, login.token) as http:
        answer = await query_own_keys(http, desk.user_id)
    return desk_page(Identity.from_secret(login.identity), answer, login.device_id, made_at=made_at)


@asynccontextmanager
async def open_desk_client(settings: Settings, desk: Desk) -> AsyncIterator[HomeserverClient]:
    """The desk's own login, for a check. Raises LookupError before the first start."""
    async with open_storage(settings) as storage:
        login = await load_login(storage.engine, storage.keys, desk.user_id)
    if login is None:
        raise LookupError(f"{desk.user_id} has never been started: stellwerk serve")
    async with client(settings, login.token) as http:
        yield http


async def desk_findings(settings: Settings, desk: Desk) -> Sequence[Finding]:
    """Identity, backup and keys, read beside a running desk: nothing is written. Empty before the first start."""
    async with open_storage(settings) as storage:
        login = await load_login(storage.engine, storage.keys, desk.user_id)
        if login is None or login.identity is None:
            return []
        key = await desk_key(storage.keys, desk.user_id)
        store = SqlDeskStore(
            storage.engine,
            storage.keys,
            account=desk.user_id,
            key=key,
            lease=Lease(f"desk:{desk.user_id}", "doctor", 0),
            is_reading=True,
        )
        http = HomeserverClient(settings.matrix.homeserver, token=login.token)
        try:
            engine = NioEngine(http, store, user_id=desk.user_id, device_id=login.device_id)
            await engine.reload()
            return await check_identity(http, engine, Identity.from_secret(login.identity))
        finally:
            await http.close()
