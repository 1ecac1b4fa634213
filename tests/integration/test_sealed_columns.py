"""Moved, copied, flipped: whoever may do everything with the database makes no sealed value open anywhere but where it
belongs. The columns are found in the models: a new one must say here what binds it to its row, or this fails."""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import LargeBinary, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.audit import AuditEntry
from messenger.app.desk_ports import Arrival, CryptoRow
from messenger.app.items import Unreadable
from messenger.domain.routing.availability import Availability
from messenger.storage import cases, chats, desk_store, inbox, leases, messages, outbox, people
from messenger.storage.audit import append, words_place
from messenger.storage.crypto_rows import SqlCryptoRows, _key_columns
from messenger.storage.desk_store import SqlDeskStore
from messenger.storage.desks import DeskLogin, desk_key, save_login
from messenger.storage.encryption import CannotOpen
from messenger.storage.models import whole_schema
from messenger.storage.models.crypto import CRYPTO_TABLES
from messenger.storage.models.subject_keys import key_metadata
from tests.integration.staff_desk import AT, DESK, StaffDesk, customer_says

ATTACKS, ROWS = 500, 4
# Digests, not sealed: a change is found by the chain.
DIGESTS = frozenset({"audit.mac", "audit_head.mac"})
AGENTS = [f"@agent{n}:x" for n in range(ROWS)]

Row = Mapping[str, Any]
# What binds a value to its row, as its reader says it. The tables of the crypto store are bound by their own keys.
PLACES: dict[str, Callable[[Row], str]] = {
    "audit.enc_words": lambda row: words_place(row["seq"]),
    "contact.enc_name": lambda row: chats.name_place(row["id"]),
    "conversation.enc_tags": lambda row: cases.tags_place(row["id"]),
    "message.enc_body": lambda row: messages.body_place(row["conversation_id"], row["id"]),
    "inbox.enc_body": lambda row: inbox.inbox_place(row["source"], row["source_id"]),
    "inbox.enc_raw": lambda row: desk_store._raw_place(row["source"], row["source_id"]),
    "outbox.enc_body": lambda row: outbox.outbox_place(row["txn"]),
    "dead_letter.enc_raw": lambda row: desk_store.letter_place(DESK, row["source_id"]),
    "desk.enc_login": lambda row: f"desk|enc_login|{row['account']}",
    "desk.enc_identity": lambda row: f"desk|enc_identity|{row['account']}",
    "staff.enc_availability_reason": lambda row: people._reason_place(row["id"]),
}
# Keys are opened by what wraps them; see `Vault.open`.
WRAPPED = frozenset({"data_key.wrapped", "subject_key.wrapped"})


def sealed_columns() -> dict[str, Table]:
    """Every binary column of both databases, by its name."""
    tables = [*whole_schema().tables.values(), *key_metadata.tables.values()]
    binary = {f"{t.name}.{c.name}": t for t in tables for c in t.columns if isinstance(c.type, LargeBinary)}
    return {name: table for name, table in binary.items() if name not in DIGESTS}


def test_every_sealed_column_says_what_binds_it_to_its_row() -> None:
    of_crypto_store = {f"{name}.sealed" for name in CRYPTO_TABLES}
    assert set(sealed_columns()) - of_crypto_store == set(PLACES) | WRAPPED


@dataclass
class Vault:
    """All tables with some rows, and their readers."""

    desk: StaffDesk
    rows: dict[str, list[Row]]

    async def open(self, name: str, row: Row, value: bytes) -> bytes:
        """As the product reads this column of this row. Raises CannotOpen."""
        table, _, column = name.partition(".")
        keys = self.desk.keys
        if name == "subject_key.wrapped":
            return keys.subjects._unwrapped(SimpleNamespace(**{**row, column: value})).secret
        if name == "data_key.wrapped":
            return (await keys._unwrapped(SimpleNamespace(**{**row, column: value}))).key.secret
        if table in CRYPTO_TABLES:
            place = "|".join((table, row["account"], *(row[key] for key in _key_columns(CRYPTO_TABLES[table]))))
            return (await desk_key(keys, row["account"])).open(value, where=place)
        return await keys.open(value, where=PLACES[name](row))


@pytest.fixture
async def vault(database: AsyncEngine) -> Vault:
    desk = StaffDesk(database)
    await desk.set_up(AGENTS)
    for fill in (_conversations, _waiting, _desks, _words):
        await fill(desk)
    rows: dict[str, list[Row]] = {}
    async with database.begin() as connection:
        for name, table in sealed_columns().items():
            column = table.c[name.partition(".")[2]]
            found = await connection.execute(sa.select(table).where(sa.func.length(column) > 0))
            rows[name] = [row._asdict() for row in found]
    return Vault(desk, rows)


async def _conversations(desk: StaffDesk) -> None:
    for n in range(ROWS):
        person = f"@customer{n}:x"
        await desk.greet(person, f"Customer {n}", chat=f"!chat{n}")
        await desk.put(customer_says(f"$c{n}", f"Words {n}", sender=person, chat=f"!chat{n}"))
        await desk.work(1)
    for id in await desk.conversations():
        async with desk.units() as unit:
            await unit.conversations.set_tags(id, [f"tag {id}"])


async def _waiting(desk: StaffDesk) -> None:
    """Items that are not handled yet, events without their keys, and some that could not be read at all."""
    await desk.put(*(customer_says(f"$w{n}", f"Waiting {n}") for n in range(ROWS)))
    async with _unit(desk) as unit:
        for n in range(ROWS):
            lost = Unreadable(account=DESK, room="!r", thread=None, event=f"$u{n}", sender="@c:x", at=AT, reason="x")
            arrival = Arrival(
                source_id=f"$u{n}", lane="!r", item=lost, session=("!r", f"s{n}"), raw={"n": n}, waits=True
            )
            await unit.take([arrival])
            await unit.bury(f"$b{n}", "Reason", {"body": f"Broken {n}"})


def _unit(desk: StaffDesk) -> Any:
    async def opened() -> SqlDeskStore:
        lease = await leases.acquire(desk.engine, f"desk:{DESK}", "test", desk_store.KEY_PATIENCE * 60)
        assert lease is not None
        key = await desk_key(desk.keys, DESK)
        return SqlDeskStore(desk.engine, desk.keys, account=DESK, key=key, lease=lease)

    return _Opening(opened)


class _Opening:
    def __init__(self, opened: Callable[[], Awaitable[SqlDeskStore]]) -> None:
        self._opened = opened

    async def __aenter__(self) -> Any:
        self._unit = (await self._opened()).unit()
        return await self._unit.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        await self._unit.__aexit__(*error)


async def _desks(desk: StaffDesk) -> None:
    """Logins, identities, and each table of the crypto store: pickles among them."""
    for n in range(ROWS):
        account = f"@desk{n}:x"
        login = DeskLogin(account=account, device_id="D", token=f"token {n}", identity=f"identity {n}".encode())
        await save_login(desk.engine, desk.keys, login)
        async with desk.engine.begin() as connection:
            rows = SqlCryptoRows(connection, account=account, key=await desk_key(desk.keys, account))
            await rows.write([_crypto_row(name, table, n) for name, table in CRYPTO_TABLES.items()])


def _crypto_row(name: str, table: Table, n: int) -> CryptoRow:
    keys = {column: f"{column} {n}" for column in _key_columns(table)}
    clear = {
        column.name: {int: n, bool: False, str: f"{column.name} {n}"}[column.type.python_type]
        for column in table.columns
        if not column.primary_key and column.name != "sealed"
    }
    return CryptoRow(table=name, key=keys, clear=clear, secret=f"pickle {n}".encode())  # type: ignore[arg-type]


async def _words(desk: StaffDesk) -> None:
    async with desk.units() as unit:
        for address in AGENTS:
            agent = (await unit.people.seats_of(address))[0][1].agent.id
            await unit.people.set_status(agent, Availability.BUSY, f"reason of {address}", at=AT, source="self")
    async with desk.engine.begin() as connection:
        for n in range(ROWS):
            entry = AuditEntry(actor="shell:0", action="a", object=f"o:{n}", purpose="p", words=f"because {n}")
            await append(connection, desk.keys, [entry], at=AT)


async def test_every_sealed_column_opens_where_it_belongs(vault: Vault) -> None:
    for name, rows in vault.rows.items():
        assert len(rows) >= 2, f"{name}: this test fills no rows"
        for row in rows:
            assert await vault.open(name, row, row[name.partition(".")[2]]), name


async def test_five_hundred_values_that_were_moved_copied_or_changed_are_refused(vault: Vault) -> None:
    dice, names = random.Random(2026), sorted(vault.rows)
    refused = {"flipped": 0, "of another row": 0, "of another column": 0, "cut": 0, "of another key": 0}
    for number in range(ATTACKS):
        name = names[number % len(names)]
        kind = list(refused)[number // len(names) % len(refused)]
        row, value = _attack(vault, dice, kind, name)
        with pytest.raises(CannotOpen):
            await vault.open(name, row, value)
        refused[kind] += 1
    assert sum(refused.values()) == ATTACKS and min(refused.values()) > 50


def _attack(vault: Vault, dice: random.Random, kind: str, name: str) -> tuple[Row, bytes]:
    """A row, and what an attacker has put into it."""
    row, other = dice.sample(vault.rows[name], 2)
    value, others = row[name.partition(".")[2]], other[name.partition(".")[2]]
    match kind:
        case "flipped":
            at = dice.randrange(len(value))
            return row, value[:at] + bytes([value[at] ^ (1 << dice.randrange(8))]) + value[at + 1 :]
        case "of another row":
            return row, others
        case "of another column":
            elsewhere = dice.choice([each for each in vault.rows if each != name])
            return row, dice.choice(vault.rows[elsewhere])[elsewhere.partition(".")[2]]
        case "cut":
            return row, value[: dice.randrange(len(value))]
        case _:
            return row, value[:1] + others[1:5] + value[5:] if others[1:5] != value[1:5] else others


async def test_a_row_cannot_take_the_place_of_another_in_the_database_itself(vault: Vault) -> None:
    """The same through the product's own reading, for what matters most."""
    desk = vault.desk
    first, second = vault.rows["message.enc_body"][:2]
    async with desk.engine.begin() as connection:
        table = sealed_columns()["message.enc_body"]
        await connection.execute(table.update().where(table.c.id == first["id"]).values(enc_body=second["enc_body"]))
    async with desk.units() as unit:
        with pytest.raises(CannotOpen):
            await unit.messages.get(first["id"])
