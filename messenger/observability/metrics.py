"""What is counted while the program runs, for Prometheus. Counting is one call, from any layer but `domain/`:

    metrics.MESSAGES.of(channel="matrix", direction="in").inc()

A new metric is one line below, with the values that its labels may have (see `families`); then `python -m
messenger.reference` writes its page. Two kinds of ids become public words: a group its configured name (`GROUPS`), a
desk its number in the settings (`DESKS`).

A process has one set of metrics, as it has one set of loggers. Nothing here reads the database or waits: what has to be
looked up is looked up every few seconds (`bootstrap/sampling.py`), never when somebody asks."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from messenger.observability.endpoints import CODES, ENDPOINTS
from messenger.observability.families import REGISTRY, Alias, Family, counter, gauge, histogram

GROUPS, DESKS, EFFECTS, VERSIONS = Alias(), Alias(), Alias(), Alias()

CHANNELS = ("matrix",)
DIRECTIONS = ("in", "out", "internal")
STATES = ("queued", "open", "paused")  # of conversations that are at work; the others only grow
RESOLUTIONS = ("solved", "silence", "erased")
FATES = ("queued", "sent", "delivered", "kept", "held", "failed", "done")
AVAILABILITIES = (
    "available", "busy", "break", "training", "meeting", "focus", "wrap_up", "away", "away_and_reassigning", "offline",
    "not_responding",
)  # fmt: skip
FAILURES = (
    "window_closed", "blocked", "no_such_recipient", "no_key", "too_large", "bad_media", "content_refused", "opted_out",
    "expired", "throttled", "unreachable", "auth", "paused", "internal", "left", "virus", "bomb", "active", "unchecked",
)  # fmt: skip
UNREADABLES = ("waiting_key", "quarantine", "undecryptable")
DOUBTS = (
    "unsigned_device", "identity_changed", "unexpected_member", "encryption_off", "customer_identity",
    "customer_device", "foreign_words", "clear_words", "replayed", "missing", "malformed", "malformed_keys",
    "forged_key", "forged_history", "changed_keys", "encryption_kept", "room_opened", "returned_member",
    "one_time_keys", "backup_key", "desk_master_key", "desk_self_signing_key", "desk_device_signed",
    "desk_foreign_devices", "desk_key_backup", "room_closed",
)  # fmt: skip
SCOPES = ("contact", "server", "account", "group")
TABLES = ("conversation", "message", "inbox", "outbox", "event_log", "timer", "remote_message", "megolm_seen")
IDENTITY_CHECKS = (
    "homeserver", "master_key", "self_signing_key", "device_signed", "foreign_devices", "key_backup", "one_time_keys",
)  # fmt: skip
BACKUPS = ("main", "keys", "continuous")

_AT_ONCE = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)
_TO_COMMIT = (0.01, 0.05, 0.1, 0.5, 1, 5, 30)
_TO_ANSWER = (30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400, 259_200)
_TO_END = (300, 1800, 3600, 14_400, 43_200, 86_400, 259_200, 604_800, 2_592_000)

# Counted as it happens.
OPENED = counter(
    "stellwerk_conversations_opened_total",
    "Conversations that came into their first group",
    group=GROUPS,
    channel=CHANNELS,
)
RESOLVED = counter("stellwerk_conversations_resolved_total", "Ends, by reason", group=GROUPS, reason=RESOLUTIONS)
WAITED = histogram("stellwerk_conversation_wait_seconds", "From the queue to an owner", _TO_ANSWER, group=GROUPS)
FIRST_RESPONSE = histogram(
    "stellwerk_first_response_seconds",
    "From opening to the first answer that arrived",
    _TO_ANSWER,
    group=GROUPS,
    channel=CHANNELS,
)
RESOLUTION = histogram("stellwerk_resolution_seconds", "From opening to being resolved", _TO_END, group=GROUPS)
MESSAGES = counter(
    "stellwerk_messages_total",
    "Messages of customers (in), answers that arrived (out), notes (internal)",
    channel=CHANNELS,
    direction=DIRECTIONS,
)
DELIVERY = histogram(
    "stellwerk_message_delivery_seconds",
    "What a customer wrote, until the team has it; an answer, from its first try until it arrived",
    _AT_ONCE,
    channel=CHANNELS,
)
DELIVERY_FAILURES = counter("stellwerk_delivery_failures_total", "What was given up", channel=CHANNELS, reason=FAILURES)
UNCERTAIN = counter(
    "stellwerk_outbox_unknown_total", "Sends of which nobody knew whether they arrived", channel=CHANNELS
)
FATE_CHANGES = counter("stellwerk_fates_total", "Fates that messages of staff got", group=GROUPS, fate=FATES)
MARKERS = histogram("stellwerk_fate_marker_seconds", "From a fate to its mark on the message", _AT_ONCE)
DECRYPT_FAILURES = counter(
    "stellwerk_decrypt_failures_total", "Events that could not be read when they came", reason=UNREADABLES
)
SYNC_GAPS = counter("stellwerk_sync_gap_total", "Timelines that came with a gap and were filled", desk=DESKS)
SYNC_DURATION = histogram(
    "stellwerk_sync_duration_seconds", "From an answer to a sync until it was committed", _TO_COMMIT, desk=DESKS
)
REQUESTS = counter("stellwerk_matrix_requests_total", "Requests to the homeserver", endpoint=ENDPOINTS, code=CODES)
REMARKS_DROPPED = counter(
    "stellwerk_remarks_dropped_total", "Remarks on what cannot be shown that were only counted: too many waited"
)
LOG_VALUES_DROPPED = counter("stellwerk_log_values_dropped_total", "Values that were kept out of log lines")

# What the process knows of itself.
BUILD = gauge("stellwerk_build_info", "Always 1; the version is in the label", version=VERSIONS)
READY = gauge("stellwerk_ready", "1 while /readyz says so; 0 for a standby")
LOOP_LAG = gauge("stellwerk_loop_lag_seconds", "How late the event loop was in the last seconds, at most")
SYNC_LAG = gauge("stellwerk_sync_lag_seconds", "Since the last answer to a sync was committed", desk=DESKS)
LEASE_EPOCH = gauge("stellwerk_lease_epoch", "How often the desk has changed its process", desk=DESKS)
ONE_TIME_KEYS = gauge(
    "stellwerk_one_time_keys", "One-time keys that the homeserver holds for the desk's device", desk=DESKS
)
AUDIT_CHAIN = gauge("stellwerk_audit_chain_ok", "0: the audit log was changed from outside")
IDENTITY = gauge(
    "stellwerk_identity_ok", "0: the last check of the desk's identity found something", code=IDENTITY_CHECKS
)
EVENTS_PER_MESSAGE = gauge(
    "stellwerk_homeserver_events_per_message", "Events that we sent, for each message and note since the start"
)

# Sampled from the database.
CONVERSATIONS = gauge("stellwerk_conversations", "Conversations at work", group=GROUPS, state=STATES)
OLDEST_WAITING = gauge(
    "stellwerk_oldest_waiting_seconds", "Of the customer who has waited longest in the queue", group=GROUPS
)
AGENTS = gauge("stellwerk_agents", "Members of a group, by availability", group=GROUPS, state=AVAILABILITIES)
KEY_WAIT = gauge("stellwerk_key_wait_seconds", "Of the event that has waited longest for its key")
INBOX_LAG = gauge("stellwerk_inbox_lag_seconds", "How late the oldest due row of the inbox is")
OUTBOX_DEPTH = gauge("stellwerk_outbox_depth", "Rows that have not left yet", kind=EFFECTS)
OUTBOX_AGE = gauge("stellwerk_outbox_age_seconds", "How late the oldest due row of the outbox is")
DEAD_LETTERS = gauge("stellwerk_dead_letters", "Put aside and not decided yet")
FLOODS = gauge("stellwerk_floods", "What came far too fast, is held back and not decided yet", scope=SCOPES)
HELD_MESSAGES = gauge("stellwerk_held_messages", "Messages that floods hold back")
TRUST_ALERTS = gauge("stellwerk_trust_alerts", "Doubts about keys and members that nobody has decided", cause=DOUBTS)
ERASURES = gauge("stellwerk_erasures_pending", "Erasures on their way")
BACKUP_AGE = gauge("stellwerk_backup_age_seconds", "Since the last backup of this kind", kind=BACKUPS)
SCANNER_QUEUE = gauge("stellwerk_scanner_queue", "Files that wait for the virus scanner, in both directions")
SCANNER_AWAY = gauge("stellwerk_scanner_away", "1 while the virus scanner does not answer and files wait")
LEASE_FREE = gauge("stellwerk_lease_free_seconds", "Since when no process holds the desk; 0 while one does", desk=DESKS)
WAL_LAG = gauge(
    "stellwerk_wal_lag_bytes", "What the continuous backup of the embedded server has not got yet; 0 without one"
)
OLDEST_TRANSACTION = gauge("stellwerk_pg_oldest_transaction_seconds", "Of the database's oldest open transaction")
DEAD_TUPLES = gauge("stellwerk_pg_dead_tuples", "Dead rows that wait for vacuum", table=TABLES)
SAMPLE_AGE = gauge("stellwerk_sample_age_seconds", "Since the last look into the database")

FAMILIES: Mapping[str, Family[Any]] = {
    family.name: family for family in list(globals().values()) if isinstance(family, Family)
}


CONTENT_TYPE = CONTENT_TYPE_LATEST


def page() -> bytes:
    """All of it, in Prometheus' text format."""
    return generate_latest(REGISTRY)
