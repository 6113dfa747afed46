"""The picture of the comparison: how many times as good as each of the others, row by row, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import number, pyplot

#: By position among the peers; whoever cannot tell the colours apart has the order of the legend.
COLOURS = ("#4477aa", "#ee9944", "#44aa77")
REFERENCE, FLOOR, INK = "#777777", "#bb3333", "#222222"
#: Inches of a row and of everything else, and how much of a row its bars fill.
ROW, REST, FILLED = 0.62, 1.5, 0.78


@dataclass(frozen=True)
class Comparison:
    """A row: its name and our figure, the ratio that is to be reached, and the ratio to each system that has a figure."""

    text: str
    ours: str
    floor: float
    factors: Mapping[str, float]


def draw(rows: Sequence[Comparison], peers: Mapping[str, str], reference: Mapping[str, str], path: Path) -> None:
    """Draw a bar for each of ``peers`` and a mark for each of ``reference``; both are titles by key."""
    figure, axes = pyplot().subplots(figsize=(9.5, ROW * len(rows) + REST), layout="constrained", facecolor="white")
    axes.set_facecolor("white")
    height = FILLED / max(len(peers), 1)
    for place, ((key, title), colour) in enumerate(zip(peers.items(), COLOURS, strict=False)):
        bars = [
            (y + (place - (len(peers) - 1) / 2) * height, row.factors[key]) for y, row in enumerate(rows) if key in row.factors
        ]
        _bars(axes, bars, height, colour, title)
    for key, title in reference.items():
        points = [(row.factors[key], y) for y, row in enumerate(rows) if key in row.factors]
        axes.plot(
            [x for x, _ in points], [y for _, y in points], "|", color=REFERENCE, markersize=20, markeredgewidth=2, label=title
        )
    _floors(axes, rows)
    axes.axvline(1, color=INK, linewidth=1.2)
    axes.set(xscale="log", yticks=range(len(rows)), ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticklabels([f"{row.text}\npxkernel: {row.ours}" for row in rows], color=INK)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.set_xlabel("pxkernel is so many times as good (left of the black line: worse)", color=INK)
    axes.grid(axis="x", alpha=0.25)
    axes.margins(x=0.08)
    axes.spines[["top", "right"]].set_visible(False)
    entries = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    order = sorted(entries, key=lambda title: title not in peers.values())
    axes.legend(
        [entries[title] for title in order], order, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=5, frameon=False,
        markerscale=0.5,
    )  # fmt: skip
    figure.savefig(path, dpi=110)


def _bars(axes: Any, bars: Sequence[tuple[float, float]], height: float, colour: str, title: str) -> None:
    """Bars from 1 to the ratios, with the ratios at their ends."""
    axes.barh([y for y, _ in bars], [x - 1 for _, x in bars], height * 0.92, left=1, color=colour, label=title)
    for y, x in bars:
        side, offset = ("left", 4) if x >= 1 else ("right", -4)
        text = axes.annotate(number(x), (x, y), (offset, 0), textcoords="offset points", ha=side, va="center", color=INK)
        text.set(fontsize=8, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})


def _floors(axes: Any, rows: Sequence[Comparison]) -> None:
    """A line across each row at the ratio that is to be reached."""
    places = [y - 0.45 for y in range(len(rows))], [y + 0.45 for y in range(len(rows))]
    floors = [row.floor for row in rows]
    common = max(set(floors), key=floors.count)
    axes.vlines(floors, *places, color=FLOOR, linestyle=(0, (3, 1.5)), linewidth=1.6, label=f"to reach: {common:g}×")
