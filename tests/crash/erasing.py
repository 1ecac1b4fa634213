"""A process that carries on with what is being erased, for as long as nobody kills it. `python -m tests.crash.erasing
SETTINGS`; STELLWERK_FAILPOINT says where it dies."""

import asyncio
import sys

from messenger.config import Settings
from tests.integration.rights_house import open_rights_house


async def main(settings_file: str) -> None:
    async with open_rights_house(Settings.load(settings_file)) as house:
        await house.work_off()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
