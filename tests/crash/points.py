"""Every crash point, once. A new `fp("name")` in the product needs its line here, or `test_points.py` fails:

- in `WALKED`, if it is on the path of a message: the walk of test_failpoints.py dies there. `nth` is the hit, `before`
  makes sure that it comes; with `OBSERVED` the point is one of mutants.py.
- in `LIVED`, if it takes a step of a conversation's life: the chapter of that name (chapters_*.py) dies there.
- in `ELSEWHERE`, with the test that dies there, if it is on neither path.

The name of a domain event is a point too: when the event is recorded, before anything is committed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tests.crash.house import House, Stimulus


@dataclass(frozen=True, slots=True)
class Point:
    """Where to die: at the `nth` hit. `before` makes sure that the point is reached."""

    name: str
    nth: int = 1
    before: Stimulus | None = None
    program: Sequence[str] | None = None

    @property
    def spec(self) -> str:
        return f"{self.name}:{self.nth}"


async def newcomer(house: House) -> None:
    house.office.let_in()


async def gap(house: House) -> None:
    """More than one timeline holds."""
    await house.office.burst(house.office.matters[0].asks, 60)


async def keys_run_out(house: House) -> None:
    await house.office.take_one_time_keys(40)


async def another_device(house: House) -> None:
    """The next answer to the first customer needs a one-time key. A newcomer's device mostly writes first, and the desk
    has a session with it then."""
    await house.office.take_another_device(house.office.matters[0].customer)


# The healthy program with crash points of more certain aim; see there.
OBSERVED = ("-m", "tests.crash.mutants", "none")

WALKED = (
    # ingest
    Point("sync_received", 3), Point("todevice_saved", 2, newcomer), Point("gap_page", 1, gap), Point("decrypted", 2),
    Point("inbox_inserted", 2), Point("token_written", 2), Point("ingest_committed", 2),
    # process
    Point("inbox_claimed", 3), Point("conversation_locked", 3), Point("event_appended", 2), Point("effect_written", 3),
    Point("outbox_inserted", 2), Point("process_committed", 4),
    # send
    Point("outbox_claimed", 2), Point("olm_claimed", 1, another_device), Point("keys_encrypted", 1, newcomer),
    Point("keys_ready", 1, newcomer, OBSERVED), Point("keys_put", 1, newcomer), Point("megolm_encrypted", 2),
    Point("http_inflight", 4), Point("http_answered", 3), Point("sent_marked", 2), Point("send_committed", 3),
    Point("relayed", 2, None, OBSERVED),
    # media
    Point("downloaded", 2), Point("scanned", 2), Point("uploaded", 2),
    # desk
    Point("lease_renewed", 2), Point("otk_saved", 1, keys_run_out), Point("otk_uploaded", 1, keys_run_out),
    # a newcomer's way in
    Point("chat_joined", 1, newcomer), Point("sk_created", 1, newcomer), Point("dek_wrapped", 2, newcomer),
    Point("ConversationOpened", 1, newcomer), Point("ConversationClaimed", 1, newcomer),
)  # fmt: skip

LIVED: Mapping[str, frozenset[str]] = {
    "first_start": frozenset({"lease_taken", "identity_published", "cross_signed", "room_made", "member_invited"}),
    "pause_and_wake": frozenset(
        {"ConversationPaused", "timer_heard", "timer_removed", "ConversationResumed", "pack_posted"}
    ),
    "taken_back": frozenset({"answer_cancelled"}),
    "corrected": frozenset({"ReplyEdited", "edited_at_customer", "deleted_at_customer"}),
    "said_later": frozenset({"ReplyScheduled", "timer_heard", "ReplyAccepted"}),
    "reacted": frozenset({"reaction_set", "reaction_removed"}),
    "somebody_joins": frozenset({"history_uploaded", "history_shared", "member_invited"}),
    "handed_over": frozenset({"ConversationTransferred", "card_placed", "pack_posted", "ConversationClaimed"}),
    "in_a_room_of_its_own": frozenset(
        {"MovedToRoom", "room_made", "member_invited", "card_placed", "MemberInvited", "history_shared"}
        | {"MemberRemoved", "member_removed"}
    ),
    "ended_and_begun_again": frozenset({"ConversationResolved", "ConversationReopened"}),
    "asked_and_given_out": frozenset({"MenuOffered", "menu_ended", "given_out", "ConversationAssigned"}),
    "written_first": frozenset({"chat_opened"}),
}

ELSEWHERE: Mapping[str, Collection[str]] = {
    "tests/crash/test_keys.py": {"rewrap_batch", "rotation_begun", "rotation_ended"},
    "tests/crash/test_erasure.py": {
        "erasure_blocked", "erasure_planned", "ledger_written", "sk_destroyed", "subject_key_destroyed",
        "erasure_rows_removed", "erasure_looked", "erasure_redacted", "erasure_media_removed", "erasure_left",
        "erasure_room_keys_forgotten", "erasure_swept", "erasure_certified",
    },
    "tests/crash/test_login.py": {"logged_in"},
    "tests/crash/test_records.py": {"audit_appended", "checkpoint_written", "retention_batch"},
}  # fmt: skip
