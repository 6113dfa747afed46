"""What a user wishes for the engines of a cluster: environment and start-up code, checked before anything is started."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence

from ..protocol.pack import pack_call

#: Variables for every engine, or a function of the engine id that returns those of one engine. None removes a variable.
Environment = Mapping[str, str | None] | Callable[[int], Mapping[str, str | None]]
#: In a cluster's directory: the start-up code.
ON_START = "on_start.json"
#: Source code, or a function without arguments.
OnStart = str | Callable[[], object]


def environment_of(environment: Environment | None, engine: int) -> dict[str, str | None]:
    """The variables of one engine.

    Raises
    ------
    TypeError
        ``environment``, or what it returns, is no mapping of names to strings.
    """
    values = environment(engine) if callable(environment) else environment
    where = f" for engine {engine}" if callable(environment) else ""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise TypeError(f"environment must be a mapping of names to strings, or a function that returns one, not {values!r}")
    for name, value in values.items():
        if not isinstance(name, str) or not name or "=" in name:
            raise TypeError(f"environment{where}: {name!r} is no name of a variable")
        if value is not None and not isinstance(value, str):
            raise TypeError(f"environment{where}: the value of {name} must be a string or None, not {value!r}")
        if "\0" in name + (value or ""):
            raise ValueError(f"environment{where}: {name!r} has a null character")
    return dict(values)


def check_on_start(on_start: OnStart | None) -> None:
    """Raises TypeError unless it is source code or a function."""
    if on_start is not None and not isinstance(on_start, str) and not callable(on_start):
        raise TypeError(f"on_start must be source code or a function, not {on_start!r}")


def check_transport(transport: str) -> str:
    """How kernels are reached.

    Raises
    ------
    ValueError
        It is neither "ipc" nor "tcp".
    """
    if transport not in ("ipc", "tcp"):
        raise ValueError(f"transport must be 'ipc' or 'tcp', not {transport!r}")
    return transport


def check_place(ip: str | None, location: str | None, port: int) -> None:
    """Raises ValueError unless this says where a controller can listen for other machines, or that it does not."""
    if not ip and (location or port):
        raise ValueError("controller_location and controller_port are for a controller with a controller_ip")
    if not isinstance(port, int) or not 0 <= port < 65536:
        raise ValueError(f"controller_port must be a number below 65536, not {port!r}")


def check_strings(name: str, values: Sequence[str]) -> list[str]:
    """A list of strings; raises TypeError, which names the argument, if it is none."""
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{name} must be a list of strings, not {values!r}")
    return list(values)


def check_preload(preload: Sequence[str]) -> list[str]:
    """The names of modules; raises TypeError if they are none."""
    for name in check_strings("preload", preload):
        if not all(map(str.isidentifier, name.split("."))):
            raise TypeError(f"preload must be a list of names of modules, and {name!r} is none")
    return list(preload)


def pack_on_start(on_start: OnStart) -> str:
    """The content of the file by which each engine gets its start-up code.

    Raises
    ------
    Exception
        The function cannot travel: what pickling it raises.
    """
    kind, frames = ("execute", [on_start.encode()]) if isinstance(on_start, str) else ("apply", pack_call(on_start))
    return json.dumps({"kind": kind, "frames": [base64.b64encode(frame).decode() for frame in frames]})
