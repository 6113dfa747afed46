"""The output of a call that nobody waits for, in the cell that made it, also when that cell has ended long ago.

What is printed stands in one display of that cell, which is updated: a front end takes updates at any time. Other displays
are sent as what they are, as output of that cell.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import Any

import zmq

from .outputs import Screen, publish

#: Seconds between two updates.
INTERVAL = 0.1
#: How many characters are shown; of longer output the end, because each update sends all of it.
MOST = 100_000


class CellScreen(Screen):
    """The cell that runs when this is made, in a notebook.

    Parameters
    ----------
    kernel
        The Jupyter kernel of this process.
    """

    def __init__(self, kernel: Any):
        self._kernel = kernel
        self._cell = kernel.get_parent("shell")
        self._display = f"pxkernel-{uuid.uuid4().hex}"
        self._text = ""
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def open(self) -> None:
        """Make room in the cell; in the main thread."""
        publish({"data": {"text/plain": ""}}, transient={"display_id": self._display})

    def write(self, name: str, text: str) -> None:
        """Called in the client's I/O thread; updates are sent from time to time."""
        with self._lock:
            self._text += text
            if self._timer is None:
                self._timer = threading.Timer(INTERVAL, self._update)
                self._timer.daemon = True
                self._timer.start()

    def _update(self) -> None:
        with self._lock:
            self._timer = None
            text = self._text
            if len(text) > MOST:
                text = f"... {len(text) - MOST} characters before are in stdout and stderr of the AsyncResult\n{text[-MOST:]}"
        content = {"data": {"text/plain": text}, "metadata": {}, "transient": {"display_id": self._display}}
        # As if the cell that runs now had sent it: front ends that follow one cell at a time take it as well.
        self._send("update_display_data", content, self._kernel.get_parent("shell"))

    def publish(self, content: dict[str, Any], **options: Any) -> None:
        """Text joins what was printed; other displays are output of the cell."""
        update = options.pop("update", False)
        if set(content["data"]) == {"text/plain"} and not options:
            self.write("stdout", content["data"]["text/plain"] + "\n")
        else:
            message = {"data": content["data"], "metadata": content.get("metadata", {}), "transient": {}, **options}
            self._send("update_display_data" if update else "display_data", message, self._cell)

    def clear(self, wait: bool) -> None:
        with self._lock:
            self._text = ""

    def _send(self, msg_type: str, content: dict[str, Any], parent: Any) -> None:
        # The kernel may be ending, and the client's I/O thread goes on.
        with contextlib.suppress(zmq.ZMQError, AttributeError):
            socket = self._kernel.iopub_socket
            self._kernel.session.send(socket, msg_type, content, parent=parent, ident=msg_type.encode())
