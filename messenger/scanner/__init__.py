"""The virus scanner, where the installation has one: ClamAV's daemon, spoken to over its socket."""

from messenger.scanner.clamd import Clamd, Unscannable

__all__ = ["Clamd", "Unscannable"]
