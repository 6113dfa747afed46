"""What views do without a cluster: flags, defaults, and what they pass on to their client (features VW)."""

import pytest

from pxkernel.client.view import DirectView
from pxkernel.client.viewbase import View


class FakeClient:
    """Has four engines and remembers what it was asked."""

    def __init__(self):
        self.asked = []
        self.outstanding = {"a:1", "b:7"}
        self.results = {}

    def resolve(self, targets):
        return ([targets], True) if isinstance(targets, int) else (list(range(4))[: len(targets)], False)

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.asked.append((name, args, kwargs))


@pytest.fixture
def view():
    return DirectView(FakeClient(), [0, 1])


def test_flags_have_defaults(view):
    """VW-01"""
    assert (view.targets, view.block, view.track, view.label) == ([0, 1], False, False, None)


def test_a_time_limit(view):
    """Issue 4, point 4: ``timeout`` is another name for it, as a direct call waits for nothing else."""
    assert view.time_limit is view.timeout is None
    with view.temp_flags(timeout=2):
        assert view.time_limit == view.timeout == 2.0
        view.time_limit = 0.5
        assert view.timeout == 0.5
    assert view.time_limit is view.timeout is None
    view.time_limit = 0
    assert view.time_limit is None


@pytest.mark.parametrize("name", ["time_limit", "timeout"])
def test_what_is_no_time_limit(view, name):
    for value in ("1", True, [1]):
        with pytest.raises(TypeError, match=f"{name} must be a number of seconds or None"):
            setattr(view, name, value)
    for value in (-1, float("nan")):
        with pytest.raises(ValueError, match=f"Invalid {name}: {value}"):
            setattr(view, name, value)


def test_set_flags_returns_the_view(view):
    """VW-02"""
    assert view.set_flags(block=True, label="x") is view
    assert (view.block, view.label, view.track) == (True, "x", False)


def test_an_unknown_flag_sets_nothing(view):
    """VW-02"""
    with pytest.raises(KeyError, match="Invalid name: 'foo'"):
        view.set_flags(block=True, foo=1)
    assert view.block is False
    with pytest.raises(KeyError, match="Invalid name: 'client'"), view.temp_flags(client=None):
        pass


def test_temp_flags_restore_everything_also_after_an_error(view):
    """VW-03"""
    with pytest.raises(ZeroDivisionError), view.temp_flags(block=True, targets=1) as same:
        assert same is view
        assert (view.block, view.targets) == (True, 1)
        view.label = "inside"
        raise ZeroDivisionError
    assert (view.block, view.targets, view.label) == (False, [0, 1], None)


def test_temp_flags_need_nobody_to_keep_them(view):
    """VW-03"""
    context = view.temp_flags(label="kept")
    context.__enter__()
    assert view.label == "kept"
    context.__exit__(None, None, None)
    assert view.label is None


@pytest.mark.parametrize(
    ("targets", "text"),
    [([0, 1], "<DirectView [0, 1]>"), (0, "<DirectView 0>"), ("all", "<DirectView all>")],
)
def test_repr(targets, text):
    """VW-04"""
    assert repr(DirectView(FakeClient(), targets)) == text


def test_repr_of_many_targets_is_cut():
    """VW-04"""
    assert repr(DirectView(FakeClient(), list(range(20)))) == "<DirectView [0, 1, 2, 3,...]>"


def test_len(view):
    """VW-05"""
    assert len(view) == 2
    assert len(DirectView(FakeClient(), 3)) == 1


def test_a_view_must_say_how_it_applies_and_maps():
    with pytest.raises(TypeError, match="abstract"):
        View(FakeClient())


def test_map_sync_and_map_async_take_no_block(view):
    """MAP-03"""
    with pytest.raises(TypeError, match="map_sync doesn't take a `block` keyword argument."):
        view.map_sync(abs, [1], block=False)
    with pytest.raises(TypeError, match="map_async doesn't take a `block` keyword argument."):
        view.map_async(abs, [1], block=True)


def test_outstanding_is_of_this_view(view):
    """VW-14"""
    view.history += ["a:0", "a:1"]
    assert view.outstanding == {"a:1"}
    assert view.results is view.client.results
    view.wait()
    view.abort()
    assert view.client.asked == [("wait", ({"a:1"}, None), {}), ("abort", ({"a:1"},), {"targets": None, "block": False})]


def test_get_result_counts_in_the_history_of_the_view(view):
    """VW-15"""
    view.history += ["a:0", "a:1"]
    view.get_result()
    view.get_result(0)
    view.get_result(["b:7", -1], block=True, owner=True)
    assert view.client.asked == [
        ("get_result", ("a:1",), {"block": False, "owner": False}),
        ("get_result", ("a:0",), {"block": False, "owner": False}),
        ("get_result", (["b:7", "a:1"],), {"block": True, "owner": True}),
    ]
    with pytest.raises(IndexError):
        view.get_result(5)


def test_what_is_asked_of_the_client_is_about_the_own_targets(view):
    """VW-17"""
    view.queue_status(verbose=True)
    view.purge_results()
    view.purge_results("a:1")
    view.history += ["a:5", "a:6"]
    view.purge_results(0)
    view.shutdown(restart=True)
    view.shutdown(targets=1, block=True)
    assert view.client.asked == [
        ("queue_status", ([0, 1],), {"verbose": True}),
        ("purge_results", (), {"jobs": [], "targets": [0, 1]}),
        ("purge_results", (), {"jobs": "a:1", "targets": None}),
        ("purge_results", (), {"jobs": "a:5", "targets": None}),
        ("shutdown", ([0, 1],), {"restart": True, "hub": False, "block": False}),
        ("shutdown", (1,), {"restart": False, "hub": False, "block": True}),
    ]


def test_spin_does_nothing(view):
    """VW-21"""
    assert view.spin() is None
    assert view.client.asked == []


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda view: view.pull(5), TypeError, "names must be strs, not 5"),
        (lambda view: view[5], TypeError, "names must be strs, not 5"),
        (lambda view: view.pull(["a", 5]), TypeError, "names must be strs, not 5"),
        (lambda view: view.push({5: 1}), TypeError, "names must be strs, not 5"),
        (lambda view: view.push([1]), TypeError, "Must be a dict, not <class 'list'>"),
        (lambda view: view.scatter(5, [1, 2]), TypeError, "names must be strs, not 5"),
        (lambda view: view.scatter("a", 5), TypeError, "a sequence is needed to scatter"),
        (lambda view: view.scatter("a", [1, 2], dist="z"), ValueError, "dist"),
        (lambda view: view.gather(5), TypeError, "names must be strs, not 5"),
        (lambda view: view.gather("a", dist="z"), ValueError, "dist"),
        (lambda view: view.execute(5), TypeError, "code must be text, not <class 'int'>"),
        (lambda view: view.apply(5), TypeError, "apply needs a function to call, not 5"),
        (lambda view: view.get_result(7), IndexError, "there is no call with index 7"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_sent(view, call, error, text):
    """DV-01, DV-05, DV-06, DV-10, DV-11, DV-24, VW-15"""
    with pytest.raises(error, match=text):
        call(view)
    assert view.client.asked == []
