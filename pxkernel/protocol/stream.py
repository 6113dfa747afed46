"""Messages through a Unix stream socket, between processes of one machine.

    message = [count: u32] [length: u64] * count  frame ...

Neither side has a thread or a mailbox of its own here: who sends writes to the socket, who reads reads from it, so that a
hop costs one wake-up where ZeroMQ needs three (design, decision 2: 0.3 instead of 0.65 ms for a round trip with two hops
each way, measured).
"""

from __future__ import annotations

import select
import socket
import struct
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from struct import unpack_from
from typing import Any

from ..errors import ProtocolError
from .forks import close_in_children

#: Frames shorter than this, in bytes, are copied into one piece with their neighbours.
SHORT = 64 * 1024
#: Bytes that are read at a time.
READ = 64 * 1024
#: How often a socket is read for one long message before others get their turn.
TURN = 16
#: How many frames of a long message are read to at a time: many are short, and a system call takes longer than to read one.
FRAMES = 512
#: The most frames of a message: each is an array or a long string.
MOST_FRAMES = 1 << 20

#: The user's code may have made SIGPIPE deadly; macOS has no such flag.
_QUIETLY = (getattr(socket, "MSG_NOSIGNAL", 0),)
_COUNT = struct.Struct("<I")
#: Bytes to send, how many of them have gone (a list of the parts), and whom to tell when all have.
Piece = tuple[Any, list[int], Callable[[], None] | None]


class Stream:
    """One end of a connection, non-blocking. One thread receives, and one at a time sends.

    An exception that a signal handler raises while it sends (KeyboardInterrupt) leaves every message whole.

    Parameters
    ----------
    connection
        A connected stream socket, which this object closes.
    """

    def __init__(self, connection: socket.socket):
        connection.setblocking(False)
        self._socket = connection
        self._send_some = connection.send
        self._pieces: deque[Piece] = deque()
        #: Takes the ``pieces`` of a message over, in one step that no signal handler divides; ``flush`` sends them.
        self.take = self._pieces.extend
        #: The beginning of a message.
        self._rest = b""
        #: The frames of a long message, where each ends in it, and how many bytes of it are there.
        self._long: list[Any] = []
        self._ends: list[int] = []
        self._filled = 0
        close_in_children(self)

    @classmethod
    def connect(cls, address: str) -> Stream:
        """Connect to ``ipc://path``.

        Raises
        ------
        OSError
            Nobody listens there.
        """
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path_of(address))
        except OSError:
            connection.close()
            raise
        return cls(connection)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    # -- sending ------------------------------------------------------------------------------------------------------

    def send(self, frames: Sequence[Any], sent: Callable[[], None] | None = None) -> bool:
        """Send a message, as much of it as fits now; whether all has gone. ``flush`` sends the rest.

        Parameters
        ----------
        frames
            Bytes and buffers of bytes; long ones are read until they have gone.
        sent
            Called when the message has gone, perhaps twice.

        Raises
        ------
        OSError
            The other end has gone.
        """
        self.take(pieces(frames, sent))
        return self.flush()

    def flush(self) -> bool:
        """Send what has not gone; whether all has now. Raises as ``send``."""
        waiting = self._pieces
        while waiting:
            # Whatever interrupts this loop, it can be run again: a piece stays in its place until it has gone, and no
            # bytecode, so no signal handler, comes between sending a part of it and noting how much that was.
            data, parts, sent = waiting[0]
            gone = sum(parts) if parts else 0
            if gone < len(data):
                try:
                    parts.extend(map(self._send_some, (memoryview(data)[gone:] if gone else data,), _QUIETLY))
                except BlockingIOError:
                    return False
                if sum(parts) < len(data):
                    continue
            if sent is not None:
                sent()
            waiting.popleft()
        return True

    def drop(self) -> None:
        """Give up what has not gone; it counts as sent."""
        while self._pieces:
            sent = self._pieces.popleft()[2]
            if sent is not None:
                sent()

    @property
    def unsent(self) -> bool:
        """Whether ``flush`` has something to do."""
        return bool(self._pieces)

    def finish(self, timeout: float | None = None) -> bool:
        """Wait until all has gone, at most ``timeout`` seconds (None: as long as it takes); whether it has."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self.flush():
            if not wait(self, select.POLLOUT, None if end is None else end - time.monotonic()):
                return False
        return True

    # -- receiving ----------------------------------------------------------------------------------------------------

    def receive(self) -> list[list[Any]]:
        """The messages that are complete when the socket has been read once: their frames, bytes or bytearrays.

        Raises
        ------
        EOFError
            The other end has gone, and every message that it sent whole has been given before.
        ProtocolError
            This is no message: what follows cannot be understood either.
        """
        try:
            if self._long:
                return self._read_long()
            data = self._socket.recv(READ)
        except BlockingIOError:
            return []
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError("the other end of the connection has gone")
        return self._whole_messages(self._rest + data if self._rest else data)

    def _whole_messages(self, data: bytes) -> list[list[Any]]:
        messages: list[list[Any]] = []
        start, filled = 0, len(data)
        while (at := start + _COUNT.size) <= filled:
            (count,) = _COUNT.unpack_from(data, start)
            if count > MOST_FRAMES:
                raise ProtocolError(f"a message of {count:,} frames")
            if (begin := at + 8 * count) > filled:
                break
            lengths = unpack_from(f"<{count}Q", data, at)
            end = begin + sum(lengths)
            if end > filled:
                if end - start > READ:
                    self._begin_long(data, begin, lengths)
                    start = filled
                break
            messages.append(_cut(data, begin, lengths))
            start = end
        self._rest = data[start:]
        return messages

    def _begin_long(self, data: bytes, begin: int, lengths: Sequence[int]) -> None:
        """The rest of a message that is longer than what is read at a time is read to where it will stay."""
        self._ends = list(accumulate(lengths))
        self._filled = len(data) - begin
        whole = bisect_right(self._ends, self._filled)
        self._long = _cut(data, begin, lengths[:whole])
        try:
            self._long += map(bytearray, lengths[whole:])
        except (MemoryError, OverflowError):
            self._long = []
            raise ProtocolError(f"no memory for a message of {sum(lengths):,} bytes") from None
        there = self._filled - (self._ends[whole - 1] if whole else 0)
        self._long[whole][:there] = data[len(data) - there :]

    def _read_long(self) -> list[list[Any]]:
        for _ in range(TURN):
            index = bisect_right(self._ends, self._filled)
            frame, *others = self._long[index : index + FRAMES]
            there = self._filled - (self._ends[index] - len(frame))
            read, *_ = self._socket.recvmsg_into([memoryview(frame)[there:], *others])
            if not read:
                raise EOFError("the other end of the connection has gone")
            self._filled += read
            if self._filled == self._ends[-1]:
                frames, self._long = self._long, []
                return [frames]
        return []


def _cut(data: bytes, begin: int, lengths: Sequence[int]) -> list[Any]:
    frames = []
    for length in lengths:
        frames.append(data[begin : begin + length])
        begin += length
    return frames


def only_message(data: bytes) -> list[Any]:
    """The frames of the message that ``data`` is, in one piece.

    Raises
    ------
    ProtocolError
        It is none, or not all of it.
    """
    try:
        (count,) = _COUNT.unpack_from(data)
        lengths = unpack_from(f"<{count}Q", data, _COUNT.size)
    except struct.error as error:
        raise ProtocolError(f"a message that is none: {error}") from None
    begin = _COUNT.size + 8 * count
    if begin + sum(lengths) != len(data):
        raise ProtocolError(f"a message of {len(data)} bytes that says it has {begin + sum(lengths)}")
    return _cut(data, begin, lengths)


def wait(stream: Stream, events: int, timeout: float | None) -> bool:
    """Wait until a stream can be read or written; whether it can."""
    poll = select.poll()
    poll.register(stream, events)
    return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))


def path_of(address: str) -> str:
    """The path of the socket at ``ipc://path``."""
    return address.removeprefix("ipc://")


def pieces(frames: Sequence[Any], sent: Callable[[], None] | None = None) -> list[Piece]:
    """What of a message is written at once: short frames in a row as one, long ones without a copy."""
    lengths = list(map(len, frames))
    head = struct.pack(f"<I{len(frames)}Q", len(frames), *lengths)
    if sum(lengths) < SHORT:
        return [(b"".join((head, *frames)), [], sent)]
    found: list[Piece] = []
    row = [head]
    for frame, length in zip(frames, lengths, strict=True):
        if length < SHORT:
            row.append(frame)
            continue
        if row:
            found.append((b"".join(row), [], None))
            row = []
        found.append((frame, [], None))
    if row:
        found.append((b"".join(row), [], None))
    data, parts, _ = found.pop()
    return [*found, (data, parts, sent)]
