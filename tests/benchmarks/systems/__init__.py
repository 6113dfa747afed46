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
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)

#: In the order of the table's columns.
NAMES = ("ipyparallel", "dask", "ray", "pxkernel")


def load(name: str) -> Any:
    """The ``System`` of that name, not started."""
    return import_module(f".{name}_system", __name__).System()


def noop(*args: object) -> None:
    """The task."""


def increment(x: int) -> int:
    return x + 1
