"""Serialization for programs that want to do it themselves (features SER-15, SER-16): the frames that calls travel in."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from . import arrive
from .pack import Frame, detached, pack, pack_call, unpack
from .reducers import REDUCERS
from .standins import LastResort


class PrePickled:
    """An object that is pickled here and now, once, however often it is sent after that; it arrives as the object.

    Parameters
    ----------
    obj
        Anything that can be sent. Later changes to it are not sent.

    Raises
    ------
    TypeError, pickle.PicklingError
        It cannot be sent.
    """

    def __init__(self, obj: Any):
        self._frames = detached(pack(obj))

    def __repr__(self) -> str:
        return f"<PrePickled: {sum(map(len, self._frames))} bytes>"


def _reduce(found: PrePickled) -> Any:
    return rebuild_pre_pickled, tuple(map(pickle.PickleBuffer, found._frames))


def rebuild_pre_pickled(*frames: Frame) -> Any:
    namespace, travelled = arrive.receiver()
    return unpack(frames, namespace=namespace, travelled=travelled)


REDUCERS[PrePickled] = _reduce


def use_dill() -> None:
    """Have this process send by dill what pickle refuses: locks, for example (features SER-07).

    Who receives it needs dill too. ``view.use_dill()`` does it here and on the view's engines.

    Raises
    ------
    ImportError
        There is no dill here.
    """
    dill = importlib.import_module("dill")

    def reduce(obj: Any) -> Any:
        try:
            obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        except TypeError:
            return dill.loads, (dill.dumps(obj),)
        return NotImplemented

    LastResort.reduce = reduce


def use_cloudpickle() -> None:
    """End what ``use_dill`` began. Functions and classes of a notebook travel by value always (features SER-07)."""
    LastResort.reduce = None


def use_pickle() -> None:
    """As ``use_cloudpickle``: nothing needs less than that (features SER-07)."""
    use_cloudpickle()


def serialize_object(obj: Any) -> list[Frame]:
    """The frames of an object; they share memory with its arrays.

    Raises
    ------
    TypeError, pickle.PicklingError
        It cannot be sent.
    """
    return pack(obj)


def deserialize_object(buffers: Sequence[Frame], g: dict[str, Any] | None = None) -> tuple[Any, list[Frame]]:
    """The object in ``buffers``, and the buffers behind it, of which there are none.

    Parameters
    ----------
    g
        The namespace for functions of a notebook, by default that of ``__main__``.
    """
    return unpack(buffers, namespace=g), []


def pack_apply_message(f: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Frame]:
    """The frames of the call ``f(*args, **kwargs)``.

    Raises
    ------
    TypeError, pickle.PicklingError
        The function or an argument cannot be sent; the text names it.
    """
    return pack_call(f, tuple(args), dict(kwargs))


def unpack_apply_message(bufs: Sequence[Frame], g: dict[str, Any] | None = None) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """``(f, args, kwargs)`` again; ``g`` as in ``deserialize_object``."""
    return unpack(bufs, namespace=g)  # type: ignore[no-any-return]
