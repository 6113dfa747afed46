"""Ray: one actor for each worker where a call names its worker, tasks where any will do."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import ray


@ray.remote(num_cpus=0)
class Worker:
    def call(self, f: Callable[..., Any], *args: Any) -> Any:
        return f(*args)

    def push(self, array: Any) -> None:
        self.array = array

    def total(self) -> float:
        return float(self.array.sum())

    def pull(self) -> Any:
        return self.array


class System:
    def start(self, n: int) -> None:
        ray.init(num_cpus=n, include_dashboard=False, log_to_driver=False, logging_level="error")
        self.workers = [Worker.remote() for _ in range(n)]
        self.pids()

    def stop(self) -> None:
        ray.shutdown()

    def pids(self) -> list[int]:
        return self.call_all(os.getpid)

    def call_one(self, f: Callable[..., Any]) -> Any:
        return ray.get(self.workers[0].call.remote(f))

    def call_all(self, f: Callable[..., Any]) -> list[Any]:
        return ray.get([worker.call.remote(f) for worker in self.workers])  # type: ignore[no-any-return]

    def many(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return ray.get([self.workers[0].call.remote(f, item) for item in items])  # type: ignore[no-any-return]

    def many_balanced(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        task = ray.remote(f)
        return ray.get([task.remote(item) for item in items])  # type: ignore[no-any-return]

    map = many_balanced

    def push(self, array: Any) -> None:
        reference = ray.put(array)
        ray.get([worker.push.remote(reference) for worker in self.workers])

    def check_push(self) -> list[float]:
        return ray.get([worker.total.remote() for worker in self.workers])  # type: ignore[no-any-return]

    def pull(self) -> Any:
        return ray.get(self.workers[0].pull.remote())
