"""Showing what engines print and display, labelled with the engine.

In a notebook and in terminal IPython what engines print appears as it comes, ``[stdout:0] text``; results are
``Out[0:3]: 5`` (engine 0, its third cell), and plots and other rich displays follow an ``[output:0]``.
"""

from __future__ import annotations

import sys
import threading
from typing import Any


def get_shell() -> Any:
    """The IPython shell of this process, or None; a script that has no use for IPython does not import it."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def interactive() -> bool:
    """Whether output should be shown as it comes: in IPython, in the thread that runs its cells."""
    return threading.current_thread() is threading.main_thread() and get_shell() is not None


def publish(content: dict[str, Any], **options: Any) -> None:
    """Display the ``content`` of a Jupyter display message; outside IPython, print its text.

    ``options`` are those of IPython's display publisher, ``transient`` and ``update``.
    """
    if (shell := get_shell()) is not None:
        shell.display_pub.publish(data=content["data"], metadata=content.get("metadata", {}), **options)
    elif "text/plain" in content["data"]:
        print(content["data"]["text/plain"], flush=True)


class Printer:
    """Shows the outputs of one call. A label is printed when another engine or stream starts to speak."""

    def __init__(self) -> None:
        self._speaker: tuple[str, int] | None = None
        self._at_line_start = True
        #: Who was interrupted in the middle of a line, which was then closed.
        self._cut: set[tuple[str, int]] = set()

    def show(self, engine: int, msg_type: str, content: dict[str, Any]) -> None:
        """One output of one engine; ``content`` is that of the Jupyter message ``msg_type``."""
        if msg_type == "stream":
            self._stream(engine, content["name"], content["text"])
        elif msg_type == "display_data":
            self._label("output", engine)
            publish(content)
        elif msg_type == "update_display_data":
            publish(content, transient=content.get("transient"), update=True)
        elif msg_type == "execute_result":
            self._result(engine, content)
        elif msg_type == "clear_output":
            self.end_line()
            if (shell := get_shell()) is not None:
                shell.display_pub.clear_output(wait=content.get("wait", False))

    def _stream(self, engine: int, name: str, text: str) -> None:
        out = sys.stderr if name == "stderr" else sys.stdout
        if self._speaker != (name, engine):
            if (name, engine) in self._cut:
                self._cut.remove((name, engine))
                text = text.removeprefix("\n")
                if not text:
                    return
            self.end_line()
            out.write(f"[{name}:{engine}]" + ("\n" if "\n" in text.rstrip("\n") else " "))
            self._speaker = (name, engine)
        out.write(text)
        out.flush()
        self._at_line_start = text.endswith("\n")

    def _label(self, kind: str, engine: int) -> None:
        self.end_line()
        print(f"[{kind}:{engine}]", flush=True)

    def _result(self, engine: int, content: dict[str, Any]) -> None:
        self.end_line()
        data = dict(content["data"])
        text = data.get("text/plain", "")
        label = f"Out[{engine}:{content['execution_count']}]: "
        if set(data) <= {"text/plain"}:
            data["text/plain"] = label + ("\n" if "\n" in text else "") + text
        else:
            # A front end shows the richest form only, so the label needs a line of its own.
            print(label, flush=True)
        publish({**content, "data": data})

    def end_line(self) -> None:
        """Close an unfinished line, in the stream that it is in."""
        if not self._at_line_start and self._speaker is not None:
            self._cut.add(self._speaker)
            print(file=sys.stderr if self._speaker[0] == "stderr" else sys.stdout, flush=True)
        self._speaker = None
        self._at_line_start = True
