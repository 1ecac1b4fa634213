"""One table for people, one JSON line for programs."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psutil

Figures = dict[str, float | int | str]


def surroundings() -> Figures:
    """Without these a figure says nothing."""
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": psutil.cpu_count() or 0,
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def show(name: str, figures: Mapping[str, Any]) -> None:
    width = max(len(key) for key in figures)
    print(f"\n{name}")
    for key, value in figures.items():
        print(f"  {key.ljust(width)}  {_text(value)}")
    print(json.dumps({"benchmark": name, **figures}))


def _text(value: object) -> str:
    return (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 100
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )
