"""In a fresh clone the workers compile all tests at the same moment, each for itself. They begin at different ends
instead, and find the other parts compiled when they come there."""

import importlib
from contextlib import suppress
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def import_from_another_end(worker: str, workers: int) -> None:
    """`worker`: "gw0" and so on. Whatever cannot be imported is found again, and told, when the tests are collected."""
    modules = [
        ".".join(file.relative_to(TESTS.parent).with_suffix("").parts) for file in sorted(TESTS.rglob("test_*.py"))
    ]
    first = len(modules) * int(worker.removeprefix("gw")) // workers
    for module in modules[first:] + modules[:first]:
        with suppress(Exception, pytest.skip.Exception):
            importlib.import_module(module)
