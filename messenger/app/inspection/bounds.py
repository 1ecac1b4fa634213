"""How much one file may unpack, hold and cost. What wants more is refused: nobody needs to open it to know."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from messenger.domain.attachment import Refusal

MAX_UNPACKED = 256_000_000  # bytes, of all members together
MAX_MEMBERS = 10_000
MAX_DEPTH = 3  # archives in archives
MAX_RATIO, RATIO_FROM = 200, 10_000_000  # so many times its packed size, looked at from so many bytes on
SECONDS = 15.0  # of the processor, not of the clock: a busy machine makes no file worse


class NotAccepted(Exception):
    """The file is held back; `code` is one of the catalogue."""

    def __init__(self, code: Refusal) -> None:
        super().__init__(code)
        self.code: Refusal = code


@dataclass(slots=True)
class Budget:
    """What is left for one file, archives inside of it included."""

    bytes_left: int = MAX_UNPACKED
    members_left: int = MAX_MEMBERS
    ends_at: float = field(default_factory=lambda: time.process_time() + SECONDS)

    def take_member(self) -> None:
        """Raises NotAccepted."""
        self.members_left -= 1
        if self.members_left < 0:
            raise NotAccepted("bomb")
        self.look_at_the_clock()

    def take_bytes(self, count: int) -> None:
        """Raises NotAccepted."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise NotAccepted("bomb")
        self.look_at_the_clock()

    def look_at_the_clock(self) -> None:
        if time.process_time() > self.ends_at:
            raise NotAccepted("bomb")

    def counted(self, chunks: Iterator[bytes], packed: int) -> Iterator[bytes]:
        """The chunks, as long as they are affordable and no bomb. Raises NotAccepted."""
        total = 0
        for chunk in chunks:
            total += len(chunk)
            self.take_bytes(len(chunk))
            if total > RATIO_FROM and total > MAX_RATIO * packed:
                raise NotAccepted("bomb")
            yield chunk
