"""The audit chain on a real database: what is appended, what is refused, and how the verifier names what was changed by
somebody who may do everything with the database."""

import asyncio
import logging
from collections.abc import Callable
from itertools import product
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.audit import NotACode, audit
from messenger.bootstrap.audit import Witness
from messenger.bootstrap.database import Storage
from messenger.config import Settings
from messenger.observability.time import utc_now
from messenger.storage.audit import chain_scope, renew_key, words_place
from messenger.storage.audit_chain import COLUMNS, chain_secret, link
from messenger.storage.audit_checkpoints import Line, lines_of, read_lines, signing_key
from messenger.storage.audit_verify import PAGE, Verdict, verify
from messenger.storage.models.audit import audit as table
from messenger.storage.unit_of_work import SqlUnits
from tests.support.keyring import keys_of

ROWS, PAGES = 12, (PAGE, 1, 4, 5)
ACTOR, OBJECT = f"agent:{uuid4()}", f"conversation:{uuid4()}"


class Log:
    """A chain of `ROWS` rows, and somebody who may do everything with the database."""

    def __init__(self, engine: AsyncEngine, folder: Path) -> None:
        self.engine, self.keys = engine, keys_of(engine)
        self.units = SqlUnits(engine, self.keys, namespace=uuid4(), desk="@desk:x")
        self.file = folder / "checkpoints.jsonl"
        self.witness = self.new_witness()

    def new_witness(self) -> Witness:
        audit_section = Settings.model_fields["audit"].default.model_copy(update={"checkpoint_file": self.file})
        settings = Settings.model_construct(audit=audit_section)
        return Witness(Storage(engine=self.engine, keys=self.keys, namespace=uuid4()), settings)

    async def add(self, rows: int = 1, **more: str) -> None:
        async with self.units() as unit:
            for _ in range(rows):
                audit(unit, actor=ACTOR, action="conversation.history", object=OBJECT, purpose="serve", **more)

    async def tamper(self, *statements: str) -> None:
        async with self.engine.begin() as connection:
            await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")  # no trigger fires
            for statement in statements:
                await connection.exec_driver_sql(statement)

    async def judged(self, *statements: str) -> Verdict:
        """What the verifier says of the tampered log; then all is as it was."""
        await self.tamper("CREATE TABLE rows_before AS TABLE audit", "CREATE TABLE end_before AS TABLE audit_head")
        await self.tamper(*statements)
        verdict = await self.verdict()
        await self.tamper(
            "DELETE FROM audit",
            "INSERT INTO audit SELECT * FROM rows_before",
            "DELETE FROM audit_head",
            "INSERT INTO audit_head SELECT * FROM end_before",
            "DROP TABLE rows_before, end_before",
        )
        assert (await self.verdict()).is_whole
        return verdict

    async def lines(self) -> list[Line]:
        return read_lines(await signing_key(self.keys), lines_of(self.file))

    async def verdict(self) -> Verdict:
        """The same wherever the verifier turns a page: after each row, at the end, behind it."""
        lines = await self.lines()
        first, *others = [await verify(self.engine, self.keys, lines, page=page) for page in PAGES]
        assert others == [first] * len(others)
        return first

    async def forge(self, seq: int) -> None:
        """Writes the chain anew from this row on, with the right key: only a checkpoint can tell."""
        secret = chain_secret(await self.keys.of(chain_scope(1)))
        async with self.engine.begin() as connection:
            await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            await connection.execute(table.update().where(table.c.seq == seq).values(purpose="nothing"))
            mac = await connection.scalar(sa.select(table.c.mac).where(table.c.seq == seq - 1))
            for row in await connection.execute(sa.select(table).where(table.c.seq >= seq).order_by(table.c.seq)):
                mac = link(secret, mac, [row._mapping[name] for name in COLUMNS])
                await connection.execute(table.update().where(table.c.seq == row.seq).values(mac=mac))
            await connection.execute(sa.text("UPDATE audit_head SET mac = :mac"), {"mac": mac})


@pytest.fixture
async def log(database: AsyncEngine, tmp_path: Path) -> Log:
    made = Log(database, tmp_path)
    await made.add(ROWS)
    return made


async def test_a_chain_as_it_was_written_is_whole(log: Log) -> None:
    await log.witness.write()
    verdict = await log.verdict()
    assert verdict.is_whole and (verdict.rows, verdict.witnessed, verdict.checkpoints) == (ROWS, ROWS, 1)


async def test_an_empty_chain_is_whole(database: AsyncEngine, tmp_path: Path) -> None:
    log = Log(database, tmp_path)
    await log.witness.write()
    assert (await log.verdict()).is_whole and not log.file.exists()


async def test_a_unit_that_fails_leaves_no_row(log: Log) -> None:
    async def fail() -> None:
        async with log.units() as unit:
            audit(unit, actor=ACTOR, action="conversation.history", object=OBJECT, purpose="serve")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert (await log.verdict()).rows == ROWS


async def test_a_unit_for_reading_writes_its_row_too(log: Log) -> None:
    async with log.units.look() as unit:
        audit(unit, actor=ACTOR, action="conversation.show", object=OBJECT, purpose="serve")
    assert (await log.verdict()).rows == ROWS + 1


async def test_units_side_by_side_make_one_chain(log: Log) -> None:
    await asyncio.gather(*(log.add(3) for _ in range(15)))
    verdict = await log.verdict()
    assert verdict.is_whole and verdict.rows == ROWS + 45


async def test_words_stay_sealed_and_are_bound_to_their_row(log: Log) -> None:
    await log.add(words="an emergency call about Kim")
    async with log.engine.begin() as connection:
        row = (await connection.execute(sa.select(table).order_by(table.c.seq.desc()).limit(1))).one()
    assert b"Kim" not in row.enc_words
    assert await log.keys.open(row.enc_words, where=words_place(row.seq)) == b"an emergency call about Kim"
    await log.tamper(f"UPDATE audit SET enc_words = NULL WHERE seq = {row.seq}")
    assert (await log.verdict()).first_bad == row.seq


TEXTS = ("two words", "@anna:example.org", "+49301234567", "a@b.example", "Müller", "x" * 121, "line\n")


async def test_only_ids_and_codes_can_be_written(log: Log) -> None:
    for place, text in product(("actor", "action", "object", "purpose", "reason", "detail"), TEXTS):
        row = {"actor": ACTOR, "action": "a", "object": OBJECT, "purpose": "p", place: text}
        async with log.units() as unit:
            with pytest.raises(NotACode):
                audit(unit, **row)
    assert (await log.verdict()).rows == ROWS


FORBIDDEN = (
    "UPDATE audit SET purpose = 'other' WHERE seq = 3",
    "DELETE FROM audit WHERE seq = 3",
    "TRUNCATE audit",
    "DELETE FROM audit_head",
    "TRUNCATE audit_head",
    "UPDATE audit_head SET seq = seq - 1",
)


async def test_the_database_refuses_to_change_what_was_written(log: Log) -> None:
    for statement in FORBIDDEN:
        with pytest.raises(DBAPIError, match="can only be added to"):
            async with log.engine.begin() as connection:
                await connection.exec_driver_sql(statement)
    assert (await log.verdict()).is_whole


CHANGES = {
    "at": "at + interval '1 microsecond'",
    "actor": "'agent:other'",
    "action": "'conversation.show'",
    "object": "'conversation:other'",
    "purpose": "'other'",
    "outcome": "'refused'",
    "reason": "'other'",
    "details": """'{"most": "50"}'""",
    "enc_words": r"'\x00'",
    "mac": "sha256(mac)",
    "key_no": "2",
}


async def test_a_changed_row_is_named_whatever_was_changed(log: Log) -> None:
    assert set(CHANGES) | {"seq"} == set(table.c.keys())
    for column, seq in product(CHANGES, (1, 7, ROWS)):
        verdict = await log.judged(f"UPDATE audit SET {column} = {CHANGES[column]} WHERE seq = {seq}")
        assert verdict.first_bad == seq, column


async def test_a_deleted_row_is_named(log: Log) -> None:
    for seq in range(1, ROWS + 1):
        assert (await log.judged(f"DELETE FROM audit WHERE seq = {seq}")).first_bad == seq


async def test_a_deleted_row_is_named_when_the_later_ones_move_up(log: Log) -> None:
    for gone in (1, 5, ROWS - 1):
        moves = [f"UPDATE audit SET seq = {seq - 1} WHERE seq = {seq}" for seq in range(gone + 1, ROWS + 1)]
        end = f"UPDATE audit_head SET seq = {ROWS - 1}"
        assert (await log.judged(f"DELETE FROM audit WHERE seq = {gone}", *moves, end)).first_bad == gone


def _copied(seq: int, to: int) -> str:
    columns = "at, actor, action, object, purpose, outcome, reason, details, enc_words, key_no, mac"
    return f"INSERT INTO audit SELECT {to}, {columns} FROM audit WHERE seq = {seq}"


async def test_an_inserted_row_is_named(log: Log) -> None:
    moves = [f"UPDATE audit SET seq = {seq + 1} WHERE seq = {seq}" for seq in range(ROWS, 4, -1)]
    end = f"UPDATE audit_head SET seq = {ROWS + 1}"
    assert (await log.judged(*moves, _copied(4, to=5), end)).first_bad == 5
    assert (await log.judged(_copied(ROWS, to=ROWS + 1), end)).first_bad == ROWS + 1


async def test_rows_in_another_order_are_named(log: Log) -> None:
    for one, other in ((1, 2), (3, 9), (ROWS - 1, ROWS)):
        verdict = await log.judged(
            f"UPDATE audit SET seq = 0 WHERE seq = {one}",
            f"UPDATE audit SET seq = {one} WHERE seq = {other}",
            f"UPDATE audit SET seq = {other} WHERE seq = 0",
        )
        assert verdict.first_bad == one


async def test_a_cut_tail_is_named(log: Log) -> None:
    verdict = await log.judged(f"DELETE FROM audit WHERE seq > {ROWS - 3}")
    assert (verdict.first_bad, verdict.fault) == (ROWS - 2, "cut_off")


async def test_a_cut_tail_is_named_by_a_checkpoint_when_the_end_is_set_back_too(log: Log) -> None:
    await log.witness.write()
    for left in (0, 1, 8, ROWS - 1):
        mac = f"coalesce((SELECT mac FROM audit WHERE seq = {left}), '\\x{'00' * 32}')"
        end = f"UPDATE audit_head SET seq = {left}, mac = {mac}"
        verdict = await log.judged(f"DELETE FROM audit WHERE seq > {left}", end)
        assert (verdict.first_bad, verdict.fault) == (left + 1, "cut_off")


async def test_a_cut_tail_is_named_when_as_many_rows_have_come_after_it(log: Log) -> None:
    """The next process writes a checkpoint of its own at the same number: the older one is not forgotten for it."""
    await log.witness.write()
    await log.tamper(
        f"DELETE FROM audit WHERE seq > {ROWS - 3}",
        f"UPDATE audit_head SET seq = {ROWS - 3}, mac = (SELECT mac FROM audit WHERE seq = {ROWS - 3})",
    )
    await log.add(3)
    await log.new_witness().write()
    verdict = await log.verdict()
    assert verdict.fault == "not_the_witnessed"


async def test_a_chain_made_anew_with_the_key_is_told_by_a_checkpoint(log: Log) -> None:
    await log.witness.write()
    await log.add(4)
    await log.forge(ROWS - 2)
    assert (await log.verdict()).fault == "not_the_witnessed"


async def test_a_change_between_two_checkpoints_is_looked_for_after_the_first(log: Log) -> None:
    await log.witness.write()
    await log.add(4)
    await log.witness.write()
    await log.forge(ROWS + 2)
    assert (await log.verdict()).first_bad == ROWS + 1


async def test_older_rows_stay_verifiable_under_a_new_key(log: Log) -> None:
    assert await renew_key(log.engine, log.keys, actor="shell:0", at=utc_now()) == 2
    await log.add(3)
    verdict = await log.verdict()
    assert verdict.is_whole and verdict.rows == ROWS + 4
    await log.tamper(f"UPDATE audit SET key_no = 1 WHERE seq = {ROWS + 3}")
    assert (await log.verdict()).first_bad == ROWS + 3


async def test_a_chain_does_not_fit_the_keys_of_another_installation(log: Log) -> None:
    await log.witness.write()
    others = keys_of(log.engine)
    async with log.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM data_key")
    verdict = await verify(log.engine, others, read_lines(await signing_key(others), lines_of(log.file)))
    assert verdict.first_bad == 1 and verdict.bad_lines == ("1:foreign_key",)


async def _three_checkpoints(log: Log) -> list[str]:
    for _ in range(3):
        await log.add()
        await log.witness.write()
    return lines_of(log.file)


FILE_CHANGES: tuple[tuple[Callable[[list[str]], list[str]], str], ...] = (
    (lambda lines: [lines[0], lines[2]], "2:line_missing"),
    (lambda lines: [lines[1], lines[2]], "1:line_missing"),
    (lambda lines: [lines[0], lines[1].replace('"seq": 14', '"seq": 13'), lines[2]], "2:bad_signature"),
    (lambda lines: [lines[0], lines[1][:40], lines[2]], "2:unreadable"),
    (lambda lines: ["", *lines], "1:unreadable"),
)


async def test_a_changed_checkpoint_file_is_told(log: Log) -> None:
    lines = await _three_checkpoints(log)
    for change, fault in FILE_CHANGES:
        log.file.write_text("\n".join(change(lines)) + "\n")
        verdict = await log.verdict()
        assert verdict.first_bad is None and not verdict.is_whole and verdict.bad_lines[0] == fault


async def test_a_line_that_a_crash_has_cut_off_does_not_spoil_the_next(log: Log) -> None:
    await log.witness.write()
    with log.file.open("a") as file:
        file.write('{"seq": 1')
    await log.add()
    await log.witness.write()
    assert [line.fault for line in await log.lines()] == ["", "unreadable", ""]


async def test_a_checkpoint_is_written_only_when_something_was_added(log: Log) -> None:
    for _ in range(3):
        await log.witness.write()
    assert len(lines_of(log.file)) == 1


async def test_a_running_witness_sees_a_tail_that_no_checkpoint_knows(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    await log.witness.look()
    await log.add(2)
    await log.witness.look()
    cut = "UPDATE audit_head SET seq = {0}, mac = (SELECT mac FROM audit WHERE seq = {0})".format(ROWS + 1)
    await log.tamper(f"DELETE FROM audit WHERE seq > {ROWS + 1}", cut)
    with caplog.at_level(logging.ERROR):
        await log.witness.look()
    assert "changed from outside" in caplog.text


async def test_a_new_witness_sees_what_was_cut_while_nobody_watched(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    await log.witness.write()
    cut = "UPDATE audit_head SET seq = 5, mac = (SELECT mac FROM audit WHERE seq = 5)"
    await log.tamper("DELETE FROM audit WHERE seq > 5", cut)
    witness = log.new_witness()
    await witness.remember()
    with caplog.at_level(logging.ERROR):
        await witness.look()
    assert "changed from outside" in caplog.text


async def test_a_witness_is_content_with_what_grows(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await log.witness.look()
            await log.add()
    assert not caplog.text
