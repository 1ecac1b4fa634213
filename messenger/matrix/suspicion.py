"""What only a dishonest homeserver or sender does. It is refused where it is found; from here it goes to the people who
must know."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

SuspicionCause = Literal[
    "foreign_words",  # a message under the name of somebody whose devices have not written it
    "clear_words",  # a message in clear in an encrypted room
    "replayed",  # a ciphertext that was read before, under another event id
    "missing",  # numbers of a sender's messages that have not come
    "malformed",  # events or ciphertexts that no honest client makes
    "malformed_keys",  # the same between devices
    "forged_key",  # a room key from somebody whose it is not
    "forged_history",  # keys of the past of one of our own rooms, or from somebody who did not invite us
    "changed_keys",  # other keys under the name of a known device
    "encryption_off",  # the room's encryption is another one: nothing leaves
    "encryption_kept",  # it was to be switched off; ours goes on
    "room_opened",  # one of our own rooms was opened to others
    "returned_member",  # one of the staff is in a room again that they were taken out of
    "one_time_keys",  # somebody uses them up
    "backup_key",  # an entry of the key backup is not what its sender has sent
]
MOST = 200  # at a time; what is more says nothing new


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """`user` is in whose name it came: a dishonest homeserver may have chosen it. No `room`: it belongs to none."""

    cause: SuspicionCause
    room: str = ""
    user: str = ""
    device: str = ""


class Suspicions:
    """What was found and is not in the database yet. A batch that comes again finds the same again: it is kept once."""

    def __init__(self) -> None:
        self._found: dict[Suspicion, None] = {}

    def add(self, found: Suspicion) -> None:
        if len(self._found) < MOST:
            self._found.setdefault(found)

    def waiting(self) -> Sequence[Suspicion]:
        return tuple(self._found)

    def reported(self, told: Collection[Suspicion]) -> None:
        for each in told:
            self._found.pop(each, None)
