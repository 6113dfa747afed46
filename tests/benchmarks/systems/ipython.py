"""What pxkernel and ipyparallel have in common: the same interface, which is the point of pxkernel."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar


class IPythonSystem:
    """A system with IPython's interface; a subclass gives the package."""

    package: Any
    options: ClassVar[dict[str, Any]] = {}

    def start(self, n: int) -> None:
        self.cluster = self.package.Cluster(n=n, **self.options)
        self.client = self.cluster.start_and_connect_sync()
        self.one, self.everyone = self.client[0], self.client[:]
        self.balanced = self.client.load_balanced_view()

    def stop(self) -> None:
        self.client.close()
        self.cluster.stop_cluster_sync()

    def pids(self) -> list[int]:
        return self.everyone.apply_sync(os.getpid)  # type: ignore[no-any-return]

    def call_one(self, f: Callable[..., Any]) -> Any:
        return self.one.apply_sync(f)

    def call_all(self, f: Callable[..., Any]) -> list[Any]:
        return self.everyone.apply_sync(f)  # type: ignore[no-any-return]

    def execute_all(self, code: str) -> None:
        self.everyone.execute(code, block=True)

    def everywhere(self, name: str) -> list[Any]:
        return self.everyone.pull(name, block=True)  # type: ignore[no-any-return]

    def many(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return [result.get() for result in [self.one.apply_async(f, item) for item in items]]

    def many_balanced(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return [result.get() for result in [self.balanced.apply_async(f, item) for item in items]]

    def map(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self.balanced.map_sync(f, items))

    def push(self, array: Any) -> None:
        self.everyone.push({"array": array}, block=True)

    def check_push(self) -> list[float]:
        self.everyone.execute("total = float(array.sum())", block=True)
        return self.everywhere("total")

    def pull(self) -> Any:
        return self.one.pull("array", block=True)

    def scatter(self, array: Any) -> None:
        self.everyone.scatter("part", array, block=True)

    def gather(self) -> Any:
        return self.everyone.gather("part", block=True)
