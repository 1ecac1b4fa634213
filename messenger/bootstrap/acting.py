"""In whose name a verb of the command line is done, and whether that person may do it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.audit import AuditEntry
from messenger.bootstrap.database import open_storage
from messenger.config import Settings
from messenger.domain.access import IN_HOUSE, Action, Actor, Decision, HouseRole, authorize
from messenger.observability.time import utc_now
from messenger.storage.administration import NotPossible
from messenger.storage.audit import append
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import transaction
from messenger.storage.models.access import staff_role
from messenger.storage.people import SqlPeople

# The operator may do these for somebody whose role it is, as long as nobody has that role.
STANDS_IN_FOR: Mapping[Action, HouseRole] = {
    Action.EXPORT: HouseRole.DPO,
    Action.ERASE: HouseRole.DPO,
    Action.RESTRICT: HouseRole.DPO,
    Action.AUDIT: HouseRole.AUDITOR,
}
_CALLED = {
    HouseRole.ADMIN: "an administrator",
    HouseRole.AUDITOR: "an auditor",
    HouseRole.DPO: "a data-protection officer",
}
# Of one verb, or one task: not of the process.
_IN_CHARGE: ContextVar[str | None] = ContextVar("in_charge", default=None)
_OPERATOR = Actor(roles=frozenset({HouseRole.ADMIN}))


def shell_actor() -> str:
    """Who works at the command line, as the operating system knows them: a number, never a name."""
    return f"shell:{os.getuid()}"


@contextmanager
def in_name_of(actor: str | None) -> Iterator[None]:
    """Whatever is noted inside was done by them; None: by the operator."""
    token = _IN_CHARGE.set(actor)
    try:
        yield
    finally:
        _IN_CHARGE.reset(token)


async def note(engine: AsyncEngine, keys: DataKeys, *, action: str, object: str) -> None:
    """One row about what was done to the installation as a whole, by whom the verb was started for (`in_name_of`) or
    else the operator; committed when this returns."""
    by, shell = _IN_CHARGE.get(), shell_actor()
    details = {"at": shell} if by and by != shell else {}
    entry = AuditEntry(actor=by or shell, action=action, object=object, purpose="operation", details=details)
    async with transaction(engine) as connection:
        await append(connection, keys, [entry], at=utc_now())


def operator_may(action: Action) -> None:
    """What needs no look at who has which role. Raises NotPossible."""
    if not authorize(_OPERATOR, action).is_allowed:
        raise NotPossible(_refusal("the operator", action))


async def let_in(settings: Settings, *, name: str | None, action: Action, verb: str) -> str:
    """Whoever acts, as the audit log has them. `name`: of somebody of the staff; None: the operator. One row for what
    is done in somebody's name, and one for what is refused. Raises NotPossible."""
    async with open_storage(settings) as storage, transaction(storage.engine) as connection:
        person = await SqlPeople(connection, storage.keys).colleague(name) if name else None
        if name and person is None:
            decision = Decision(False, "unknown")
        else:
            decision = await _decide(connection, person.id if person else None, action)
        actor = f"agent:{person.id}" if person else shell_actor()
        if person is not None or not decision.is_allowed:
            row = _row(actor, action, f"verb:{verb.replace(' ', '.')}", decision, verb.replace(" ", "."))
            await append(connection, storage.keys, [row], at=utc_now())
    if decision.is_allowed:
        return actor
    if decision.reason == "unknown":
        raise NotPossible(f"--as or security.operator names {name}, and nobody of the staff is called so")
    raise NotPossible(_refusal(name or "the operator", action))


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
        actor = f"agent:{person.id}" if person else shell_actor()
        await append(connection, keys, [_row(actor, action, object, decision, command)], at=utc_now())
    raise NotPossible(_refusal(by, action))


def _row(actor: str, action: Action, object: str, decision: Decision, command: str) -> AuditEntry:
    return AuditEntry(
        actor=actor,
        action=action.value,
        object=object,
        purpose="administration",
        outcome="allowed" if decision.is_allowed else "refused",
        reason=decision.reason,
        details={"command": command, "at": shell_actor()},
    )


def _refusal(name: str, action: Action) -> str:
    role = next(role for role, allowed in IN_HOUSE.items() if action in allowed)
    return (
        f"{name} may not do that: it is for {_CALLED[role]}. stellwerk agent role USER_ID {role.value} makes one, and "
        "--as names one"
    )


async def _decide(connection: AsyncConnection, person: UUID | None, action: Action) -> Decision:
    if person is not None:
        roles = await connection.scalars(sa.select(staff_role.c.role).where(staff_role.c.staff_id == person))
        return authorize(Actor(roles=frozenset(map(HouseRole, roles))), action)
    decision = authorize(_OPERATOR, action)
    if decision.is_allowed or action not in STANDS_IN_FOR:
        return decision
    role = STANDS_IN_FOR[action].value
    has_one = await connection.scalar(sa.select(sa.exists().where(staff_role.c.role == role)))
    return Decision(False, "role") if has_one else Decision(True, f"no_{role}")
