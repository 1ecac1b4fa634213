"""`python -m messenger.reference [FOLDER]` writes the pages into `docs/reference` or into that folder. Without a folder
it also fills the quotations of the pages that people write."""

import sys
from pathlib import Path

from messenger.reference import access, commands, group_settings, metrics, quotes

PAGES = {
    "access.md": access.page,
    "commands.md": commands.page,
    "group-settings.md": group_settings.page,
    "metrics.md": metrics.page,
}
QUOTING = Path("docs/tutorials/agents.md")


def main(arguments: list[str]) -> int:
    if len(arguments) > 1:
        print("usage: python -m messenger.reference [FOLDER]", file=sys.stderr)
        return 2
    folder = Path(arguments[0] if arguments else "docs/reference")
    for name, page in PAGES.items():
        (folder / name).write_text(page(), "utf-8")
    if not arguments:
        QUOTING.write_text(quotes.filled(QUOTING.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
