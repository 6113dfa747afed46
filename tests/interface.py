"""The public names and signatures of pxkernel beside those of ipyparallel, so that a missing one is seen.

    python tests/interface.py [--missing]

Needs ipyparallel (the extra ``bench``). One line for each public name of ipyparallel and of its classes: "=" for the same
parameters, "+" for more, "~" for parameters that pxkernel does not have, "-" for a name that it does not have; behind it why,
where that is on purpose. The exit code is 1 if a name or a parameter is missing without a reason. ``--missing`` prints only
"~" and "-".
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator

import ipyparallel
import traitlets.config

import pxkernel

CLASSES = [
    "Client", "DirectView", "LoadBalancedView", "BroadcastView", "AsyncResult", "AsyncMapResult", "AsyncHubResult",
    "RemoteFunction", "ParallelFunction", "Reference", "PrePickled", "Dependency", "depend", "require", "dependent",
    "ViewExecutor", "Cluster", "ClusterManager", "RemoteError", "CompositeError", "TaskAborted",
]  # fmt: skip
LATER = "left for later (issue 3)"
CURVE = "the keys are in the cluster file, and a client has no socket of its own to set up"
TRAIT = "configuration of the process: arguments of Cluster instead"
LAUNCHERS = "provisioners of Jupyter instead of launchers"
NO_SOCKETS = "the sockets of a client are nobody else's: apply and execute of views"
SERVER = "what a server extension needs"
#: Names that are missing on purpose, and why.
ON_PURPOSE = {
    "Client.become_dask": LATER, "Client.stop_dask": LATER,
    "Client.become_distributed": LATER, "Client.stop_distributed": LATER,
    "Client.create_message_futures": NO_SOCKETS, "Client.send_apply_request": NO_SOCKETS,
    "Client.send_execute_request": NO_SOCKETS, "Client.debug": "Jupyter's own tools show what engines say",
    "Client.curve_publickey": CURVE, "Client.curve_secretkey": CURVE, "Client.curve_serverkey": CURVE,
    "Cluster.controller_args": LAUNCHERS, "Cluster.controller_launcher_class": LAUNCHERS,
    "Cluster.engine_launcher_class": LAUNCHERS,
    "Cluster.delay": "engines start at once", "Cluster.load_profile": TRAIT, "Cluster.profile_config": TRAIT,
    "Cluster.profile_dir": TRAIT, "Cluster.log_level": TRAIT,
    "Cluster.send_engines_connection_env": LAUNCHERS, "Cluster.remove_cluster_file": "stopping removes it",
    "Cluster.update_cluster_file": "the controller keeps it", "Cluster.write_cluster_file": "the controller writes it",
    "ParallelFunction.mapObject": "was for the function's own use", "Reference.get_object": "evaluated on arrival",
    "Reference.buffers": "of the serializer", "Reference.hook": "of the serializer", "Reference.obj": "of the serializer",
    "PrePickled.buffers": "of the serializer", "dependent.check_dependency": "the engine asks",
    "MultipleInstanceError": "of traitlets", "load_jupyter_server_extension": SERVER,
    "TaskRejectError": "was internal to the old scheduler",
    "serialize": "its names are at the top", "util": "was for its own use",
}  # fmt: skip
#: What lacks parameters on purpose, and why.
LACKS_ON_PURPOSE = {
    "Cluster": "no launchers, no configuration files, no log of its own, engines start at once; profiles are names",
    "Cluster.from_file": "profiles are names and have no directory of clusters",
    "ClusterManager.load_clusters": "profiles are names and have no directory of clusters",
    "collect_exceptions": "its first argument is called results, and is given by position",
    "pack_apply_message": "one rule at every size", "serialize_object": "one rule at every size",
    "unpack_apply_message": "what arrives is private to the receiver always",
}
#: Made by views, clients and engines, not by users: their constructors are nobody's interface.
MADE = {
    "AsyncHubResult", "AsyncMapResult", "AsyncResult", "BroadcastView", "CompositeError", "DirectView", "LoadBalancedView",
    "ParallelFunction", "RemoteError", "RemoteFunction",
}  # fmt: skip
_OWN_TRAITS = {*dir(traitlets.config.LoggingConfigurable), *dir(dict), *dir(Exception)}


def names(cls: type) -> set[str]:
    """The public attributes of a class and of its instances."""
    assigned = (re.findall(r"\bself\.(\w+)(?:: [^=\n]+)? = ", inspect.getsource(base)) for base in _bases(cls))
    return {name for name in {*dir(cls), *(name for found in assigned for name in found)} if not name.startswith("_")}


def _bases(cls: type) -> Iterator[type]:
    return (base for base in cls.__mro__ if base.__module__.startswith(("ipyparallel", "pxkernel")))


def signature(obj: object) -> inspect.Signature | None:
    try:
        return inspect.signature(obj) if callable(obj) else None
    except (TypeError, ValueError):
        return None


def compare(theirs: inspect.Signature | None, ours: inspect.Signature | None) -> str:
    """ "=", "+" or "~" for two signatures."""
    if theirs is None or ours is None:
        return "="
    named = [p for p in theirs.parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    wanted = {p.name.lstrip("_") for p in named} - {"self"}
    given = {p.name.lstrip("_") for p in ours.parameters.values()}
    takes_all = any(p.kind is p.VAR_KEYWORD for p in ours.parameters.values())
    by_place = {p.name for p in ours.parameters.values() if p.kind is p.POSITIONAL_ONLY}
    lacking = wanted - given
    if lacking and not takes_all and len(lacking) > len(by_place):
        return "~"
    return "+" if given > wanted else "="


def rows() -> Iterator[tuple[str, str, str]]:
    """(mark, name, what to say) for everything that ipyparallel has."""
    for name in sorted(set(dir(ipyparallel)) - {"builtins", "os", "sys", "traceback", "traitlets"}):
        found = getattr(ipyparallel, name)
        if name.startswith("_") or (inspect.ismodule(found) and not found.__name__.startswith("ipyparallel.")):
            continue
        yield row(name, ipyparallel, pxkernel, name)
    for name in CLASSES:
        theirs, ours = getattr(ipyparallel, name), getattr(pxkernel, name, None)
        if not isinstance(theirs, type) or not isinstance(ours, type):
            continue
        known = names(ours)
        for member in sorted(names(theirs) - _OWN_TRAITS):
            full = f"{name}.{member}"
            yield row(full, theirs, ours, member) if member in known else missing(full, getattr(theirs, member, None))


def row(full: str, theirs: object, ours: object, name: str) -> tuple[str, str, str]:
    a, b = signature(getattr(theirs, name, None)), signature(getattr(ours, name, None))
    if isinstance(ours, type) or hasattr(ours, name):
        mark = "=" if full in MADE else compare(a, b)
        why = f" {LACKS_ON_PURPOSE.get(full, 'LACKS PARAMETERS')}:" if mark == "~" else ""
        return mark, full, f"{why} {a or ''}" + (f"  →  {b}" if mark != "=" and b else "")
    return missing(full, getattr(theirs, name, None))


def missing(full: str, theirs: object) -> tuple[str, str, str]:
    return "-", full, ON_PURPOSE.get(full, f"{signature(theirs) or ''}  MISSING")


def main() -> int:
    only_missing = "--missing" in sys.argv[1:]
    found = list(rows())
    for mark, name, text in found:
        if mark in "~-" or not only_missing:
            print(mark, name, text)
    reasons = {"-": ON_PURPOSE, "~": LACKS_ON_PURPOSE}
    unexplained = [name for mark, name, _ in found if mark in reasons and name not in reasons[mark]]
    unexplained += sorted({*ON_PURPOSE, *LACKS_ON_PURPOSE} - {name for mark, name, _ in found if mark in reasons})
    text = "missing or lacking parameters without a reason, or the other way round"
    print(f"\n{len(found)} names of ipyparallel {ipyparallel.__version__}, {len(unexplained)} {text}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
