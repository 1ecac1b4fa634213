"""The effects, found where they are defined: a new one is in every test that asks for all of them."""

import pkgutil
from importlib import import_module

from messenger.app import effects
from messenger.app.effects.base import Effect


def kinds() -> set[type[Effect]]:
    """All of them, families too."""
    modules = [import_module(f"{effects.__name__}.{each.name}") for each in pkgutil.iter_modules(effects.__path__)]
    found = [each for module in modules for each in vars(module).values()]
    return {each for each in found if isinstance(each, type) and issubclass(each, Effect)}
