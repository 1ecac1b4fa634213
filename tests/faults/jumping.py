"""The program with a clock that jumps: the file CLOCK_FILE says by how many seconds it is wrong.
`python -m tests.faults.jumping ...` takes the arguments of `stellwerk`."""

import os
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from messenger.observability import time


class _Jumping(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "_Jumping":
        text = Path(os.environ["CLOCK_FILE"]).read_text().strip()
        return super().now(tz) + timedelta(seconds=float(text or "0"))


if __name__ == "__main__":
    time.datetime = _Jumping  # type: ignore[misc]
    from messenger.cli.app import main

    main()
