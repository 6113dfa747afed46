"""Dependency, the flags that take one, and functions that need something of the engine (DEP-01 to DEP-06)."""

import json
import math
import pickle

import pytest

import pxkernel as px
from pxkernel.client.dependency import as_dependency
from pxkernel.controller.terms import Reader, terms_of
from pxkernel.core.events import Dependency, Terms
from pxkernel.engine import namespace
from pxkernel.errors import ProtocolError

# ---- Dependency


def test_a_dependency_is_a_set_of_ids():
    """DEP-06."""
    assert px.Dependency("a:1") == {"a:1"}
    assert px.Dependency(["a:1", "a:2", ("a:3",)]) == {"a:1", "a:2", "a:3"}
    assert (px.Dependency().all, px.Dependency().success, px.Dependency().failure) == (True, True, False)


@pytest.mark.parametrize("bad", [5, [5], None, {"a:1": 5}])
def test_what_is_no_call(bad):
    with pytest.raises((TypeError, KeyError)):
        px.Dependency(bad)


def test_neither_success_nor_failure():
    with pytest.raises(ValueError, match="Must depend on at least one of successes or failures!"):
        px.Dependency("a:1", success=False)


def test_as_dict_and_back():
    """DEP-06, LB-09."""
    dependency = px.Dependency(["a:1", "a:2"], all=False, success=False, failure=True)
    again = px.Dependency(dependency.as_dict())
    assert again == dependency and (again.all, again.success, again.failure) == (False, False, True)
    assert as_dependency(dependency.as_dict()) == dependency


@pytest.mark.parametrize(
    "all, success, failure, met, unreachable",
    [
        (True, True, False, False, True),
        (False, True, False, True, False),
        (True, False, True, False, True),
        (False, False, True, True, False),
        (True, True, True, False, False),
    ],
)
def test_check_and_unreachable(all, success, failure, met, unreachable):
    """a has succeeded, b has failed, and c is not done for all=True."""
    ids = ["a", "b", "c"] if all else ["a", "b"]
    dependency = px.Dependency(ids, all=all, success=success, failure=failure)
    assert dependency.check({"a"}, {"b"}) is met
    assert dependency.unreachable({"a"}, {"b"}) is unreachable


def test_an_empty_one_is_met():
    assert px.Dependency().check(set()) and not px.Dependency().unreachable(set(), {"a"})
    assert px.Dependency(all=False).check(set())


@pytest.mark.parametrize("bad", [5, [5], object(), {}])
def test_a_flag_that_is_no_dependency(bad):
    """LB-09."""
    with pytest.raises(ValueError, match="Invalid dependency"):
        as_dependency(bad)


def test_flags_that_are():
    assert as_dependency(None) is None
    assert as_dependency("a:1") == {"a:1"} == as_dependency(["a:1"])
    dependency = px.Dependency("a:1", all=False)
    assert as_dependency(dependency) is dependency


# ---- terms


def test_terms_travel():
    fields = {"targets": [0, 2], "avoid": 1, "family": "f", "after": [["a:1"], False, True, True], "timeout": 2, "retries": 3}
    expected = Terms(
        targets=frozenset({0, 2}), avoid=1, family="f", after=Dependency(["a:1"], False, True, True), timeout=2, retries=3
    )
    assert terms_of(json.loads(json.dumps(fields))) == expected
    assert terms_of({}) == Terms()


@pytest.mark.parametrize("bad", [{"nonsense": 1}, {"targets": 5}, {"after": [1, 2, 3, 4, 5]}])
def test_terms_that_are_none(bad):
    with pytest.raises(ProtocolError):
        terms_of(bad)


def test_equal_terms_in_a_row_are_one_object():
    reader, fields = Reader(), {"targets": [1, 2], "retries": 1, "after": [["c:1"], True, True, False]}
    first = reader.read(fields)
    assert first == terms_of(fields) and reader.read(json.loads(json.dumps(fields))) is first
    other = {**fields, "targets": [1, 2, 3]}
    assert reader.read(other) == terms_of(other) != first
    assert reader.read({}) == Terms()


# ---- functional dependencies


@pytest.fixture
def user(monkeypatch):
    names = {}
    monkeypatch.setattr(namespace, "user", names)
    return names


def double(x):
    """Twice."""
    return 2 * x


def test_a_dependent_function_is_a_function(user):
    """DEP-04: called here, the condition is not asked."""
    f = px.dependent(double, lambda: False)
    assert f(21) == 42 and f.__name__ == "double" and f.__doc__ == "Twice."
    assert pickle.loads(pickle.dumps(px.dependent(double, math.sqrt, 4)))(1) == 2


def test_a_condition_that_is_false(user):
    """DEP-03."""
    with pytest.raises(px.UnmetDependency, match="isfinite is False here"):
        px.depend(math.isfinite, math.inf)(double).check()
    px.depend(math.isfinite, 1)(double).check()
    px.depend(lambda: None)(double).check()


def test_a_condition_that_fails_is_an_error_of_its_own():
    with pytest.raises(ZeroDivisionError):
        px.depend(lambda: 1 / 0)(double).check()


def test_require(user):
    """DEP-01."""
    f = px.require("os.path", math, double, number=7)(double)
    f.check()
    assert {"os", "math", "double", "number"} <= set(user) and user["number"] == 7 and user["os"].path


def test_require_what_is_not_there(user):
    """DEP-02."""
    with pytest.raises(px.UnmetDependency, match="no_such_module"):
        px.require("no_such_module")(double).check()
    with pytest.raises(px.UnmetDependency, match=r"math\.nonsense"):
        px.require("math.nonsense")(double).check()


@pytest.mark.parametrize("bad", [5, lambda: 0, None])
def test_require_without_a_name(bad):
    with pytest.raises(TypeError, match="must be passed by kwarg, but got"):
        px.require(bad)


def test_not_to_be_called():
    with pytest.raises(TypeError, match="needs a function"):
        px.depend(5)
    with pytest.raises(TypeError, match="made of two functions"):
        px.dependent(double, 5)
