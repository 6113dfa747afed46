"""How many threads the numerical libraries of an engine start."""

import os

import pytest

from pxkernel.kernels.threads import VARIABLES, limit_threads


@pytest.fixture
def cores(monkeypatch):
    def set_cores(count):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(count)), raising=False)

    return set_cores


@pytest.mark.parametrize(
    "count, engines, threads", [(8, 4, "2"), (8, 3, "2"), (8, 8, "1"), (2, 64, "1"), (8, 1, "8"), (8, 0, "8")]
)
def test_the_cores_are_shared_out(cores, count, engines, threads):
    cores(count)
    assert limit_threads({}, engines) == dict.fromkeys(VARIABLES, threads)


def test_the_rest_of_the_environment_stays(cores):
    cores(2)
    assert limit_threads({"HOME": "/home"}, 1)["HOME"] == "/home"


@pytest.mark.parametrize("name", VARIABLES)
def test_what_the_user_has_set_counts(cores, name):
    cores(8)
    assert limit_threads({name: "3"}, 4) == {name: "3"}


def test_the_environment_given_is_not_changed(cores):
    cores(8)
    environment = {}
    limit_threads(environment, 4)
    assert environment == {}


@pytest.mark.parametrize("count, threads", [(6, "3"), (None, "1")])
def test_where_there_is_no_affinity(monkeypatch, count, threads):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert limit_threads({}, 2)["OMP_NUM_THREADS"] == threads
