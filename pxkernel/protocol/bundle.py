"""Several packed objects as one payload.

    payload = [index, buffers of the first ..., buffers of the second ..., ...]

The index is the pickled list of (first frame, number of further frames, number of items): what is interpreted is all in the
one frame that messages sign, and it is known how many items an object has that cannot be unpacked.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence

from .pack import Frame


def bundle(objects: Iterable[tuple[Sequence[Frame], int]]) -> list[Frame]:
    """One payload of the frames of several objects, each with how many items are in it."""
    objects = list(objects)
    index = pickle.dumps([(bytes(frames[0]), len(frames) - 1, items) for frames, items in objects], 5)
    return [index, *(frame for frames, _ in objects for frame in frames[1:])]


def unbundle(payload: Sequence[Frame]) -> Iterator[tuple[list[Frame], int]]:
    """The frames of each object, and how many items are in it."""
    position = 1
    for first, count, items in pickle.loads(payload[0]):
        yield [first, *payload[position : position + count]], items
        position += count
