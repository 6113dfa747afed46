"""A message as frames: ``[signature and header, payload frames ...]``.

The signature (keyed BLAKE2b, 32 bytes) covers the header, which has the length of every frame, and the first frame of
every payload. What lies in the buffers behind it (the bytes of arrays and of long strings) is data of a known length, is
interpreted by nobody, and is not hashed, as in Jupyter's own messages. A Codec belongs to one cluster: it holds its key.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import fields
from hashlib import blake2b
from typing import Any, get_args

from ..errors import ProtocolError
from .messages import Message

_TYPES: dict[str, type] = {cls.__name__: cls for cls in get_args(Message)}
#: The names of the fields that go into the header, in the order of the constructor.
_HEADER: dict[type, list[str]] = {
    cls: [field.name for field in fields(cls) if field.name != "payloads"] for cls in _TYPES.values()
}
_CARRIES = {cls for cls in _TYPES.values() if any(field.name == "payloads" for field in fields(cls))}
#: Bytes of a signature.
SIGNATURE = 32
# Made once: `json.dumps` with separators of its own makes an encoder for every call.
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_from_json = json.JSONDecoder().decode


def raw(frame: Any) -> Any:
    """The buffer of a zmq frame; bytes, bytearrays and memoryviews are their own."""
    return getattr(frame, "buffer", frame)


class Codec:
    """Signs and verifies the messages of one cluster.

    Parameters
    ----------
    key
        The cluster's secret, from its cluster file: at most 64 bytes.
    """

    def __init__(self, key: bytes):
        self._keyed = blake2b(key=key, digest_size=SIGNATURE)

    def _sign(self, header: bytes, payloads: Sequence[Sequence[Any]]) -> bytes:
        # No byte can be moved from one part to the next: the header gives the lengths of the others, and no beginning of
        # a JSON list is one, nor is a list with anything behind it.
        mac = self._keyed.copy()
        mac.update(header)
        for payload in payloads:
            if payload:
                mac.update(raw(payload[0]))
        return mac.digest()

    def encode(self, message: Message) -> list[Any]:
        """The frames of a message, signed."""
        cls = type(message)
        values = [getattr(message, name) for name in _HEADER[cls]]
        if cls not in _CARRIES:
            header = _to_json([cls.__name__, values]).encode()
            return [self._sign(header, ()) + header]
        payloads = message.payloads  # type: ignore[union-attr]
        header = _to_json([cls.__name__, values, [list(map(len, payload)) for payload in payloads]]).encode()
        return [self._sign(header, payloads) + header, *(frame for payload in payloads for frame in payload)]

    def decode(self, frames: Sequence[Any]) -> Message:
        """The message in ``frames``.

        Raises
        ------
        ProtocolError
            The signature is wrong, or the frames are no message.
        """
        if not frames:
            raise ProtocolError("a message has at least one frame, this one has none")
        signed = bytes(raw(frames[0]))
        signature, header = signed[:SIGNATURE], signed[SIGNATURE:]
        payloads, parsed = self._payloads(header, frames)
        if not hmac.compare_digest(signature, self._sign(header, payloads)):
            raise ProtocolError("a message with a wrong signature was dropped")
        try:
            cls = _TYPES[parsed[0]]
            if cls in _CARRIES:
                return cls(*parsed[1], payloads=tuple(payloads))
            return cls(*parsed[1])
        except (KeyError, TypeError, IndexError) as error:
            raise ProtocolError(f"a message that is none: {error!r}") from None

    @staticmethod
    def _payloads(header: bytes, frames: Sequence[Any]) -> tuple[list[Sequence[Any]], list[Any]]:
        # The lengths are read before the signature is checked, since they say which frames it covers; whoever lies about
        # them signs other frames.
        try:
            parsed = _from_json(header.decode())
            payloads, position = [], 1
            for lengths in parsed[2] if len(parsed) > 2 else ():
                payload = frames[position : position + len(lengths)]
                if list(map(len, payload)) != lengths:
                    raise ValueError("a frame is not as long as announced")
                payloads.append(payload)
                position += len(lengths)
        except (ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
            raise ProtocolError(f"a message that is none: {error!r}") from None
        if position != len(frames):
            raise ProtocolError(f"a message of {len(frames)} frames announces {position}")
        return payloads, parsed
