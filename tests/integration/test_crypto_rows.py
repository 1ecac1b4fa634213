"""The crypto store's rows: what is written comes back, sealed in the database, and the rule of the lowest index
holds."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.desk_ports import CryptoRow, DeskStore
from messenger.storage.crypto_rows import SqlCryptoRows
from messenger.storage.encryption import CannotOpen, Key, new_secret
from messenger.storage.models.crypto import CRYPTO_TABLES, mx_megolm
from tests.support.desk_store import MemoryDeskStore, SqlDeskStore

ACCOUNT = "@desk:test"


@pytest.fixture(params=["postgresql", "memory"])
def store(request: pytest.FixtureRequest, database: AsyncEngine) -> DeskStore:
    return MemoryDeskStore(ACCOUNT) if request.param == "memory" else SqlDeskStore(database, ACCOUNT)


def session(
    *,
    first_index: int = 5,
    room_id: str = "!r",
    session_id: str = "s",
    sender_key: str = "k",
    secret: bytes = b"pickle",
    **clear: object,
) -> CryptoRow:
    flags = {"shared_history": False, "backed_up": False, "imported": False}
    columns = {"first_index": first_index, "ed25519": "e", "received_ms": 1, **flags, **clear}
    return CryptoRow(
        table="mx_megolm",
        key={"room_id": room_id, "session_id": session_id, "sender_key": sender_key},
        clear=columns,
        secret=secret,
    )


async def written(store: DeskStore, *rows: CryptoRow) -> None:
    async with store.unit() as unit:
        await unit.write(rows)


async def stored(store: DeskStore, **where: object) -> list[CryptoRow]:
    async with store.unit() as unit:
        return list(await unit.read("mx_megolm", [where] if where else None))


async def test_a_row_comes_back_as_it_was_written(store: DeskStore) -> None:
    await written(store, session(shared_history=True))
    assert await stored(store) == [session(shared_history=True)]


async def test_a_row_is_found_by_any_of_several_mappings_with_different_columns(store: DeskStore) -> None:
    await written(
        store, session(room_id="!a"), session(room_id="!b", session_id="t"), session(room_id="!c", sender_key="l")
    )
    async with store.unit() as unit:
        rows = await unit.read(
            "mx_megolm",
            [{"room_id": "!a", "session_id": "s"}, {"room_id": "!a", "session_id": "x"}, {"sender_key": "l"}],
        )
        assert {row.key["room_id"] for row in rows} == {"!a", "!c"}
        assert await unit.read("mx_megolm", []) == []
        assert len(await unit.read("mx_megolm", limit=2)) == 2


async def test_a_lower_first_index_replaces_a_session_and_a_higher_one_does_not(store: DeskStore) -> None:
    await written(store, session(first_index=5))
    await written(store, session(first_index=6, secret=b"later"))
    assert (await stored(store))[0].secret == b"pickle"
    await written(store, session(first_index=4, secret=b"earlier"))
    assert (await stored(store))[0].secret == b"earlier"


async def test_a_session_never_changes_its_ed25519_key(store: DeskStore) -> None:
    await written(store, session())
    await written(store, session(first_index=0, ed25519="another"))
    assert await stored(store) == [session()]


async def test_a_flag_changes_at_the_same_index(store: DeskStore) -> None:
    await written(store, session())
    await written(store, session(backed_up=True))
    assert await stored(store, backed_up=False) == []


async def test_a_removed_row_is_gone_and_may_be_written_anew_in_the_same_call(store: DeskStore) -> None:
    await written(store, session(first_index=1), session(session_id="other"))
    await written(store, replace(session(), removed=True), session(first_index=9))
    assert sorted(row.clear["first_index"] for row in await stored(store)) == [5, 9]


async def test_a_unit_that_fails_writes_nothing(store: DeskStore) -> None:
    async def fail() -> None:
        async with store.unit() as unit:
            await unit.write([session()])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await stored(store) == []


async def test_thousands_of_rows_are_read_and_written_in_one_call(store: DeskStore) -> None:
    rows = [session(session_id=f"s{number}") for number in range(15_000)]
    await written(store, *rows)
    async with store.unit() as unit:
        found = await unit.read("mx_megolm", [{"room_id": "!r", "session_id": row.key["session_id"]} for row in rows])
    assert len(found) == 15_000


async def test_accounts_do_not_see_each_others_rows(database: AsyncEngine) -> None:
    key = Key(1, new_secret())
    await written(SqlDeskStore(database, "@one:test", key=key), session())
    assert await stored(SqlDeskStore(database, "@two:test", key=key)) == []


async def test_a_secret_is_sealed_to_its_row(database: AsyncEngine) -> None:
    store = SqlDeskStore(database, ACCOUNT)
    await written(store, session(secret=b"the pickle"), session(session_id="other", secret=b"another"))
    async with database.begin() as connection:
        sealed = (
            await connection.execute(select(mx_megolm.c.sealed).where(mx_megolm.c.session_id == "s"))
        ).scalar_one()
        assert b"the pickle" not in sealed
        await connection.execute(update(mx_megolm).where(mx_megolm.c.session_id == "other").values(sealed=sealed))
    with pytest.raises(CannotOpen):
        await stored(store, session_id="other")


async def test_every_table_of_the_store_begins_with_the_account_and_has_a_sealed_column(database: AsyncEngine) -> None:
    for table in CRYPTO_TABLES.values():
        assert next(iter(table.primary_key)).name == "account"
        assert "sealed" in table.c
    async with database.begin() as connection:
        rows = SqlCryptoRows(connection, account=ACCOUNT, key=Key(1, new_secret()))
        assert [await rows.read(name) for name in CRYPTO_TABLES] == [[]] * len(CRYPTO_TABLES)  # type: ignore[arg-type]
