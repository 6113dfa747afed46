"""References, types that the user has taught to travel, and serialization by hand (features SER-13 to SER-16)."""

import copy
import pickle
import sys
import threading

import numpy as np
import pytest

import pxkernel as px
from pxkernel.protocol.pack import Travelled, pack, unpack


def arrived(obj, **names):
    """`obj` as an engine with these names receives it."""
    return unpack(pack(obj), namespace={"__name__": "__main__", **names}, travelled=Travelled())


class Locked:
    """Cannot be pickled."""

    def __init__(self, value):
        self.value = value
        self.lock = threading.Lock()


@pytest.fixture
def canned_locked(monkeypatch):
    monkeypatch.setitem(px.can_map, Locked, lambda obj: Canned(obj.value))
    monkeypatch.setitem(px.uncan_map, Canned, lambda canned, namespace: Locked((canned.value, namespace.get("rank"))))


class Canned:
    def __init__(self, value):
        self.value = value


# ---- Reference


def test_a_reference_is_evaluated_where_it_arrives():
    """SER-14"""
    assert arrived(px.Reference("rank"), rank=3) == 3
    assert arrived(px.Reference(" g[0] + 1 "), g=[5]) == 6
    assert arrived(px.Reference("len(x)"), x="abc") == 3


def test_references_work_at_any_depth():
    """SER-14"""
    deep = {"a": [(px.Reference("rank"), {"b": px.Reference("rank * 2")})], "c": px.Reference("rank")}
    assert arrived(deep, rank=4) == {"a": [(4, {"b": 8})], "c": 4}


def test_a_reference_to_what_is_not_there():
    """SER-14"""
    with pytest.raises(NameError, match="nosuch"):
        arrived(px.Reference("nosuch"))


def test_what_no_reference_can_be():
    """SER-14"""
    with pytest.raises(TypeError, match="illegal name: 5"):
        px.Reference(5)
    with pytest.raises(SyntaxError):
        px.Reference("a =")


def test_only_travelling_evaluates_a_reference():
    reference = px.Reference("rank")
    for other in (copy.deepcopy([reference])[0], pickle.loads(pickle.dumps(reference))):
        assert isinstance(other, px.Reference)
        assert (other.name, repr(other)) == ("rank", "<Reference: 'rank'>")


# ---- own types


def test_a_type_of_the_user_travels_as_it_says(canned_locked):
    """SER-13"""
    back = arrived([Locked(5), {"x": Locked(6)}], rank=1)
    assert (back[0].value, back[1]["x"].value) == ((5, 1), (6, 1))


def test_can_and_uncan(canned_locked):
    """SER-13"""
    canned = px.can(Locked(5))
    assert isinstance(canned, Canned)
    assert px.uncan(canned, {"rank": 7}).value == (5, 7)
    assert px.uncan(canned).value[0] == 5
    assert px.can("text") == px.uncan("text") == "text"


def test_without_an_entry_it_is_refused():
    """SER-13"""
    with pytest.raises(TypeError, match="lock"):
        pack(Locked(5))


# ---- by hand


def test_pre_pickled_arrives_as_the_object():
    """SER-15"""
    array = np.arange(10_000.0)
    once = px.PrePickled({"array": array, "f": lambda: 5})
    array[:] = 0
    for _ in range(2):
        back = arrived((once, [once]))
        assert back[0]["array"][9_999] == 9_999
        assert back[1][0]["f"]() == 5
        back[0]["array"][:] = -1  # private and writable each time
    assert "bytes" in repr(once)


def test_pre_pickled_names_arrive_in_the_namespace():
    """SER-15"""
    assert arrived(px.PrePickled([px.Reference("rank")]), rank=2) == [2]


def test_what_cannot_be_pre_pickled():
    """SER-15"""
    with pytest.raises(TypeError, match="lock"):
        px.PrePickled(threading.Lock())


def test_serialize_object():
    """SER-16"""
    value = {"array": np.arange(5000), "text": "x" * 300_000}
    frames = px.serialize_object(value)
    assert len(frames) == 3  # the rest, the text, the array
    back, rest = px.deserialize_object(frames)
    assert rest == []
    assert back["text"] == value["text"]
    assert np.array_equal(back["array"], value["array"])


def test_pack_apply_message():
    """SER-16"""
    f, args, kwargs = px.unpack_apply_message(px.pack_apply_message(divmod, (7, 2), {"key": [1]}), {})
    assert (f, args, kwargs) == (divmod, (7, 2), {"key": [1]})
    with pytest.raises(TypeError, match="argument 0 .*lock"):
        px.pack_apply_message(len, [threading.Lock()], {})


# ---- dill


@pytest.fixture
def dill():
    px.use_dill()
    yield
    px.use_pickle()


def test_dill_sends_what_pickle_refuses(dill):
    """SER-07"""
    back = arrived({"locked": Locked(5), "module": threading, "array": np.arange(3), "f": lambda: rank}, rank=7)  # noqa: F821
    assert back["locked"].value == 5
    assert back["locked"].lock.acquire(blocking=False)
    assert back["module"] is threading
    assert back["array"].tolist() == [0, 1, 2]


def test_without_dill_again(dill):
    """SER-07"""
    px.use_cloudpickle()
    with pytest.raises(TypeError, match="lock"):
        pack(threading.Lock())


def test_there_is_no_dill(monkeypatch):
    """SER-07"""
    monkeypatch.setitem(sys.modules, "dill", None)
    with pytest.raises(ImportError, match="dill"):
        px.use_dill()
    with pytest.raises(TypeError, match="lock"):
        pack(threading.Lock())
