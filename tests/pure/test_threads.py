"""How many threads the numerical libraries of an engine start."""

import os

import pytest

from pxkernel.kernels.threads import VARIABLES, thread_limits, without_limits


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
    assert thread_limits({}, engines) == dict.fromkeys(VARIABLES, threads)


@pytest.mark.parametrize("name", set(VARIABLES) - {"OMP_NUM_THREADS"})
def test_what_the_user_has_set_counts(cores, name):
    cores(8)
    limits = thread_limits({name: "3"}, 4)
    assert name not in limits and set(limits) == set(VARIABLES) - {name}


def test_the_common_variable_counts_for_every_library(cores):
    cores(8)
    assert thread_limits({"OMP_NUM_THREADS": "3"}, 4) == {}


def test_a_kernelspec_that_sets_threads_has_none_of_our_limits(cores):
    cores(8)
    user = {"HOME": "/home", "MKL_NUM_THREADS": "3"}
    limits = thread_limits(user, 4)
    assert without_limits({**user, **limits}, {"OMP_NUM_THREADS": "2"}, limits) == user
    assert without_limits({**user, **limits}, {"OTHER": "2"}, limits) == {**user, **limits}


@pytest.mark.parametrize("count, threads", [(6, "3"), (None, "1")])
def test_where_there_is_no_affinity(monkeypatch, count, threads):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert thread_limits({}, 2)["OMP_NUM_THREADS"] == threads
