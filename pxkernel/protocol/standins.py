"""What stands for something else until it arrives: references, and types that the user has taught to travel.

Both work wherever an object may be: as an argument, inside of containers at any depth, in push and in map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import arrive

#: Type → a function that makes the travelling form of an object of exactly this type (features SER-13).
can_map: dict[type, Callable[[Any], Any]] = {}
#: Type of a travelling form → a function of it and of the receiver's namespace that gives the object back.
#: Both sides need their entries: put them there with ``dview.execute`` or a module that both import.
uncan_map: dict[type, Callable[[Any, dict[str, Any]], Any]] = {}


class LastResort:
    """How to reduce what pickle refuses: ``reduce(obj)`` gives what ``__reduce__`` would; None: not at all."""

    reduce: Callable[[Any], Any] | None = None


class Reference:
    """Something that the engine has, by name (features SER-14).

    Parameters
    ----------
    name
        An expression, which is evaluated in the engine's namespace when the reference arrives there: ``rank``, ``g[0]``.
        What it raises there fails the call.

    Raises
    ------
    TypeError
        ``name`` is no string.
    SyntaxError
        It is no expression.
    """

    def __init__(self, name: str):
        if not isinstance(name, str):
            raise TypeError(f"illegal name: {name!r}")
        self.name = name.strip()
        compile(self.name, "<Reference>", "eval")

    @property
    def __name__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Reference: {self.name!r}>"


def reduce_reference(reference: Reference) -> Any:
    return rebuild_reference, (reference.name,)


def rebuild_reference(name: str) -> Any:
    # Under our own file name, so that an error shows no line that nobody wrote.
    return eval(compile(name, __file__, "eval"), arrive.receiver_namespace())


def reduce_canned(obj: Any) -> Any:
    """For objects of the types in ``can_map``."""
    return rebuild_canned, (can_map[type(obj)](obj),)


def rebuild_canned(canned: Any) -> Any:
    return uncan(canned)


def can(obj: Any) -> Any:
    """The travelling form of ``obj``: what ``can_map`` says, else itself."""
    return can_map[type(obj)](obj) if type(obj) in can_map else obj


def uncan(obj: Any, g: dict[str, Any] | None = None) -> Any:
    """The object behind a travelling form, ``obj`` itself if it is none.

    Parameters
    ----------
    g
        The namespace for what needs one, by default the receiver's.
    """
    if type(obj) not in uncan_map:
        return obj
    return uncan_map[type(obj)](obj, arrive.receiver_namespace() if g is None else g)
