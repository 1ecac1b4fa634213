"""`python -m messenger.i18n check`: exit 0 when all languages agree with each other and the code, 1 if not, 2 on wrong
use."""

import sys
from pathlib import Path

from messenger.i18n.check import findings


def main(arguments: list[str]) -> int:
    if arguments != ["check"]:
        print("Usage: python -m messenger.i18n check", file=sys.stderr)
        return 2
    found = findings(Path(__file__).parents[1])
    print("\n".join(found) if found else "All languages have the same texts.")
    return 1 if found else 0


sys.exit(main(sys.argv[1:]))
