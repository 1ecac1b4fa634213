"""What an installation has without any setting is quick enough."""

from messenger.bootstrap.service import standby_pause_s
from messenger.config.sections.limits import Limits

TAKEN_OVER_S = 25.0  # design, goal G13: from a kill until the standby works


def test_the_default_lease_of_a_killed_desk_is_taken_well_before_twenty_five_seconds() -> None:
    lease_s = Limits().lease_seconds
    assert lease_s + standby_pause_s(lease_s) < TAKEN_OVER_S
