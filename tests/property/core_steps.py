"""Every step that the played core may pass. Counted ones alone end most lives at the few that come most often; one that
is named here is waited for."""

from typing import get_args

from messenger.domain.events import Event

STEPS = (
    # calls to the outside
    "call_leaves", "call_answered",
    # ingest
    "sync_received", "gap_page", "decrypted", "inbox_inserted", "token_written", "ingest_committed", "todevice_saved",
    # process
    "inbox_claimed", "conversation_locked", "event_appended", "effect_written", "outbox_inserted", "process_committed",
    "given_out", "sk_created", "dek_wrapped", "audit_appended", "timer_heard", "timer_removed", "answer_cancelled",
    # send
    "outbox_claimed", "sent_marked", "send_committed", "downloaded", "scanned", "uploaded", "card_placed",
    "pack_posted", "edited_at_customer", "deleted_at_customer", "reaction_set", "reaction_removed",
    "room_made", "member_invited", "member_removed", "history_uploaded", "history_shared",
    # erasure
    "erasure_blocked", "erasure_planned", "ledger_written", "sk_destroyed", "subject_key_destroyed",
    "erasure_rows_removed", "erasure_looked", "erasure_redacted", "erasure_events_ended", "erasure_media_removed",
    "erasure_medias_ended", "erasure_left", "erasure_room_keys_forgotten", "erasure_swept", "erasure_certified",
    # what is recorded
    *[kind.__name__ for kind in get_args(Event)],
)  # fmt: skip
