"""`python -m messenger.config docs [FILE]` writes the reference page; `schema` writes the JSON schema."""

import json
import sys
from pathlib import Path

from messenger.config.reference import page, schema


def main(arguments: list[str]) -> int:
    match arguments:
        case ["docs", *file] if len(file) < 2:
            text = page()
        case ["schema", *file] if len(file) < 2:
            text = json.dumps(schema(), indent=2) + "\n"
        case _:
            print("usage: python -m messenger.config docs|schema [FILE]", file=sys.stderr)
            return 2
    if file:
        Path(file[0]).write_text(text, "utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
