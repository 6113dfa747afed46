"""A message as frames: ``[signature and header, payload frames ...]``.

The signature (keyed BLAKE2b, 32 bytes) covers the header, which has the length of every frame, and the first frame of
every payload. What lies in the buffers behind it (the bytes of arrays and of long strings) is data of a known length, is
interpreted by nobody, and is not hashed, as in Jupyter's own messages. A Codec belongs to one cluster: it holds its key.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import chain
from typing import Any, get_args

from ..errors import ProtocolError
from .messages import Message

#: Bytes of a signature.
SIGNATURE = 32
_TYPES: dict[str, type] = {cls.__name__: cls for cls in get_args(Message)}
#: Those whose last field is ``payloads``.
_CARRIES = {cls for cls in _TYPES.values() if cls._fields[-1] == "payloads"}  # type: ignore[attr-defined]


def _json_writer() -> Callable[[Any], str]:
    """As ``json.JSONEncoder(separators=(",", ":")).encode``, which makes its encoder anew for every call (2 of 4 us)."""
    encoder = json.JSONEncoder(separators=(",", ":"))
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    text = json.encoder.encode_basestring_ascii  # type: ignore[attr-defined]
    # markers (None: what contains itself is a RecursionError), default, encoder, indent, the separators, sort_keys, skipkeys,
    # allow_nan
    write = make(None, encoder.default, text, None, ":", ",", False, False, True)
    return lambda value: "".join(write(value, 0))


_to_json = _json_writer()
# The value that begins at a position, and where it ends: `decode` looks for white space around it as well.
_from_json = json.JSONDecoder().scan_once


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
                mac.update(payload[0])
        return mac.digest()

    def encode(self, message: Message) -> list[Any]:
        """The frames of a message, signed."""
        cls = type(message)
        if cls not in _CARRIES:
            header = _to_json((cls.__name__, message)).encode()
            return [self._sign(header, ()) + header]
        *values, payloads = message
        header = _to_json((cls.__name__, values, [list(map(len, payload)) for payload in payloads])).encode()
        return [self._sign(header, payloads) + header, *chain.from_iterable(payloads)]

    def decode(self, frames: Sequence[Any]) -> Message:
        """The message in ``frames``.

        Raises
        ------
        ProtocolError
            The signature is wrong, or the frames are no message.
        """
        if not frames:
            raise ProtocolError("a message has at least one frame, this one has none")
        signed = bytes(frames[0])
        header = signed[SIGNATURE:]
        # The lengths are read before the signature is checked, since they say which frames it covers; whoever lies about
        # them signs other frames.
        try:
            text = header.decode()
            (name, values, *lengths), end = _from_json(text, 0)
            if end != len(text):
                raise ValueError("something follows the header")
            payloads = _payloads(lengths[0] if lengths else (), frames)
        except (ValueError, TypeError, IndexError, KeyError, RecursionError, StopIteration) as error:
            raise ProtocolError(f"a message that is none: {error!r}") from None
        if not hmac.compare_digest(signed[:SIGNATURE], self._sign(header, payloads)):
            raise ProtocolError("a message with a wrong signature was dropped")
        try:
            cls = _TYPES[name]
            return cls(*values, payloads) if cls in _CARRIES else cls(*values)
        except (KeyError, TypeError) as error:
            raise ProtocolError(f"a message that is none: {error!r}") from None


def _payloads(lengths: Sequence[Sequence[int]], frames: Sequence[Any]) -> tuple[Sequence[Any], ...]:
    """The frames behind the first one, cut into payloads.

    Raises
    ------
    ValueError
        They are not what was announced.
    """
    rest = frames[1:]
    found = list(map(len, rest))
    if len(lengths) == 1 and found == lengths[0]:
        return (rest,)
    if found != list(chain.from_iterable(lengths)):
        raise ValueError("the frames are not as long as announced")
    payloads, position = [], 0
    for announced in lengths:
        payloads.append(rest[position : position + len(announced)])
        position += len(announced)
    return tuple(payloads)
