"""What the user may want to know about an error of an engine, and only this process can tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ..errors import RemoteError

_UNDEFINED = re.compile(r"name '(\w+)' is not defined")


def add_name_hint(error: RemoteError, namespace: Mapping[str, Any]) -> None:
    """Have a NameError about something that exists here say how to get it there.

    Parameters
    ----------
    namespace
        The user's names of this process. What is in every process, or has been explained on the engine, is passed over.
    """
    match = _UNDEFINED.match(error.evalue) if isinstance(error, NameError) else None
    if match is None or (name := match[1]) not in namespace or f"`{name}` " in error.traceback:
        return
    value = namespace[name]
    if isinstance(value, ModuleType):
        statement = f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}")
        error.add_hint(f"`{name}` is a module in your notebook, not on the engine: %px {statement}")
    else:
        error.add_hint(f"`{name}` exists in your notebook, not on the engine: push it with dview.push(dict({name}={name}))")
