"""Both forms of a method that takes a while: ``x_sync()`` blocks, ``await x()`` does not (features CLU-19)."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_SUFFIX = "_sync"


def with_awaitable_twins(cls: type[T]) -> type[T]:
    """Class decorator: for every public method ``x_sync`` a coroutine function ``x`` that runs it in a thread.

    A method ``x`` that the class defines itself is left alone.
    """
    for name, method in list(vars(cls).items()):
        twin = name.removesuffix(_SUFFIX)
        if name.endswith(_SUFFIX) and not name.startswith("_") and twin not in vars(cls):
            setattr(cls, twin, _awaitable(twin, method))
    return cls


def _awaitable(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def twin(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(method, self, *args, **kwargs)

    twin.__name__ = name
    twin.__qualname__ = f"{method.__qualname__.rpartition('.')[0]}.{name}"
    twin.__doc__ = f"As ``{name}{_SUFFIX}``, awaitable: the event loop goes on meanwhile.\n\n{method.__doc__ or ''}"
    return twin
