"""What views and clients do with real engines (features RC, VW, DV, BV, RF, SER-14)."""

import functools
import os

import numpy as np
import pytest

import pxkernel as px


@pytest.fixture
def one(cluster4):
    view = cluster4[0]
    view.block = True
    return view


# ---- @remote and @parallel


def test_a_remote_function(view, notebook):
    """RF-01, RF-02"""
    getpid = view.remote(block=True)(os.getpid)
    assert getpid() == view.apply_sync(os.getpid)
    f = px.remote(view)(notebook("def f(x, y=1):\n    return a + x + y")["f"])
    view["a"] = 10
    assert f(1) == [12] * 4
    assert list(map(f, [1, 2])) == [[12] * 4, [13] * 4]
    f.block = False
    assert f(1, y=5).get() == [16] * 4
    assert view.remote(targets=[1, 2], block=True)(f.func)(0) == [11, 11]


def test_a_parallel_function(view):
    """RF-03: the seeds' example."""
    array = np.random.default_rng(1).random((64, 48))

    @view.parallel(block=True)
    def pmul(a, b):
        return a * b

    product = pmul(array, array)
    assert (product == array * array).all()
    assert view.parallel(block=True)(sum)([1, 2, 3, 4, 5]) == [3, 3, 4, 5]


def test_parts_and_elements(view):
    """RF-04, RF-05: the seeds' example."""

    @view.parallel(block=True)
    def echo(x):
        return str(x)

    assert echo(range(5)) == ["[0, 1]", "[2]", "[3]", "[4]"]
    assert echo.map(range(5)) == ["0", "1", "2", "3", "4"]
    assert echo(iter("ab")) == ["['a']", "['b']"]
    assert echo([]) == echo.map([]) == []
    assert view.parallel(block=True)(lambda a, b: a + b).map([1, 2, 3], [10, 20]) == [11, 22]


def test_parallel_like_cards(view):
    """RF-06"""
    f = view.parallel(dist="r", block=True)(lambda part: [x * 2 for x in part])
    assert f(range(10)) == [x * 2 for x in range(10)]


def test_a_parallel_function_that_fails(view):
    """RF-03"""

    def f(part):
        return [60 // x for x in part]

    with pytest.raises(px.CompositeError) as caught:
        view.parallel(block=True)(f)([1, 0, 3, 4, 0, 6, 7, 8])
    assert [error.engine_info["engine_id"] for error in caught.value.exceptions] == [0, 2]
    kept = view.parallel(block=True, return_exceptions=True)(f)([1, 0, 3, 4])
    assert [type(item).__name__ for item in kept] == ["int", "ZeroDivisionError", "int", "int"]
    result = view.parallel(block=False)(f)([1, 2, 3, 4])
    assert isinstance(result, px.AsyncMapResult)
    assert result.get() == [60, 30, 20, 15]


def test_interactive(view):
    """RF-08"""
    view["curdir"] = "the engine's"
    assert view.apply(px.interactive(_module_function)) == ["the engine's"] * 4


def _module_function():
    return curdir  # noqa: F821


# ---- references


def test_references(view):
    """SER-14"""
    view.scatter("rank", range(4), flatten=True)
    rank = px.Reference("rank")
    assert view.apply(lambda x, y=None: (x, y), rank, y=[{"r": rank}]) == [(i, [{"r": i}]) for i in range(4)]
    view.execute("def f(x):\n    return x + rank")
    assert view.apply(px.Reference("f"), 10) == [10, 11, 12, 13]
    view["double"] = px.Reference("rank * 2")
    assert view["double"] == [0, 2, 4, 6]
    assert view.map(px.Reference("f"), [1, 1, 1, 1]) == [1, 2, 3, 4]
    assert view.map(lambda x: x, [rank] * 8) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert repr(view.apply_async(px.Reference("f"), 1)).startswith("<AsyncResult: f:")


def test_a_reference_to_nothing(view):
    """SER-14"""
    with pytest.raises(px.CompositeError) as caught:
        view.apply(abs, px.Reference("nosuch"))
    assert all(isinstance(error, NameError) for error in caught.value.exceptions)


def test_pre_pickled(view):
    """SER-15"""
    once = px.PrePickled(np.arange(10_000.0))
    assert view.apply(lambda array: array[-1], once) == [9_999.0] * 4
    view["array"] = once
    assert view.apply(functools.partial(np.sum), px.Reference("array")) == [49_995_000.0] * 4
