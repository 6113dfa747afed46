"""Dask: a LocalCluster with one process for each worker, one thread in each.

Many calls are made with ``Client.map``, which is quicker than a loop over ``Client.submit``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from dask.distributed import Client, LocalCluster


class System:
    def start(self, n: int) -> None:
        self.cluster = LocalCluster(n_workers=n, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0)
        self.client = Client(self.cluster)
        self.client.wait_for_workers(n)
        self.workers = list(self.client.scheduler_info(n_workers=-1)["workers"])

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()

    def pids(self) -> list[int]:
        return list(self.client.run(os.getpid).values())

    def call_one(self, f: Callable[..., Any]) -> Any:
        return self.client.submit(f, workers=self.workers[:1], pure=False).result()

    def call_all(self, f: Callable[..., Any]) -> list[Any]:
        return list(self.client.run(f).values())

    def many(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return self._map(f, items, workers=self.workers[:1])

    def many_balanced(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return self._map(f, items)

    map = many_balanced

    def _map(self, f: Callable[..., Any], items: Sequence[Any], **options: Any) -> list[Any]:
        return self.client.gather(self.client.map(f, items, pure=False, **options))  # type: ignore[no-any-return]

    def push(self, array: Any) -> None:
        self.array = self.client.scatter(array, broadcast=True, hash=False)

    def check_push(self) -> list[float]:
        return [
            self.client.submit(lambda a: float(a.sum()), self.array, workers=[worker], pure=False).result()
            for worker in self.workers
        ]

    def pull(self) -> Any:
        return self.array.result()
