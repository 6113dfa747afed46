"""The errors under the name that ipyparallel, and seeds 001 and 002, have for the module: ``pxkernel.error``."""

from .errors import *  # noqa: F403
