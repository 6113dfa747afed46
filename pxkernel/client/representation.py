"""How clusters, clients, views, results and metadata look in a notebook: HTML that needs no script and no style sheet.

A representation is asked for by a front end that shows what a cell returned: it never raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ..protocol.times import seconds

if TYPE_CHECKING:
    from .records import Part

#: How long a front end waits for the table of engines, in seconds: a cell is over only when its value is shown.
PATIENCE = 2.0
#: The picture in pixels: its width, the space for the engines' names, the height of a row, and of the axis.
WIDTH, MARGIN, ROW, AXIS = 640, 70, 18, 22
#: More calls than these are not drawn.
MOST = 2000
COLOURS = {"ok": "#4c9f70", "error": "#d1495b", "aborted": "#9a9a9a", "running": "#4a7fb5"}


def engines(title: object, table: Callable[[], Any]) -> str:
    """A title, and the table of engines if it can be had.

    Parameters
    ----------
    title
        Its repr stands above the table.
    table
        Makes an object with a ``_repr_html_``.
    """
    try:
        shown = table()._repr_html_()
    except Exception:  # whatever is wrong with the cluster, its name can be shown
        shown = ""
    return f"<div><code>{escape(repr(title))}</code></div>{shown}"


def mapping(title: str, values: Mapping[str, Any]) -> str:
    """Names and values as a table; long values are cut."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(str(name))}</th>"
        f"<td style='text-align:left'><code>{escape(_short(value))}</code></td></tr>"
        for name, value in values.items()
    )
    return f"<div><code>{escape(title)}</code></div><table>{rows}</table>"


def _short(value: Any, limit: int = 120) -> str:
    try:
        text = value.isoformat(sep=" ", timespec="milliseconds") if hasattr(value, "isoformat") else repr(value)
    except Exception as error:  # of the user's class
        text = f"<its repr failed: {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def result(title: object, fname: str, parts: Sequence[Part], elapsed: float, serial_time: float, unit: str) -> str:
    """What is known of a call, and, as soon as something of it is done, who ran what when.

    Parameters
    ----------
    elapsed, serial_time
        Seconds.
    unit
        What the parts' sizes count: "tasks" or "items".
    """
    done, total = sum(part.size for part in parts if part.done), sum(part.size for part in parts)
    text, picture = f"{done} of {total} {unit}", ""
    if done:
        text += f" in {elapsed:.3g} s, {serial_time:.3g} s of work"
        picture = timeline(fname, parts, time.time())
    return f"<div><code>{escape(repr(title))}</code> {text}</div>{picture}"


def timeline(fname: str, parts: Sequence[Part], now: float) -> str:
    """An SVG picture: a row for each engine, a bar for each call on it, from its start to its end.

    What is not done is a thin bar from its submission to ``now`` (seconds since the epoch); so is what never started.
    """
    if not parts:
        return ""
    drawn = parts[:MOST]
    begin = min(part.submitted for part in drawn)
    end = max(now if part.received is None else part.received for part in drawn)
    span = max(end - begin, 1e-6)
    rows = sorted({part.engine_id for part in drawn}, key=lambda engine: (engine is None, engine))
    place = {engine: index for index, engine in enumerate(rows)}

    def x(moment: float) -> float:
        # The clock of an engine on another host may go wrong.
        return MARGIN + (WIDTH - MARGIN - 10) * min(max((moment - begin) / span, 0.0), 1.0)

    height = ROW * len(rows) + AXIS
    shapes = [_bar(part, fname, x, ROW * place[part.engine_id], now) for part in drawn]
    names = [
        f"<text x='{MARGIN - 6}' y='{ROW * index + 13}' text-anchor='end'>{_name(engine)}</text>"
        for engine, index in place.items()
    ]
    note = f"<div>The first {MOST} of {len(parts)} calls.</div>" if len(parts) > MOST else ""
    return (
        f"<svg width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}' role='img' "
        "fill='currentColor' font-family='sans-serif' font-size='11'>"
        + "".join([*names, *shapes, *_axis(span, ROW * len(rows), x, begin)])
        + f"</svg>{note}"
    )


def _name(engine: int | None) -> str:
    return "waiting" if engine is None else f"engine {engine}"


def _bar(part: Part, fname: str, x: Callable[[float], float], top: float, now: float) -> str:
    started, completed = seconds(part.record, "started"), seconds(part.record, "completed")
    status = ("error" if part.failures else part.status) if part.done else "running"
    if started is None or completed is None:
        left, right, y, height = part.submitted, now if part.received is None else part.received, top + 7, 4
        length = "has not ended" if part.received is None else "never ran"
    else:
        left, right, y, height = started, completed, top + 2, ROW - 4
        length = f"{completed - started:.3g} s"
    colour = COLOURS.get(status or "", COLOURS["error"])
    title = escape(f"{fname} on {_name(part.engine_id)}: {length}, {status}")
    return (
        f"<rect x='{x(left):.1f}' y='{y}' width='{max(x(right) - x(left), 1):.1f}' height='{height}' rx='1' "
        f"fill='{colour}'><title>{title}</title></rect>"
    )


def _axis(span: float, top: float, x: Callable[[float], float], begin: float) -> list[str]:
    step = next(s for s in (m * 10.0**e for e in range(-7, 12) for m in (1, 2, 5)) if span / s <= 5)
    ticks = [index * step for index in range(int(span / step) + 1)]
    line = f"<line x1='{x(begin):.1f}' x2='{x(begin + span):.1f}' y1='{top + 3}' y2='{top + 3}' stroke='currentColor'/>"
    return [line, *(
        f"<text x='{x(begin + tick):.1f}' y='{top + 16}' text-anchor='middle'>{tick:g} s</text>" for tick in ticks
    )]  # fmt: skip
