"""Checks of a desk's account: its login, identity, keys, and how much the homeserver lets it send."""

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

from messenger.cli.doctor.finding import Finding, fail, ok, warn
from messenger.config import Desk, Settings
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError

# Synapse's default lets ten messages pass at once and then one in five seconds (`rc_message`).
DEFAULT_BURST = 10


async def identity(settings: Settings, desk: Desk) -> Sequence[Finding]:
    """Login, cross-signing, key backup, one-time keys and foreign devices."""
    from messenger.bootstrap import desk_findings

    found = await desk_findings(settings, desk)
    if not found:
        return [warn(desk.user_id, "has never been started. `stellwerk serve` logs it in and makes its identity")]
    name = f"{desk.user_id}: "
    return [Finding(level=each.level, check=name + each.code.replace("_", " "), words=each.words) for each in found]


async def checkpoint_room(settings: Settings, desk: Desk) -> Sequence[Finding]:
    """Does it get the checkpoints of the audit log?"""
    from messenger.bootstrap import is_checkpoint_room_encrypted

    check, room = "checkpoint room", settings.audit.room
    try:
        is_encrypted = await is_checkpoint_room_encrypted(settings, desk)
    except LookupError:
        return [warn(check, f"can be looked at after the first `stellwerk serve`; invite {desk.user_id} to {room}")]
    except MatrixError as error:
        words = f"nobody knows whether {room} is encrypted ({error}), so that no checkpoint goes there. "
        return [fail(check, f"{words}Is {desk.user_id} invited there, and is audit.room spelled right?")]
    if is_encrypted:
        words = f"{room} is encrypted, or was, and checkpoints would stand there in clear: none goes there. "
        return [fail(check, f"{words}Make a room without encryption, invite {desk.user_id}, and set audit.room to it")]
    return [ok(check, f"{room} is not encrypted: its members read every checkpoint")]


async def rate_limit(settings: Settings, desk: Desk) -> Sequence[Finding]:
    """Only an administrator can read the limit, so that this is a reminder unless `measured_limit` is asked for."""
    words = (
        "the desk cannot read it (`stellwerk doctor --measure` tries it out). With Synapse's defaults a desk sends "
        f"one message in five seconds. {override_advice(settings, desk)}"
    )
    return [warn(_limit_of(desk), words)]


async def measured_limit(settings: Settings, desk: Desk) -> Sequence[Finding]:
    """Sends more empty messages than the default lets pass, into a room of the desk alone that is left again."""
    from messenger.bootstrap import open_desk_client

    try:
        async with open_desk_client(settings, desk) as client:
            limited = await is_limited(client)
    except LookupError:
        return [warn(_limit_of(desk), "can be measured after the first `stellwerk serve`")]
    if limited:
        words = f"the homeserver holds the desk back after {DEFAULT_BURST} messages. {override_advice(settings, desk)}"
        return [fail(_limit_of(desk), words)]
    return [ok(_limit_of(desk), "the homeserver lets the desk send as much as it needs")]


def override_advice(settings: Settings, desk: Desk) -> str:
    """The one line that a homeserver's administrator has to run, once for each desk."""
    user = quote(desk.user_id, safe="")
    return (
        "Once, the homeserver's administrator: "
        f"curl -X POST -H 'Authorization: Bearer ADMIN_TOKEN' -d '{{\"messages_per_second\":0,\"burst_count\":0}}' "
        f"{settings.matrix.homeserver}/_synapse/admin/v1/users/{user}/override_ratelimit"
    )


async def is_limited(client: HomeserverClient) -> bool:
    """True if the homeserver holds the account back when it sends a little more than the default's burst."""
    body = {"preset": "private_chat", "name": "Stellwerk doctor", "creation_content": {"m.federate": False}}
    room = quote((await client.call("POST", f"{CLIENT}/createRoom", body))["room_id"], safe="")
    try:
        for number in range(DEFAULT_BURST + 2):
            await client.call("PUT", f"{CLIENT}/rooms/{room}/send/net.stellwerk.probe/doctor{number}", {})
    except MatrixError as error:
        if not error.is_throttled:
            raise
        return True
    finally:
        await _patiently(client, f"{CLIENT}/rooms/{room}/leave")
        await _patiently(client, f"{CLIENT}/rooms/{room}/forget")
    return False


async def _patiently(client: HomeserverClient, url: str) -> None:
    """The limit that was just found holds for leaving, too."""
    while True:
        try:
            await client.call("POST", url, {})
            return
        except MatrixError as error:
            if error.retry_after is None:
                raise
            await asyncio.sleep(error.retry_after.total_seconds())


def _limit_of(desk: Desk) -> str:
    return f"{desk.user_id}: rate limit"
