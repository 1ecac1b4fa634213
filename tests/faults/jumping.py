"""The program with a clock that jumps: the file CLOCK_FILE says by how many seconds it is wrong.
`python -m tests.faults.jumping ...` takes the arguments of `stellwerk`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from messenger.observability import time

CLOCK = "CLOCK_FILE"


class _Jumping(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "_Jumping":
        text = Path(os.environ[CLOCK]).read_text().strip()
        return super().now(tz) + timedelta(seconds=float(text or "0"))


@contextmanager
def jump(ahead: timedelta) -> Iterator[None]:
    """In this process."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Ahead":
            return super().now(tz) + ahead

    time.datetime = Ahead  # type: ignore[misc]
    try:
        yield
    finally:
        time.datetime = datetime  # type: ignore[misc]


if __name__ == "__main__":
    time.datetime = _Jumping  # type: ignore[misc]
    from messenger.cli.app import main

    main()
