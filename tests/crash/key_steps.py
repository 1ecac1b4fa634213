"""One step with a person's keys, as a program of its own that can be killed: `SETTINGS PERSON make|erase`."""

import asyncio
import sys
from uuid import UUID

from messenger.bootstrap.database import open_storage
from messenger.config import Settings
from messenger.storage.key_upgrade import erase_keys


async def main(settings: str, person: str, step: str) -> None:
    async with open_storage(Settings.load(settings)) as storage:
        if step == "erase":
            await erase_keys(storage.engine, storage.keys, UUID(person))
        else:
            await storage.keys.of_contact(UUID(person))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
