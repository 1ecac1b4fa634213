"""A witness of the audit chain that writes one checkpoint, as a program of its own that can be killed:
`python -m tests.crash.witnessing SETTINGS`."""

import asyncio
import sys

from messenger.bootstrap.audit import Witness
from messenger.bootstrap.database import open_storage
from messenger.config import Settings


async def main(settings_file: str) -> None:
    settings = Settings.load(settings_file)
    async with open_storage(settings) as storage:
        witness = Witness(storage, settings)
        await witness.remember()
        await witness.look()
        await witness.write()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
