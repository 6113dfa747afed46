"""Showing what engines print and display, labelled with the engine.

In a notebook and in terminal IPython what engines print appears as it comes, ``[stdout:0] text``; results are
``Out[0:3]: 5`` (engine 0, its third cell), and plots and other rich displays follow an ``[output:0]``.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import uuid
from typing import Any

#: One stream of one engine.
Speaker = tuple[str, int]


def get_shell() -> Any:
    """The IPython shell of this process, or None; a script that has no use for IPython does not import it."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def interactive() -> bool:
    """Whether output should be shown as it comes: in IPython, in the thread that runs its cells."""
    return get_shell() is not None and threading.current_thread() is threading.main_thread()


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel: its front end can update what was displayed."""
    return getattr(get_shell(), "kernel", None) is not None


def publish(content: dict[str, Any], **options: Any) -> None:
    """Display the ``content`` of a Jupyter display message; outside IPython, print its text.

    ``options`` are those of IPython's display publisher, ``transient`` and ``update``.
    """
    if (shell := get_shell()) is not None:
        shell.display_pub.publish(data=content["data"], metadata=content.get("metadata", {}), **options)
    elif "text/plain" in content["data"]:
        print(content["data"]["text/plain"], flush=True)


class Screen:
    """Where output is shown: the cell that runs, the terminal, or the output of a script."""

    def write(self, name: str, text: str) -> None:
        """Print ``text`` to "stdout" or "stderr"."""
        out = sys.stderr if name == "stderr" else sys.stdout
        with _beside_bars(out):
            out.write(text)
            out.flush()

    def publish(self, content: dict[str, Any], **options: Any) -> None:
        """Display, as ``publish`` does."""
        publish(content, **options)

    def clear(self, wait: bool) -> None:
        """Clear what was shown, where that is possible."""
        if (shell := get_shell()) is not None:
            shell.display_pub.clear_output(wait=wait)


def _beside_bars(out: Any) -> Any:
    """Take tqdm's bars off their lines while something else is printed to a terminal."""
    tqdm = sys.modules.get("tqdm.std")
    return contextlib.nullcontext() if tqdm is None or not out.isatty() else tqdm.tqdm.external_write_mode(nolock=True)


class Printer:
    """Shows the outputs of one call. A label is printed when another engine or stream starts to speak.

    Parameters
    ----------
    screen
        Where; None: where this is called.
    hold
        Whether a line is shown when it is complete. Otherwise what several engines print at a time would be torn where
        their messages end.
    """

    def __init__(self, screen: Screen | None = None, hold: bool = False) -> None:
        self._screen = Screen() if screen is None else screen
        self._hold = hold
        self._speaker: Speaker | None = None
        self._at_line_start = True
        #: Whether the last label stands on the line of what was said.
        self._beside = False
        #: Who was interrupted in the middle of a line, which was then closed.
        self._cut: set[Speaker] = set()
        #: The incomplete lines that are held back.
        self._held: dict[Speaker, str] = {}
        #: The lines that are written over again and again, such as progress bars.
        self._bars: dict[Speaker, Bar] = {}

    @property
    def holding(self) -> bool:
        """Whether there is something that ``release`` or ``finish`` shows."""
        return bool(self._held or self._bars)

    def release(self) -> None:
        """Show what was held back: the rest of a line has not come."""
        for speaker in list(self._held):
            self._speak(speaker, self._held.pop(speaker))

    def finish(self) -> None:
        """Show what is left: nothing will come any more."""
        self.release()
        for speaker in list(self._bars):
            self.end_line()
            self._bars.pop(speaker).close("")

    def show(self, engine: int, msg_type: str, content: dict[str, Any]) -> None:
        """One output of one engine; ``content`` is that of the Jupyter message ``msg_type``."""
        if msg_type == "stream":
            self._stream((content["name"], engine), content["text"])
            return
        for speaker in [speaker for speaker in self._held if speaker[1] == engine]:
            self._speak(speaker, self._held.pop(speaker))
        if msg_type == "display_data":
            self._label("output", engine)
            self._screen.publish(content, **_transient(engine, content))
        elif msg_type == "update_display_data":
            self._screen.publish(content, **_transient(engine, content), update=True)
        elif msg_type == "execute_result":
            self._result(engine, content)
        elif msg_type == "clear_output":
            self.end_line()
            self._screen.clear(content.get("wait", False))

    def _stream(self, speaker: Speaker, text: str) -> None:
        text = self._held.pop(speaker, "") + text.replace("\r\n", "\n")
        if "\r" in text or speaker in self._bars:
            text = self._overwritten(speaker, text)
        elif self._hold and not text.endswith("\n"):
            complete = text.rfind("\n") + 1
            self._held[speaker], text = text[complete:], text[:complete]
        if text:
            self._speak(speaker, text)

    def _overwritten(self, speaker: Speaker, text: str) -> str:
        """Draw the line that ``text`` writes over; returns what stays: lines before it and after it."""
        *lines, rest = text.split("\n")
        stays = ""
        for line in lines:
            if "\r" not in line and speaker not in self._bars:
                stays += line + "\n"
                continue
            bar = self._bars.pop(speaker, None) or Bar(self._screen, speaker)
            if stays:
                self._speak(speaker, stays)
                stays = ""
            self.end_line()
            bar.close(line)
        if "\r" in rest or speaker in self._bars:
            if stays:
                self._speak(speaker, stays)
            if speaker not in self._bars:
                self.end_line()
                self._bars[speaker] = Bar(self._screen, speaker)
            self._bars[speaker].draw(rest)
            return ""
        return stays + rest

    def _speak(self, speaker: Speaker, text: str) -> None:
        name, engine = speaker
        # Beside labelled lines of others a line without a label would look like theirs.
        if self._speaker != speaker or (self._hold and self._beside and self._at_line_start):
            if speaker in self._cut:
                self._cut.remove(speaker)
                text = text.removeprefix("\n")
                if not text:
                    return
            self.end_line()
            self._beside = "\n" not in text.rstrip("\n")
            text = f"[{name}:{engine}]" + (" " if self._beside else "\n") + text
            self._speaker = speaker
        self._screen.write(name, text)
        self._at_line_start = text.endswith("\n")

    def _label(self, kind: str, engine: int) -> None:
        self.end_line()
        self._screen.write("stdout", f"[{kind}:{engine}]\n")

    def _result(self, engine: int, content: dict[str, Any]) -> None:
        self.end_line()
        data = dict(content["data"])
        text = data.get("text/plain", "")
        label = f"Out[{engine}:{content['execution_count']}]: "
        if set(data) <= {"text/plain"}:
            data["text/plain"] = label + ("\n" if "\n" in text else "") + text
        else:
            # A front end shows the richest form only, so the label needs a line of its own.
            self._screen.write("stdout", label + "\n")
        self._screen.publish({**content, "data": data})

    def end_line(self) -> None:
        """Close an unfinished line, in the stream that it is in."""
        if not self._at_line_start and self._speaker is not None:
            self._cut.add(self._speaker)
            self._screen.write(self._speaker[0], "\n")
        self._speaker = None
        self._at_line_start = True


class Bar:
    """A line of one engine that is written over again and again: one display in a notebook, the last state elsewhere."""

    def __init__(self, screen: Screen, speaker: Speaker):
        self._screen = screen
        self._speaker = speaker
        self._display = f"pxkernel-{uuid.uuid4().hex}"
        self._line = ""
        self._shown = False

    def draw(self, text: str) -> None:
        """``text`` continues the line; after a carriage return it writes over it."""
        before, _, after = text.rpartition("\r")
        if "\r" in text:
            # What was written before a return at the very end still stands there.
            self._line = after or before.rpartition("\r")[2] or self._line
        else:
            self._line += text
        if in_notebook():
            self._publish()

    def close(self, text: str) -> None:
        """``text`` is the end of the line."""
        self.draw(text)
        if self._line.strip() and not in_notebook():
            self._screen.write(self._speaker[0], self._labelled + "\n")

    @property
    def _labelled(self) -> str:
        return f"[{self._speaker[0]}:{self._speaker[1]}] {self._line.strip()}"

    def _publish(self) -> None:
        if self._line.strip():
            content = {"data": {"text/plain": self._labelled}, "metadata": {}}
            self._screen.publish(content, transient={"display_id": self._display}, update=self._shown)
            self._shown = True


def _transient(engine: int, content: dict[str, Any]) -> dict[str, Any]:
    """The option with the id by which the display can be updated, if it has one; engines may use the same id."""
    display_id = content.get("transient", {}).get("display_id")
    return {} if display_id is None else {"transient": {"display_id": f"{display_id}@{engine}"}}
