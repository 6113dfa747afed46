"""What the engines are doing: ``rc.top()`` and ``rc.stacks()``.

The controller looks at them from outside, so both answer within a second whatever an engine is stuck in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .targets import Targets

_COLUMNS = ("engine", "state", "host", "pid", "cpu", "memory", "queue", "task")
#: The columns of these that are no numbers.
_TEXTS = {"state", "host", "task"}


class Top(list[dict[str, Any]]):
    """One row for each engine, a dict; it shows itself as a table.

    Keys: engine, state ("idle", "busy", "stopped" by a signal, "restarting"), host, pid, cpu (percent of one core), memory
    (resident, bytes), queue (how many tasks wait), task (the id of the one that runs, or None), kind (of it: "apply", "map",
    "execute" or "cell"), name (of its function, if it is this client's), seconds (since it was sent).
    """

    def _cells(self) -> list[list[str]]:
        return [[_SHOWN.get(name, str)(row[name]) if name != "task" else _task(row) for name in _COLUMNS] for row in self]

    def __repr__(self) -> str:
        table = [list(_COLUMNS), *self._cells()]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        body = "".join(_row("td", cells) for cells in self._cells())
        return f"<table><thead>{_row('th', _COLUMNS)}</thead><tbody>{body}</tbody></table>"


class Stacks(dict[int, str]):
    """The stacks of all threads by engine id, as text."""

    def __repr__(self) -> str:
        return "\n".join(f"[stacks:{engine}]\n{text}" for engine, text in self.items())


def _row(tag: str, cells: Sequence[str]) -> str:
    """A row of the HTML table. Front ends align to the right, which is for numbers."""
    styles = (" style='text-align:left'" if name in _TEXTS else "" for name in _COLUMNS)
    row = (f"<{tag}{style}>{escape(cell)}</{tag}>" for style, cell in zip(styles, cells, strict=True))
    return f"<tr>{''.join(row)}</tr>"


def _task(row: dict[str, Any]) -> str:
    if row["task"] is None:
        return ""
    name = f" {row['name']}" if row["name"] else ""
    since = "" if row["seconds"] is None else f", {row['seconds']:.1f} s"
    # Nobody waits for what has no kind: its time was over, or an earlier controller has sent it.
    return f"{row['kind'] or 'abandoned'}{name} ({row['task']}{since})"


def _bytes(amount: int | None) -> str:
    return "?" if amount is None else f"{amount / 2**20:.0f} MiB"


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f} %"


_SHOWN: dict[str, Callable[[Any], str]] = {"cpu": _percent, "memory": _bytes}


class Inspection:
    """The part of Client that asks what the engines are doing."""

    resolve: Callable[[Targets], tuple[list[int], bool]]
    ask: Callable[..., Any]
    _pending: dict[str, Any]

    def top(self, targets: Targets = None, timeout: float | None = 30.0) -> Top:
        """What the engines are doing: state, processor, memory, current task, queue.

        Parameters
        ----------
        targets
            Engines, as in ``direct_view``; None: all.
        timeout
            Seconds that the controller may take; None: as long as it takes.

        Returns
        -------
        Top
            A list of dicts that shows itself as a table; the use of the processor is measured over 0.2 s.

        Raises
        ------
        IndexError, NoEnginesRegistered
            There is no such engine, or none at all.
        TimeoutError
            The controller has not answered.
        """
        rows: Sequence[dict[str, Any]] = self.ask("top", timeout, engines=self.resolve(targets)[0])
        return Top({**row, "name": self._name_of(row["task"])} for row in rows)

    def _name_of(self, task: str | None) -> str | None:
        entry = self._pending.get(task or "")
        return entry[0]._fname if entry else None

    def stacks(self, targets: Targets = None) -> Stacks:
        """The Python stacks of all threads of engines, also while they are busy or stuck in a C library.

        Parameters
        ----------
        targets
            Engines, as in ``direct_view``; None: all.

        Returns
        -------
        Stacks
            A dict of texts by engine id, the main thread first, innermost frames first; for an engine that shows none (no Python kernel, stopped
            by a signal) the text says why.

        Raises
        ------
        IndexError, NoEnginesRegistered
            There is no such engine, or none at all.
        """
        return Stacks(self.ask("stacks", engines=self.resolve(targets)[0]))
