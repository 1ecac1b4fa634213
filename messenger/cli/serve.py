"""`stellwerk serve`: runs until it is told to stop. The first SIGTERM or Ctrl-C finishes what is in flight, the second
ends at once; nothing is lost either way, what was in flight is taken up again."""

import asyncio
import gc
import os
import signal
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from messenger.cli.state import settings_of
from messenger.config import Settings
from messenger.observability.logging import configure_logging, get_logger
from messenger.observability.service_manager import notify_service_manager

log = get_logger(__name__)


def serve(
    ctx: typer.Context,
    ready_file: Annotated[Path | None, typer.Option("--ready-file", help="Written when the service is ready.")] = None,
) -> None:
    """Runs the service. A second process on the same database waits as its standby."""
    settings = settings_of(ctx)
    settings.refuse_open_secrets()
    configure_logging(level=settings.log.level, style=settings.log.format)
    # A relayed message is some twenty short waits for the database; libuv's loop makes each of them cheaper.
    uvloop.run(_serve(settings, ready_file))


async def _serve(settings: Settings, ready_file: Path | None) -> None:
    from messenger import bootstrap

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_or_end, stop, number)

    def ready() -> None:
        _spare_what_stays()
        log.info("ready", pid=os.getpid(), version=bootstrap.program())
        if ready_file is not None:
            ready_file.write_text(f"{os.getpid()}\n")
        notify_service_manager("READY=1")

    await bootstrap.serve(settings, stop=stop, ready=ready)
    log.info("stopped", pid=os.getpid())


def _spare_what_stays() -> None:
    """Python's collector of cycles goes through all modules and rules every few hundred messages, which costs more than
    what it finds: a message leaves hardly any."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _stop_or_end(stop: asyncio.Event, number: int) -> None:
    if stop.is_set():
        os._exit(128 + number)  # asked twice: claims expire, nothing needs tidying up
    log.info("stopping", signal=signal.Signals(number).name)
    notify_service_manager("STOPPING=1")
    stop.set()
