"""@remote, @parallel and @interactive without a cluster (features RF)."""

import inspect
import sys
import textwrap

import numpy as np
import pytest

import pxkernel as px
from pxkernel.client.view import DirectView
from pxkernel.protocol.partition import join_results


class FakeClient:
    """Has three engines and runs what is submitted at once, here."""

    def __init__(self):
        self.submitted = []

    def resolve(self, targets):
        return list(range(3)), False

    def submit(self, kind, calls, make, **options):
        self.submitted.append((kind, [engines for _, engines in calls], options))
        return self

    msg_ids = ("a:0",)

    def get(self):
        return "result"


@pytest.fixture
def view():
    return DirectView(FakeClient())


def add(a, b=1, *, c=2):
    """Adds."""
    return a + b + c


def test_a_remote_function_looks_like_its_function(view):
    """RF-01"""
    found = view.remote(block=True)(add)
    assert isinstance(found, px.RemoteFunction)
    assert (found.__name__, found.func, found.view, found.block) == ("add", add, view, True)
    assert found.__doc__ == "RemoteFunction wrapping:\nAdds."
    assert inspect.signature(found) == inspect.signature(add)
    assert repr(found) == "<RemoteFunction add on <DirectView all>>"


def test_the_default_of_block(view):
    """RF-01: the view's at decoration with the method, at the call with the function."""
    early, late = view.remote()(add), px.remote(view)(add)
    view.block = True
    assert (early.block, late.block) == (False, None)
    assert early(1) is view.client
    assert late(1) == "result"
    early.block = True
    assert early(1) == "result"


def test_flags_are_for_these_calls_only(view):
    """RF-01"""
    found = view.remote(label="mine", track=True)(add)
    found(1)
    assert view.client.submitted[0][2]["label"] == "mine"
    assert view.client.submitted[0][2]["track"] is True
    assert (view.label, view.track) == (None, False)
    assert view.history == ["a:0"]
    with pytest.raises(KeyError, match="Invalid name: 'foo'"):
        view.remote(foo=1)(add)


def test_names_of_arguments_are_the_functions(view):
    """RF-01, VW-06"""
    found = view.remote(block=True)(lambda **names: names)
    assert found(self=1, f=2, block=3, targets=4, view=5, args=6) == "result"


def test_what_is_no_function(view):
    with pytest.raises(TypeError, match="RemoteFunction needs a function, not 5"):
        view.remote()(5)
    assert view.remote()(print).__name__ == "print"
    assert view.remote()(__import__("functools").partial(add, 1)).__name__ == "partial"


def test_parallel_function_attributes(view):
    """RF-03"""
    found = px.parallel(view, "r", True, label="x")(add)
    assert isinstance(found, px.ParallelFunction)
    assert (found.dist, found.block, found.ordered, found.chunksize) == ("r", True, True, None)
    assert found.flags == {"label": "x"}
    assert found.__doc__ == "ParallelFunction wrapping:\nAdds."
    assert view.parallel("r")(add).block is False
    with pytest.raises(ValueError, match="'zz'"):
        view.parallel("zz")(add)


def test_what_parallel_functions_refuse(view):
    """RF-04"""
    found = view.parallel(block=True)(add)
    with pytest.raises(TypeError, match="Unexpected keyword arguments: {'b': 1}"):
        found([1], b=1)
    with pytest.raises(ValueError, match=r"all sequences must have equal length, but have \[3, 2\]"):
        found([1, 2, 3], [4, 5])
    with pytest.raises(TypeError, match="must have some sequences to map onto!"):
        found()
    with pytest.raises(TypeError, match="dict"):
        found({1: 2})
    assert view.client.submitted == []


def test_empty_parts_are_skipped(view):
    """RF-04"""
    found = view.parallel()(add)
    found([1, 2])
    found(iter("abcd"))
    assert [engines for _, engines, _ in view.client.submitted] == [[[0], [1]], [[0], [1], [2]]]


def test_chunksize_is_for_load_balancing(view):
    """RF-07"""
    with pytest.warns(UserWarning, match="`chunksize` is ignored unless load balancing"):
        view.parallel(chunksize=2)(add)


@pytest.mark.parametrize(
    ("results", "dist", "joined"),
    [
        ([[1, 2], [3]], "b", [1, 2, 3]),
        ([(1, 3), (2,)], "r", [1, 2, 3]),
        ([5, 6], "b", [5, 6]),
        (["ab", "c"], "b", ["ab", "c"]),
        ([], "b", []),
        ([np.float64(1), np.float64(2)], "b", [1.0, 2.0]),
    ],
)
def test_how_results_are_joined(results, dist, joined):
    """RF-03, RF-06"""
    assert join_results(results, dist) == joined


def test_how_arrays_and_errors_are_joined():
    """RF-03"""
    joined = join_results([np.array([[1, 2]], "i2"), np.array([[3, 4]], "i2")])
    assert joined.tolist() == [[1, 2], [3, 4]]
    assert joined.dtype == "i2"
    error = ValueError()
    assert join_results([[1, 2], error, [3]]) == [1, 2, error, 3]


# ---- interactive


def test_interactive_gives_a_function_of_main():
    """RF-08: closures and defaults stay."""
    space = {"__name__": "some_module", "a": "the module's"}
    exec(
        textwrap.dedent("""
            def make(y):
                def f(x=1, *, z=3):
                    "Doc."
                    return a, x, y, z
                f.tag = "kept"
                return f
            """),
        space,
    )
    found = px.interactive(space["make"](2))
    assert found.__globals__ is sys.modules["__main__"].__dict__
    assert (found.__module__, found.__name__, found.__doc__, found.tag) == ("__main__", "f", "Doc.", "kept")
    back = px.unpack_apply_message(px.pack_apply_message(found, (), {}), {"__name__": "__main__", "a": "the engine's"})[0]
    assert back() == ("the engine's", 1, 2, 3)


def test_interactive_leaves_others_alone():
    """RF-08"""
    assert px.interactive(len) is len
    assert px.interactive(FakeClient) is FakeClient


@pytest.mark.parametrize("value", [5, None, np.array(5)])
def test_what_is_no_sequence(view, value):
    """RF-04"""
    with pytest.raises(TypeError, match="argument 1 is no sequence: "):
        view.parallel()(add)([1], value)
    assert not view.client.submitted


def test_what_is_no_view():
    """RF-01, RF-03"""
    for decorate in (px.remote, px.parallel):
        with pytest.raises(TypeError, match="needs a view, not 5"):
            decorate(5)(add)
