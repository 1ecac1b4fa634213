"""Every column of the main database: what an export shows of it and what an erasure leaves of it.

A column that is missing here fails the build. Whoever adds one decides: does it say anything about a customer? Then the
export shows it (`export`: its place in `data.json`) and the erasure removes it (`erase`). If not, `none` says why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Erase = Literal["removed", "emptied", "kept", "nothing"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`export`: a path in the document, `conversations[].number`; empty with the reason in `why`. `erase`: the row is
    `removed`, the value `emptied`, or it is `kept` (with the reason in `why`); `nothing` is there to erase."""

    export: str
    erase: Erase
    why: str = ""


def none(columns: str, why: str) -> dict[str, Rule]:
    """Says nothing about any customer."""
    return {name: Rule("", "nothing", why) for name in columns.split()}


def shown(columns: Mapping[str, str], erase: Erase, why: str = "") -> dict[str, Rule]:
    return {name: Rule(path, erase, why) for name, path in columns.items()}


def unseen(columns: str, erase: Erase, why: str) -> dict[str, Rule]:
    """About a customer, but no news to them: how we find or order what is shown elsewhere."""
    return {name: Rule("", erase, why) for name in columns.split()}


_TOMBSTONE = "reports stay true on an empty contact: a number and codes, no person"
_CONVERSATION = "conversations[]"
_MESSAGE = f"{_CONVERSATION}.messages[]"
_CIPHER = "keys of the encryption; what they open is shown as messages"
_STAFF = "about the staff"

PERSONAL_DATA: Mapping[str, Mapping[str, Rule]] = {
    "contact": {
        **shown({"id": "contact", "made_at": "known_since"}, "kept", _TOMBSTONE),
        **shown(
            {
                "enc_name": "name",
                "consent_at": "consent_at",
                "consent_source": "consent_source",
                "restricted_at": "restricted_at",
                "restricted_reason": "restricted_reason",
                "held_at": "held_at",
                "held_reason": "held_reason",
            },
            "emptied",
        ),
        **unseen("erased_at", "kept", "set by the erasure only"),
    },
    "channel_identity": {
        **unseen("id contact_id", "kept", "joins rows"),
        **shown({"kind": "addresses[].kind", "scope": "addresses[].scope", "value": "addresses[].value"}, "emptied"),
    },
    "chat": {
        **unseen("id contact_id identity_id conversation_id", "kept", "joins rows"),
        **shown(
            {"account": "rooms[].account", "made_at": "rooms[].since", "language": "rooms[].language"},
            "kept",
            _TOMBSTONE,
        ),
        **shown({"remote": "rooms[].room"}, "emptied"),
    },
    "conversation": {
        **unseen(
            "contact_id chat_id version unrouted scheduled on_their_way place is_in_room is_unverified",
            "kept",
            "joins rows, orders them",
        ),
        **unseen("card_room card_event card_edit_at remarks_at", "kept", "where the card is; the places are shown"),
        **unseen("owner_id paused_by wake_on pause_note blocked", "kept", "history shows it as what happened"),
        **shown(
            {
                "id": f"{_CONVERSATION}.id",
                "number": f"{_CONVERSATION}.number",
                "state": f"{_CONVERSATION}.state",
                "language": f"{_CONVERSATION}.language",
                "group_id": f"{_CONVERSATION}.group",
                "opened_at": f"{_CONVERSATION}.opened_at",
                "resolved_at": f"{_CONVERSATION}.resolved_at",
                "resolution": f"{_CONVERSATION}.resolution",
                "previous_id": f"{_CONVERSATION}.previous",
            },
            "kept",
            _TOMBSTONE,
        ),
        **{
            name: Rule(f"{_CONVERSATION}.times", "kept", _TOMBSTONE)
            for name in (
                "queued_at",
                "claimed_at",
                "waiting_since",
                "unanswered_since",
                "answered_at",
                "warned_at",
                "paused_at",
                "pause_until",
            )
        },
        **shown({"enc_tags": f"{_CONVERSATION}.tags"}, "emptied"),
    },
    "place": {
        **unseen("conversation_id number group_id card is_room made_at", "kept", "where staff saw it, by ids"),
        **shown({"room_id": f"{_CONVERSATION}.places"}, "kept", "a room of staff"),
    },
    "case_member": {
        **unseen("conversation_id", "removed", "joins rows"),
        **shown({"staff_id": f"{_CONVERSATION}.readers"}, "removed"),
    },
    "told": {
        **unseen("conversation_id text", "removed", "which hint of the desk somebody of the staff has had"),
        **shown({"staff_id": f"{_CONVERSATION}.readers"}, "removed"),
    },
    "reaction": {
        **unseen("account event message_id", "removed", "joins rows"),
        **shown({"sender": f"{_MESSAGE}.reactions[].sender", "key": f"{_MESSAGE}.reactions[].key"}, "removed"),
    },
    "routing_decision": {
        **unseen("id conversation_id", "removed", "joins rows"),
        **shown(
            {"at": f"{_CONVERSATION}.decisions[].at", "explanation": f"{_CONVERSATION}.decisions[].explanation"},
            "removed",
        ),
    },
    "event_log": {
        **unseen("pos conversation_id version schema_v", "kept", "orders rows"),
        **shown(
            {
                "type": f"{_CONVERSATION}.history[].what",
                "actor": f"{_CONVERSATION}.history[].who",
                "ids": f"{_CONVERSATION}.history[].details",
                "at": f"{_CONVERSATION}.history[].at",
            },
            "kept",
            "ids and codes, never words: reports stay true",
        ),
    },
    "message": {
        **unseen("conversation_id seq", "removed", "joins rows, orders them"),
        **shown(
            {
                "id": f"{_MESSAGE}.id",
                "author_id": f"{_MESSAGE}.author",
                "type": f"{_MESSAGE}.kind",
                "fate": f"{_MESSAGE}.fate",
                "flags": f"{_MESSAGE}.is_deleted",
                "at": f"{_MESSAGE}.at",
                "enc_body": f"{_MESSAGE}.text",
                "edited_at": f"{_MESSAGE}.edited_at",
            },
            "removed",
        ),
    },
    "remote_message": {
        **unseen("account part kind room conversation_id message_id", "removed", "joins rows"),
        **shown({"remote_id": f"{_MESSAGE}.ids"}, "removed", "a card's stays: its thread says that it is erased"),
    },
    "inbox": {
        **unseen(
            "id source source_id lane enc_body enc_raw room_id session_id attempts failures next_at paced flood_id",
            "removed",
            "what waits is a message before it is stored",
        ),
        **shown({"kind": "waiting[].kind", "state": "waiting[].state", "received_at": "waiting[].at"}, "removed"),
    },
    "outbox": {
        **unseen(
            "id conversation_id message_id lane desk device_id txn merge_key enc_body attempts failures next_at "
            "first_try_at failing_since claimed_until claim_token code",
            "removed",
            "how something is sent that is shown as a message",
        ),
        **shown({"kind": "waiting[].kind", "state": "waiting[].state", "made_at": "waiting[].at"}, "removed"),
    },
    "timer": {
        **unseen("id subject account conversation_id", "removed", "joins rows"),
        **shown({"kind": f"{_CONVERSATION}.timers[].what", "due_at": f"{_CONVERSATION}.timers[].at"}, "removed"),
    },
    "dead_letter": {
        **unseen(
            "id queue row_id enc_raw source_id decision verdict decided_by decided_at",
            "removed",
            "what was put aside is a message that could not be stored",
        ),
        **shown({"reason": "waiting[].kind", "at": "waiting[].at"}, "removed"),
    },
    "rights_request": {
        **unseen("contact_id asked_by approved_by", "kept", "that two people have agreed is proved by it"),
        **shown(
            {
                "id": "rights[].id",
                "kind": "rights[].kind",
                "asked_at": "rights[].asked_at",
                "expires_at": "rights[].expires_at",
                "approved_at": "rights[].approved_at",
                "used_at": "rights[].used_at",
            },
            "kept",
            "that two people have agreed is proved by it",
        ),
    },
    "erasure": unseen(
        "id scope subject contact_id conversation_id ordered_by approved_by step ledger_position begun_at next_at "
        "failures code done_at certificate",
        "kept",
        "the erasure itself, by pseudonym: it is what the certificate proves",
    ),
    "erasure_target": unseen(
        "id erasure_id kind place room_id subject state code", "removed", "what an erasure still has to remove"
    ),
    "audit": {
        **unseen("seq details enc_words key_no mac", "kept", "the chain that makes the log evidence"),
        **shown(
            {
                "at": "accesses[].at",
                "actor": "accesses[].who",
                "action": "accesses[].action",
                "object": "accesses[].about",
                "purpose": "accesses[].purpose",
                "outcome": "accesses[].outcome",
                "reason": "accesses[].reason",
            },
            "kept",
            "evidence: ids and codes, no words of the person, no names",
        ),
    },
    "broken_glass": unseen(
        "conversation_id staff_id until", "kept", "until when somebody of the staff may read; the audit row shows that"
    ),
    "audit_head": none("id seq mac key_no", "where the audit chain ends"),
    "mx_device": {
        **unseen("account deleted sealed", "removed", _CIPHER),
        **shown({"user_id": "devices[].user", "device_id": "devices[].device"}, "removed"),
    },
    "mx_member": {
        **unseen("account room_id", "removed", "joins rows"),
        **shown({"user_id": "rooms[].members", "membership": "rooms[].members"}, "removed"),
    },
    "trust_alert": unseen(
        "id account room_id user_id device_id cause key state raised_at decided_at decided_by",
        "removed",
        "what the desk has noticed about a device; the devices are shown",
    ),
    "verification": unseen(
        "id account user_id room_id master state code emoji decimals began_at ended_at",
        "removed",
        "that a device was verified; the devices are shown",
    ),
    "mx_identity": unseen("account user_id changed sealed", "removed", _CIPHER),
    "mx_tracked": unseen("account user_id stale sealed", "removed", "whose devices the desk keeps up with"),
    "mx_olm": unseen("account sender_key session_id created_ms used_ms sealed", "removed", _CIPHER),
    "mx_megolm": unseen(
        "account room_id session_id sender_key first_index ed25519 received_ms shared_history backed_up imported "
        "sealed",
        "removed",
        _CIPHER,
    ),
    "mx_megolm_out": unseen("account room_id session_id messages sealed", "removed", _CIPHER),
    "mx_megolm_shared": unseen("account room_id session_id sealed", "removed", _CIPHER),
    "mx_withheld": unseen("account room_id session_id user_id code sealed", "removed", _CIPHER),
    "megolm_seen": unseen(
        "account room_id sender_key session_id idx event_id", "removed", "which ciphertexts have come"
    ),
    "mx_room": unseen(
        "account room_id encrypted algorithm rotation_ms rotation_messages history_visibility membership members_known",
        "removed",
        "a room's settings; a later sync may name the id of a room that was left",
    ),
    "flood": unseen(
        "id scope key about group_id chat_id conversation_id since event shown edit_at messages people verdict "
        "decided_by decided_at",
        "kept",
        "that too much came at once, by pseudonym, and what was decided; it goes 30 days after that",
    ),
    "rate_bucket": unseen("scope key full_at", "kept", "a moment, by pseudonym; it goes after minutes"),
    "room_succession": unseen(
        "account room_id successor state code group_id chat_id at", "removed", "which room took the place of which"
    ),
    "subject_key": unseen(
        "kid subject wrapped root_kid made_at used_at destroyed_at",
        "emptied",
        "the person's key; its row says that it is gone",
    ),
    "root_key": none("kid state made_at retired_at", "the installation's own keys"),
    "mx_account": none("account device_id sealed", "the desk's own encryption account"),
    "desk": none("account device_id enc_login enc_identity key_id made_at mark", "the desk's own login"),
    "announced_identity": none("account master since", "the desk's own identity"),
    "living_desk": none("account", "which database is the desk's own"),
    "sent_before": unseen(
        "account txn room_id event_id made_at",
        "kept",
        "ids of what the desk said before a restore; they go after 30 days",
    ),
    "backup_set": none("id kind made_at bytes", "when a backup was made"),
    "cursor": none("source token epoch", "how far the desk has read"),
    "lease": none("resource owner epoch until", "which process is the desk"),
    "installation": none("id namespace root_kid made_at", "the installation itself"),
    "data_key": unseen("kid scope subject wrapped made_at", "kept", "without the person's key it opens nothing"),
    "skill_group": none(
        "id name is_default languages keywords settings room_id board_event board_digest board_edit_at made_at",
        "how the organisation is arranged",
    ),
    "staff": none(
        "id address name language made_at availability availability_since enc_availability_reason capacity_units "
        "idle_since direct_room",
        _STAFF,
    ),
    "staff_role": none("staff_id role made_at", _STAFF),
    "staff_skill": none("staff_id skill level valid_to", _STAFF),
    "direct_room": none("room_id staff_id", _STAFF),
    "availability_log": none("id staff_id availability source since", _STAFF),
    "group_member": none("group_id staff_id role", _STAFF),
}
