"""`python -m messenger.config docs [FILE]` writes the reference page; `schema` writes the JSON schema."""

import json
import sys
from pathlib import Path

from messenger.config.reference import page, schema


def main(arguments: list[str]) -> int:
    match arguments:
        case ["docs", *file] if _is_one_file(file):
            text = page()
        case ["schema", *file] if _is_one_file(file):
            text = json.dumps(schema(), indent=2) + "\n"
        case _:
            print("usage: python -m messenger.config docs|schema [FILE]", file=sys.stderr)
            return 2
    if file:
        Path(file[0]).write_text(text, "utf-8")
    else:
        print(text, end="")
    return 0


def _is_one_file(rest: list[str]) -> bool:
    """None, or one; an option is no name of a file."""
    return len(rest) < 2 and not any(each.startswith("-") for each in rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
