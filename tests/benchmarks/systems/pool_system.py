"""The standard library's ProcessPoolExecutor, with Python's default way to start a process: what bare processes cost.

It cannot name a worker: a pool of one process stands for "one worker", and there is no call on all. Data travels as
arguments and results, because its workers have no namespace to push into.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property
from typing import Any

from . import noop

_kept: Any = None


def keep(array: Any) -> None:
    global _kept
    _kept = array


def kept() -> Any:
    return _kept


def total(array: Any) -> float:
    return float(array.sum())


class System:
    def start(self, n: int) -> None:
        self.n = n
        self.pool = ProcessPoolExecutor(n)
        self._on_each(noop)
        self.processes = multiprocessing.active_children()

    @cached_property
    def one(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1)

    def stop(self) -> None:
        self.pool.shutdown()
        self.one.shutdown()

    def pids(self) -> list[int]:
        return [process.pid for process in self.processes if process.pid is not None]

    def call_one(self, f: Callable[..., Any]) -> Any:
        return self.one.submit(f).result()

    def many(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return self._submit_each(self.one, f, items)

    def many_balanced(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return self._submit_each(self.pool, f, items)

    @staticmethod
    def _submit_each(pool: ProcessPoolExecutor, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return [future.result() for future in [pool.submit(f, item) for item in items]]

    def map(self, f: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self.pool.map(f, items))

    def push(self, array: Any) -> None:
        self.array = array
        self._on_each(noop, array)

    def check_push(self) -> list[float]:
        self.one.submit(keep, self.array).result()
        return self._on_each(total, self.array)

    def pull(self) -> Any:
        return self.one.submit(kept).result()

    def _on_each(self, f: Callable[..., Any], *args: Any) -> list[Any]:
        """As many calls as there are processes: most likely each process gets one."""
        return [future.result() for future in [self.pool.submit(f, *args) for _ in range(self.n)]]
