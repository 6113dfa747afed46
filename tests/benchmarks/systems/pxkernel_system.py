"""pxkernel."""

import pxkernel

from .ipython import IPythonSystem


class System(IPythonSystem):
    package = pxkernel
