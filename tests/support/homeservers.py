"""A prepared Synapse folder, made once per Synapse version and copied for each server: a start takes half the time."""

import asyncio
import contextlib
import os
import shutil
from importlib.metadata import version
from pathlib import Path

from messenger.demo.synapse import Synapse
from tests.support.databases import CHECKOUT

SERVER_NAME = "test.localhost"
TEMPLATE = CHECKOUT / "var" / "test" / f"synapse-{version('matrix-synapse')}"


def fresh_homeserver(folder: Path, *, default_limits: bool = False) -> Synapse:
    """A homeserver that has never had a user, on a folder of its own."""
    if not TEMPLATE.exists():
        _make_template()
    shutil.copytree(TEMPLATE, folder)
    return Synapse(folder, server_name=SERVER_NAME, default_limits=default_limits)


def _make_template() -> None:
    draft = TEMPLATE.with_name(f"{TEMPLATE.name}.{os.getpid()}")
    asyncio.run(_start_once(Synapse(draft, server_name=SERVER_NAME)))
    for file in ("port", "synapse.log", "synapse.pid"):
        (draft / file).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another session was faster
        draft.rename(TEMPLATE)
    shutil.rmtree(draft, ignore_errors=True)


async def _start_once(server: Synapse) -> None:
    await server.start()
    await server.stop()
