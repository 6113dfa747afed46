"""ipyparallel."""

import ipyparallel

from .ipython import IPythonSystem


class System(IPythonSystem):
    package = ipyparallel
    options = {"log_level": 50}
