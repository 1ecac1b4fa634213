"""The load generator, a process of its own so that it costs the measured ones nothing: it sends contents that were
encrypted ahead of time. Its plan comes on stdin, its account goes to stdout, both as JSON.

Each lane is a closed loop: the next event goes when the last was acknowledged. The lanes stop after `seconds`."""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from messenger.matrix.http import CLIENT, HomeserverClient, path


async def send(server: HomeserverClient, room: str, content: Mapping[str, Any]) -> str:
    url = f"{CLIENT}/rooms/{path(room, 'send', 'm.room.encrypted', uuid.uuid4().hex)}"
    return str((await server.call("PUT", url, content))["event_id"])


async def _lane(url: str, lane: Mapping[str, Any], until: float) -> int:
    """Returns how many were acknowledged. A lane with one content repeats it."""
    server, sent = HomeserverClient(url, token=lane["token"]), 0
    contents = lane["contents"]
    try:
        while time.monotonic() < until and (len(contents) == 1 or sent < len(contents)):
            await send(server, lane["room"], contents[sent % len(contents)])
            sent += 1
        return sent
    finally:
        await server.close()


async def _run(plan: Mapping[str, Any]) -> dict[str, Any]:
    begun_at, begun = time.time(), time.monotonic()
    until = begun + plan["seconds"]
    sent = await asyncio.gather(*(_lane(plan["url"], lane, until) for lane in plan["lanes"]))
    return {"begun_at": begun_at, "seconds": time.monotonic() - begun, "sent": sent}


async def send_load(url: str, lanes: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    """Runs this file as a process and returns its account."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    plan = json.dumps({"url": url, "lanes": list(lanes), "seconds": seconds}).encode()
    out, _ = await process.communicate(plan)
    if process.returncode:
        raise SystemExit("the load generator failed")
    account: dict[str, Any] = json.loads(out)
    return account


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_run(json.load(sys.stdin)))))
