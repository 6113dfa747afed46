"""What the benchmarks print, draw and keep: tables in Markdown, pictures, JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: The packages whose versions a figure depends on.
PACKAGES = ("pxkernel", "ipykernel", "ipyparallel", "distributed", "ray", "numpy")


def number(value: float | None) -> str:
    """Three digits are what a figure is good for."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def conditions() -> dict[str, Any]:
    """What a figure depends on: the machine and the versions."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
        "packages": {package: found for package in PACKAGES if (found := _version(package)) is not None},
    }


def describe(conditions: dict[str, Any]) -> str:
    """One line about ``conditions()``."""
    packages = ", ".join(f"{package} {found}" for package, found in conditions["packages"].items())
    return f"{conditions['cores']} cores, {conditions['system']}, Python {conditions['python']}, {packages}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def save(data: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n")


def saved(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def pyplot() -> Any:
    """matplotlib's pyplot, without a display."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
