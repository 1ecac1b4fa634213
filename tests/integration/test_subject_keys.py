"""Everything of a person hangs on their key in the key database: who destroys it has made it unreadable for everybody,
and everything goes on around the gap."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, cast
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app import packs, relays, to_customer
from messenger.app.effects.customer import SendToCustomer
from messenger.app.effects.staff import React
from messenger.app.effects.thread import PostNotice, RelayToThread, ShowHistory
from messenger.app.hands import Hands, Organisation
from messenger.app.ports import BodyErased
from messenger.app.records import Case, Said, Trace
from messenger.domain.ids import ConversationId
from messenger.domain.replies import MARKERS, Fate
from messenger.storage.data_keys import DataKeys, conversation_scope, place
from messenger.storage.encryption import CannotOpen, Key, KeyDestroyed, KeyMissing
from messenger.storage.key_upgrade import erase_keys, upgrade_keys
from messenger.storage.models.conversations import conversation, message
from messenger.storage.models.keys import data_key
from messenger.storage.models.subject_keys import subject_key
from messenger.storage.subject_keys import NOTICED_EVERY_S, SubjectKeys
from tests.integration.staff_desk import DESK, ROOM, StaffDesk, customer_says
from tests.support.keyring import keys_of, new_root
from tests.support.waiting import eventually

BEN, EVE = "@ben:x", "@eve:x"


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.set_up([BEN])
    return desk


async def contact_of(desk: StaffDesk, id: ConversationId) -> UUID:
    async with desk.engine.begin() as connection:
        return UUID(str(await connection.scalar(sa.select(conversation.c.contact_id).where(conversation.c.id == id))))


async def only_contact(desk: StaffDesk) -> UUID:
    return await contact_of(desk, (await desk.conversations())[0])


async def erase(desk: StaffDesk) -> UUID:
    contact = await only_contact(desk)
    assert await erase_keys(desk.engine, desk.keys, contact)
    return contact


async def messages(desk: StaffDesk, id: ConversationId) -> list[tuple[str, bool]]:
    async with desk.engine.begin() as connection:
        ids = await connection.scalars(
            sa.select(message.c.id).where(message.c.conversation_id == id).order_by(message.c.seq)
        )
        found = ids.all()
    async with desk.units() as unit:
        return [((said := await unit.messages.get(each)).content.text, said.is_erased) for each in found]


# --- the hierarchy


async def test_a_key_is_made_once_however_many_ask(database: AsyncEngine) -> None:
    root, subject = new_root(), uuid4()
    many = [keys_of(database, root) for _ in range(4)]
    made = await asyncio.gather(*(keys.of_contact(subject) for keys in many for _ in range(5)))
    assert len({key.kid for key in made}) == 1 and len({key.secret for key in made}) == 1


async def test_the_data_key_of_a_conversation_is_wrapped_by_its_customers_key(desk: StaffDesk) -> None:
    [id] = await desk.conversations()
    contact = await contact_of(desk, id)
    async with desk.engine.begin() as connection:
        row = (await connection.execute(sa.select(data_key).where(data_key.c.scope == conversation_scope(id)))).one()
    assert row.subject == contact
    secret = (await desk.keys.subjects.of(contact)).open(row.wrapped, where=place(row.scope))
    assert len(secret) == 32
    with pytest.raises(CannotOpen):
        desk.keys.subjects.roots.open(row.wrapped, where=place(row.scope))


async def test_only_desks_and_the_audit_log_are_wrapped_by_the_root_key(desk: StaffDesk) -> None:
    await desk.keys.of_desk(DESK)
    async with desk.engine.begin() as connection:
        scopes = await connection.scalars(sa.select(data_key.c.scope).where(data_key.c.subject.is_(None)))
        assert sorted(scopes) == ["audit:1", f"desk:{DESK}"]


# --- destruction


async def test_what_was_said_is_gone_with_the_key_and_others_stay(desk: StaffDesk) -> None:
    await desk.greet(EVE, "Eve", chat="!eve")
    await desk.put(customer_says("$eve", "I am somebody else", sender=EVE, chat="!eve"))
    await desk.work(1)
    [first] = [id for id in await desk.conversations() if await messages(desk, id) == [("Hello", False)]]
    contact = await contact_of(desk, first)
    assert await erase_keys(desk.engine, desk.keys, contact)
    [other] = [id for id in await desk.conversations() if id != first]
    assert await messages(desk, first) == [("", True)]
    assert await messages(desk, other) == [("I am somebody else", False)]
    async with desk.units() as unit:
        case = await unit.conversations.case(first)
    assert case.chat.is_erased and case.chat.name == ""


async def test_a_destroyed_key_opens_nothing_even_with_all_other_keys(desk: StaffDesk) -> None:
    [id] = await desk.conversations()
    async with desk.engine.begin() as connection:
        sealed = await connection.scalar(sa.select(message.c.enc_body))
        which = (await connection.scalars(sa.select(message.c.id))).one()
    await erase(desk)
    stranger = keys_of(desk.engine, desk.keys.subjects.roots.first)
    for keys in (desk.keys, stranger):
        with pytest.raises(KeyDestroyed):
            await keys.open(sealed, where=f"message|enc_body|{id}|{which}")
    async with desk.engine.begin() as connection:
        kept = await connection.scalars(sa.select(subject_key.c.wrapped).where(subject_key.c.destroyed_at.is_not(None)))
        assert list(kept) == [None]


async def test_another_process_forgets_a_destroyed_key_within_seconds(desk: StaffDesk) -> None:
    contact, clock = await only_contact(desk), Clock()
    roots = desk.keys.subjects.roots
    running = DataKeys(desk.engine, SubjectKeys(desk.engine, roots, clock=clock))
    sealed = (await running.of_contact(contact)).seal(b"name", where="here")
    assert await running.open(sealed, where="here") == b"name"
    await erase(desk)
    clock.seconds += NOTICED_EVERY_S
    with pytest.raises(KeyDestroyed):
        await running.open(sealed, where="here")


async def test_a_lost_key_is_not_taken_for_a_destroyed_one(desk: StaffDesk) -> None:
    async with desk.engine.begin() as connection:
        await connection.execute(subject_key.delete())
        sealed = await connection.scalar(sa.select(message.c.enc_body))
    keys = keys_of(desk.engine, desk.keys.subjects.roots.first)
    with pytest.raises(KeyMissing):
        await keys.open(sealed, where="anywhere")


async def test_shredding_leaves_no_destroyed_key_in_the_tables_files(desk: StaffDesk) -> None:
    contact = await only_contact(desk)
    async with desk.engine.begin() as connection:
        wrapped = await connection.scalar(sa.select(subject_key.c.wrapped).where(subject_key.c.subject == contact))
    assert wrapped in await _file_of_subject_keys(desk.engine)
    await erase(desk)

    async def is_gone() -> bool:  # not at the first time if the server's own housekeeping looks at the table
        await desk.keys.subjects.shred()
        return wrapped not in await _file_of_subject_keys(desk.engine)

    await eventually(is_gone)


async def _file_of_subject_keys(engine: AsyncEngine) -> bytes:
    async with engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await alone.exec_driver_sql("CHECKPOINT")
        path = await alone.scalar(sa.text("SELECT pg_relation_filepath('subject_key')"))
        return bytes(await alone.scalar(sa.text("SELECT pg_read_binary_file(:path)"), {"path": path}))


# --- everything goes on around the gap


async def test_nobody_writes_any_more_in_the_thread_of_somebody_who_was_erased(desk: StaffDesk) -> None:
    [id] = await desk.conversations()
    await erase(desk)
    for text in ("Good morning", "// a note", "!resolve done"):
        await desk.says(BEN, text)
    assert await messages(desk, id) == [("", True)]
    notices = [each for each in await desk.effects() if isinstance(each, PostNotice) and each.text == "S10c.erased"]
    marks = [each for each in await desk.effects() if isinstance(each, React) and each.key == MARKERS[Fate.FAILED]]
    assert (len(notices), len(marks)) == (3, 3)


async def test_who_writes_again_begins_anew(desk: StaffDesk) -> None:
    [former] = await desk.conversations()
    contact = await erase(desk)
    await desk.put(customer_says("$again", "It is me again"))
    await desk.work(1)
    [new] = [id for id in await desk.conversations() if id != former]
    assert await contact_of(desk, new) == contact
    assert await messages(desk, former) == [("", True)]
    assert await messages(desk, new) == [("It is me again", False)]
    assert await desk.inbox_states("InboundMessage") == ["done", "done"]


async def test_a_name_that_comes_again_is_kept_under_a_new_key(desk: StaffDesk) -> None:
    contact = await erase(desk)
    old = await desk.keys.subjects.of(contact)
    sealed = (await desk.keys.of_contact(contact)).seal(b"Anna", where="here")
    assert await desk.keys.open(sealed, where="here") == b"Anna"
    assert old.kid == (await desk.keys.subjects.of(contact)).kid


async def test_work_about_an_erased_message_is_dropped_and_not_tried_again(desk: StaffDesk) -> None:
    await desk.says(BEN, "!claim")
    await desk.says(BEN, "!r Good morning")
    await erase(desk)
    async with AsNothing.of(desk) as hands:
        for kind, deliver in ((RelayToThread, relays.relay_to_thread), (SendToCustomer, to_customer.send_to_customer)):
            [effect] = [each for each in await desk.effects() if isinstance(each, kind)]
            with pytest.raises(BodyErased):
                await cast(Any, deliver)(hands, effect, "txn")


async def test_the_past_says_that_it_was_erased(desk: StaffDesk) -> None:
    [id] = await desk.conversations()
    async with desk.engine.begin() as connection:
        said = (await connection.scalars(sa.select(message.c.id))).one()
    async with desk.units() as unit:  # it stands in the thread
        copy = Trace(account=DESK, room=ROOM, remote_id="$copy", kind="copy", conversation=id, message=said)
        await unit.messages.add_trace(copy)
    await erase(desk)
    async with AsNothing.of(desk) as hands, desk.units() as unit:
        reader = (await unit.people.seats_of(BEN))[0][1].agent.id
        await packs.show_history(hands, ShowHistory(conversation=id, most=10, reader=reader), "txn")
        case = await unit.conversations.case(id)
        assert cast(AsNothing, hands).said[0].plain.endswith("erased person: (erased)")
        assert "erased person" in (await hands.card_of(case)).plain


class AsNothing(Hands):
    """Hands that note what they post at a place and touch nothing else."""

    said: ClassVar[list[Said]] = []

    @classmethod
    @asynccontextmanager
    async def of(cls, desk: StaffDesk) -> AsyncIterator["AsNothing"]:
        unused: Any = None
        cls.said = []
        yield cls(units=desk.units, desk=unused, channel=unused, door=unused, files=unused,
                  organisation=Organisation(name="x"))  # fmt: skip

    async def post(self, case: Case, said: Said, txn: str) -> str:
        self.said.append(said)
        return "$event"


# --- data of an older version


async def test_keys_of_an_older_version_come_under_their_persons_keys(desk: StaffDesk) -> None:
    root = desk.keys.subjects.roots.first
    await _as_an_older_version(desk, root)
    [id] = await desk.conversations()
    assert await messages(desk, id) == [("Hello", False)], "readable before"
    assert await upgrade_keys(desk.engine, desk.keys) == 2
    assert await messages(desk, id) == [("Hello", False)], "and after"
    assert await upgrade_keys(desk.engine, desk.keys) == 0
    await erase(desk)
    assert await messages(desk, id) == [("", True)]


async def test_an_erasure_does_not_wait_for_the_rest_of_an_upgrade(desk: StaffDesk) -> None:
    await _as_an_older_version(desk, desk.keys.subjects.roots.first)
    [id] = await desk.conversations()
    await erase(desk)
    assert await messages(desk, id) == [("", True)]


async def _as_an_older_version(desk: StaffDesk, root: Key) -> None:
    """All data keys of persons stand under the root key, as the first version left them."""
    async with desk.engine.begin() as connection:
        rows = (
            await connection.execute(
                sa.select(data_key).where(data_key.c.scope.regexp_match("^(contact|conversation):"))
            )
        ).all()
        for row in rows:
            by_subject = await desk.keys.subjects.of(row.subject)
            secret = by_subject.open(row.wrapped, where=place(row.scope))
            values = {"subject": None, "wrapped": root.seal(secret, where=place(row.scope))}
            await connection.execute(data_key.update().where(data_key.c.kid == row.kid).values(**values))
    desk.keys.forget_all()
