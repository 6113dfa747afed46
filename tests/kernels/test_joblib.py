"""joblib on engines (JOB-01 to JOB-03)."""

import multiprocessing
import os
import time

import joblib
import pytest
from joblib.parallel import BACKENDS

import pxkernel as px


def square(x):
    return x * x


def where(x):
    import os

    time.sleep(0.01)
    return os.getpid()


def nested(x):
    import joblib

    return sum(joblib.Parallel(n_jobs=2)(joblib.delayed(square)(y) for y in range(x)))


def hold(path, number):
    """Fail at once, or wait for ever and leave a trace."""
    if number == 0:
        raise ZeroDivisionError("the first")
    while not os.path.exists(f"{path}/gate"):
        time.sleep(0.005)
    with open(f"{path}/{number}", "w"):
        return number


@pytest.fixture(autouse=True)
def restored():
    """What is registered is forgotten after the test."""
    before = dict(BACKENDS)
    yield
    BACKENDS.clear()
    BACKENDS.update(before)


@pytest.fixture
def view(cluster4):
    view = cluster4.load_balanced_view()
    view.register_joblib_backend()
    return view


@pytest.mark.parametrize("name", ["pxkernel", "ipyparallel"])
def test_a_call(view, name):
    """JOB-02: on the engines, in order; whatever n_jobs says."""
    with joblib.parallel_config(name, n_jobs=2):
        assert joblib.Parallel()(joblib.delayed(square)(x) for x in range(50)) == [x * x for x in range(50)]
        assert joblib.effective_n_jobs() == 4
        pids = set(joblib.Parallel()(joblib.delayed(where)(x) for x in range(40)))
    assert len(pids) > 1 and os.getpid() not in pids
    assert pids <= set(view.client[:].apply_sync(os.getpid))


def test_functions_of_the_notebook(view, notebook):
    """JOB-02"""
    f = notebook("k = 3\ndef g(x):\n    return x + k\ndef f(x):\n    return g(x)")["f"]
    with joblib.parallel_config("pxkernel"):
        assert joblib.Parallel()(joblib.delayed(f)(x) for x in range(5)) == [3, 4, 5, 6, 7]


def test_short_tasks_travel_together(view):
    """JOB-02: joblib batches them."""
    before = len(view.history)
    with joblib.parallel_config("pxkernel"):
        joblib.Parallel()(joblib.delayed(square)(x) for x in range(2000))
    assert len(view.history) - before < 1000


def test_a_generator(view):
    """JOB-02"""
    with joblib.parallel_config("pxkernel"):
        results = joblib.Parallel(return_as="generator")(joblib.delayed(square)(x) for x in range(10))
        assert next(results) == 0
        assert list(results) == [x * x for x in range(1, 10)]


def test_nested_calls(view):
    """JOB-02: in threads of the engine."""
    with joblib.parallel_config("pxkernel"):
        assert joblib.Parallel()(joblib.delayed(nested)(x) for x in range(6)) == [0, 0, 1, 5, 14, 30]


def test_an_error_ends_the_call(view, tmp_path, capfd):
    """JOB-03: what runs is interrupted and what waits is taken back; nothing is dumped on stderr."""
    with joblib.parallel_config("pxkernel"), pytest.raises(ZeroDivisionError, match="the first") as caught:
        joblib.Parallel(pre_dispatch="all", batch_size=1)(joblib.delayed(hold)(str(tmp_path), n) for n in range(20))
    assert isinstance(caught.value, px.RemoteError)
    assert view.wait(timeout=10)
    assert list(tmp_path.iterdir()) == []
    assert "exception calling callback" not in capfd.readouterr().err
    with joblib.parallel_config("pxkernel"):
        assert joblib.Parallel()([joblib.delayed(square)(3)]) == [9]


def test_a_timeout(view):
    """JOB-03"""
    with joblib.parallel_config("pxkernel"), pytest.raises((TimeoutError, multiprocessing.TimeoutError)):
        joblib.Parallel(timeout=0.05)([joblib.delayed(time.sleep)(30)] * 2)
    assert view.wait(timeout=10)


def test_no_jobs(view):
    with joblib.parallel_config("pxkernel", n_jobs=0), pytest.raises(ValueError, match="n_jobs == 0"):
        joblib.Parallel()([joblib.delayed(square)(3)])


def test_the_running_cluster(cluster4):
    """JOB-01: found when it is needed, and left alone."""
    px.register_joblib_backend("mine")
    assert "mine" in BACKENDS
    with joblib.parallel_config("mine"):
        pids = set(joblib.Parallel()(joblib.delayed(where)(x) for x in range(20)))
    assert pids <= set(cluster4[:].apply_sync(os.getpid))


def test_a_name_that_is_taken(cluster4):
    """JOB-01: ipyparallel's own backend stays."""
    taken = BACKENDS["ipyparallel"] = lambda **options: None
    cluster4.load_balanced_view().register_joblib_backend()
    assert BACKENDS["ipyparallel"] is taken and "pxkernel" in BACKENDS


def test_a_default(view):
    """JOB-02"""
    default = joblib.parallel.DEFAULT_BACKEND
    try:
        view.register_joblib_backend(make_default=True)
        assert os.getpid() not in joblib.Parallel(n_jobs=4)(joblib.delayed(where)(x) for x in range(4))
    finally:
        joblib.parallel.DEFAULT_BACKEND = default


@pytest.mark.parametrize("name", [5, None])
def test_a_name_that_is_none(name):
    """JOB-01"""
    with pytest.raises(TypeError, match="the name of a joblib backend is a string"):
        px.register_joblib_backend(name)
