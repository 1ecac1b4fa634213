"""The bot accounts' logins and identities, sealed under a key of their own."""

import json
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.data_keys import DataKeys
from messenger.storage.desk_life import give_life
from messenger.storage.encryption import Key
from messenger.storage.models.queues import desk


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskLogin:
    account: str
    device_id: str
    token: str
    identity: bytes | None = None


async def desk_key(keys: DataKeys, account: str) -> Key:
    return await keys.of_desk(account)


async def load_login(engine: AsyncEngine, keys: DataKeys, account: str) -> DeskLogin | None:
    """None before the first one, and while one is only begun."""
    login = await load_begun(engine, keys, account)
    return login if login is not None and login.token else None


async def load_begun(engine: AsyncEngine, keys: DataKeys, account: str) -> DeskLogin | None:
    """As `load_login`. Without a token it is one that was begun: its device was chosen, and may be there already."""
    async with engine.begin() as connection:
        row = (await connection.execute(sa.select(desk).where(desk.c.account == account))).first()
    if row is None:
        return None
    login = json.loads(await keys.open(row.enc_login, where=f"desk|enc_login|{account}"))
    identity = await keys.open(row.enc_identity, where=f"desk|enc_identity|{account}") if row.enc_identity else None
    return DeskLogin(account=account, device_id=row.device_id, token=login["token"], identity=identity)


async def save_login(engine: AsyncEngine, keys: DataKeys, login: DeskLogin, *, is_first: bool = False) -> None:
    """The first login is what a desk's life begins with."""
    key = await desk_key(keys, login.account)
    sealed = key.seal(json.dumps({"token": login.token}).encode(), where=f"desk|enc_login|{login.account}")
    identity = key.seal(login.identity, where=f"desk|enc_identity|{login.account}") if login.identity else None
    values = {"device_id": login.device_id, "enc_login": sealed, "enc_identity": identity, "key_id": key.kid}
    async with engine.begin() as connection:
        await connection.execute(
            insert(desk)
            .values(account=login.account, **values)
            .on_conflict_do_update(index_elements=[desk.c.account], set_=values)
        )
        if is_first:
            await give_life(connection, login.account)


async def save_identity(engine: AsyncEngine, keys: DataKeys, account: str, identity: bytes) -> None:
    key = await desk_key(keys, account)
    sealed = key.seal(identity, where=f"desk|enc_identity|{account}")
    async with engine.begin() as connection:
        await connection.execute(desk.update().where(desk.c.account == account).values(enc_identity=sealed))
