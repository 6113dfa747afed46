"""Widgets of engines in the notebook: each comm of an engine has a twin here, under the same id (features JUP-04).

The front end knows the twin only. What it sends there goes to the engine, what the engine sends goes to the front end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import comm

from ..protocol.content import content_of
from .outputs import in_notebook

#: ``send(engine, msg_type, payload)`` sends to an engine.
Send = Callable[[int, str, Sequence[Any]], Any]


class Comms:
    """The twins in this notebook; elsewhere there are none.

    Parameters
    ----------
    send
        Sends a message of the front end to an engine.
    """

    def __init__(self, send: Send):
        self._send = send
        self._twins: dict[str, Any] = {}

    def received(self, engine: int, msg_type: str, payload: Sequence[Any]) -> None:
        """Called in the I/O thread: an engine has sent a "comm_open", "comm_msg" or "comm_close".

        Parameters
        ----------
        payload
            Content and metadata of the message in one JSON object, and its buffers.
        """
        if not in_notebook():
            return
        both = content_of(payload[0])
        content = both["content"]
        details = {"data": content.get("data"), "metadata": both["metadata"], "buffers": list(map(_bytes, payload[1:]))}
        if msg_type == "comm_open":
            self._open(engine, content, details)
        elif (twin := self._twins.get(content["comm_id"])) is not None:
            if msg_type == "comm_msg":
                twin.send(**details)
            else:
                del self._twins[content["comm_id"]]
                twin.on_close(None)
                twin.close(**details)

    def _open(self, engine: int, content: dict[str, Any], details: dict[str, Any]) -> None:
        names = {name: content[name] for name in ("target_name", "target_module", "comm_id") if content.get(name)}
        twin = comm.create_comm(**names, **details)
        twin.on_msg(partial(self._from_front_end, engine, "comm_msg"))
        twin.on_close(partial(self._from_front_end, engine, "comm_close"))
        self._twins[content["comm_id"]] = twin

    def _from_front_end(self, engine: int, msg_type: str, message: dict[str, Any]) -> None:
        """Called in the main thread, by the kernel of the notebook."""
        if msg_type == "comm_close":
            self._twins.pop(message["content"]["comm_id"], None)
        both = {"content": message["content"], "metadata": message.get("metadata", {})}
        self._send(engine, msg_type, [json.dumps(both).encode(), *message.get("buffers", ())])


def _bytes(frame: Any) -> bytes:
    return bytes(frame)
