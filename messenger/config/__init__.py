"""Settings: what an operator writes once, before the start. What staff change every day (groups, hours, texts) is in
the database. `Settings.load` reads everything and raises `ConfigError` in words a person can act on."""

from messenger.config.errors import ConfigError
from messenger.config.sections import Database, Desk, I18n, Limits, Log, Matrix, Security, Server
from messenger.config.settings import DEFAULT_FILE, ENV_PREFIX, Settings

__all__ = [
    "DEFAULT_FILE",
    "ENV_PREFIX",
    "ConfigError",
    "Database",
    "Desk",
    "I18n",
    "Limits",
    "Log",
    "Matrix",
    "Security",
    "Server",
    "Settings",
]
