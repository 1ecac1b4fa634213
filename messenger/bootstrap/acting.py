"""In whose name a verb of the command line is done, and whether that person may do it."""

import os
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.audit import AuditEntry
from messenger.domain.access import Action, Actor, Decision, HouseRole, authorize
from messenger.observability.time import utc_now
from messenger.storage.administration import NotPossible
from messenger.storage.audit import append
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import transaction
from messenger.storage.models.access import staff_role
from messenger.storage.people import SqlPeople

# The operator may do these for the data-protection officer as long as nobody has that role.
FOR_A_DPO = frozenset({Action.EXPORT, Action.ERASE, Action.RESTRICT})


def shell_actor() -> str:
    """Who works at the command line, as the operating system knows them: a number, never a name."""
    return f"shell:{os.getuid()}"


async def note(engine: AsyncEngine, keys: DataKeys, *, action: str, object: str) -> None:
    """One row about what the operator has done to the installation as a whole, committed when this returns."""
    entry = AuditEntry(actor=shell_actor(), action=action, object=object, purpose="operation")
    async with transaction(engine) as connection:
        await append(connection, keys, [entry], at=utc_now())


async def must_be_allowed(
    engine: AsyncEngine, keys: DataKeys, *, by: str, action: Action, object: str, command: str
) -> None:
    """`by`: the name of somebody of the staff, or whatever the operator is called. A refusal is written down here; what
    is allowed is written down by the one who does it. Raises NotPossible."""
    async with transaction(engine) as connection:
        person = await SqlPeople(connection, keys).colleague(by)
        decision = await _decide(connection, person.id if person else None, action)
        if decision.is_allowed:
            return
        entry = AuditEntry(
            actor=f"agent:{person.id}" if person else shell_actor(),
            action=action.value,
            object=object,
            purpose="administration",
            outcome="refused",
            reason=decision.reason,
            details={"command": command, "at": shell_actor()},
        )
        await append(connection, keys, [entry], at=utc_now())
    raise NotPossible(
        f"{by} may not do that: it is for a data-protection officer. stellwerk agent role USER_ID dpo makes one, and "
        "--as names one"
    )


async def _decide(connection: AsyncConnection, person: UUID | None, action: Action) -> Decision:
    if person is not None:
        roles = await connection.scalars(sa.select(staff_role.c.role).where(staff_role.c.staff_id == person))
        return authorize(Actor(roles=frozenset(map(HouseRole, roles))), action)
    decision = authorize(Actor(roles=frozenset({HouseRole.ADMIN})), action)
    if decision.is_allowed or action not in FOR_A_DPO:
        return decision
    has_one = await connection.scalar(sa.select(sa.exists().where(staff_role.c.role == HouseRole.DPO.value)))
    return Decision(False, "role") if has_one else Decision(True, "no_dpo")
