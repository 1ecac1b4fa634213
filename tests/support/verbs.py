"""`stellwerk …` inside this process, its output caught."""

from functools import cache

from typer import testing
from typer.testing import CliRunner, Result

from messenger.cli import app

# Else the whole tree of verbs is put together anew for each of them: a third of their work.
testing._get_command = cache(testing._get_command)


def run_verb(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=typed)
