"""Frames through a zmq socket, between a client and a controller on two machines.

Short frames are copied: to have zmq lend its buffer, or to lend it ours, costs more than the copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zmq

#: After so many seconds without a sign of life the operating system asks whether the other machine is still there.
KEEPALIVE = 30
#: Frames shorter than this, in bytes, are copied.
COPIED = 64 * 1024


def notice_the_end(socket: zmq.Socket[Any]) -> None:
    """Have the operating system break the socket's connections when the other machine does not answer any more."""
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = socket.tcp_keepalive_intvl = KEEPALIVE
    # With data on its way nothing asks: it must not last longer than an idle connection, which has nine probes.
    socket.tcp_maxrt = 10 * KEEPALIVE * 1000


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
    """The frames of the next message: bytes, and the buffers of those that are long.

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
    return frame.bytes if len(frame) < COPIED else frame.buffer
