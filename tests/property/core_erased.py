"""What must hold when an erasure is done. Nothing of the person is readable any more: in this database, in a copy of it
from before, or in a room. Nothing of anybody else is touched, and the log still plays back to the state."""

import re
from collections.abc import AsyncIterator
from typing import Any

import sqlalchemy as sa

from messenger.domain.conversation import fold
from messenger.domain.ids import ConversationId
from messenger.storage.codec import UNREADABLE, load_item
from messenger.storage.conversation_rows import as_conversation
from messenger.storage.data_keys import DataKeys
from messenger.storage.inbox import inbox_place
from messenger.storage.messages import body_place
from messenger.storage.models import whole_schema
from messenger.storage.models.conversations import conversation, message
from messenger.storage.models.queues import inbox
from messenger.storage.models.rights import erasure
from tests.property.core_erasing import Erased
from tests.property.core_house import CUSTOMERS, House


async def nothing_is_left_of_the_erased(house: House) -> None:
    if not house.erased:
        return
    await _all_are_done(house)
    await _the_log_says_so(house)
    await _nothing_names_them(house)
    for gone in house.erased:
        assert not [row for row in gone.copies if await _opens(house.desk.keys, row)], "a copy can still be read"
        _their_room_is_clean(house, gone)
    _threads_are_clean(house)
    await _no_queue_holds_their_words(house)
    await _others_can_be_read(house)


async def _all_are_done(house: House) -> None:
    async with house.engine.begin() as connection:
        rows = (await connection.execute(sa.select(erasure.c.id, erasure.c.done_at, erasure.c.certificate))).all()
    assert {row.id for row in rows} == {gone.id for gone in house.erased}
    assert all(row.done_at is not None and row.certificate is not None for row in rows)
    assert sorted(house.cleaning.ledger.entries) == sorted(f"s-{gone.contact}" for gone in house.erased)


async def _the_log_says_so(house: House) -> None:
    """Of conversations that nobody may work on any more."""
    async with house.engine.begin() as connection:
        rows = (await connection.execute(sa.select(conversation).where(conversation.c.blocked.is_not(None)))).all()
    assert {row.contact_id for row in rows} <= {gone.contact for gone in house.erased}, "somebody else's stands still"
    async with house.desk.units.look() as unit:
        for row in rows:
            log = await unit.conversations.history(ConversationId(row.id))
            assert fold(log) == as_conversation(row), "the log is not the state"
            assert row.state in ("resolved", "closed")


async def _nothing_names_them(house: House) -> None:
    """Nor the rooms where they wrote. Who has come back is known by their address, in a room of a new life."""
    addresses = {CUSTOMERS[gone.letter] for gone in house.erased if not house.is_known(gone.letter)}
    names = "|".join(map(re.escape, sorted(addresses | {gone.room for gone in house.erased})))
    theirs = re.compile(rf"(?<!\w)({names})(?!\w)")
    async with house.engine.begin() as connection:
        for table in whole_schema().sorted_tables:
            rows = (await connection.execute(sa.select(table))).all()
            found = [hit.group() for row in rows for value in row if (hit := theirs.search(str(value)))]
            assert not found, f"{table.name} still knows {found}"


async def _opens(keys: DataKeys, row: Any) -> bool:
    try:
        await keys.open(row.enc_body, where=body_place(row.conversation_id, row.id))
    except UNREADABLE:
        return False
    return True


def _their_room_is_clean(house: House, gone: Erased) -> None:
    sent = house.chats.peer.delivered[gone.delivered_from : gone.delivered_to]
    theirs = [each for each in sent if each.to == CUSTOMERS[gone.letter]]
    stay = [each.text for each in theirs if each.remote_id not in house.cleaning.removed]
    assert not stay, f"stays in the customer's room: {stay}"


def _threads_are_clean(house: House) -> None:
    assert not house.cleaning.found - house.cleaning.removed, "found, and not removed"
    for post in house.rooms.posts:
        if post.is_gone:
            continue
        said = [token for version in post.versions for token in house.erased_tokens_in(version.plain)]
        assert not said, f"the desk's words of somebody erased stay: {post.now.plain}"


async def _no_queue_holds_their_words(house: House) -> None:
    for text in [*(repr(effect) for effect in await house.desk.effects()), *[each async for each in _items(house)]]:
        assert not house.erased_tokens_in(text), f"words of somebody erased wait in a queue: {text}"


async def _items(house: House) -> AsyncIterator[str]:
    async with house.engine.begin() as connection:
        rows = (await connection.execute(sa.select(inbox).where(sa.func.length(inbox.c.enc_body) > 0))).all()
    for row in rows:
        raw = await house.desk.keys.open(row.enc_body, where=inbox_place(row.source, row.source_id))
        yield repr(load_item(row.kind, raw))


async def _others_can_be_read(house: House) -> None:
    async with house.engine.begin() as connection:
        rows = (await connection.execute(sa.select(message))).all()
    assert all([await _opens(house.desk.keys, row) for row in rows]), "somebody else's words are gone"
