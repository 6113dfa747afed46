"""A message as zmq frames: ``[signature, header, payload frames ...]``.

The signature is an HMAC-SHA256 over the header, which has the length of every frame, and over the first frame of every
payload. What lies in the buffers behind it (the bytes of arrays and of long strings) is data of a known length, is
interpreted by nobody, and is not hashed, as in Jupyter's own messages. A Codec belongs to one cluster: it holds its key.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args

from ..errors import ProtocolError
from .messages import Message

_TYPES: dict[str, type] = {cls.__name__: cls for cls in get_args(Message)}
#: The names of the fields that go into the header, in the order of the constructor.
_HEADER: dict[type, list[str]] = {
    cls: [field.name for field in fields(cls) if field.name != "payloads"] for cls in _TYPES.values()
}
_CARRIES = {cls for cls in _TYPES.values() if any(field.name == "payloads" for field in fields(cls))}


def size(frames: Sequence[Any]) -> int:
    """The bytes of a list of frames (bytes, buffers or zmq frames)."""
    return sum(map(len, frames))


def raw(frame: Any) -> Any:
    """The buffer of a zmq frame; bytes and memoryviews are their own."""
    return getattr(frame, "buffer", frame)


class Codec:
    """Signs and verifies the messages of one cluster.

    Parameters
    ----------
    key
        The cluster's secret, from its cluster file.
    """

    def __init__(self, key: bytes):
        self._key = key

    def _sign(self, parts: Sequence[Any]) -> bytes:
        # Their lengths too: otherwise bytes could be moved from the end of one part to the beginning of the next.
        lengths = list(map(len, parts))
        start = repr(lengths).encode()
        if sum(lengths) < 65536:
            return hmac.digest(self._key, b"".join([start, *parts]), "sha256")
        mac = hmac.new(self._key, start, "sha256")
        for part in parts:
            mac.update(part)
        return mac.digest()

    def encode(self, message: Message) -> list[Any]:
        """The frames of a message, signed."""
        cls = type(message)
        values = [getattr(message, name) for name in _HEADER[cls]]
        if cls not in _CARRIES:
            header = json.dumps([cls.__name__, values], separators=(",", ":")).encode()
            return [self._sign([header]), header]
        payloads = message.payloads  # type: ignore[union-attr]
        header = json.dumps([cls.__name__, values, [list(map(len, p)) for p in payloads]], separators=(",", ":")).encode()
        signature = self._sign([header, *(raw(payload[0]) for payload in payloads if payload)])
        return [signature, header, *(frame for payload in payloads for frame in payload)]

    def decode(self, frames: Sequence[Any]) -> Message:
        """The message in ``frames``.

        Raises
        ------
        ProtocolError
            The signature is wrong, or the frames are no message.
        """
        if len(frames) < 2:
            raise ProtocolError(f"a message has at least two frames, this one has {len(frames)}")
        signature, header = bytes(raw(frames[0])), bytes(raw(frames[1]))
        payloads, counted = self._payloads(header, frames)
        signed = [header, *(raw(payload[0]) for payload in payloads if payload)]
        if not hmac.compare_digest(signature, self._sign(signed)):
            raise ProtocolError("a message with a wrong signature was dropped")
        try:
            name, values = counted[0], counted[1]
            cls = _TYPES[name]
            if cls in _CARRIES:
                return cls(*values, payloads=tuple(payloads))
            return cls(*values)
        except (KeyError, TypeError, IndexError) as error:
            raise ProtocolError(f"a message that is none: {error!r}") from None

    @staticmethod
    def _payloads(header: bytes, frames: Sequence[Any]) -> tuple[list[list[Any]], list[Any]]:
        # The lengths are read before the signature is checked, since they say which frames it covers; whoever lies about
        # them signs other frames.
        try:
            parsed = json.loads(header)
            payloads, position = [], 2
            for lengths in parsed[2] if len(parsed) > 2 else []:
                payload = list(frames[position : position + len(lengths)])
                if list(map(len, payload)) != lengths:
                    raise ValueError("a frame is not as long as announced")
                payloads.append(payload)
                position += len(lengths)
        except (ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
            raise ProtocolError(f"a message that is none: {error!r}") from None
        if position != len(frames):
            raise ProtocolError(f"a message of {len(frames)} frames announces {position}")
        return payloads, parsed
