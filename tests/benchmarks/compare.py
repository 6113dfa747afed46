"""pxkernel beside ipyparallel, Dask and Ray: ``python tests/benchmarks/compare.py [--rounds 5]`` (extra ``bench``).

The systems alternate, each in a process of its own for every round; a figure is the median over the rounds. Prints a
table in Markdown, with the ratio to the best of the others, and draws it with ``--picture FILE``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from measure import ROWS, Row, measure
from systems import NAMES

OURS = "pxkernel"
Figures = dict[str, list[dict[str, float]]]


def in_a_process(system: str, n: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--system", system, "--workers", str(n)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=600, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def median(figures: Figures, system: str, row: Row) -> float | None:
    found = [round_[row.key] for round_ in figures[system] if row.key in round_]
    return statistics.median(found) if found else None


def ratio(figures: Figures, row: Row) -> tuple[float, str] | None:
    """How many times as good as the best of the others, and which that is; None if there is nothing to compare."""
    ours = median(figures, OURS, row)
    others = {name: median(figures, name, row) for name in figures if name != OURS}
    known = {name: value for name, value in others.items() if value is not None}
    if ours is None or not known:
        return None
    best = (max if row.more_is_better else min)(known, key=known.__getitem__)
    return (ours / known[best] if row.more_is_better else known[best] / ours), best


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(figures: Figures, n: int) -> str:
    lines = [f"| | {' | '.join(figures)} | ratio to the best |", "|---" * (len(figures) + 2) + "|"]
    for row in ROWS:
        cells = [number(median(figures, system, row)) for system in figures]
        compared = ratio(figures, row)
        verdict = "-"
        if compared is not None:
            verdict = f"{compared[0]:.1f} ({compared[1]})" + ("" if compared[0] >= row.floor else ": not reached")
        lines.append(f"| {row.text.format(n=n)}, {row.unit} | {' | '.join(cells)} | {verdict} |")
    return "\n".join(lines)


def draw(figures: Figures, n: int, path: Path) -> None:
    """The ratios as bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [(row, compared) for row in reversed(ROWS) if (compared := ratio(figures, row)) is not None]
    figure, axes = pyplot.subplots(figsize=(8, 0.4 * len(rows) + 1), layout="constrained")
    bars = axes.barh([row.text.format(n=n).replace("`", "") for row, _ in rows], [value for _, (value, _) in rows])
    axes.bar_label(bars, [f" {value:.1f} × {best}" for _, (value, best) in rows])
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="times as good as the best of the others")
    axes.margins(x=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--systems", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--picture", type=Path, help="where to draw the ratios")
    parser.add_argument("--system", choices=NAMES, help="measure this one here and print JSON")
    options = parser.parse_args()
    if options.system:
        print(json.dumps(measure(options.system, options.workers)))
        return
    figures: Figures = {name: [] for name in options.systems}
    for turn in range(options.rounds):
        for system in figures:
            print(f"round {turn + 1} of {options.rounds}: {system}", file=sys.stderr, flush=True)
            figures[system].append(in_a_process(system, options.workers))
    print(table(figures, options.workers))
    if options.picture:
        draw(figures, options.workers, options.picture)


if __name__ == "__main__":
    main()
