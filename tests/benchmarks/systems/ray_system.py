"""Ray: one actor for each worker where a call names its worker, tasks where any will do.

An actor has a method for each function of the benchmark, which is Ray's way and quicker than to send the function. A map
is that of Ray's own pool, in chunks as it likes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import ray


@ray.remote(num_cpus=0)
class Worker:
    def noop(self) -> None:
        pass

    def answer(self) -> int:
        return 42

    def increment(self, x: int) -> int:
        return x + 1

    def getpid(self) -> int:
        return os.getpid()

    def push(self, array: Any) -> None:
        self.array = array

    def total(self) -> float:
        return float(self.array.sum())

    def pull(self) -> Any:
        return self.array


class System:
    def start(self, n: int) -> None:
        self.n = n
        ray.init(num_cpus=n, include_dashboard=False, log_to_driver=False, logging_level="error")
        self.workers = [Worker.remote() for _ in range(n)]
        self.pids()

    @cached_property
    def pool(self) -> Any:
        # Here, because it is no part of a start.
        from ray.util.multiprocessing import Pool

        # It takes all CPUs that Ray has been told of: what comes after it uses actors only.
        return Pool(processes=self.n)

    def stop(self) -> None:
        ray.shutdown()

    def pids(self) -> list[int]:
        return self.call_all(os.getpid)

    def call_one(self, f: Callable[..., Any]) -> Any:
        return ray.get(getattr(self.workers[0], f.__name__).remote())

    def call_all(self, f: Callable[..., Any]) -> list[Any]:
        return ray.get([getattr(worker, f.__name__).remote() for worker in self.workers])  # type: ignore[no-any-return]

    def many(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        method = getattr(self.workers[0], f.__name__)
        return ray.get([method.remote(item) for item in items])  # type: ignore[no-any-return]

    def many_balanced(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        task = ray.remote(f)
        return ray.get([task.remote(item) for item in items])  # type: ignore[no-any-return]

    def map(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return self.pool.map(f, items)  # type: ignore[no-any-return]

    def push(self, array: Any) -> None:
        reference = ray.put(array)
        ray.get([worker.push.remote(reference) for worker in self.workers])

    def check_push(self) -> list[float]:
        return ray.get([worker.total.remote() for worker in self.workers])  # type: ignore[no-any-return]

    def pull(self) -> Any:
        return ray.get(self.workers[0].pull.remote())
