"""Right inputs of every parser, the richer the better: the fuzzers spoil them."""

import json
import zlib
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZipFile

import vodozemac
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nio.crypto.attachments import encrypt_attachment
from PIL import Image

from messenger.config import Settings
from messenger.domain.group_settings import SETTINGS as GROUP_SETTINGS
from messenger.domain.group_settings import show
from messenger.domain.staff_commands import COMMANDS as STAFF_COMMANDS
from messenger.domain.when_examples import EXAMPLES
from messenger.matrix.crypto.canonical import ub64
from messenger.matrix.identity.backup_version import public_key_of
from messenger.matrix.identity.cross_signing import CrossSigningKeys, SigningKey, public_objects, sign_device_keys
from messenger.matrix.identity.key_backup import seal_entry
from messenger.matrix.identity.recovery_key import encode_recovery_key
from messenger.matrix.identity.secret_storage import encrypt_secret, key_description
from messenger.matrix.identity.values import Identity
from messenger.matrix.identity.well_known import desk_page
from messenger.storage.audit_checkpoints import NO_LINE, Checkpoint, digest, signed_line
from messenger.storage.backup_set import MANIFEST as MANIFEST_FILE
from messenger.storage.backup_set import FileOfSet, Manifest, write_manifest
from messenger.storage.encryption import new_secret, root_key
from messenger.storage.erasure_ledger import ErasureLedger
from messenger.storage.root_keys import RootKeys
from messenger.storage.signing import SigningKey as LedgerKey
from tests.unit.identity_device import KeyedDevice, megolm_session

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
ROOM, PERSON, PERSON_DEVICE = "!room:example.org", "@anna:example.org", "PHONE"

# ── Matrix ────────────────────────────────────────────────────────────────────────────────────────────────────────────

_REPLY = {"rel_type": "m.thread", "event_id": "$card", "is_falling_back": True, "m.in_reply_to": {"event_id": "$a"}}
_FILE = {
    "v": "v2", "url": "mxc://example.org/abc", "iv": "AAAAAAAAAAAAAAAAAAAAAA", "hashes": {"sha256": "A" * 43},
    "key": {"alg": "A256CTR", "ext": True, "k": "A" * 43, "key_ops": ["encrypt", "decrypt"], "kty": "oct"},
}  # fmt: skip
CONTENTS: list[dict[str, Any]] = [
    {
        "msgtype": "m.text", "body": "> <@ben:example.org> words\n\nof mine", "format": "org.matrix.custom.html",
        "formatted_body": "<b>of</b> mine", "m.mentions": {"user_ids": [PERSON], "room": True},
        "m.relates_to": _REPLY,
    },
    {
        "msgtype": "m.text", "body": "* new words", "m.new_content": {"msgtype": "m.text", "body": "new words"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": "$old"},
    },
    {
        "msgtype": "m.image", "body": "a caption", "filename": "scan.png", "file": _FILE,
        "info": {"mimetype": "image/png", "size": 5, "w": 1, "h": 1}, "org.matrix.msc3245.voice": {},
    },
    {"org.matrix.msc3381.poll.response": {"answers": ["1"]}, "m.selections": ["1"], "m.relates_to": {"event_id": "$q"}},
    {"msgtype": "m.key.verification.request", "to": "@desk:example.org", "from_device": "P", "methods": ["m.sas.v1"]},
    {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$card", "key": "👀"}},
    {"redacts": "$old", "reason": "wrong"},
    {"m.relates_to": {"rel_type": "m.reference", "event_id": "$request"}, "transaction_id": "t1", "mac": {}},
]  # fmt: skip
_TYPES = [
    "m.room.message", "m.room.message", "m.room.message", "org.matrix.msc3381.poll.response", "m.room.message",
    "m.reaction", "m.room.redaction", "m.key.verification.mac",
]  # fmt: skip


def _event(number: int, type: str, content: Any, **more: Any) -> dict[str, Any]:
    return {
        "event_id": f"$e{number}", "sender": PERSON, "type": type, "content": content,
        "origin_server_ts": 1_790_000_000_000 + number, "unsigned": {"age": 5}, **more,
    }  # fmt: skip


_SEALED = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAEn", "session_id": "s", "sender_key": "k"}
_STATE = [
    _event(90, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2", "rotation_period_msgs": 50}, state_key=""),
    _event(91, "m.room.history_visibility", {"history_visibility": "invited"}, state_key=""),
    _event(92, "m.room.member", {"membership": "join", "displayname": "Anna"}, state_key=PERSON),
    _event(93, "m.room.tombstone", {"body": "moved", "replacement_room": "!new:example.org"}, state_key=""),
]


def _answer(events: list[dict[str, Any]]) -> dict[str, Any]:
    invite = {
        "type": "m.room.member",
        "state_key": "@desk:example.org",
        "sender": PERSON,
        "content": {"membership": "invite"},
    }
    timeline = {"events": events, "limited": True, "prev_batch": "t0"}
    return {
        "next_batch": "t1",
        "rooms": {
            "join": {ROOM: {"timeline": timeline, "state": {"events": _STATE}, "summary": {}}},
            "invite": {"!other:example.org": {"invite_state": {"events": [invite]}}},
            "leave": {"!left:example.org": {}},
        },
        "to_device": {
            "events": [
                {"type": "m.room.encrypted", "sender": PERSON, "content": {"algorithm": "x", "ciphertext": {}}},
                {
                    "type": "m.key.verification.request", "sender": PERSON,
                    "content": {"transaction_id": "t", "timestamp": 1_790_000_000_000, "from_device": "P"},
                },
            ]
        },
        "device_lists": {"changed": [PERSON], "left": ["@gone:example.org"]},
        "device_one_time_keys_count": {"signed_curve25519": 5},
        "device_unused_fallback_key_types": ["signed_curve25519"],
    }  # fmt: skip


_SAID = [_event(n, type, content) for n, (type, content) in enumerate(zip(_TYPES, CONTENTS, strict=True))]
SYNC_ANSWERS = [
    *[_answer([event]) for event in _SAID],
    _answer([_event(50, "m.room.encrypted", {**_SEALED, "m.relates_to": _REPLY}), *_STATE]),
]
REFUSALS = [
    {"errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": 2000},
    {"errcode": "M_UNKNOWN_TOKEN", "soft_logout": True},
    {"flows": [{"stages": ["m.login.password"]}], "session": "s", "params": {}},
]
_sealed, _keys = encrypt_attachment(b"What the doctor wrote.")
SEALED_FILE: bytes = _sealed
ENCRYPTED_FILES = [{**_keys, "url": "mxc://example.org/abc"}, _FILE]

_ours = CrossSigningKeys(master=SigningKey.new(), self_signing=SigningKey.new(), user_signing=SigningKey.new())
_device = KeyedDevice(PERSON, PERSON_DEVICE)
_published = public_objects(_ours, _device)
MASTER = _ours.master.public
DEVICES = {
    "master_keys": {PERSON: _published["master_key"]},
    "self_signing_keys": {PERSON: _published["self_signing_key"]},
    "device_keys": {PERSON: {PERSON_DEVICE: sign_device_keys(_device, _ours.self_signing)}},
    "failures": {},
}
_PRIVATE = bytes(range(32))
IDENTITY = Identity(
    mode="unchanged", user_id=PERSON, master_key=MASTER, self_signing_seed=_ours.self_signing.seed,
    backup_version="7", backup_public_key=public_key_of(_PRIVATE), backup_private_key=_PRIVATE,
)  # fmt: skip
PAGE = desk_page(IDENTITY, DEVICES, PERSON_DEVICE, made_at=AT.isoformat())
_session = megolm_session(ROOM, sender=_device)


def _by_a_stranger(payload: bytes) -> dict[str, Any]:
    """What anybody can put there who knows the backup's public key."""
    public = vodozemac.Curve25519PublicKey.from_base64(IDENTITY.backup_public_key)
    box = vodozemac.PkEncryption.from_key(public).encrypt(payload)
    data = {"ciphertext": ub64(box.ciphertext), "mac": ub64(box.mac), "ephemeral": ub64(box.ephemeral_key)}
    return {"first_message_index": 0, "forwarded_count": 0, "is_verified": True, "session_data": data}


_FORGED = [
    b"{}",
    b"[]",
    b"1",
    b'{"net.stellwerk.backup_proof": 7}',
    b'{"net.stellwerk.backup_proof": "x"}',
    b"\xff",
    b"[" * 9_000,
]
BACKUPS = [
    {ROOM: {"sessions": {_session.session_id: seal_entry(_session, IDENTITY)}}},
    {ROOM: {"sessions": {f"s{n}": _by_a_stranger(payload) for n, payload in enumerate(_FORGED)}}},
]
SECRET, KEY_DESCRIPTION = encrypt_secret(bytes(32), "m.x", b"AAAA"), key_description(bytes(32))
RECOVERY_KEY = encode_recovery_key(bytes(32))

# ── Words of people ───────────────────────────────────────────────────────────────────────────────────────────────────

COMMANDS = [
    f"!{word} {command.example_in('en')}" for command in STAFF_COMMANDS for word in (command.name, *command.aliases)
]
COMMANDS += [
    "！暂停 明天",
    "!r K-4F7Q words",
    "!note 备注",
    "// a note",
    "note: x",
    "🔒 x",
    "!",
    "!!",
    "! claim",
    "!ﬁnd",
    "!claim\u200b",
]
WHENS = [example.text + " " for example in EXAMPLES]
HOURS = [
    "Mon-Fri 08:00-12:00, 13:00-17:00; ", "Sat 9-12; ", "2026-12-24 9-12; ", "2026-12-25 closed; ", "Fri-Mon 22-6; ",
    "daily 0-24; ", "周一至周五 9:00-18:00; ", "Mo–Fr 8 bis 17 Uhr; ", "täglich 9-5; ",
]  # fmt: skip
SHORT_WORDS = [
    "1", "2.", "(3)", "#4", "Claims", "2. Bills", "über uns", "账单", "K-4F7Q ", "k–abcd: ", "hello ", "Guten Tag ",
    "你好",
    "こんにちは", "@ben:example.org ", "https://matrix.to/#/@ben:example.org?via=x ", "busy lunch", "verfügbar",
    "Bills & more ",
]  # fmt: skip
SETTING_VALUES = {setting.key: [show(setting.key, setting.default), ""] for setting in GROUP_SETTINGS}
SETTING_WORDS = [
    "true",
    "5",
    "60",
    "owner",
    "rooms",
    "Europe/Berlin",
    "en",
    "de:3, en:2",
    "Claims, Bills",
    "none",
    "any",
    *HOURS,
]
HTML = [
    "<b>x</b>", "<a href='https://example.org'>x</a>", "<ol start=3><li>x</ol>", "<img src=x onerror=alert(1)>",
    "<table><tr><td>",
    "<pre><code class='language-py'>x</code></pre>", "<!--", "<svg><script>x</script>",
    "<span data-mx-spoiler>x</span>", "&#x202e;",
]  # fmt: skip
NAMES = [
    "invoice.pdf", "../../etc/passwd", "C:\\x\\nul.txt", "photo.jpg.exe", "Anna Müller", "🔒 Internal — Anna: x",
    "名字.docx",
    ".hidden", "a" * 250 + ".pdf", "con", "Dr. A. B. (Ward 3)", "→ Customer",
]  # fmt: skip
MESSAGES = [
    "Hello.\n\nA second paragraph. ",
    "> <@a:b> quoted\n> more\n\n",
    "> quoted\nown",
    "句子。",
    "emoji 👩‍👩‍👧 ",
    "a" * 900 + " ",
]

# ── Files ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89"
FILES = [
    _PNG, b"GIF89a\x01\0\x01\0\x80\0\0",
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xc0\0\x11\x08\0\x01\0\x01",
    b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0\x30\x01\0\x9d\x01\x2a\x01\0\x01\0",
    b"RIFF\x24\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\0", b"%PDF-1.7\n1 0 obj<</S/JavaScript>>",
    b"PK\x03\x04" + b"\0" * 26 + b"word/x[Content_Types].xml",
    b"PK\x03\x04" + b"\0" * 26 + b"mimetypeapplication/vnd.oasis.opendocument.textPK", b"\0\0\0\x18ftypisom",
    b"<svg/onload=x>",
    b"OggS\0\x02theora", b"ID3\x04", b"MZ\x90", b"plain words\n", b"{\\rtf1 x}", b"#!AMR\n", b"\xef\xbb\xbf <HTML>",
]  # fmt: skip


def _document() -> bytes:
    made = BytesIO()
    with ZipFile(made, "w", ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<w:document>words</w:document>")
        archive.writestr("word/_rels/document.xml.rels", '<Relationship TargetMode="External" Target="http://x"/>')
        archive.writestr("word/embeddings/a.docx", b"PK\x03\x04")
    return made.getvalue()


def _pdf() -> bytes:
    packed = zlib.compress(b"1 0 <</S/JavaScript/JS(x)>>")
    begin = b"%PDF-1.7\n1 0 obj<</Type/ObjStm/N 1/First 4/Filter/FlateDecode/Length "
    return (
        begin
        + str(len(packed)).encode()
        + b">>stream\n"
        + packed
        + b"\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
    )


def _pictures() -> list[bytes]:
    found = []
    for kind in ("PNG", "GIF", "JPEG", "WEBP"):
        made = BytesIO()
        Image.new("RGB", (3, 2)).save(made, kind)
        found.append(made.getvalue())
    return found


WHOLE_FILES = [
    _document(),
    _pdf(),
    *_pictures(),
    b"{\\rtf1{\\object\\objdata 0105}}",
    b"name,value\n=cmd|'/c x'!A1,5\n",
]
ADDRESSES = [
    "https://example.org/x?y=1#z", "https://example.org:8443/", "http://127.0.0.1/", "https://[::ffff:127.0.0.1]/",
    "https://0x7f.1/",
    "https://2130706433/", "https://user:pw@example.org/", "//other.example.org/a", "../b", "ftp://x/",
    "https://xn--bcher-kva.example/",
    "https://bücher.example/", "https://example.org%2f@evil.example/",
    "https://1.1.1.1.nip.io:443", "2606:4700::1111", "10.0.0.7",
]  # fmt: skip
SETTINGS = [
    b'[matrix]\nhomeserver = "https://matrix.example.org"\n',
    (
        b'[server]\ndata_dir = "var"\norganisation = "Linden"\ntime_zone = "Europe/Berlin"\n'
        b'[database]\nurl = "postgresql://u:p@h/n"\npool_size = 5\n[key_database]\nurl = "postgresql://u:p@h/k"\n'
        b'[matrix]\nhomeserver = "https://matrix.example.org"\nallowed_servers = ["example.org"]\n'
        b'invites_per_minute = 5\n'
        b'[[matrix.desks]]\nuser_id = "@desk:example.org"\npassword = "x"\nrecovery_key_file = "r"\n'
        b'[privacy]\nfour_eyes = true\nbackup_days = 30\n[limits]\nattachment_max_mb = 25\nlease_seconds = 15.0\n'
        b'[i18n]\ndefault = "de"\nlanguages = ["de", "en"]\n[log]\nlevel = "info"\nformat = "json"\n'
    ),
]  # fmt: skip
VARIABLES = [
    f"stellwerk__{section}__{name}" for section, field in Settings.model_fields.items()
    for name in (field.annotation.model_fields if field.annotation else ())
] + ["stellwerk__matrix", "stellwerk__matrix__desks__0__user_id", "stellwerk__x__y", "stellwerk__"]  # fmt: skip
VARIABLE_WORDS = [
    "5",
    "true",
    "https://example.org",
    "@desk:example.org",
    '["a"]',
    '{"a": 1}',
    "/nowhere",
    "Europe/Berlin",
    "-1",
    "x" * 300,
]


def override(name: str, value: str) -> dict[str, Any]:
    """The same as an argument of the command line."""
    _, *path = name.split("__")
    made: Any = value
    for part in reversed(path):
        made = {part: made}
    return made if isinstance(made, dict) else {}


ROOTS = RootKeys(root_key(new_secret()))
SIGNING = LedgerKey(Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34))))
CHECKPOINT_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(3, 35)))


def _manifest() -> dict[str, Any]:
    made = Manifest(
        id=UUID(int=7), kind="main", made_at=AT, program="0.1.0", schema="abc", postgres=180004,
        root_kid=ROOTS.first.kid, counts={"message": 5}, details={"note": "x"},
        files=[FileOfSet(name="main.dump", bytes=0, sha256=sha256(b"").hexdigest())],
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        write_manifest(Path(folder), made, ROOTS.first)
        stored: dict[str, Any] = json.loads((Path(folder) / MANIFEST_FILE).read_text())
    return stored


def _ledger() -> bytes:
    with TemporaryDirectory() as folder:
        ledger = ErasureLedger(Path(folder) / "ledger", SIGNING)
        for number in range(3):
            ledger.add(f"person{number}", "contact", AT)
        return (Path(folder) / "ledger").read_bytes()


def _checkpoints() -> bytes:
    lines, before = [], NO_LINE
    for number in range(1, 4):
        made = Checkpoint(seq=number, mac=bytes(32), at=AT, after=before)
        lines.append(signed_line(CHECKPOINT_KEY, made))
        before = digest(lines[-1])
    return ("\n".join(lines) + "\n").encode()


MANIFEST, LEDGER, CHECKPOINTS = _manifest(), _ledger(), _checkpoints()
KEY_FILE = new_secret().hex().encode() + b"\n"
_BODY = {"v": 1, "id": "7", "person": "ab", "asked_at": AT.isoformat(), "places": [{"place": "x", "outcome": "done"}]}
CERTIFICATE = {**_BODY, "public_key": SIGNING.public, "signature": "00" * 64}
ACCOUNT_DATA: list[dict[str, Any]] = [
    {"mark": 5, "run": "r"},
    {
        "version": "7",
        "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
        "auth_data": {"public_key": "k"},
        "count": 5,
    },
    {"encrypted": {"key": SECRET, "other": {}}},
]
