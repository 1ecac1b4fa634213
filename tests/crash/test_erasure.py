"""An erasure comes to its end, whatever step it dies in: each process is killed at the next crash point, and goes on
where the last one was."""

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from messenger.storage.erasure_ledger import ErasureLedger
from messenger.storage.signing import open_signing_key
from tests.integration.rights_house import RightsHouse, open_rights_house, settings_for
from tests.integration.staff_desk import CHAT, CUSTOMER
from tests.integration.test_rights import OTHER, a_life
from tests.support.warm import run_warm

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("five_times")]

CHECKOUT = Path(__file__).parents[2]
# In the order in which they are passed.
ALL = (
    "erasure_blocked", "erasure_planned", "ledger_written", "sk_destroyed", "subject_key_destroyed",
    "erasure_rows_removed", "erasure_looked", "erasure_events_ended", "erasure_redacted", "erasure_media_removed",
    "erasure_left", "erasure_room_keys_forgotten", "erasure_swept", "erasure_certified",
)  # fmt: skip
WORST = ("ledger_written", "erasure_rows_removed")
DIED = -signal.SIGKILL


async def goes_on(house: RightsHouse, point: str) -> int:
    """Until it dies at this point, or has ended; returns its exit code."""
    code, _ = await run_warm(
        "tests.crash.erasing", str(house.settings.file), env={"STELLWERK_FAILPOINT": point}, cwd=CHECKOUT
    )
    return code


@pytest.mark.parametrize("points", [WORST, pytest.param(ALL, marks=pytest.mark.long)], ids=["worst", "all"])
async def test_an_erasure_survives_a_kill_in_each_of_its_steps(
    points: Sequence[str], tmp_path: Path, database_url: str
) -> None:
    async with open_rights_house(settings_for(tmp_path, database_url)) as house:
        await a_life(house)
        id = await house.rights.erase(CUSTOMER, "dora")
        died = [point for point in points if await goes_on(house, point) == DIED]
        assert died == list(points)
        assert await goes_on(house, "none") == 0
        state = await house.rights.state(id)
        assert state.done_at is not None and state.certificate is not None
        assert await house.rows_with(CUSTOMER, CHAT) == []
        assert "channel_identity" in await house.rows_with(OTHER)
        ledger = ErasureLedger(
            house.settings.erasure_ledger_file(), open_signing_key(house.settings.signing_key_file())
        )
        assert [entry.position for entry in ledger.entries()] == [1], "once, however often it was repeated"
