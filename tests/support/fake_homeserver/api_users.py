"""Endpoints about accounts, devices, profiles, account data and media."""

import secrets

from aiohttp import web

from tests.support.fake_homeserver.context import Context, Routes
from tests.support.fake_homeserver.world import Json, Refused

CLIENT = "/_matrix/client/v3"


def versions(context: Context) -> Json:
    return {"versions": [f"v1.{minor}" for minor in range(1, 17)], "unstable_features": {}}


def federation_version(context: Context) -> Json:
    return {"server": {"name": "Synapse", "version": "1.163.2"}}


def login_flows(context: Context) -> Json:
    return {"flows": [{"type": "m.login.password"}]}


def log_in(context: Context) -> Json:
    name = context.body.get("identifier", {}).get("user") or context.body.get("user", "")
    user_id = name if name.startswith("@") else f"@{name}:{context.world.server_name}"
    account = context.world.accounts.get(user_id)
    if account is None or account.password != context.body.get("password"):
        raise Refused(403, "M_FORBIDDEN")
    name = context.body.get("initial_device_display_name", "")
    device = context.world.log_in(account, context.body.get("device_id"), name)
    return {"user_id": user_id, "access_token": device.token, "device_id": device.device_id}


def log_out(context: Context) -> Json:
    context.world.delete_device(context.own_device)
    return {}


def whoami(context: Context) -> Json:
    return {"user_id": context.user_id, "device_id": context.own_device.device_id, "is_guest": False}


def devices(context: Context) -> Json:
    found = context.account.devices.values()
    return {"devices": [{"device_id": device.device_id, "display_name": device.display_name} for device in found]}


def delete_devices(context: Context) -> Json:
    for device_id in context.body["devices"]:
        if device := context.account.devices.get(device_id):
            context.world.delete_device(device)
    return {}


def delete_device(context: Context) -> Json:
    if device := context.account.devices.get(context.part("device")):
        context.world.delete_device(device)
    return {}


def profile(context: Context) -> Json:
    account = context.world.accounts.get(context.part("user"))
    if account is None:
        raise Refused(404, "M_NOT_FOUND")
    return dict(account.profile)


def profile_part(context: Context) -> Json:
    key = context.part("key")
    known = profile(context)
    return {key: known[key]} if key in known else {}


def set_profile_part(context: Context) -> Json:
    context.account.profile[context.part("key")] = context.body[context.part("key")]
    return {}


def account_data(context: Context) -> Json:
    key = context.request.match_info.get("room", ""), context.part("type")
    found = context.account.account_data.get(key)
    if found is None:
        raise Refused(404, "M_NOT_FOUND")
    return found


def set_account_data(context: Context) -> Json:
    key = context.request.match_info.get("room", ""), context.part("type")
    context.account.account_data[key] = context.body
    return {}


def new_filter(context: Context) -> Json:
    return {"filter_id": "0"}


def upload(context: Context) -> Json:
    media_id = secrets.token_urlsafe(18)
    context.world.media[media_id] = (context.raw, context.request.content_type)
    return {"content_uri": f"mxc://{context.world.server_name}/{media_id}"}


def download(context: Context) -> web.Response:
    found = context.world.media.get(context.part("media"))
    if found is None:
        raise Refused(404, "M_NOT_FOUND")
    return web.Response(body=found[0], content_type=found[1])


def media_config(context: Context) -> Json:
    return {"m.upload.size": 100 * 1024 * 1024}


def nothing(context: Context) -> Json:
    return {}


ROUTES: Routes = {
    ("GET", "/health"): nothing,
    ("GET", "/_matrix/client/versions"): versions,
    ("GET", "/_matrix/federation/v1/version"): federation_version,
    ("GET", f"{CLIENT}/capabilities"): lambda context: {"capabilities": {"m.room_versions": {"default": "12"}}},
    ("GET", f"{CLIENT}/login"): login_flows,
    ("POST", f"{CLIENT}/login"): log_in,
    ("POST", f"{CLIENT}/logout"): log_out,
    ("GET", f"{CLIENT}/account/whoami"): whoami,
    ("GET", f"{CLIENT}/devices"): devices,
    ("POST", f"{CLIENT}/delete_devices"): delete_devices,
    ("DELETE", f"{CLIENT}/devices/{{device}}"): delete_device,
    ("PUT", f"{CLIENT}/devices/{{device}}"): nothing,
    ("GET", f"{CLIENT}/profile/{{user}}"): profile,
    ("GET", f"{CLIENT}/profile/{{user}}/{{key}}"): profile_part,
    ("PUT", f"{CLIENT}/profile/{{user}}/{{key}}"): set_profile_part,
    ("GET", f"{CLIENT}/user/{{user}}/account_data/{{type}}"): account_data,
    ("PUT", f"{CLIENT}/user/{{user}}/account_data/{{type}}"): set_account_data,
    ("GET", f"{CLIENT}/user/{{user}}/rooms/{{room}}/account_data/{{type}}"): account_data,
    ("PUT", f"{CLIENT}/user/{{user}}/rooms/{{room}}/account_data/{{type}}"): set_account_data,
    ("POST", f"{CLIENT}/user/{{user}}/filter"): new_filter,
    ("PUT", f"{CLIENT}/presence/{{user}}/status"): nothing,
    ("POST", "/_matrix/media/v3/upload"): upload,
    ("GET", "/_matrix/client/v1/media/download/{server}/{media}"): download,
    ("GET", "/_matrix/client/v1/media/config"): media_config,
}
