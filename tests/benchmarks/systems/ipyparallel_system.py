"""ipyparallel."""

from typing import Any, ClassVar

import ipyparallel

from .ipython import IPythonSystem


class System(IPythonSystem):
    package = ipyparallel
    options: ClassVar[dict[str, Any]] = {"log_level": 50, "engine_timeout": 300}
