"""Several packed objects as one payload.

    payload = [index, buffers of the first ..., buffers of the second ..., ...]

The index is the pickled list of (first frame, number of further frames): what is interpreted is all in the one frame that
messages sign.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence

from .pack import Frame
from .wire import raw


def bundle(objects: Iterable[Sequence[Frame]]) -> list[Frame]:
    """One payload of the frames of several objects."""
    objects = list(objects)
    index = pickle.dumps([(bytes(frames[0]), len(frames) - 1) for frames in objects], 5)
    return [index, *(frame for frames in objects for frame in frames[1:])]


def unbundle(payload: Sequence[Frame]) -> Iterator[list[Frame]]:
    """The frames of each object."""
    position = 1
    for first, count in pickle.loads(raw(payload[0])):
        yield [first, *payload[position : position + count]]
        position += count
