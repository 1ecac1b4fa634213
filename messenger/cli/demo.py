"""`stellwerk demo`: a whole installation on this machine, with a homeserver, accounts and a story, in one command."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from messenger.cli.state import Failed, run
from messenger.observability.logging import configure_logging

DEFAULT_FOLDER = Path("var/demo")


def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Where the demonstration keeps its data.")] = DEFAULT_FOLDER,
    reset: Annotated[bool, typer.Option("--reset", help="Deletes the data of an earlier demonstration first.")] = False,
    story: Annotated[bool, typer.Option("--story", help="Plays a conversation and prints what each side saw.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Chooses the invented names, at the first start.")] = 7,
) -> None:
    """Starts a demonstration: database, homeserver, desk, four groups, logins. Ctrl-C ends it, the data stay."""
    if find_spec("synapse") is None:
        raise Failed("the demonstration needs Synapse: install Stellwerk with its extra, stellwerk[demo]")
    from messenger.demo.run import Options, run_demo

    configure_logging(level="error")  # the children have their own logs
    code = run(run_demo(Options(folder=folder, reset=reset, story=story, seed=seed)))
    raise typer.Exit(code)
