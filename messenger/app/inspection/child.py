"""The process that opens what strangers send: `python -m messenger.app.inspection.child MEGABYTES`. It reads one file
after the other from standard input (a line with its size in bytes and its name in hexadecimal, then the bytes) and
writes a line of JSON for each. It has so much memory and no more, it cannot write files, and it ends with whoever has
started it."""

import json
import resource
import sys

from messenger.app.inspection.examine import Examined, as_json, examine


def main() -> None:
    megabytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (megabytes * 1_000_000,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while line := sys.stdin.buffer.readline():
        length, _, name = line.strip().partition(b" ")
        found = _examined(int(length), bytes.fromhex(name.decode()).decode("utf-8", "replace"))
        sys.stdout.write(json.dumps(as_json(found)) + "\n")
        sys.stdout.flush()


def _examined(length: int, name: str) -> Examined:
    try:
        return examine(sys.stdin.buffer.read(length), name)
    except (MemoryError, RecursionError):
        return Examined(mime="application/octet-stream", refusal="bomb")


if __name__ == "__main__":
    main()
