"""Frames through a zmq socket, for all three kinds of processes.

Short frames are copied: to have zmq lend its buffer, or to lend it ours, costs more than the copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zmq

#: Frames shorter than this, in bytes, are copied.
COPIED = 64 * 1024


def send(socket: zmq.Socket[Any], frames: Sequence[Any]) -> None:
    """Send one message.

    Raises
    ------
    zmq.ZMQError
        As ``socket.send``: a ROUTER knows no such peer, for example; then nothing has been sent.
    """
    last = len(frames) - 1
    for index, frame in enumerate(frames):
        socket.send(frame, zmq.SNDMORE if index < last else 0, copy=len(frame) < COPIED)


def receive(socket: zmq.Socket[Any]) -> list[Any]:
    """The frames of the next message: bytes, and zmq frames for those that are long.

    Raises
    ------
    zmq.Again
        None has arrived.
    """
    frame = socket.recv(zmq.NOBLOCK, copy=False)
    frames = [_own(frame)]
    while frame.more:
        frame = socket.recv(copy=False)
        frames.append(_own(frame))
    return frames


def _own(frame: zmq.Frame) -> Any:
    return frame.bytes if len(frame) < COPIED else frame
