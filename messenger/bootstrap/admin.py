"""What an administrator can do and see, for the command line."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from messenger.bootstrap.database import Storage, open_storage
from messenger.config import Settings
from messenger.queries import conversations as cases
from messenger.queries import people
from messenger.storage.administration import Administration


class Admin:
    def __init__(self, storage: Storage, settings: Settings) -> None:
        self._engine = storage.engine
        self._settings = settings
        self._change = Administration(
            storage.engine, storage.keys, namespace=storage.namespace, desk=settings.desk().user_id
        )

    async def groups(self) -> Sequence[people.GroupRow]:
        return await people.groups(self._engine)

    async def add_group(
        self,
        name: str,
        *,
        default: bool = False,
        languages: Sequence[str] = (),
        keywords: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        """`settings`: those of `domain.group_settings`, as values or in their stored form."""
        house = {"language": self._settings.i18n.default, "time_zone": self._settings.server.time_zone}
        await self._change.add_group(
            name, is_default=default, languages=languages, keywords=keywords, settings={**house, **settings}
        )

    async def group(self, name: str) -> people.GroupDetails | None:
        return await people.group_details(self._engine, name)

    async def change_group(self, name: str, **settings: Any) -> None:
        await self._change.change_settings(name, settings)

    async def add_rule(
        self,
        group: str,
        *,
        languages: Sequence[str] = (),
        keywords: Sequence[str] = (),
        accounts: Sequence[str] = (),
    ) -> None:
        await self._change.add_rule(group, languages=languages, keywords=keywords, accounts=accounts)

    async def members(self, group: str) -> Sequence[people.MemberRow]:
        return await people.members(self._engine, group)

    async def add_member(self, group: str, address: str, role: str = "agent") -> None:
        await self._change.add_member(group, address, role)

    async def remove_member(self, group: str, address: str) -> None:
        await self._change.remove_member(group, address)

    async def agents(self) -> Sequence[people.AgentRow]:
        return await people.agents(self._engine)

    async def add_agent(self, address: str, name: str, language: str = "en") -> None:
        await self._change.add_agent(address, name, language)

    async def conversations(
        self, *, state: str | None = None, group: str | None = None, limit: int = 50
    ) -> Sequence[cases.ConversationRow]:
        return await cases.conversations(self._engine, state=state, group=group, limit=limit)

    async def conversation(self, ref: str) -> cases.ConversationDetails | None:
        return await cases.conversation_details(self._engine, ref)


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[Admin]:
    async with open_storage(settings) as storage:
        yield Admin(storage, settings)
