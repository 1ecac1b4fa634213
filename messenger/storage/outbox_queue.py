"""The outbox as its worker sees it. Ends of sends are written together: one transaction for all that ended
meanwhile."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app import boards
from messenger.app.items import StaffRedacted, StaffSaid
from messenger.app.outcome import Outcome
from messenger.app.records import OutboxRow
from messenger.observability.failpoints import fp
from messenger.storage import outbox as rows
from messenger.storage.codec import UNREADABLE
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import at_once, transaction
from messenger.storage.inbox import add_rows, sealed_row
from messenger.storage.lanes import Round
from messenger.storage.leases import Lease, fence
from messenger.storage.messages import add_traces, remove_traces
from messenger.storage.models.conversations import chat, conversation, place
from messenger.storage.models.people import skill_group
from messenger.storage.models.queues import dead_letter, inbox, outbox

log = logging.getLogger(__name__)

CARD_PAUSE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one row ends: `sent`, `failed` or `dead`, and what it leaves behind."""

    row: OutboxRow
    state: str
    outcome: Outcome
    code: str = ""


class SqlOutboxQueue:
    """Of one desk. Every transaction is fenced: a process that lost the lease claims and settles nothing. With
    `holds_answers` no answer leaves before `hear` and before what the team has said until then is handled: somebody may
    have taken it back while nobody was listening."""

    def __init__(
        self,
        engine: AsyncEngine,
        keys: DataKeys,
        *,
        desk: str,
        device: str,
        lease: Lease,
        holds_answers: bool = False,
    ) -> None:
        self._engine, self._keys, self._desk, self._device, self._lease = engine, keys, desk, device, lease
        self._holds_answers, self._heard_to = holds_answers, -1
        self._round = Round()
        self._ended: asyncio.Queue[tuple[Ending, asyncio.Future[None]]] = asyncio.Queue()

    async def claim(self, most: int) -> Sequence[OutboxRow]:
        """A row that does not open is put aside, so that it stops nobody else."""
        token, opened = uuid4(), []
        if self._holds_answers and self._heard_to >= 0:
            self._holds_answers = await self._has_unheard()
        async with at_once(self._engine) as connection:
            claimed = await rows.claim(
                connection,
                self._round,
                lease=self._lease,
                desk=self._desk,
                device=self._device,
                most=most,
                token=token,
                holds_answers=self._holds_answers,
            )
        if claimed:
            fp("outbox_claimed")
        for row in claimed:
            try:
                opened.append(await rows.opened(self._keys, row, token))
            except UNREADABLE as error:
                async with self._fenced() as connection:
                    await rows.bury(connection, row, type(error).__name__)
        return opened

    async def end(self, row: OutboxRow, *, state: str, outcome: Outcome, code: str = "") -> None:
        """Returns after COMMIT."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended.put_nowait((Ending(row=row, state=state, outcome=outcome, code=code), done))
        await done

    async def retry(self, row: OutboxRow, at: datetime, code: str) -> None:
        """The row waits. It may have got through, so a newer state is not merged into it: under its transaction id the
        homeserver would answer with what it was shown first. The newer state gets a row of its own behind this one."""
        async with self._fenced() as connection:
            await connection.execute(
                rows.mine(row).values(state="new", next_at=at, code=code, claimed_until=None, merge_key=None)
            )

    async def hear(self) -> None:
        """All that happened while nobody was listening is in the inbox now. Only the first call counts."""
        if self._heard_to < 0:
            async with at_once(self._engine) as connection:
                self._heard_to = await connection.scalar(sa.select(sa.func.max(inbox.c.id))) or 0

    async def _has_unheard(self) -> bool:
        """What waits for something else has been looked at; it changes no answer that could leave now."""
        of_staff = inbox.c.kind.in_([StaffSaid.__name__, StaffRedacted.__name__])
        is_untouched = sa.and_(inbox.c.state == "new", inbox.c.attempts == 0, inbox.c.id <= self._heard_to)
        async with at_once(self._engine) as connection:
            return bool(await connection.scalar(sa.select(sa.exists().where(is_untouched, of_staff))))

    async def hurry(self) -> None:
        """The homeserver answers again."""
        async with self._fenced() as connection:
            await rows.hurry(connection, desk=self._desk)

    async def step(self) -> None:
        """Writes what has ended; waits for the first."""
        batch = [await self._ended.get()]
        while not self._ended.empty():
            batch.append(self._ended.get_nowait())
        try:
            await self._write([ending for ending, _ in batch])
        except Exception as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
            return
        for _, done in batch:
            if not done.done():
                done.set_result(None)

    @asynccontextmanager
    async def _fenced(self) -> AsyncIterator[AsyncConnection]:
        async with transaction(self._engine) as connection:
            await fence(connection, self._lease)
            yield connection

    async def _write(self, endings: Sequence[Ending]) -> None:
        async with self._fenced() as connection:
            over = await rows.settle(connection, [(ending.row, ending.state, ending.code) for ending in endings])
            held = [ending for ending in endings if ending.row.id in over]
            await self._leave_behind(connection, [ending.outcome for ending in held])
            buried = [
                {"queue": "outbox", "row_id": ending.row.id, "reason": ending.code}
                for ending in held
                if ending.state == "dead"
            ]
            if buried:
                await connection.execute(dead_letter.insert(), buried)
            fp("sent_marked")
        fp("send_committed")

    async def _leave_behind(self, connection: AsyncConnection, outcomes: Sequence[Outcome]) -> None:
        await remove_traces(connection, [trace for outcome in outcomes for trace in outcome.gone])
        await add_traces(connection, [trace for outcome in outcomes for trace in outcome.traces])
        await add_rows(
            connection, [await sealed_row(self._keys, item) for outcome in outcomes for item in outcome.items]
        )
        for outcome in outcomes:
            await _place_card(connection, outcome)
            if outcome.opened:
                opened, room = outcome.opened
                await connection.execute(chat.update().where(chat.c.id == opened).values(remote=room))
            if outcome.spoke:
                id, spoke = outcome.spoke
                await connection.execute(chat.update().where(chat.c.id == id).values(conversation_id=spoke))
            if outcome.group_room:
                group, room = outcome.group_room
                await connection.execute(skill_group.update().where(skill_group.c.id == group).values(room_id=room))
            if outcome.board:
                group, event, digest = outcome.board
                values = {
                    "board_event": event,
                    "board_digest": digest,
                    "board_edit_at": sa.func.now() + boards.PAUSE,
                }
                await connection.execute(skill_group.update().where(skill_group.c.id == group).values(**values))


async def _place_card(connection: AsyncConnection, outcome: Outcome) -> None:
    if outcome.card:
        id, row = outcome.card
        new = insert(place).values(
            conversation_id=id,
            number=row.number,
            group_id=row.group,
            room_id=row.room,
            card=row.card,
            is_room=row.is_room,
        )
        # A room of its own is there before its card.
        has_none = new.on_conflict_do_update(
            index_elements=list(place.primary_key), set_={"card": new.excluded.card}, where=place.c.card == ""
        )
        await connection.execute(has_none)
        if row.card:
            await connection.execute(
                conversation.update()
                .where(conversation.c.id == id, conversation.c.place >= row.number)
                .values(card_room=row.room, card_event=row.card)
            )
            fp("card_placed")
    if outcome.edited_card:
        later = conversation.update().where(conversation.c.id == outcome.edited_card)
        await connection.execute(later.values(card_edit_at=sa.func.now() + CARD_PAUSE))
        # Edits that wait already were due at once; now they keep the distance too.
        waiting = outbox.update().where(outbox.c.merge_key == f"card:{outcome.edited_card}", outbox.c.state == "new")
        await connection.execute(waiting.values(next_at=sa.func.now() + CARD_PAUSE))
