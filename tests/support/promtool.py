"""Prometheus' own judge of alert rules, from Debian where it can be had."""

import shutil

from tests.support.debian import file_of


def promtool() -> str | None:
    """Where it is; None: it is not here and cannot be had."""
    if found := shutil.which("promtool"):
        return found
    program = file_of("prometheus", "usr/bin/promtool")
    return str(program) if program else None
