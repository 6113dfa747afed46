"""How many threads the numerical libraries of an engine start."""

from __future__ import annotations

import os
from collections.abc import Mapping

#: A library reads its own variable once, when it is loaded, so they must be in the environment of the fork server that
#: preloads it.
VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)  # fmt: skip


def limit_threads(environment: Mapping[str, str], engines: int) -> dict[str, str]:
    """``environment`` with as many threads per engine as there are cores for it, unless the user has set any number."""
    limited = dict(environment)
    if any(name in environment for name in VARIABLES):
        return limited
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limited.update(dict.fromkeys(VARIABLES, str(max(1, cores // max(1, engines)))))
    return limited
