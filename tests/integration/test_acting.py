"""Verbs about a person's data are done in the name of somebody who has the right for it."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.bootstrap.acting import must_be_allowed
from messenger.domain.access import Action, HouseRole
from messenger.queries.audit import AuditRow, rows
from messenger.storage.administration import NotPossible
from tests.integration.staff_desk import GROUP, StaffDesk


async def refusals(desk: StaffDesk) -> list[AuditRow]:
    return [row for row in await rows(desk.engine) if row.outcome == "refused"]


async def ask(desk: StaffDesk, by: str, action: Action = Action.ERASE) -> None:
    await must_be_allowed(desk.engine, desk.keys, by=by, action=action, object="contact:1", command="contact.erase")


async def test_the_operator_acts_for_a_dpo_until_there_is_one(database: AsyncEngine) -> None:
    desk = StaffDesk(database)
    await ask(desk, "root")
    await desk._change.add_agent("@eva:x", "Eva", "de")
    await desk._change.grant_role("@eva:x", HouseRole.DPO)
    with pytest.raises(NotPossible, match="data-protection officer"):
        await ask(desk, "root")
    for action in (Action.ERASE, Action.EXPORT, Action.RESTRICT):
        await ask(desk, "eva", action)
    [row] = await refusals(desk)
    assert row.actor.startswith("shell:") and row.action == "person.erase" and row.object == "contact:1"


async def test_whoever_reads_conversations_or_configures_erases_nobody(database: AsyncEngine) -> None:
    desk = StaffDesk(database)
    await desk.add_group(GROUP)
    await desk.add_member(GROUP, "@ben:x", "lead")
    await desk._change.add_agent("@ada:x", "Ada", "en")
    await desk._change.grant_role("@ada:x", HouseRole.ADMIN)
    for by in ("ben", "@ada:x"):
        with pytest.raises(NotPossible):
            await ask(desk, by)
    assert len(await refusals(desk)) == 2
