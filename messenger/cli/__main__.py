"""`python -m messenger.cli` is `stellwerk`, also where the script is not on the path."""

from messenger.cli.app import main

main()
