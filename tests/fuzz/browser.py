"""A browser whose whole network is ours: Chromium, headless, with a proxy that answers for every host and notes what
was asked. It opens pages with markup of strangers in them; whatever acts there asks for something."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from tests.support.absent import absent
from tests.support.debian import program_of

HOST, TRAP = "pages.example", "trap.example"
# Code in the markup calls `hit(number)`; what nobody called but would act shows by its address.
HEAD = """<!DOCTYPE html><meta charset=utf-8><script>
const tell = what => fetch("/hit?" + encodeURIComponent(what));
window.hit = window.alert = window.confirm = window.prompt = what => tell("ran " + what);
const allowed = ["http:", "https:", "mailto:", "matrix:"];
const look = () => {
  for (const each of document.body.querySelectorAll("*")) {
    if (each.matches("a[href]") && !allowed.includes(each.protocol)) tell("leads " + each.href);
    if (each.getAttributeNames().some(name => name.startsWith("on"))) tell("listens " + each.tagName);
    for (const kind of ["mouseover", "pointerover", "focus", "focusin", "toggle"]) each.dispatchEvent(new Event(kind));
  }
};
const done = () => setTimeout(() => { look(); setTimeout(() => tell("done"), 300) }, 300);
</script>"""
# As a client does it, each in an element of its own.
INSERTED = """<body><script>
for (const markup of %s) {
  const place = document.createElement("div"); document.body.append(place); place.innerHTML = markup;
}
done();
</script>"""
PARSED = "<body onload=done()>%s"


@dataclass(slots=True)
class Network:
    """What the browser asked for. `hits` are the words of pages, `strange` what no page of ours asks for."""

    hits: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    page: str = ""
    is_done: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        host, url = request.headers.get("Host", ""), request.path_qs
        if host == HOST and request.path == "/page":
            return web.Response(text=self.page, content_type="text/html")
        if host == HOST and request.path == "/hit":
            said = request.url.query_string
            self.is_done.set() if said == "done" else self.hits.append(said)
            return web.Response(text="")
        if host == HOST and request.path == "/favicon.ico":
            return web.Response(status=404)
        if host in (HOST, TRAP) or TRAP in url:  # the browser's own questions are its maker's affair
            self.strange.append(f"{host}{url}")
        return web.Response(status=404)


def program() -> str:
    """The browser's, whatever this machine has of that family."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return program_of("chromium", *names) or absent("no Chromium here: apt-get install chromium")


@asynccontextmanager
async def network() -> AsyncIterator[tuple[Network, int]]:
    known = Network()
    runner = web.ServerRunner(web.Server(known.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    yield known, port
    await runner.cleanup()


async def opened(markup: Sequence[str], *, is_inserted: bool, patience_s: float = 300) -> Network:
    """One page with all of it; returns when it has been looked at."""
    async with network() as (known, port):
        text = INSERTED % json.dumps(markup).replace("<", "\\u003c") if is_inserted else PARSED % _rows(markup)
        known.page = HEAD + text
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            browser = await _started(Path(folder), port)
            try:
                async with asyncio.timeout(patience_s):
                    await known.is_done.wait()
            finally:
                browser.kill()
                await browser.wait()
    return known


def _rows(markup: Sequence[str]) -> str:
    return "".join(f"<div>{each}</div>\n" for each in markup)


async def _started(folder: Path, port: int) -> asyncio.subprocess.Process:
    quiet = "--no-first-run --disable-background-networking --disable-component-update --disable-sync --disable-gpu"
    return await asyncio.create_subprocess_exec(
        program(),
        "--headless=new",
        "--no-sandbox",
        *quiet.split(),
        f"--user-data-dir={folder}",
        f"--proxy-server=http://127.0.0.1:{port}",
        "--proxy-bypass-list=<-loopback>",
        "--remote-debugging-port=0",
        f"http://{HOST}/page",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
