"""Which of several engines with room gets the next balanced task (features LB-13).

A policy is called with those engines, the one that has waited longest first and no more than a hundred, and returns one of
them, or None if there are none. What it may look at is ``load``: how many tasks an engine has, direct and balanced ones alike, running and
waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol, TypeVar


class Loaded(Protocol):
    """What a policy sees of an engine."""

    @property
    def load(self) -> int: ...


class Random(Protocol):
    """The part of ``random.Random`` that policies use: the core has no randomness of its own."""

    def choice(self, seq: Sequence[E], /) -> E: ...

    def choices(self, population: Sequence[E], weights: Sequence[float], *, k: int) -> list[E]: ...


E = TypeVar("E", bound=Loaded)
Policy = Callable[[Iterable[E]], E | None]


def leastload(engines: Iterable[E], rng: Random) -> E | None:
    """The engine with the least to do; of equals the one that has waited longest."""
    best: E | None = None
    for engine in engines:
        if engine.load == 0:
            return engine
        if best is None or engine.load < best.load:
            best = engine
    return best


def lru(engines: Iterable[E], rng: Random) -> E | None:
    """The engine that has waited longest: they take turns, whatever they have to do."""
    return next(iter(engines), None)


def plainrandom(engines: Iterable[E], rng: Random) -> E | None:
    """Any engine."""
    found = list(engines)
    return rng.choice(found) if found else None


def twobin(engines: Iterable[E], rng: Random) -> E | None:
    """Of two at random the one with less to do."""
    found = list(engines)
    return leastload([rng.choice(found), rng.choice(found)], rng) if found else None


def weighted(engines: Iterable[E], rng: Random) -> E | None:
    """Of two at random, drawn with the inverse of their load as the weight, the one with less to do."""
    found = list(engines)
    weights = [1 / (engine.load + 1e-6) for engine in found]
    return leastload(rng.choices(found, weights, k=2), rng) if found else None


#: By the name that users give. "pure" is the round robin of ipyparallel's scheduler without Python; here it has all flags.
POLICIES = {
    "leastload": leastload, "lru": lru, "plainrandom": plainrandom, "pure": lru, "twobin": twobin, "weighted": weighted,
}  # fmt: skip


def policy(name: str, rng: Random) -> Policy[E]:
    """The policy with this name; those that need randomness draw it from ``rng``.

    Raises
    ------
    ValueError
        There is no such policy.
    """
    if name not in POLICIES:
        raise ValueError(f"there is no scheme {name!r}, only {', '.join(sorted(POLICIES))}")
    return partial(POLICIES[name], rng=rng)  # type: ignore[return-value]
