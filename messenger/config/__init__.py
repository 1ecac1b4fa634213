"""Settings: what an operator writes once, before the start. What staff change every day (groups, hours, texts) is in
the database. `Settings.load` reads everything and raises `ConfigError` in words a person can act on."""

from messenger.config.errors import ConfigError
from messenger.config.sections.matrix import Desk
from messenger.config.settings import DEFAULT_FILE, Settings

__all__ = ["DEFAULT_FILE", "ConfigError", "Desk", "Settings"]
