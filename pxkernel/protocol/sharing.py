"""Payloads whose buffers are in shared memory (design, decision 8).

    frames = [MARK, segments, places, head]  [buffers that are short ...]

The first frame begins with a table: which segments to open and where in them each buffer of the payload is. Behind it is
the head of the payload itself, so that what is interpreted, and where to find the rest, is signed like everything else.
No head and no source code begins with MARK.

A large buffer is divided into several segments, because several threads fill them and a file has one writer at a time.
It is longer than its segment, then, and goes on in the next one; who receives it maps them side by side.

Whoever keeps a payload keeps its segments open: the client until its call is done, an engine until the controller has
opened them, the controller for as long as it keeps a task or a result, and a result until its client has acknowledged it.
Each describes them to the next one as its own. Who maps a segment keeps the memory, not the descriptor.
"""

from __future__ import annotations

import secrets
import struct
from collections import deque
from collections.abc import Sequence
from mmap import PAGESIZE
from typing import Any

from ..errors import ProtocolError
from .copying import copy_each, shares
from .segments import Address, Segment, available, joined, room

MARK = b"\xff"
#: From so many bytes of buffers on, a payload is shared: with less, sockets are as fast (measured).
THRESHOLD = 1024 * 1024
#: A buffer of this size gets a segment of its own, so that a small array does not keep the memory of a large one.
ALONE = 8 * 1024 * 1024
#: At most so many of one payload do.
MOST_ALONE = 16
#: Shorter ones are copied out of the segment by their receiver, for the same reason.
COPIED = 64 * 1024
#: Where buffers begin, in bytes: a cache line, which is enough for every type of number.
ALIGNMENT = 64

_COUNTS = struct.Struct("<cII")
_SEGMENT = struct.Struct("<IIQQQ")
#: Number of the segment (-1: a frame of the message), offset, length.
_PLACE = struct.Struct("<iQQ")

Place = tuple[int, int, int]


class Shared(list[Any]):
    """A payload whose segments this process holds: its frames as they travel, and ``segments``."""

    __slots__ = ("segments",)

    def __init__(self, frames: Sequence[Any], segments: Sequence[Segment]):
        super().__init__(frames)
        self.segments = segments


def is_shared(payload: Sequence[Any]) -> bool:
    """Whether buffers of this payload are in shared memory."""
    return bool(payload) and payload[0][:1] == MARK


def size(payload: Sequence[Any]) -> int:
    """The bytes of a payload (bytes or buffers), the same for its buffers in frames and in shared memory.

    Of one whose table makes no sense those of its frames: whoever opens it is told.
    """
    if len(payload) == 1 and type(frame := payload[0]) is bytes and frame[:1] != MARK:
        return len(frame)  # as for most tasks, several times for each
    total = sum(map(len, payload))
    if not is_shared(payload):
        return total
    try:
        _, places, head = _parse(payload)
    except ProtocolError:
        return total
    return total - len(payload[0]) + len(head) + sum(length for segment, _, length in places if segment >= 0)


# ---- sending


def share(frames: Sequence[Any]) -> Shared | None:
    """The payload with its buffers in new segments; None if that does not pay, or memory or descriptors are short.

    They are copied: what becomes of the objects they were made from does not reach the receiver.
    """
    lengths = [len(frame) for frame in frames[1:]]
    if sum(lengths) < THRESHOLD or not room():
        return None
    try:
        return _put(frames, lengths)
    except (OSError, RuntimeError):  # RuntimeError: no thread can be started
        return None


def _put(frames: Sequence[Any], lengths: list[int]) -> Shared:
    contents: list[list[tuple[int, Any]]] = []
    places: list[Place] = [(-1, 0, length) for length in lengths]
    threads = shares(sum(lengths))
    for group in _groups(lengths):
        end, buffers = 0, []
        for index in group:
            places[index] = len(contents), end, lengths[index]
            buffers.append((end, memoryview(frames[1 + index])))
            end += -(-lengths[index] // ALIGNMENT) * ALIGNMENT
        contents += [buffers] if len(group) > 1 else _divided(buffers[0][1], round(threads * end / sum(lengths)))
    segments = copy_each(Segment.create, contents, threads)
    table = b"".join(_PLACE.pack(*place) for place in places)
    short = [bytes(frame) for frame, (segment, _, _) in zip(frames[1:], places, strict=True) if segment < 0]
    return Shared([_describe(segments, len(places), table, frames[0]), *short], segments)


def _groups(lengths: list[int]) -> list[list[int]]:
    """The buffers of each segment, by index: large ones alone, the others together if that pays."""
    large = [index for index, length in enumerate(lengths) if length >= ALONE]
    alone = sorted(large, key=lengths.__getitem__)[-MOST_ALONE:]
    others = sorted({*range(len(lengths))}.difference(alone))
    groups = [[index] for index in alone]
    return [*groups, others] if sum(map(lengths.__getitem__, others)) >= THRESHOLD else groups


def _divided(buffer: memoryview, parts: int) -> list[list[tuple[int, Any]]]:
    """The contents of the segments of one buffer; all but the last one are whole pages."""
    step = -(-len(buffer) // max(1, parts) // PAGESIZE) * PAGESIZE
    return [[(0, buffer[start : start + step])] for start in range(0, len(buffer), step)]


def _describe(segments: Sequence[Segment], count: int, *rest: Any) -> bytes:
    addresses = [_SEGMENT.pack(*segment.address) for segment in segments]
    return b"".join([_COUNTS.pack(MARK, len(segments), count), *addresses, *rest])


# ---- receiving


def _parse(payload: Sequence[Any]) -> tuple[list[Address], list[Place], memoryview]:
    first = memoryview(payload[0])
    try:
        _, segments, count = _COUNTS.unpack_from(first)
        middle = _COUNTS.size + segments * _SEGMENT.size
        end = middle + count * _PLACE.size
        addresses = [Address(*fields) for fields in _SEGMENT.iter_unpack(first[_COUNTS.size : middle])]
        places: list[Place] = list(_PLACE.iter_unpack(first[middle:end]))  # type: ignore[arg-type]
        if len(addresses) < segments or len(places) < count:
            raise ProtocolError("a table of shared memory that is cut off")
        _check(places, addresses, payload)
    except struct.error:
        raise ProtocolError("a table of shared memory that is cut off") from None
    return addresses, places, first[end:]


def _check(places: list[Place], addresses: list[Address], payload: Sequence[Any]) -> None:
    inside = [place for place in places if place[0] >= 0]
    if len(places) - len(inside) != len(payload) - 1:
        raise ProtocolError("a table of shared memory that does not match its frames")
    for place in inside:
        _span(place, addresses)


def _span(place: Place, addresses: Sequence[Address]) -> range:
    """The segments that a buffer is in."""
    first, offset, length = place
    left = offset + length
    for segment in range(first, len(addresses)):
        left -= addresses[segment].size
        if left <= 0:
            return range(first, segment + 1)
    raise ProtocolError("a table of shared memory that points outside of it")


def load(payload: Sequence[Any]) -> list[Any]:
    """The frames of a payload as they were packed; those in shared memory are private to this process and writable.

    Raises
    ------
    ProtocolError
        The shared memory is gone, or not what it should be.
    OSError
        The descriptors are short.
    """
    if not is_shared(payload):
        return list(payload)
    addresses, places, head = _parse(payload)
    segments = payload.segments if isinstance(payload, Shared) else list(map(Segment.open, addresses))
    views: dict[range, memoryview] = {}
    short = iter(payload[1:])
    frames: list[Any] = [head]
    for place in places:
        first, offset, length = place
        if first < 0:
            frames.append(next(short))
            continue
        span = _span(place, addresses)
        if span not in views:
            views[span] = joined(segments[span.start : span.stop])
        view = views[span][offset : offset + length]
        frames.append(bytearray(view) if length < COPIED else view)
    return frames


def take(payload: Sequence[Any]) -> Sequence[Any]:
    """The payload with its segments held by this process, whatever becomes of the sender.

    A process that holds too many gets the frames themselves.

    Raises
    ------
    ProtocolError, OSError
        As ``load``.
    """
    if not is_shared(payload):
        return payload
    if not room():
        return load(payload)
    addresses, places, _ = _parse(payload)
    segments = [Segment.open(address) for address in addresses]
    rest = memoryview(payload[0])[_COUNTS.size + len(addresses) * _SEGMENT.size :]
    return Shared([_describe(segments, len(places), rest), *payload[1:]], segments)


def take_result(record: dict[str, Any], payload: Sequence[Any]) -> tuple[dict[str, Any], Sequence[Any]]:
    """The record (as in ``messages.Finished``) and the payload of a result as ``take`` has it; lost ones have died."""
    try:
        return record, take(payload)
    except (ProtocolError, OSError) as error:
        return {**record, "status": "died", "reason": f"its result is lost: {error}"}, ()


def inlined(message: Any) -> Any:
    """A message for somebody who cannot open our segments: their bytes are in its frames."""
    payloads = getattr(message, "payloads", ())
    return message._replace(payloads=tuple(map(_inlined, payloads))) if any(map(is_shared, payloads)) else message


def _inlined(payload: Sequence[Any]) -> Sequence[Any]:
    try:
        return load(payload) if is_shared(payload) else payload
    except (ProtocolError, OSError):
        # What is gone fails where somebody waits for it.
        return payload


class Lent:
    """Payloads that were sent to one receiver and that it may still have to open, in the order of sending."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Shared]] = deque()
        #: Bytes that were sent, and how many of them were acknowledged.
        self._sent = 0
        self._acknowledged = 0

    def add(self, payload: Sequence[Any], amount: int) -> None:
        """A payload of so many bytes is sent."""
        self._sent += amount
        if isinstance(payload, Shared):
            self._waiting.append((self._sent, payload))

    @property
    def open(self) -> bool:
        """Whether there is one."""
        return bool(self._waiting)

    def acknowledged(self, amount: int) -> None:
        """The receiver has dealt with so many more bytes."""
        self._acknowledged += amount
        while self._waiting and self._waiting[0][0] <= self._acknowledged:
            self._waiting.popleft()


# ---- who can


def probe() -> Shared | None:
    """A payload that proves to ``can_open`` that two processes can share memory; None: this one cannot.

    The same kernel, the same process namespace, the same user, a system that allows it: no name tells, so it is tried.
    """
    if not available():
        return None
    secret = secrets.token_bytes(16)
    try:
        segment = Segment.create([(0, secret)])
    except OSError:
        return None
    return Shared([_describe([segment], 1, _PLACE.pack(0, 0, len(secret)), secret)], [segment])


def can_open(text: str | None) -> bool:
    """Whether this process can open the ``probe`` of another one; ``text`` is its frame in hexadecimal."""
    try:
        secret, found = load([bytes.fromhex(text)]) if text else (b"", b"none")
    except (ProtocolError, OSError, ValueError):
        return False
    return bytes(secret) == bytes(found)
