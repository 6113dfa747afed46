"""Whether this process is an engine, and of which cluster.

The extension sets it, the client reads it: a blocking call from a cell of an engine to itself would wait for ever.
"""

from __future__ import annotations

#: (directory of the cluster, engine id) of the engine in this process.
engine: tuple[str, int] | None = None
