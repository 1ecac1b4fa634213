"""Every parser of the product that reads what somebody else wrote, once. A new one needs its row here, or
`test_table.py` fails: it finds them in the code.

A row says which functions it tries (`covers`), what they are fed, and what they may raise; anything else that they
raise is a defect, and so is a value that cannot be stored."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import typer

from messenger.app import attachments, availability, languages, message_parts, persons
from messenger.app.desk_ports import RoomState
from messenger.app.inspection import examine
from messenger.app.waits import moment_asked, pause_asked
from messenger.bootstrap.rights import certificate_fault
from messenger.channels.errors import Rejected
from messenger.channels.messages import Content, MediaRef
from messenger.channels.outbound import addresses, targets
from messenger.channels.outbound.errors import Refused
from messenger.cli import state
from messenger.config import ConfigError, Settings
from messenger.domain import attachment, group_settings, staff_commands, text
from messenger.domain.hours import BadHours, parse_hours
from messenger.domain.ids import GroupId
from messenger.domain.people import SkillGroup
from messenger.domain.replies import Said, is_command, is_note
from messenger.domain.routing.addressed import leading_number
from messenger.domain.routing.menu import Choice, read_choice
from messenger.domain.when import read_when
from messenger.matrix import batch, convert, desk_mark, http, incoming, media, room_state
from messenger.matrix.crypto import canonical, devices
from messenger.matrix.engine import Decrypted
from messenger.matrix.identity import backup_version, key_backup, recovery_key, secret_storage, values, well_known
from messenger.matrix.verification import heard
from messenger.storage import audit_checkpoints, backup_set, codec, encryption, erasure_ledger, erasure_plan, signing
from tests.fuzz import models
from tests.fuzz.inputs import Chance, Maker, blobs, json_bytes, pairs, spoiled, texts
from tests.fuzz.inputs import values as spoilt
from tests.fuzz.storable import unstorable

DESK = "@desk:example.org"
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
GROUP = SkillGroup(id=GroupId(UUID(int=4)), name="Claims", time_zone="Europe/Berlin")
OFFERED = [Choice(GroupId(UUID(int=n)), label) for n, label in enumerate(("Claims", "2. Bills", "Über uns", "账单"))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parser:
    """`reads` one input in the folder given and returns what was found. `long`: how many inputs the long run tries, and
    `short` the default one; a dear parser gets fewer there."""

    name: str
    covers: Sequence[str]
    makes: Maker
    reads: Callable[[Any, Path], object]
    raises: tuple[type[Exception], ...] = ()
    least: float = 1.0  # the share of spoiled inputs that must be understood all the same; 1 where it refuses nothing
    is_text: bool = False  # takes any text, so it is timed with the slow ones
    short: int = 150
    long: int = 10_000


# ── Matrix ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _sync(data: bytes, folder: Path) -> object:
    """The whole pure way of an answer: JSON, batch, room state, items, and what of it are verifications."""
    found = batch.parse(http._decoded(200, data))
    items: list[object] = [found and replace(found, rooms=(), to_device=(), unused_fallback_keys=None)]
    for room in found.rooms if found else ():
        state, members = room_state.apply(RoomState(room_id=room.room_id), room.state, own=DESK)
        items += [state, members]
        for use in ("group", "case", "direct", "chat", "none"):
            for event in room.timeline:
                items += _items(replace(state, use=use), event)
    for event in found.to_device if found else ():
        items.append(_named(heard.to_device(event, own=DESK)))
    return items


def _items(room: RoomState, event: Mapping[str, Any]) -> list[object]:
    """As it stands, and as if its content had been the ciphertext's."""
    opened = Decrypted(state="new", type=event["type"], content=event["content"], session_id="s", index=1)
    found: list[object] = []
    for words in (opened, None):
        if heard.is_verification(event, words):
            found.append(_named(heard.in_room(room.room_id, event, words, own=DESK)))
            continue
        arrival = convert.arrival(DESK, room, event, words)
        if arrival is not None:
            again = codec.load_item(type(arrival.item).__name__, codec.dump(arrival.item))
            assert codec.dump(again) == codec.dump(arrival.item), "it does not come back as it was stored"
            # The item itself is sealed bytes; only these columns are the database's own.
            found.append((arrival.source_id, arrival.lane, arrival.session))
    return found


def _named(message: heard.Heard | None) -> object:
    return message and (message.id, message.sender, message.at, message.device_id)


def _refusal(pair: tuple[int, bytes], folder: Path) -> object:
    try:
        http._decoded(*pair)
    except http.MatrixError as error:
        return error.status, error.errcode, error.retry_after, utc(error)
    return None


def utc(error: http.MatrixError) -> datetime:
    """What the queue makes of it."""
    return NOW + (error.retry_after or timedelta(0))


def _content(content: Any, folder: Path) -> object:
    """A message's own content, as it comes out of a ciphertext."""
    known = content if isinstance(content, dict) else {}
    read = [incoming.message_content(known, is_reply=flag) for flag in (False, True)]
    read += [incoming.with_quotation(read[0], known)]
    refs = [each.id for said in read for each in said.media]
    shown = [incoming.new_content(known) and None, *[incoming.chosen(kind, known) for kind in incoming.VOTES]]
    return [codec.dump(replace(each, media=())) for each in read], shown, [MediaRef(id=ref) for ref in refs]


def _descriptor(pair: tuple[Any, bytes], folder: Path) -> object:
    content, sealed = pair
    known = content if isinstance(content, dict) else {}
    [ref] = incoming.message_content({"msgtype": "m.file", "body": "x", "file": known}).media
    assert not unstorable(erasure_plan.mxc_of(ref.id))
    return len(media._opened(sealed, media._file(ref)))


def _device(answer: Any, folder: Path) -> object:
    user, device = models.PERSON, models.PERSON_DEVICE
    return (
        devices.read_device(answer, user, device),
        canonical.master_key_of(answer, user),
        canonical.self_signing_key_of(answer, user),
        canonical.owner_signed(answer, user, device),
        canonical.verify_signature(answer, user, models.MASTER, "x"),
    )


def _backup_entry(rooms: Any, folder: Path) -> object:
    entries = key_backup._entries(rooms)
    return [key_backup.open_entry(room, session, entry, models.IDENTITY) for room, session, entry in entries]


class _Homeserver:
    """Answers every call with the same, whatever it is."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def call(self, method: str, url: str, body: Any = None, *, query: Any = None) -> Any:
        return self._answer


def _at_once(coroutine: Coroutine[Any, Any, object]) -> object:
    """Of something that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def _own_account(answer: Any, folder: Path) -> object:
    """What the desk reads of its own account: the mark, the version of its backup, its secret storage."""
    homeserver = cast(http.HomeserverClient, _Homeserver(answer))
    data = secret_storage.AccountData(homeserver, DESK)
    storage = secret_storage.SecretStorage(data, bytes(32), "key")
    version = _at_once(backup_version.current_backup(homeserver))
    is_ours = isinstance(version, backup_version.BackupVersion) and version.is_signed_by(DESK, models.MASTER)
    seeds = []
    with contextlib.suppress(secret_storage.WrongKey):
        seeds.append(_at_once(storage.read("m.x")))
    return _at_once(desk_mark.read_mark(homeserver, DESK)), is_ours, seeds


def _secret(box: Any, folder: Path) -> object:
    return secret_storage.decrypt_secret(bytes(32), "m.x", box), secret_storage.opens(bytes(32), box)


# ── Words of people ───────────────────────────────────────────────────────────────────────────────────────────────────


def _command(raw: str, folder: Path) -> object:
    words = batch.as_text(raw)  # no side brings halves of characters this far
    asked, said = staff_commands.parse(words), Said(type="m.text", text=words)
    sign = (is_command(said), is_note(words), staff_commands.find(words) is None)
    return dataclasses.replace(asked, command=None) if isinstance(asked, staff_commands.Asked) else asked, sign  # type: ignore[arg-type]


def _when(raw: str, folder: Path) -> object:
    words = batch.as_text(raw)
    return read_when(words, now=NOW, hours=BERLIN), pause_asked(words, GROUP, NOW), moment_asked(words, GROUP, NOW)


def _html(words: str, folder: Path) -> object:
    from messenger.app.html import clean_html, to_text

    return clean_html(words), to_text(words), message_parts.safe_html(words)


def _names(words: str, folder: Path) -> object:
    name = text.clean_name(words, default="somebody")
    assert text.clean_name(name, default="somebody") == name
    file = text.clean_filename(words)
    assert text.clean_filename(file) == file and len(file.encode()) <= text.MAX_FILENAME
    assert not {"/", "\\", "\0"} & {*file}
    return name, file


def _message(words: str, folder: Path) -> object:
    clean = text.clean_message(words)
    parts = message_parts.parts_of(Content(text=clean))
    assert "".join(part.text for part in parts) == clean
    return clean, text.quoted_words(clean), [part.text for part in parts]


def _short_words(raw: str, folder: Path) -> object:
    words = batch.as_text(raw)
    group, rest = persons.find_group([GROUP, replace(GROUP, name="Bills & more")], words)
    return (
        read_choice(words, OFFERED) and "chosen",
        leading_number(words),
        languages.detect(words),
        group,
        bool(rest),
        persons.matrix_address(words[:500]),
        availability.read_status(words)[0],
    )


def _a_setting(chance: Chance) -> tuple[str, str]:
    """Some key, and words that it knows, or others."""
    key = chance.choice([*models.SETTING_VALUES])
    words = models.SETTING_VALUES[key] if chance.randrange(2) else models.SETTING_WORDS
    spoilt_key = texts(key)(chance) if chance.randrange(9) == 0 else key
    return spoilt_key, chance.choice([chance.choice(words), texts(*words)(chance)])


def _setting(pair: tuple[str, str], folder: Path) -> object:
    key, words = pair
    value = group_settings.parse(key, words)
    stored = group_settings.store({key: value})
    assert group_settings.load(stored)[key] == value
    json.dumps(stored, allow_nan=False)
    return stored, group_settings.show(key, value)


# ── Files ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _attachment(data: bytes, folder: Path) -> object:
    mime = attachments.sniff(data)
    sizes = [attachments.picture(data, each) for each in ("image/png", "image/gif", "image/jpeg", "image/webp")]
    return mime, sizes, attachment.judge("", mime, "a.pdf", len(data))


def _looked_into(data: bytes, folder: Path) -> object:
    return examine.as_json(examine.examine(data, "a.docx"))


def _addresses(words: str, folder: Path) -> object:
    """`is_public` says no to whatever is no address."""
    where = targets.target(targets.joined("https://example.org/a/", words), targets.Outlets())
    assert where.url.raw_host and where.origin.startswith("https://") and not where.is_internal
    return where.origin, addresses.is_public(words)


def _settings_file(data: bytes, folder: Path) -> object:
    file = folder / "stellwerk.toml"
    file.write_bytes(data)
    return Settings.load(file)


def _environment(pair: tuple[str, str], folder: Path) -> object:
    """Variables and files of secrets, over the smallest settings file."""
    name, value = pair
    file, secrets = folder / "stellwerk.toml", folder / "secrets"
    file.write_bytes(models.SETTINGS[0])
    secrets.mkdir(exist_ok=True)
    one = secrets / name.lower().replace("/", "_")[:90].replace("\0", "_").encode(errors="replace").decode()
    one.write_bytes(value.encode(errors="surrogatepass"))
    one.chmod(0o600)
    try:
        return Settings.load(file, secrets_dir=secrets, overrides=models.override(name, value))
    finally:
        one.unlink()


def _manifest(data: bytes, folder: Path) -> object:
    (folder / backup_set.MANIFEST).write_bytes(data)
    (folder / "main.dump").write_bytes(b"")
    manifest = backup_set.read_manifest(folder, models.ROOTS)
    backup_set.check_files(folder, manifest)
    return manifest


def _ledger(data: bytes, folder: Path) -> object:
    (folder / "ledger").write_bytes(data)
    return list(erasure_ledger.ErasureLedger(folder / "ledger", models.SIGNING).entries())


def _checkpoints(data: bytes, folder: Path) -> object:
    (folder / "checkpoints").write_bytes(data)
    return audit_checkpoints.read_lines(models.CHECKPOINT_KEY, audit_checkpoints.lines_of(folder / "checkpoints"))


def _key_files(data: bytes, folder: Path) -> object:
    """Root key and signing key, each in a file of its own."""
    file = folder / "some.key"
    file.write_bytes(data)
    file.chmod(0o400)
    try:
        return encryption.read_root_key(file).kid, signing.open_signing_key(file).public
    finally:
        file.unlink()


def _certificate(data: bytes, folder: Path) -> object:
    (folder / "certificate.json").write_bytes(data)
    return certificate_fault(folder / "certificate.json", models.SIGNING.public)


PARSERS = (
    Parser(
        name="sync",
        covers=[
            "matrix/batch.py:parse", "matrix/http.py:_decoded", "matrix/convert.py:arrival",
            "matrix/verification/heard.py:in_room", "matrix/verification/heard.py:to_device",
            "matrix/room_state.py:apply", "storage/codec.py:load_item",
        ],
        makes=json_bytes(*models.SYNC_ANSWERS),
        reads=_sync,
        least=0.2,
        raises=(http.Unreachable,),
        short=100,
    ),
    Parser(
        name="refusals",
        covers=["matrix/http.py:_decoded"],
        makes=pairs(lambda chance: chance.choice([200, 400, 403, 429, 502]), json_bytes(*models.REFUSALS)),
        reads=_refusal,
        least=0.5,
        raises=(http.Unreachable,),
    ),
    Parser(
        name="contents",
        covers=["matrix/incoming.py:chosen", "matrix/incoming.py:message_content", "matrix/incoming.py:new_content"],
        makes=spoilt(*models.CONTENTS),
        reads=_content,
    ),
    Parser(
        name="media descriptors",
        covers=["matrix/media.py:_file", "matrix/media.py:_opened", "storage/erasure_plan.py:mxc_of"],
        makes=pairs(spoilt(*models.ENCRYPTED_FILES), lambda chance: spoiled(chance, models.SEALED_FILE)),
        reads=_descriptor,
        least=0.04,
        raises=(Rejected,),
    ),
    Parser(
        name="devices",
        covers=[
            "matrix/crypto/devices.py:read_device", "matrix/crypto/devices.py:_key",
            "matrix/crypto/canonical.py:unb64", "matrix/crypto/canonical.py:verify_signature",
        ],
        makes=spoilt(models.DEVICES),
        reads=_device,
    ),
    Parser(
        name="key backup",
        covers=["matrix/identity/key_backup.py:open_entry", "matrix/identity/key_backup.py:_decrypted"],
        makes=spoilt(*models.BACKUPS),
        reads=_backup_entry,
    ),
    Parser(
        name="well-known",
        covers=["matrix/identity/well_known.py:is_genuine"],
        makes=spoilt(models.PAGE),
        reads=lambda page, folder: well_known.is_genuine(page, models.PAGE["master_key"]),
    ),
    Parser(
        name="secret storage",
        covers=["matrix/identity/secret_storage.py:decrypt_secret", "matrix/identity/secret_storage.py:opens"],
        makes=spoilt(models.SECRET, models.KEY_DESCRIPTION),
        reads=_secret,
        least=0.02,
        raises=(secret_storage.WrongKey,),
    ),
    Parser(
        name="stored identity",
        covers=["matrix/identity/values.py:from_secret", "matrix/identity/values.py:_from_fields"],
        makes=json_bytes(json.loads(models.IDENTITY.to_secret())),
        reads=lambda data, folder: values.Identity.from_secret(data) and None,
        least=0.04,
        raises=(ValueError, RecursionError),  # of our own sealed bytes: whatever it is, the desk does not start
    ),
    Parser(
        name="recovery key",
        covers=["matrix/identity/recovery_key.py:decode_recovery_key"],
        makes=texts(models.RECOVERY_KEY, models.RECOVERY_KEY[:20]),
        reads=lambda words, folder: recovery_key.decode_recovery_key(words),
        least=0.005,
        raises=(ValueError,),
        is_text=True,
    ),
    Parser(
        name="commands",
        covers=["domain/staff_commands.py:parse", "domain/staff_commands.py:find"],
        makes=texts(*models.COMMANDS),
        reads=_command,
        is_text=True,
    ),
    Parser(
        name="when",
        covers=["domain/when.py:read_when", "domain/when_moments.py:read_moment", "domain/when_moments.py:_iso_moment"],
        makes=texts(*models.WHENS),
        reads=_when,
        is_text=True,
    ),
    Parser(
        name="opening hours",
        covers=["domain/hours.py:parse_hours", "domain/hours.py:_dates"],
        makes=texts(*models.HOURS),
        reads=lambda words, folder: parse_hours(words, BERLIN).text(),
        least=0.03,
        raises=(BadHours,),
        is_text=True,
    ),
    Parser(
        name="menu answers and other short words",
        covers=[
            "domain/routing/menu.py:read_choice", "domain/routing/addressed.py:leading_number",
            "app/languages.py:detect", "app/persons.py:find_group", "app/persons.py:matrix_address",
            "app/availability.py:read_status",
        ],
        makes=texts(*models.SHORT_WORDS),
        reads=_short_words,
        is_text=True,
    ),
    Parser(
        name="group settings",
        covers=["domain/group_settings.py:parse", "domain/setting_kinds.py:parse"],
        makes=_a_setting,
        reads=_setting,
        least=0.06,
        raises=(group_settings.WrongSetting,),
    ),
    Parser(
        name="HTML",
        covers=["app/html.py:clean_html", "app/html.py:to_text"],
        makes=texts(*models.HTML),
        reads=_html,
        is_text=True,
    ),
    Parser(
        name="names of files and people",
        covers=["domain/text.py:clean_filename", "domain/text.py:clean_name"],
        makes=texts(*models.NAMES),
        reads=_names,
        is_text=True,
    ),
    Parser(
        name="messages",
        covers=["domain/text.py:clean_message"],
        makes=texts(*models.MESSAGES),
        reads=_message,
        is_text=True,
    ),
    Parser(
        name="attachments",
        covers=["app/attachments.py:_png", "app/attachments.py:_gif", "app/attachments.py:_jpeg",
                "app/attachments.py:_webp"],
        makes=blobs(*models.FILES),
        reads=_attachment,
        short=60,
    ),
    Parser(
        name="files looked into",
        covers=[
            "app/inspection/examine.py:examine", "app/inspection/zips.py:find_end", "app/inspection/zips.py:members",
            "app/inspection/zips.py:_directory", "app/attachments.py:_directory",
        ],
        makes=blobs(*models.WHOLE_FILES),
        reads=_looked_into,
        least=0.9,
        raises=(MemoryError, RecursionError),  # the process that looks into files answers these with a refusal
        short=60,
    ),
    Parser(
        name="addresses that others name",
        covers=["channels/outbound/targets.py:target", "channels/outbound/addresses.py:is_public"],
        makes=texts(*models.ADDRESSES),
        reads=_addresses,
        least=0.2,
        raises=(Refused,),
        is_text=True,
    ),
    Parser(
        name="settings file",
        covers=[
            "config/settings.py:_read_toml",
            "config/sections/kinds.py:_homeserver",
            "config/sections/kinds.py:_origin",
        ],
        makes=blobs(*models.SETTINGS),
        reads=_settings_file,
        least=0.08,
        raises=(ConfigError,),
        short=25,
    ),
    Parser(
        name="settings from outside the file",
        covers=["config/secret_files.py:read_secret"],
        makes=pairs(lambda chance: chance.choice(models.VARIABLES), texts(*models.VARIABLE_WORDS)),
        reads=_environment,
        least=0.08,
        raises=(ConfigError,),
        short=25,
    ),
    Parser(
        name="backup manifest",
        covers=["storage/backup_set.py:read_manifest", "storage/backup_set.py:_manifest"],
        makes=json_bytes(models.MANIFEST),
        reads=_manifest,
        least=0.005,
        raises=(backup_set.BadSet,),
    ),
    Parser(
        name="erasure ledger",
        covers=["storage/erasure_ledger.py:_read", "storage/signing.py:is_signed"],
        makes=blobs(models.LEDGER),
        reads=_ledger,
        least=0.15,
        raises=(erasure_ledger.LedgerDamaged,),
    ),
    Parser(
        name="audit checkpoints",
        covers=["storage/audit_checkpoints.py:read_lines", "storage/audit_checkpoints.py:_read"],
        makes=blobs(models.CHECKPOINTS),
        reads=_checkpoints,
    ),
    Parser(
        name="key files",
        covers=[
            "storage/encryption.py:read_root_key", "storage/signing.py:read_signing_key", "storage/signing.py:parse",
        ],
        makes=blobs(models.KEY_FILE),
        reads=_key_files,
        least=0.2,
        raises=(encryption.BadRootKey, signing.BadSigningKey),
    ),
    Parser(
        name="certificate of an erasure",
        covers=["bootstrap/rights.py:certificate_fault"],
        makes=json_bytes(models.CERTIFICATE),
        reads=_certificate,
    ),
    Parser(
        name="the desk's own account",
        covers=[
            "matrix/desk_mark.py:read_mark", "matrix/identity/backup_version.py:current_backup",
            "matrix/identity/secret_storage.py:read", "matrix/identity/ensure.py:_read",
        ],
        makes=spoilt(*models.ACCOUNT_DATA),
        reads=_own_account,
    ),
    Parser(
        name="arguments of the command line",
        covers=["cli/state.py:_value"],
        makes=texts(*models.VARIABLE_WORDS),
        reads=lambda words, folder: state._value(words) and None,
        least=0.5,
        raises=(typer.BadParameter,),
        is_text=True,
    ),
)  # fmt: skip
