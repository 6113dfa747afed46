"""What a user wishes for a cluster and its engines: every argument of Cluster, checked when it is given."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from ..client.membership import engine_count
from ..protocol.pack import pack_call

#: Variables for every engine, or a function of the engine id that returns those of one engine. None removes a variable.
Environment = Mapping[str, str | None] | Callable[[int], Mapping[str, str | None]]
#: In a cluster's directory: the start-up code.
ON_START = "on_start.json"
#: Source code, or a function without arguments.
OnStart = str | Callable[[], object]
#: The ways to start engines that need no entry point, beside those that have one.
_OWN_PROVISIONERS = ("forkserver", "local")


class Wish:
    """An attribute of a Cluster whose values are checked whenever it is set.

    Parameters
    ----------
    check
        Gives the value to keep; raises TypeError or ValueError, and names the attribute.
    """

    def __init__(self, check: Callable[[Any], Any]):
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, cluster: object | None, owner: type) -> Any:
        return self if cluster is None else vars(cluster)[self._name]

    def __set__(self, cluster: object, value: Any) -> None:
        vars(cluster)[self._name] = self._check(value)


def check_text(name: str, value: str | None) -> str | None:
    """A string or None; raises TypeError, which names the argument, if it is neither."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a string or None, not {value!r}")
    return value


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


def check_n(n: int | None) -> int | None:
    """How many engines, or None; raises ValueError if it is no number of engines."""
    return None if n is None else engine_count(n)


def check_environment(environment: Environment | None) -> Environment | None:
    """An environment or None; what a function returns is seen when it is called. Raises as ``environment_of``."""
    if not callable(environment):
        environment_of(environment, 0)
    return environment


def check_on_start(on_start: OnStart | None) -> OnStart | None:
    """Source code, a function, or None; raises TypeError if it is none of them."""
    if on_start is not None and not isinstance(on_start, str) and not callable(on_start):
        raise TypeError(f"on_start must be source code or a function, not {on_start!r}")
    return on_start


def check_controller(controller: str) -> str:
    """How the controller is started; raises ValueError unless it is "local"."""
    if controller != "local":
        raise ValueError(f"controller must be 'local', not {controller!r}: launcher classes do not exist")
    return controller


def check_provisioner(engines: str | None) -> str | None:
    """How engines are started.

    Raises
    ------
    TypeError, ValueError
        It is no string, or there is no kernel provisioner of this name.
    """
    if engines is None or engines in _OWN_PROVISIONERS:
        return engines
    if not isinstance(engines, str):
        raise TypeError(f"engines must be the name of a provisioner, not {engines!r}: launcher classes do not exist")
    # Few ask for one, and it takes a while to import.
    from importlib.metadata import entry_points

    names = {*_OWN_PROVISIONERS, *entry_points(group="jupyter_client.kernel_provisioners").names}
    if engines not in names:
        raise ValueError(f"engines must be the name of a kernel provisioner ({', '.join(sorted(names))}), not {engines!r}")
    return engines


def check_transport(transport: str) -> str:
    """How kernels are reached; raises ValueError if it is neither "ipc" nor "tcp"."""
    if transport not in ("ipc", "tcp"):
        raise ValueError(f"transport must be 'ipc' or 'tcp', not {transport!r}")
    return transport


def check_ip(ip: str | None) -> str | None:
    """Where the controller listens for other machines, None for "" as well: nowhere.

    Raises
    ------
    TypeError, ValueError
        It is no string, or an address of IPv6.
    """
    if check_text("controller_ip", ip) and ":" in ip:
        raise ValueError(f"controller_ip must be an IPv4 address, the name of an interface or '*', not {ip!r}")
    return ip or None


def check_location(location: str | None) -> str | None:
    """By which name other machines find the controller, None for "" as well.

    Raises
    ------
    TypeError, ValueError
        It is no string, or no name of a machine.
    """
    if check_text("controller_location", location) and not re.fullmatch(r"[^\s:/]+", location):
        raise ValueError(f"controller_location must be the name or the IPv4 address of a machine, not {location!r}")
    return location or None


def check_port(port: int) -> int:
    """The number of a TCP port, 0 for any; raises ValueError if it is none."""
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65536:
        raise ValueError(f"controller_port must be a number below 65536, not {port!r}")
    return port


def check_seconds(timeout: float) -> float:
    """A time for the engines; raises TypeError if it is no number."""
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(f"engine_timeout must be a number of seconds, not {timeout!r}")
    return timeout


def check_restore_timeout(timeout: float) -> float:
    """How long engines wait for a new controller; raises TypeError or ValueError if it is no such time."""
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(f"restore_timeout must be a number of seconds, not {timeout!r}")
    if not 0 < timeout < float("inf"):
        raise ValueError(f"restore_timeout must be a number of seconds, above 0 and with an end, not {timeout!r}")
    return float(timeout)


def check_bool(name: str, value: bool) -> bool:
    """A bool; raises TypeError, which names the argument, if it is none."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def check_strings(name: str, values: Sequence[str]) -> list[str]:
    """A list of strings; raises TypeError, which names the argument, if it is none."""
    strings = None if isinstance(values, str) or not isinstance(values, Iterable) else list(values)
    if strings is None or not all(isinstance(value, str) for value in strings):
        raise TypeError(f"{name} must be a list of strings, not {values!r}")
    return strings


def check_preload(preload: Sequence[str]) -> list[str]:
    """The names of modules; raises TypeError if they are none."""
    names = check_strings("preload", preload)
    for name in names:
        if not all(map(str.isidentifier, name.split("."))):
            raise TypeError(f"preload must be a list of names of modules, and {name!r} is none")
    return names


def pack_on_start(on_start: OnStart) -> str:
    """The content of the file by which each engine gets its start-up code.

    Raises
    ------
    Exception
        The function cannot travel: what pickling it raises.
    """
    kind, frames = ("execute", [on_start.encode()]) if isinstance(on_start, str) else ("apply", pack_call(on_start))
    return json.dumps({"kind": kind, "frames": [base64.b64encode(frame).decode() for frame in frames]})
