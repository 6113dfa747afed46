"""The functions behind push, pull and their relatives: called on the engine like any user's function.

Names may be any target or expression, ``a``, ``a.b`` or ``a[0]`` (features DV-05, DV-06).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..protocol import here
from ..protocol.pack import Travelled

#: What came to this engine along with functions, and is not the user's own.
travelled = Travelled()
#: The user's namespace; the extension sets it when it joins a cluster.
user: dict[str, Any] = {}


def bind_kernel(**options: Any) -> None:
    """Does nothing on an engine: an engine is a kernel with ports of its own (features JUP-02).

    ``rc.console(3)`` and ``rc.connection_file(3)`` say how to attach a front end to it.

    Raises
    ------
    RuntimeError
        This process is no engine.
    """
    if here.engine is None:
        raise RuntimeError("bind_kernel must be called on an engine: rc[:].apply_sync(px.bind_kernel)")


def push(values: Mapping[str, Any]) -> None:
    """Bind every name in ``values`` in the user's namespace."""
    for name, value in values.items():
        if name.isidentifier():
            user[name] = value
        else:
            # The value is bound under a name that no user can write, so that the target may be any expression.
            user[" pushed"] = value
            try:
                exec(f"{name} = globals()[' pushed']", user)
            finally:
                user.pop(" pushed", None)
    travelled.forget(*values)


def clear() -> None:
    """Empty the user's namespace, In and Out as well."""
    # Here, because a client imports this module and need not load IPython.
    from IPython import get_ipython

    get_ipython().reset()
    travelled.forget_all()


def pull(names: str | Sequence[str]) -> Any:
    """The value of one expression, or a list of the values of several."""
    if isinstance(names, str):
        return _value(names)
    return [_value(name) for name in names]


def _value(name: str) -> Any:
    if name in user:
        return user[name]
    # Under our own file name, so that an error shows what it is and no line that nobody wrote.
    return eval(compile(name, __file__, "eval"), user)
