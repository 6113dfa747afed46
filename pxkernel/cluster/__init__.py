"""Cluster: start, find, scale and stop a controller with its engines.

- ``cluster``    the class itself; ``operations`` is the part of it that changes engines of a running cluster
- ``manager``    many clusters by name
- ``start``      the process of the controller, from its start; ``stop`` to its end
- ``restore``    engines that wait for a new controller
- ``enginesets`` what a cluster says about its processes
- ``wishes``     environment and start-up code, checked
- ``twins``      the awaitable form of every method

Clients on other machines. ``Cluster(controller_ip="*")`` or ``pxcluster start --ip '*'`` opens one TCP port; a copy of the
cluster file on the other machine is all that ``Client(path)`` needs there. Where only ssh gets through, listen on the
loopback interface and bring the port over; the same file then works on both sides::

    there$ pxcluster start -n 8 --ip 127.0.0.1 --port 10101 --daemonize
    here$  scp there:<cluster file> cluster.json
    here$  ssh -N -L 10101:127.0.0.1:10101 there
"""

from .cluster import Cluster
from .manager import ClusterManager, clean_cluster_files

__all__ = ["Cluster", "ClusterManager", "clean_cluster_files"]
