"""Appends to the audit chain.

Whoever appends locks the row that holds the chain's end, as the very last thing before the commit: rows stand in the
order of their commits, and nothing waits for longer than one statement and one commit takes. Nothing takes a further
lock after it, so it cannot be part of a deadlock. Relaying messages appends nothing and never comes here. A row that
was chained later, by another process, would be cheaper, and could be deleted in between without a trace."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.audit import AuditEntry
from messenger.observability.failpoints import fp
from messenger.storage.audit_chain import COLUMNS, chain_secret, details_text, link
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import transaction
from messenger.storage.models.audit import audit, audit_head

WORDS_SCOPE = "audit-words"
_HEAD = sa.select(audit_head.c.seq, audit_head.c.mac, audit_head.c.key_no).where(audit_head.c.id == 1)


def chain_scope(key_no: int) -> str:
    """Rows name the number of their key, so that older ones stay verifiable under a new one."""
    return f"audit:{key_no}"


def words_place(seq: int) -> str:
    return f"audit|enc_words|{seq}"


class SqlAudit:
    """The entries of one unit, kept until it commits."""

    def __init__(self, connection: AsyncConnection, keys: DataKeys, now: datetime) -> None:
        self._connection, self._keys, self.now = connection, keys, now
        self._entries: list[AuditEntry] = []

    def add(self, entry: AuditEntry) -> None:
        self._entries.append(entry)

    async def flush(self) -> None:
        """The last statement of the transaction."""
        await append(self._connection, self._keys, self._entries, at=self.now)
        self._entries = []

    async def flush_alone(self, engine: AsyncEngine) -> None:
        """For a unit that has no transaction."""
        if self._entries:
            async with transaction(engine) as connection:
                await append(connection, self._keys, self._entries, at=self.now)
            self._entries = []


async def append(connection: AsyncConnection, keys: DataKeys, entries: Sequence[AuditEntry], *, at: datetime) -> None:
    """Call it last in the transaction: the chain's end stays locked until that ends."""
    if not entries:
        return
    words = await keys.of(WORDS_SCOPE) if any(entry.words for entry in entries) else None
    head = (await connection.execute(_HEAD.with_for_update())).one()
    secret = chain_secret(await keys.of(chain_scope(head.key_no)))
    rows, mac = [], head.mac
    for seq, entry in enumerate(entries, start=head.seq + 1):
        sealed = words.seal(entry.words.encode(), where=words_place(seq)) if words and entry.words else None
        row = _row(seq, entry, at, sealed, head.key_no)
        mac = link(secret, mac, [row[name] for name in COLUMNS])
        rows.append({**row, "mac": mac})
    await connection.execute(audit.insert(), rows)
    await connection.execute(audit_head.update().values(seq=rows[-1]["seq"], mac=mac))
    fp("audit_appended")


def _row(seq: int, entry: AuditEntry, at: datetime, sealed: bytes | None, key_no: int) -> dict[str, Any]:
    return {
        "seq": seq,
        "at": at,
        "actor": entry.actor,
        "action": entry.action,
        "object": entry.object,
        "purpose": entry.purpose,
        "outcome": entry.outcome,
        "reason": entry.reason,
        "details": details_text(entry.details),
        "enc_words": sealed,
        "key_no": key_no,
    }


async def renew_key(engine: AsyncEngine, keys: DataKeys, *, actor: str, at: datetime) -> int:
    """From now on rows are chained under a new key; its first row says so. Returns its number."""
    async with transaction(engine) as connection:
        number: int = (await connection.execute(_HEAD.with_for_update())).one().key_no + 1
        await keys.of(chain_scope(number))
        await connection.execute(audit_head.update().values(key_no=number))
        entry = AuditEntry(actor=actor, action="audit.key", object=f"audit-key:{number}", purpose="rotation")
        await append(connection, keys, [entry], at=at)
    return number
