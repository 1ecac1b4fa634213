"""Finds bridges by the entry-point group `stellwerk.bridges`. The core never imports one by name, so that a bridge from
another distribution is as good as ours. An entry is a factory `(account, settings, services) -> Bridge`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from messenger.channels.contract import BridgeFactory

GROUP = "stellwerk.bridges"


class UnknownBridge(LookupError):
    """The settings name a bridge that is not installed. The operator installs it or corrects the name."""


class BrokenBridge(RuntimeError):
    """An installed bridge cannot be loaded. The operator updates or removes its distribution."""


class Registry:
    """The bridges that are installed here, by name. Loading happens on first use, one broken bridge does not hide the
    others."""

    def __init__(self, entries: Iterable[EntryPoint]) -> None:
        self._entries: Mapping[str, EntryPoint] = _unique(entries)

    def names(self) -> list[str]:
        return sorted(self._entries)

    def factory(self, name: str) -> BridgeFactory:
        """Raises UnknownBridge or BrokenBridge with a text for the operator."""
        entry = self._entries.get(name)
        if entry is None:
            raise UnknownBridge(f"No bridge {name!r} is installed. Installed: {', '.join(self.names()) or 'none'}.")
        return _load(entry)


def installed() -> Registry:
    """The bridges of this Python environment."""
    return Registry(entry_points(group=GROUP))


def _unique(entries: Iterable[EntryPoint]) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entries:
        if entry.name in found and found[entry.name].value != entry.value:
            raise BrokenBridge(
                f"Two bridges are called {entry.name!r}: {found[entry.name].value} and {entry.value}. "
                "Remove one of them."
            )
        found[entry.name] = entry
    return found


def _load(entry: EntryPoint) -> BridgeFactory:
    try:
        factory = entry.load()
    except (ImportError, AttributeError) as error:
        raise BrokenBridge(f"Bridge {entry.name!r} ({entry.value}) cannot be loaded: {error}") from error
    if not callable(factory) or not isinstance(getattr(factory, "settings_model", None), type):
        raise BrokenBridge(f"Bridge {entry.name!r} ({entry.value}) is no factory with a `settings_model`.")
    return factory  # type: ignore[no-any-return]  # an entry point is untyped; checked on the line above
