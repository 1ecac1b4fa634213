"""Endpoints about encryption: device keys, cross-signing, to-device messages, key backup."""

from tests.support.fake_homeserver.context import Context, Routes
from tests.support.fake_homeserver.world import Account, DeviceRecord, Json, Refused

CLIENT = "/_matrix/client/v3"
CROSS_SIGNING = {"master_keys": "master_key", "self_signing_keys": "self_signing_key"}


def upload_keys(context: Context) -> Json:
    device, body = context.own_device, context.body
    if keys := body.get("device_keys"):
        device.keys = keys
        context.world.keys_changed(context.user_id)
    for key_id, key in body.get("one_time_keys", {}).items():
        if device.one_time_keys.get(key_id, key) != key:
            raise Refused(400, "M_INVALID_PARAM", f"One time key {key_id} already exists")
        device.one_time_keys[key_id] = key
    device.fallback_keys |= body.get("fallback_keys", {})
    return {"one_time_key_counts": {"signed_curve25519": len(device.one_time_keys)}}


def query_keys(context: Context) -> Json:
    answer: Json = {
        "device_keys": {},
        "failures": {},
        "master_keys": {},
        "self_signing_keys": {},
        "user_signing_keys": {},
    }
    for user_id, wanted in context.body.get("device_keys", {}).items():
        account = context.world.accounts.get(user_id)
        if account is None:
            continue
        answer["device_keys"][user_id] = {
            device_id: _with_name(device)
            for device_id, device in account.devices.items()
            if device.keys and (not wanted or device_id in wanted)
        }
        for plural, singular in CROSS_SIGNING.items():
            if key := account.cross_signing.get(singular):
                answer[plural][user_id] = key
        if user_id == context.user_id and (key := account.cross_signing.get("user_signing_key")):
            answer["user_signing_keys"][user_id] = key
    return answer


def _with_name(device: DeviceRecord) -> Json:
    return {**(device.keys or {}), "unsigned": {"device_display_name": device.display_name}}


def claim_keys(context: Context) -> Json:
    found: dict[str, Json] = {}
    for user_id, by_device in context.body["one_time_keys"].items():
        for device_id in by_device:
            if key := context.world.claim(user_id, device_id):
                found.setdefault(user_id, {})[device_id] = key
    return {"one_time_keys": found, "failures": {}}


def upload_cross_signing(context: Context) -> Json:
    for name in ("master_key", "self_signing_key", "user_signing_key"):
        if key := context.body.get(name):
            context.account.cross_signing[name] = key
    context.world.keys_changed(context.user_id)
    return {}


def upload_signatures(context: Context) -> Json:
    for user_id, by_key in context.body.items():
        if account := context.world.accounts.get(user_id):
            for key_id, signed in by_key.items():
                _add_signatures(_signed_object(account, key_id), signed)
            context.world.keys_changed(user_id)
    return {"failures": {}}


def _add_signatures(target: Json | None, signed: Json) -> None:
    if target is None:
        return
    for signer, signatures in signed.get("signatures", {}).items():
        target.setdefault("signatures", {}).setdefault(signer, {}).update(signatures)


def _signed_object(account: Account, key_id: str) -> Json | None:
    """A device by its id, or a cross-signing key by its public part."""
    if (device := account.devices.get(key_id)) and device.keys:
        return device.keys
    return next((key for key in account.cross_signing.values() if f"ed25519:{key_id}" in key["keys"]), None)


def send_to_device(context: Context) -> Json:
    def deliver() -> Json:
        context.world.send_to_device(context.user_id, context.part("type"), context.body["messages"])
        return {}

    answer: Json = context.once("to-device", context.part("type"), context.part("txn"), make=deliver)
    return answer


def new_backup(context: Context) -> Json:
    versions = context.account.backup_versions
    versions.append({**context.body, "version": str(len(versions) + 1)})
    context.account.backup.clear()
    return {"version": versions[-1]["version"]}


def backup_version(context: Context) -> Json:
    found = _version(context)
    count = sum(len(sessions) for sessions in context.account.backup.values())
    return {**found, "count": count, "etag": str(count)}


def _version(context: Context) -> Json:
    wanted = context.request.match_info.get("version") or context.request.query.get("version")
    known = context.account.backup_versions
    found = [version for version in known if wanted in (None, version["version"])]
    if not found:
        raise Refused(404, "M_NOT_FOUND")
    return found[-1]


def change_backup(context: Context) -> Json:
    _version(context).update({key: value for key, value in context.body.items() if key != "version"})
    return {}


def delete_backup(context: Context) -> Json:
    context.account.backup_versions.remove(_version(context))
    return {}


def put_backup_keys(context: Context) -> Json:
    latest = context.account.backup_versions[-1]["version"] if context.account.backup_versions else None
    if context.request.query.get("version") != latest:
        raise Refused(403, "M_WRONG_ROOM_KEYS_VERSION")
    room_id, session_id = context.request.match_info.get("room"), context.request.match_info.get("session")
    if room_id is None:
        added = {room: part["sessions"] for room, part in context.body["rooms"].items()}
    elif session_id is None:
        added = {room_id: context.body["sessions"]}
    else:
        added = {room_id: {session_id: context.body}}
    for room, sessions in added.items():
        context.account.backup.setdefault(room, {}).update(sessions)
    count = sum(len(sessions) for sessions in context.account.backup.values())
    return {"count": count, "etag": str(count)}


def backup_keys(context: Context) -> Json:
    room_id, session_id = context.request.match_info.get("room"), context.request.match_info.get("session")
    backup = context.account.backup
    if room_id is None:
        return {"rooms": {room: {"sessions": sessions} for room, sessions in backup.items()}}
    if session_id is None:
        return {"sessions": backup.get(room_id, {})}
    if session_id not in backup.get(room_id, {}):
        raise Refused(404, "M_NOT_FOUND")
    return backup[room_id][session_id]


def delete_backup_keys(context: Context) -> Json:
    room_id, session_id = context.request.match_info.get("room"), context.request.match_info.get("session")
    backup = context.account.backup
    if room_id is None:
        backup.clear()
    elif session_id is None:
        backup.pop(room_id, None)
    else:
        backup.get(room_id, {}).pop(session_id, None)
    count = sum(len(sessions) for sessions in backup.values())
    return {"count": count, "etag": str(count)}


ROUTES: Routes = {
    ("POST", f"{CLIENT}/keys/upload"): upload_keys,
    ("POST", f"{CLIENT}/keys/query"): query_keys,
    ("POST", f"{CLIENT}/keys/claim"): claim_keys,
    ("POST", f"{CLIENT}/keys/device_signing/upload"): upload_cross_signing,
    ("POST", f"{CLIENT}/keys/signatures/upload"): upload_signatures,
    ("PUT", f"{CLIENT}/sendToDevice/{{type}}/{{txn}}"): send_to_device,
    ("POST", f"{CLIENT}/room_keys/version"): new_backup,
    ("GET", f"{CLIENT}/room_keys/version"): backup_version,
    ("GET", f"{CLIENT}/room_keys/version/{{version}}"): backup_version,
    ("PUT", f"{CLIENT}/room_keys/version/{{version}}"): change_backup,
    ("DELETE", f"{CLIENT}/room_keys/version/{{version}}"): delete_backup,
    **{
        (method, f"{CLIENT}/room_keys/keys{suffix}"): endpoint
        for suffix in ("", "/{room}", "/{room}/{session}")
        for method, endpoint in (("PUT", put_backup_keys), ("GET", backup_keys), ("DELETE", delete_backup_keys))
    },
}
