"""The program with a leak, to see that the soak notices it: `SOAK_LEAK=1`."""

from typing import Any

from messenger.app.records import OutboxRow
from messenger.cli import main
from messenger.workers.outbox import OutboxWorker

LEAKED = 16 * 1024  # bytes for each effect
FILE_EVERY = 20  # effects
_kept: list[Any] = []


def _leak() -> None:
    proper = OutboxWorker._deliver

    async def deliver(self: OutboxWorker, row: OutboxRow) -> Any:
        _kept.append(b"x" * LEAKED)
        if len(_kept) % FILE_EVERY == 0:
            _kept.append(open("/dev/null", "rb"))  # noqa: SIM115
        return await proper(self, row)

    OutboxWorker._deliver = deliver  # type: ignore[method-assign]


if __name__ == "__main__":
    _leak()
    main()
