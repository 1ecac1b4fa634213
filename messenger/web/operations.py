"""The listener for those who run the service: health and metrics. It has an address of its own, shows codes and numbers
only, and asks for no password: let it listen where only they can reach it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from messenger.observability import metrics
from messenger.observability.health import Health

SHUTDOWN_S = 1.0


class CannotListen(Exception):
    """The address of the listener is taken, or is none of this machine; the text says which."""


@asynccontextmanager
async def listening(host: str, port: int, health: Health) -> AsyncIterator[int]:
    """Serves until the end of the block. Gives the port, which matters where 0 was asked for. Raises CannotListen."""
    runner = web.AppRunner(_application(health), access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise CannotListen(
                f"web.metrics_listen: cannot listen on {host}:{port} ({error.strerror or 'no such address'})"
            ) from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _application(health: Health) -> web.Application:
    async def livez(request: web.Request) -> web.Response:
        return _answer({"loop": "" if health.is_alive else "late"})

    async def startupz(request: web.Request) -> web.Response:
        return _answer({"process": "" if health.has_started else "starting"})

    async def readyz(request: web.Request) -> web.Response:
        return _answer(dict(await health.readiness()))

    async def numbers(request: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"Content-Type": metrics.CONTENT_TYPE})

    application = web.Application(client_max_size=0)
    application.add_routes(
        [
            web.get("/livez", livez),
            web.get("/startupz", startupz),
            web.get("/readyz", readyz),
            web.get("/metrics", numbers),
        ]
    )
    return application


def _answer(codes: dict[str, str]) -> web.Response:
    """200 if nothing is wrong, else 503; with what is wrong, by name."""
    is_well = not any(codes.values())
    shown = {name: code or "ok" for name, code in codes.items()}
    return web.json_response(
        {"ok": is_well, **shown}, status=200 if is_well else 503, headers={"Cache-Control": "no-store"}
    )
