"""A plugin of pytest (`-p tests.crash.seeded`): the tests run on the program with the defect that STELLWERK_MUTANT
names. Programs that tests start have it too: see `Product.start`."""

import os

from tests.crash.mutants import MUTANTS


def pytest_configure() -> None:
    MUTANTS[os.environ["STELLWERK_MUTANT"]]()
