"""Every mutant of the design is seen by some test: by a scenario of test_mutants.py or test_life.py, or by the test
that is named here. The long run plays them all."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.crash.mutants import MUTANTS
from tests.crash.test_life import BROKEN
from tests.crash.test_mutants import SCENARIOS

pytestmark = pytest.mark.crash

ROOT = Path(__file__).parents[2]
_RECEIVING, _ROWS = "tests/integration/test_crypto_receiving.py", "tests/integration/test_crypto_rows.py"
_ATTACKS = "tests/hostile/test_attacks.py"
_FENCING = "tests/integration/test_claims_and_fences.py"
# By mutant the tests that must fail on it, and on nothing but it.
SEEN_BY: Mapping[str, Sequence[str]] = {
    "no_claim_token": [f"{_FENCING}::test_a_claim_that_somebody_else_took_over_ends_nothing"],
    "no_fence": [
        f"{_FENCING}::test_who_has_lost_the_lease_writes_nothing",
        f"{_FENCING}::test_who_has_lost_the_lease_begins_no_turn",
    ],
    "send_in_transaction": [f"{_FENCING}::test_no_transaction_is_open_while_something_is_sent"],
    "no_oid_lookup": ["tests/integration/test_reconcile.py::test_a_repeat_from_a_new_device_finds_the_first_message"],
    "key_overwrite_latest": [
        f"{_RECEIVING}::test_a_later_copy_of_a_session_never_replaces_an_earlier_one",
        f"{_ROWS}::test_a_lower_first_index_replaces_a_session_and_a_higher_one_does_not",
    ],
    "no_sender_binding": [
        f"{_RECEIVING}::test_a_message_sent_by_one_user_with_anothers_session_is_quarantined",
        f"{_ATTACKS}::test_words_of_one_under_the_name_of_another_are_not_passed_on",
    ],
    "messages_not_counted": [f"{_ATTACKS}::test_a_message_that_is_kept_back_is_missed"],
    "strangers_are_welcome": [
        f"{_ATTACKS}::test_a_member_whom_the_homeserver_adds_gets_no_key_and_stops_the_room",
        f"{_ATTACKS}::test_a_former_colleague_whom_a_state_reset_brings_back_reads_nothing",
    ],
}
# The names in reliability.md 2.3. There is no reader of the log that goes by ids yet: what reads it reads one
# conversation, by version.
DESIGN: Mapping[str, str] = {
    "tokenfirst": "token_first",
    "nogap": "no_gap_fill",
    "randtxn": "random_txn",
    "nohol": "no_head_of_line",
    "ack_before_commit": "ack_before_commit",
    "no_claim_token": "no_claim_token",
    "no_fence": "no_fence",
    "drop_waiting_key": "drop_waiting_key",
    "skip_megolm_seen": "skip_megolm_seen",
    "send_in_transaction": "send_in_transaction",
    "log_reader_by_id": "",
    "no_oid_lookup": "no_oid_lookup",
    "key_overwrite_latest": "key_overwrite_latest",
    "no_sender_binding": "no_sender_binding",
    "token_before_flush": "token_before_flush",
    "share_before_put": "share_before_put",
    "ratchet_after_put": "ratchet_after_put",
}


def test_every_mutant_has_a_test_that_sees_it() -> None:
    seen = {scenario.mutant for scenario in SCENARIOS} | BROKEN.keys() | SEEN_BY.keys()
    assert seen | {"none"} == MUTANTS.keys()
    assert {name for name in DESIGN.values() if name} <= seen


def test_the_tests_that_see_mutants_exist() -> None:
    for test in (test for tests in SEEN_BY.values() for test in tests):
        file, _, name = test.partition("::")
        assert re.search(rf"^async def {name}\(", (ROOT / file).read_text(), re.MULTILINE), test


@pytest.mark.long
@pytest.mark.parametrize(("mutant", "test"), [(mutant, test) for mutant, tests in SEEN_BY.items() for test in tests])
def test_a_part_that_is_broken_fails_its_test(mutant: str, test: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.crash.seeded", "-p", "no:cacheprovider", test]
    # A folder of its own: a new session closes the one where it works to the servers of the others.
    environment = {**os.environ, "STELLWERK_MUTANT": mutant, "PYTEST_DEBUG_TEMPROOT": str(tmp_path)}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED, ran.stdout[-2000:]
    assert "\nERROR tests/" not in ran.stdout, "the test must fail, and not break"
