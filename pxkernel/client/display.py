"""What one call has put out: shown while it comes, or once more afterwards."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ..tracebacks import to_show
from .outputs import Printer, Screen
from .records import Part

#: How ``display_outputs`` can order what several engines have put out.
GROUPINGS = ("type", "engine", "order")

Output = tuple[str, dict[str, Any], list[Any]]


class LiveOutput:
    """The output of one call in the order of its arrival, and how much of it has been shown.

    The I/O thread adds, any other thread shows; everything is shown once, whoever asks.
    """

    def __init__(self, parts: Sequence[Part]):
        self._parts = parts
        #: (part, output) of all parts.
        self.arrived: list[tuple[Part, Output]] = []
        self._shown = 0
        self._results_shown = 0
        self._showing = threading.Lock()
        #: The ids of the calls whose error has been shown.
        self.errors_shown: set[str] = set()

    @cached_property
    def _printer(self) -> Printer:
        return Printer(hold=len(self._parts) > 1)

    def add(self, part: Part, output: Output) -> None:
        self.arrived.append((part, output))

    def show_new(self) -> None:
        """Show what has arrived: output as it comes, results in the order of the engines."""
        with self._showing:
            while self._shown < len(self.arrived):
                part, (msg_type, content, _) = self.arrived[self._shown]
                self._shown += 1
                if msg_type != "execute_result":
                    self._printer.show(part.engine_id, msg_type, content)
            while self._results_shown < len(self._parts) and (part := self._parts[self._results_shown]).done:
                self._results_shown += 1
                if part.execute_result is not None:
                    self._printer.show(part.engine_id, "execute_result", part.execute_result)
            if self._printer.holding and all(part.settled for part in self._parts):
                self._printer.finish()

    def send_to(self, screen: Screen) -> None:
        """Have what is shown from here on shown on ``screen``."""
        with self._showing:
            self._printer = Printer(screen, hold=len(self._parts) > 1)

    @property
    def holding(self) -> bool:
        """Whether a part of a line waits for its rest."""
        return self._printer.holding

    def release(self) -> None:
        """Show the parts of lines whose rest has not come for a while."""
        with self._showing:
            self._printer.release()

    def skip(self) -> None:
        """What has arrived has been shown in another way."""
        with self._showing:
            self._shown = len(self.arrived)
            self._results_shown = sum(part.done for part in self._parts)

    def end_line(self) -> None:
        """Close an unfinished line, because something else is shown."""
        with self._showing:
            self._printer.end_line()

    def show_errors(self, limit: int | None) -> None:
        """Show on stderr the errors that have come: the first ``limit`` in full, a line for each of the others."""
        with self._showing:
            for part in self._parts:
                if part.error is None or part.msg_id in self.errors_shown:
                    continue
                in_full = limit is None or len(self.errors_shown) < limit
                self.errors_shown.add(part.msg_id)
                render = getattr(part.error, "render_traceback", None)
                text = "\n".join(to_show(render())) if in_full and render else str(part.error)
                print(text, file=sys.stderr, flush=True)


def display_outputs(parts: Sequence[Part], single: bool, groupby: str, result_only: bool) -> None:
    """Show again what the engines printed and displayed, and the results of their cells (features AR-30).

    Raises
    ------
    ValueError
        ``groupby`` is none of `GROUPINGS`.
    """
    if groupby not in GROUPINGS:
        raise ValueError(f"groupby must be one of {', '.join(map(repr, GROUPINGS))}, not {groupby!r}")
    printer = Printer()
    for part, (msg_type, content, _) in _ordered(parts, groupby, result_only):
        if single and msg_type == "stream":
            # Who it is from is clear.
            print(content["text"], end="", file=sys.stderr if content["name"] == "stderr" else sys.stdout, flush=True)
        else:
            printer.show(part.engine_id, msg_type, content)


def _ordered(parts: Sequence[Part], groupby: str, result_only: bool) -> list[tuple[Part, Output]]:
    by_part = [[(part, output) for output in _again(part, result_only)] for part in parts]
    if groupby == "order":
        longest = max(map(len, by_part), default=0)
        return [outputs[index] for index in range(longest) for outputs in by_part if index < len(outputs)]
    flat = [output for outputs in by_part for output in outputs]
    return sorted(flat, key=lambda item: _rank(item[1])) if groupby == "type" else flat


def _rank(output: Output) -> int:
    msg_type, content, _ = output
    if msg_type == "stream":
        return 1 if content["name"] == "stderr" else 0
    return 3 if msg_type == "execute_result" else 2


def _again(part: Part, result_only: bool) -> list[Output]:
    """One engine's output: each stream in one piece, then displays in their latest form, then the result."""
    outputs: list[Output] = []
    if not result_only:
        streams = [{"name": name, "text": part.text(name)} for name in ("stdout", "stderr")]
        outputs += [("stream", stream, []) for stream in streams if stream["text"]]
        outputs += [("display_data", content, []) for content in part.displays]
    if part.execute_result is not None:
        outputs.append(("execute_result", part.execute_result, []))
    return outputs
