"""Is the desk still who it says it is? Asked by `stellwerk doctor` and by the running desk every few minutes, and
whenever the homeserver reports a change of the desk's own devices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from messenger.matrix.crypto.canonical import master_key_of, owner_signed, self_signing_key_of
from messenger.matrix.engine import OwnDevice
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable
from messenger.matrix.identity.backup_version import BackupVersion, current_backup
from messenger.matrix.identity.cross_signing import SigningKey, query_own_keys
from messenger.matrix.identity.ensure import is_signed_as_ours
from messenger.matrix.identity.values import Identity, grouped

ONE_TIME_KEYS_LOW = 20

FindingCode = Literal[
    "homeserver", "master_key", "self_signing_key", "device_signed", "foreign_devices", "key_backup", "one_time_keys"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of a check-up. `words` says what is wrong and what to do, for the operator."""

    code: FindingCode
    level: Literal["ok", "warn", "fail"]
    words: str


async def check_identity(http: HomeserverClient, device: OwnDevice, identity: Identity) -> list[Finding]:
    """Three requests; changes nothing. An unreachable or refusing homeserver is a finding, not an exception."""
    try:
        answer = await query_own_keys(http, device.user_id)
        backup = await current_backup(http)
        counts = (await http.call("POST", f"{CLIENT}/keys/upload", {})).get("one_time_key_counts", {})
    except MatrixError as error:
        return [_refused(error)]
    except Unreachable as error:
        return [Finding(code="homeserver", level="fail", words=f"The homeserver does not answer ({error}).")]
    return [
        _master_key(answer, identity),
        _self_signing_key(answer, identity),
        _device_signed(answer, device, identity),
        _foreign_devices(answer, device),
        _key_backup(backup, identity),
        _one_time_keys(counts.get("signed_curve25519", 0)),
    ]


def _refused(error: MatrixError) -> Finding:
    words = f"The homeserver refuses the desk ({error})."
    if error.status == 401:
        words = (
            "The desk's login is no longer valid: somebody logged its device out or removed the account. "
            "Give it a new login."
        )
    return Finding(code="homeserver", level="fail", words=words)


def _master_key(answer: Mapping[str, Any], identity: Identity) -> Finding:
    shown = master_key_of(answer, identity.user_id)
    if shown == identity.master_key:
        return Finding(code="master_key", level="ok", words=f"The identity is {identity.fingerprint}.")
    return Finding(
        code="master_key",
        level="fail",
        words=(
            f"The account's master key changed: ours is {identity.fingerprint}, the homeserver shows "
            f"{grouped(shown) if shown else 'none'}. If nobody in the organisation reset it, stop the desk and change "
            "its password."
        ),
    )


def _self_signing_key(answer: Mapping[str, Any], identity: Identity) -> Finding:
    if self_signing_key_of(answer, identity.user_id) == SigningKey(identity.self_signing_seed).public:
        return Finding(code="self_signing_key", level="ok", words="The self-signing key is ours.")
    return Finding(
        code="self_signing_key",
        level="fail",
        words=(
            "The account's self-signing key was replaced or removed. Whoever did it holds the recovery key: make a "
            "new one."
        ),
    )


def _device_signed(answer: Mapping[str, Any], device: OwnDevice, identity: Identity) -> Finding:
    if is_signed_as_ours(answer, device, identity.master_key):
        return Finding(code="device_signed", level="ok", words=f"Device {device.device_id} is signed by the identity.")
    return Finding(
        code="device_signed",
        level="fail",
        words=(
            f"Device {device.device_id} is not signed by the identity: people who exclude insecure devices cannot read "
            "the desk. Restart the desk; it signs itself."
        ),
    )


def _foreign_devices(answer: Mapping[str, Any], device: OwnDevice) -> Finding:
    devices = (answer.get("device_keys") or {}).get(device.user_id) or {}
    foreign = sorted(set(devices) - {device.device_id})
    signed = [each for each in foreign if owner_signed(answer, device.user_id, each)]
    if signed:
        return Finding(
            code="foreign_devices",
            level="fail",
            words=(
                f"Other devices of the account are signed by its identity: {', '.join(signed)}. Each can read "
                "everything. If it is not your own, log it out and make a new recovery key."
            ),
        )
    if foreign:
        return Finding(
            code="foreign_devices",
            level="warn",
            words=(
                f"Other devices are logged in to the account: {', '.join(foreign)}. Log them out; the desk gives them "
                "no keys."
            ),
        )
    return Finding(code="foreign_devices", level="ok", words="No other device is logged in to the account.")


def _key_backup(backup: BackupVersion | None, identity: Identity) -> Finding:
    if backup is None:
        words = "The key backup was deleted: after a loss of the database no old conversation could be read."
    elif backup.version != identity.backup_version:
        words = f"The key backup was replaced (version {backup.version}, ours is {identity.backup_version})."
    elif backup.public_key != identity.backup_public_key or not backup.is_signed_by(
        identity.user_id, identity.master_key
    ):
        words = "The key backup has another key or signature than the one this desk made."
    else:
        return Finding(
            code="key_backup", level="ok", words=f"Key backup version {backup.version} holds {backup.count} keys."
        )
    return Finding(
        code="key_backup",
        level="fail",
        words=f"{words} Find out who did it, then start the desk once with the recovery key.",
    )


def _one_time_keys(count: object) -> Finding:
    left = count if isinstance(count, int) else 0
    if left >= ONE_TIME_KEYS_LOW:
        return Finding(code="one_time_keys", level="ok", words=f"{left} one-time keys are left on the homeserver.")
    level: Literal["warn", "fail"] = "warn" if left else "fail"
    return Finding(
        code="one_time_keys",
        level=level,
        words=(
            f"Only {left} one-time keys are left: new devices cannot write to the desk when none is left. The desk "
            "uploads more while it runs; if this stays, somebody may be using them up."
        ),
    )
