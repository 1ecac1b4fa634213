"""The command line `stellwerk`. Its verbs call `messenger.bootstrap` and print what comes back; no rule lives here."""

from messenger.cli.app import app, main

__all__ = ["app", "main"]
