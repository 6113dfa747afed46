"""A function that has not changed is not pickled again; one that has is."""

import gc
import math

import pytest

from pxkernel.protocol import prepared
from pxkernel.protocol.pack import pack, pack_call, unpack

SOURCE = """
constant = 1
def helper(x):
    return x + offset
offset = 10
def f(x, y=2):
    return helper(x) * y + constant + math.floor(2.5) + missing()
"""


class Made:
    """Counts how often a pickle is made."""

    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1
        return b"pickle %d" % self.count


def notebook(source=SOURCE):
    space = {"__name__": "__main__", "math": math}
    exec(source, space)
    return space


@pytest.fixture
def made():
    return Made()


def test_it_is_pickled_once(made):
    f = notebook()["f"]
    assert {prepared.pickle_of(f, None, made) for _ in range(5)} == {b"pickle 1"}
    assert made.count == 1


CHANGES = {
    "a constant": lambda space: space.update(constant=2),
    "a constant of another type": lambda space: space.update(constant=True),
    "a helper": lambda space: exec("def helper(x):\n    return -x", space),
    "what a helper reads": lambda space: space.update(offset=11),
    "a name that was missing": lambda space: space.update(missing=abs),
    "a name that is gone": lambda space: space.pop("offset"),
    "a module": lambda space: space.update(math=pytest),
    "its code": lambda space: setattr(space["f"], "__code__", (lambda x, y=2: x).__code__),
    "a default": lambda space: setattr(space["f"], "__defaults__", (3,)),
    "its name": lambda space: setattr(space["f"], "__name__", "g"),
    "its text": lambda space: setattr(space["f"], "__doc__", "new"),
    "an annotation": lambda space: space["f"].__annotations__.update(x=5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_noticed(made, change):
    space = notebook()
    prepared.pickle_of(space["f"], None, made)
    change(space)
    assert prepared.pickle_of(space["f"], None, made) == b"pickle 2"


def test_another_namespace_is_noticed(made):
    space = notebook()
    prepared.pickle_of(space["f"], None, made)
    assert prepared.pickle_of(space["f"], space, made) == b"pickle 2"


def test_a_variable_of_a_closure_is_noticed(made):
    space = notebook("""
def make():
    n = 1000
    def up():
        nonlocal n
        n += 1000
    return (lambda: n), up
f, up = make()
""")
    assert prepared.pickle_of(space["f"], None, made) == b"pickle 1"
    assert prepared.pickle_of(space["f"], None, made) == b"pickle 1"
    space["up"]()
    assert prepared.pickle_of(space["f"], None, made) == b"pickle 2"


NOT_KEPT = {
    "a list": "data = []\ndef f():\n    return data",
    "a tuple": "data = ([],)\ndef f():\n    return data",
    "a class": "class C: pass\ndef f():\n    return C()",
    "an instance": "class C: pass\ndata = C()\ndef f():\n    return data",
    "a method": "data = [].append\ndef f():\n    return data",
    "a list in a closure": "def make():\n    data = []\n    return lambda: data\nf = make()",
    "an empty closure": "def make():\n    g = lambda: later\n    if False:\n        later = 1\n    return g\nf = make()",
    "a mutable default": "def f(x=[]):\n    return x",
    "a keyword default": "def f(*, x=1):\n    return x",
    "an attribute": "def f():\n    pass\nf.data = 1",
    "a list of a helper": "data = []\ndef g():\n    return data\ndef f():\n    return g()",
}


@pytest.mark.parametrize("source", NOT_KEPT.values(), ids=NOT_KEPT)
def test_what_could_change_in_place_is_not_kept(made, source):
    assert prepared.pickle_of(notebook(source)["f"], None, made) is None
    assert made.count == 0


@pytest.mark.parametrize("f", [abs, len, math.floor, int, prepared.pickle_of, [].append], ids=repr)
def test_only_functions_of_a_notebook_are_kept(made, f):
    assert prepared.pickle_of(f, None, made) is None


def test_what_calls_itself_is_kept(made):
    space = notebook("def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n != 0 and even(n - 1)")
    assert prepared.pickle_of(space["even"], None, made) == prepared.pickle_of(space["even"], None, made) == b"pickle 1"


def test_a_pickle_that_is_not_in_one_piece_is_not_kept():
    f = notebook("def f():\n    pass")["f"]
    assert prepared.pickle_of(f, None, lambda: None) is None
    assert prepared.pickle_of(f, None, lambda: b"x" * 10**6) is None


def test_it_goes_with_the_function(made):
    f = notebook("def f():\n    pass")["f"]
    prepared.pickle_of(f, None, made)
    key = id(f)
    assert key in prepared._prepared
    del f
    gc.collect()
    assert key not in prepared._prepared


def test_their_number_is_bounded(made, monkeypatch):
    monkeypatch.setattr(prepared, "_prepared", {})
    monkeypatch.setattr(prepared, "_LIMIT", 10)
    functions = [notebook("def f():\n    pass")["f"] for _ in range(25)]
    for f in functions:
        prepared.pickle_of(f, None, made)
    assert len(prepared._prepared) <= 10


def test_a_call_is_the_same_with_a_kept_pickle():
    space = notebook("offset = 1\ndef f(x, y=0):\n    return x + y + offset")
    for arguments in ((1,), (2,)):
        frames = pack_call(space["f"], arguments, {"y": 5})
        f, args, kwargs = unpack(list(map(bytes, frames)), namespace={"__name__": "__main__"})
        assert f(*args, **kwargs) == arguments[0] + 6
    space["offset"] = 100
    f, args, kwargs = unpack(pack_call(space["f"], (1,)), namespace={"__name__": "__main__"})
    assert f(*args, **kwargs) == 101


def test_a_call_with_a_kept_pickle_is_shorter_work_for_the_same_bytes():
    f = notebook("def f(x):\n    return x")["f"]
    (first,), (second,) = pack_call(f, (1,)), pack_call(f, (1,))
    assert first == second and bytes(pack(f)[0]) in bytes(first)
