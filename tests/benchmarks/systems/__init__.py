"""One module for each system, with the same class in each: what is compared, in that system's own words.

A method that a system has nothing for is left out, and its rows stay empty. Every module imports its system when it is
imported: a measurement has a process of its own.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

# The workers import the functions below by name.
_places = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
os.environ["PYTHONPATH"] = os.pathsep.join(_places)

#: In the order of the table's columns, with their titles.
TITLES = {
    "ipyparallel": "ipyparallel", "dask": "Dask", "ray": "Ray", "pool": "ProcessPoolExecutor", "pxkernel": "pxkernel",
}  # fmt: skip


def load(name: str) -> Any:
    """The ``System`` of that name, not started."""
    return import_module(f".{name}_system", __name__).System()


def noop(*args: object) -> None:
    """The task."""


def answer() -> int:
    """What tells a call that was made from one that was not."""
    return 42


def increment(x: int) -> int:
    return x + 1
