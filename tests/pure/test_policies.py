"""Which engine gets a balanced task (LB-13)."""

import random
from dataclasses import dataclass

import pytest

import pxkernel as px
from pxkernel.controller.settings import SCHEMES
from pxkernel.core.policies import POLICIES, policy


@dataclass(frozen=True)
class Engine:
    id: int
    load: int


def engines(*loads):
    return [Engine(index, load) for index, load in enumerate(loads)]


def choose(name, *loads):
    return policy(name, random.Random(3))(iter(engines(*loads)))


def test_the_least_loaded_engine():
    assert choose("leastload", 3, 1, 2).id == 1


def test_of_equally_loaded_engines_the_one_that_has_waited_longest():
    assert choose("leastload", 2, 1, 1).id == 1
    assert choose("leastload", 0, 0).id == 0


def test_leastload_looks_no_further_than_an_idle_engine():
    seen = []
    policy("leastload", random.Random())(seen.append(engine) or engine for engine in engines(1, 0, 0, 0))
    assert [engine.id for engine in seen] == [0, 1]


@pytest.mark.parametrize("name", ["lru", "pure"])
def test_engines_take_turns(name):
    assert choose(name, 5, 0).id == 0


def picks(name, *loads, times=3000):
    chosen = policy(name, random.Random(1))
    counts = [0] * len(loads)
    for _ in range(times):
        counts[chosen(engines(*loads)).id] += 1
    return counts


def test_any_engine_at_random():
    assert all(count > 800 for count in picks("plainrandom", 0, 9, 3))


def test_of_two_at_random_the_less_loaded():
    """The most loaded of three is taken when it was drawn twice: once in nine."""
    first, second, third = picks("twobin", 0, 1, 2)
    assert first > second > third > 200


def test_weights_are_the_inverse_of_the_load():
    first, second, third = picks("weighted", 1, 2, 40)
    assert first > second > third
    assert picks("weighted", 0, 7)[1] == 0


@pytest.mark.parametrize("name", POLICIES)
def test_there_may_be_no_engine(name):
    assert choose(name) is None


@pytest.mark.parametrize("name", POLICIES)
def test_the_only_engine(name):
    assert choose(name, 7).id == 0


def test_a_cluster_has_one_of_them():
    assert sorted(SCHEMES) == sorted(POLICIES)
    assert px.Cluster(scheme="lru").scheme == "lru" and px.Cluster().scheme == "leastload"
    for bad in ("best", None):
        with pytest.raises(ValueError, match="scheme must be one of leastload, lru"):
            px.Cluster(scheme=bad)


def test_an_unknown_policy():
    with pytest.raises(ValueError, match="there is no scheme 'best', only leastload, lru"):
        policy("best", random.Random())
