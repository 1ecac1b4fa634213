"""The load generator, a process of its own so that it costs the measured ones nothing: it sends contents that were
encrypted ahead of time. Its plan comes on stdin, its account goes to stdout, both as JSON.

Each lane is a closed loop: the next event goes when the last was acknowledged. With `every_s` there is a pace besides:
the n-th goes not before `first_s` + n x `every_s`. The lanes stop after `seconds`."""

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


async def _lane(url: str, lane: Mapping[str, Any], begun: float, until: float) -> list[float]:
    """Returns of each acknowledged one when it was to be sent (time.monotonic(), which all processes share). A lane
    with one content repeats it."""
    server, sent = HomeserverClient(url, token=lane["token"]), list[float]()
    contents = lane["contents"]
    try:
        while len(contents) == 1 or len(sent) < len(contents):
            due = await _due(lane, begun, len(sent))
            if due >= until:
                break
            await send(server, lane["room"], contents[len(sent) % len(contents)])
            sent.append(due)
        return sent
    finally:
        await server.close()


async def _due(lane: Mapping[str, Any], begun: float, number: int) -> float:
    """Waits for the moment of this one."""
    now = time.monotonic()
    if "every_s" not in lane:
        return now
    due = float(begun + lane["first_s"] + number * lane["every_s"])
    await asyncio.sleep(due - now)
    return due


async def _run(plan: Mapping[str, Any]) -> dict[str, Any]:
    begun_at, begun = time.time(), time.monotonic()
    until = begun + plan["seconds"]
    due_at = await asyncio.gather(*(_lane(plan["url"], lane, begun, until) for lane in plan["lanes"]))
    seconds = time.monotonic() - begun
    return {"begun_at": begun_at, "seconds": seconds, "sent": [len(each) for each in due_at], "due_at": due_at}


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
