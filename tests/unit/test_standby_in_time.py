"""What an installation has without any setting is quick enough."""

import pytest

from messenger.bootstrap.database import longest_pause_s
from messenger.bootstrap.service import standby_pause_s
from messenger.config.sections.limits import Limits
from messenger.storage.leases import RENEWALS

TAKEN_OVER_S = 25.0  # design, goal G13: from a kill until the standby works


def test_the_default_lease_of_a_killed_desk_is_taken_well_before_twenty_five_seconds() -> None:
    lease_s = Limits().lease_seconds
    assert lease_s + standby_pause_s(lease_s) < TAKEN_OVER_S


@pytest.mark.parametrize("lease_s", [1.0, 3.0, Limits().lease_seconds, 300.0])
def test_what_stands_still_in_a_transaction_has_lost_it_before_the_lease_can_end(lease_s: float) -> None:
    assert 0 < longest_pause_s(lease_s) <= lease_s - lease_s / RENEWALS
