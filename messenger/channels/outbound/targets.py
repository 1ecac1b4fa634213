"""What may stand in an address, before any name is looked up."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from ipaddress import ip_address
from urllib.parse import urljoin

from yarl import URL

from messenger.channels.outbound.addresses import is_public
from messenger.channels.outbound.errors import Refused

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.IGNORECASE)
# Spaces, control characters and backslashes are read differently by different programs: that is how one address
# becomes another.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")
# Programs read a last part like these as an IPv4 address (WHATWG URL Standard, "ends in a number").
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlets:
    """Where the program may go.

    ways      pairs of scheme and port, to any public address
    internal  origins (`https://host:port`) that the operator names: systems of the own network, whatever their address
    """

    ways: Collection[tuple[str, int]] = frozenset({("https", 443)})
    internal: Collection[str] = frozenset()

    def and_internal(self, origin: str) -> "Outlets":
        return replace(self, internal=frozenset({*self.internal, origin}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An address that may be gone to, if its name leads to where it may lead."""

    url: URL
    origin: str
    is_internal: bool


def origin_of(url: str) -> str:
    """`scheme://host:port`, with the port always named. Raises ValueError."""
    parsed = URL(url)
    if not parsed.raw_host or parsed.port is None:
        raise ValueError("must be an address like https://host.example.org")
    return _origin(parsed)


def joined(base: str, location: str) -> str:
    """Where a redirect leads. Raises Refused."""
    try:
        return urljoin(base, location)
    except ValueError:
        raise Refused("redirect") from None


def target(url: str, outlets: Outlets) -> Target:
    """Raises Refused."""
    parsed = _parsed(url)
    if parsed.scheme not in ("http", "https"):
        raise Refused("scheme")
    if parsed.raw_user is not None or parsed.raw_password is not None:
        raise Refused("credentials")
    origin = _origin(parsed)
    if origin in outlets.internal:
        return Target(url=parsed, origin=origin, is_internal=True)
    if (parsed.scheme, parsed.port) not in outlets.ways:
        raise Refused("scheme" if parsed.scheme not in {scheme for scheme, _ in outlets.ways} else "port")
    _look_at(parsed.raw_host or "")
    return Target(url=parsed, origin=origin, is_internal=False)


def _parsed(url: str) -> URL:
    if _AMBIGUOUS.search(url):
        raise Refused("host")
    try:
        parsed = URL(url)
        is_whole = bool(parsed.raw_host) and parsed.port is not None
    except (ValueError, IndexError):  # yarl takes an address without anything behind its @ apart beyond its end
        raise Refused("host") from None
    if not is_whole:
        raise Refused("scheme" if parsed.scheme not in ("http", "https") else "host")
    return parsed.with_fragment(None)


def _look_at(host: str) -> None:
    """Raises Refused."""
    try:
        ip_address(host)
    except ValueError:
        last = host.removesuffix(".").rpartition(".")[2]
        if not _NAME.fullmatch(host.removesuffix(".")) or _NUMBER.fullmatch(last):
            raise Refused("host") from None
        return
    if not is_public(host):
        raise Refused("address")


def _origin(url: URL) -> str:
    host = url.raw_host or ""
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{url.port}"
