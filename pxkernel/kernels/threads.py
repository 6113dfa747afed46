"""How many threads the numerical libraries of an engine start."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..protocol.processes import cores

#: A library reads its own variable once, when it is loaded, so they must be in the environment of the fork server that
#: preloads it.
VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)  # fmt: skip


#: The one that most libraries heed when their own is not set.
_COMMON = "OMP_NUM_THREADS"


def thread_limits(environment: Mapping[str, str], engines: int) -> dict[str, str]:
    """What to add to ``environment`` so that each engine has as many threads as there are cores for it.

    What the user has set stays; who has set OMP_NUM_THREADS has set it for all libraries.
    """
    if _COMMON in environment:
        return {}
    threads = str(max(1, cores() // max(1, engines)))
    return {name: threads for name in VARIABLES if name not in environment}


def without_limits(
    environment: Mapping[str, str], chosen: Collection[str], limits: Collection[str]
) -> dict[str, str]:
    """``environment`` for a kernel for which the user may have ``chosen`` threads: then ours are out of the way."""
    if not any(name in VARIABLES for name in chosen):
        return dict(environment)
    return {name: value for name, value in environment.items() if name not in limits}
