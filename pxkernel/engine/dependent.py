"""Functions that need something of the engine: ``@depend`` and ``@require`` (features DEP-01 to DEP-05).

On an engine the runner asks ``check`` before it calls such a function. If the engine has not what is needed, a balanced
call goes to another one, and a direct call fails with UnmetDependency.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from ..errors import UnmetDependency
from . import namespace


class dependent:
    """A function and the condition under which an engine may run it.

    Called where it is, it is the function alone; the condition is asked on engines.

    Parameters
    ----------
    _wrapped_f
        The function.
    _wrapped_df, dargs, dkwargs
        The condition ``_wrapped_df(*dargs, **dkwargs)``, called on the engine. It is not met if that is False or raises
        UnmetDependency.

    Raises
    ------
    TypeError
        One of the two cannot be called.
    """

    def __init__(
        self, _wrapped_f: Callable[..., Any], _wrapped_df: Callable[..., Any], /, *dargs: Any, **dkwargs: Any
    ):
        for function in (_wrapped_f, _wrapped_df):
            if not callable(function):
                raise TypeError(f"a dependent function is made of two functions, {function!r} is none")
        functools.update_wrapper(self, _wrapped_f, updated=())
        # What update_wrapper adds would travel twice.
        del self.__wrapped__  # type: ignore[attr-defined]
        self.f = _wrapped_f
        self.df = _wrapped_df
        self.dargs = dargs
        self.dkwargs = dkwargs

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, '__name__', None) or self.f!r}>"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self.f(*args, **kwargs)

    def check(self) -> None:
        """Ask the condition.

        Raises
        ------
        UnmetDependency
            It is not met here.
        """
        if self.df(*self.dargs, **self.dkwargs) is False:
            name = getattr(self.df, "__name__", None) or type(self.df).__name__
            raise UnmetDependency(f"{name} is False here")


def depend(_wrapped_df: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], dependent]:
    """Decorate a function that may run only where ``_wrapped_df(*args, **kwargs)`` is not False (features DEP-03).

    Raises
    ------
    TypeError
        ``_wrapped_df`` cannot be called.
    """
    if not callable(_wrapped_df):
        raise TypeError(f"depend needs a function to ask, not {_wrapped_df!r}")
    return lambda f: dependent(f, _wrapped_df, *args, **kwargs)


def require(*objects: str | ModuleType | Callable[..., Any], **mapping: Any) -> Callable[[Callable[..., Any]], dependent]:
    """Decorate a function that needs modules and objects in the engine's namespace (features DEP-01; seeds: "Remote imports").

    Parameters
    ----------
    objects
        Modules, or their names, which are imported; functions, which are bound to their names.
    mapping
        Any objects, by the name that they are bound to.

    They are there when the function is called, and afterwards. An engine that cannot import a module does not meet the
    dependency.

    Raises
    ------
    TypeError
        An object without a name is not given as a keyword.
    """
    modules = []
    for item in objects:
        if isinstance(item, ModuleType):
            modules.append(item.__name__)
        elif isinstance(item, str):
            modules.append(item)
        elif callable(item) and isinstance(name := getattr(item, "__name__", None), str) and name.isidentifier():
            mapping[name] = item
        else:
            raise TypeError(f"Objects other than modules and functions must be passed by kwarg, but got: {type(item)}")
    return lambda f: dependent(f, _provide, modules, mapping)


def _provide(modules: Sequence[str], objects: Mapping[str, Any]) -> None:
    """Import modules and bind objects in the user's namespace of this engine."""
    for module in modules:
        first = module.partition(".")[0]
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UnmetDependency(f"{module}: {error}") from None
        namespace.push({first: importlib.import_module(first)})
    namespace.push(objects)
