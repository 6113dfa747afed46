"""Cluster: start, find, scale and stop a controller with its engines.

- ``cluster``    the class itself; ``operations`` is the part of it that changes engines of a running cluster
- ``manager``    many clusters by name
- ``start``      the process of the controller, from its start; ``stop`` to its end
- ``enginesets`` what a cluster says about its processes
- ``wishes``     environment and start-up code, checked
- ``twins``      the awaitable form of every method
"""

from .cluster import Cluster
from .manager import ClusterManager

__all__ = ["Cluster", "ClusterManager"]
