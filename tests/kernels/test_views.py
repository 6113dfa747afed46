"""What views and clients do with real engines (features RC, VW, DV, BV, RF, SER-14)."""

import functools
import gc
import json
import os
import threading
import time
from concurrent.futures import Future
from pathlib import Path

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
    """RF-01, RF-02, VW-19"""
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
    """RF-03, VW-19: the seeds' example."""
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
    """SER-14, VW-09, MAP-11"""
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


# ---- imports


def test_sync_imports(view, capsys):
    """DV-14, DV-15"""
    view.execute("for name in ('np', 'tree', 'xml', 'root'):\n    globals().pop(name, None)")
    names = {"view": view}
    exec(
        "with view.sync_imports():\n"
        "    import numpy as np\n"
        "    import xml.etree.ElementTree as tree, xml.dom\n"
        "    from math import sqrt as root\n",
        names,
    )
    assert capsys.readouterr().out.splitlines() == [
        "importing numpy as np on engine(s)",
        "importing xml.etree.ElementTree as tree on engine(s)",
        "importing xml.dom on engine(s)",
        "importing sqrt as root from math on engine(s)",
    ]
    assert (
        view.pull("(np.__name__, tree.__name__, xml.dom.__name__, root(9))")
        == [("numpy", "xml.etree.ElementTree", "xml.dom", 3.0)] * 4
    )
    assert names["root"](9) == 3.0


def test_imports_that_only_some_can_do(view):
    """DV-14, DV-16, DV-17"""
    with pytest.raises(px.CompositeError, match="remote_import") as caught, view.sync_imports(local=False):
        import nosuch  # noqa: F401
    assert all(isinstance(error, ModuleNotFoundError) for error in caught.value.exceptions)
    assert len(caught.value.exceptions) == 4
    with view.importer:
        import colorsys  # noqa: F401
    assert view["colorsys.__name__"] == ["colorsys"] * 4


# ---- flags and keywords


def test_lazy_and_fixed_targets(cluster4):
    """RC-09, VW-05"""
    lazy = cluster4.direct_view(block=True, label="x")
    assert (lazy.targets, lazy.block, lazy.label, len(lazy), repr(lazy)) == ("all", True, "x", 4, "<DirectView all>")
    assert cluster4.direct_view(None).targets == cluster4.direct_view(slice(None)).targets == [0, 1, 2, 3]
    assert cluster4.direct_view(-1).targets == 3
    assert cluster4.direct_view([2]).targets == [2]
    with pytest.raises(KeyError, match="Invalid name: 'zz'"):
        cluster4.direct_view(zz=1)
    with pytest.raises(IndexError, match="No such engine: 9"):
        cluster4.direct_view([9])


def test_a_view_is_its_engines(view, cluster4):
    """VW-05, RC-05"""
    assert [each.targets for each in cluster4[1:3]] == [1, 2]
    assert [each.apply_sync(os.getpid) for each in view] == view.apply(os.getpid)
    assert len(cluster4[1:3]) == 2
    with pytest.raises(TypeError):
        "a" in view  # noqa: B015


def test_broadcast_view(cluster4):
    """RC-11, BV-01 to BV-04: a DirectView by another name."""
    view = cluster4.broadcast_view(block=True, is_coalescing=True)
    assert isinstance(view, px.BroadcastView)
    assert repr(view) == "<BroadcastView all>"
    assert view.apply(lambda x: x, 5) == [5] * 4
    result = view.apply_async(os.getpid)
    assert (len(result), result.engine_id) == (4, [0, 1, 2, 3])
    assert set(result.get_dict(20)) == {0, 1, 2, 3}
    assert view.scatter("a", range(8)) == [None] * 4
    assert view.gather("a") == list(range(8))
    assert view.map(abs, [-1, -2, -3]) == [1, 2, 3]
    view.track = True
    assert view.push({"a": np.zeros(100_000)}, block=False).wait_for_send(20) is None


def test_labels(view):
    """VW-23"""
    view.block = False
    assert view.execute("1", label="code").metadata[0].label == "code"
    assert view.map(abs, [1], label="map").metadata[0].label == "map"
    with view.temp_flags(label="flag"):
        assert view.apply(abs, 1).metadata[3].label == "flag"
        assert view.execute("1", label="own").metadata[3].label == "own"
    assert view.apply(abs, 1).metadata[0].label is None


def test_run_has_a_label(view, tmp_path):
    """DV-04"""
    (tmp_path / "a.py").write_text("x = 5")
    assert view.run(tmp_path / "a.py", label="file").metadata[1].label == "file"


def test_track_for_one_call(view):
    """VW-22"""
    array = np.zeros(500_000)
    view.block = False
    results = [
        view.push({"a": array}, track=True),
        view.scatter("b", array, track=True),
        view.map(np.sum, array.reshape(50, -1), track=True),
    ]
    for result in results:
        result.wait_for_send(20)
    array += 1
    assert [result.get(20) for result in results[:2]] == [[None] * 4] * 2
    assert view.pull("(a.any(), b.any())").get() == [(False, False)] * 4
    assert not any(results[2].get(20))


def test_targets_of_one_call(view):
    """DV-22"""
    view["x"] = 0
    view.push({"x": 1}, targets=2)
    view.execute("x = 3", targets=slice(3, None))
    assert view["x"] == [0, 0, 1, 3]
    assert view.pull("x", targets=range(2, 4)) == [1, 3]
    assert view.pull("x", targets="all") == [0, 0, 1, 3]
    assert view.pull("x", targets=2) == 1
    with pytest.raises(TypeError, match="'foo' not valid str target, must be 'all'"):
        view.pull("x", targets="foo")


def test_names_of_arguments_are_free(view):
    """VW-06"""
    given = {"f": 1, "self": 2, "block": 3, "targets": 4, "args": 5, "kwargs": 6, "label": 7}
    assert view.apply(lambda **names: names, **given) == [given] * 4


def test_a_remote_functions_flags_do_not_leak_while_it_runs(view):
    """RF-01: other threads use the view meanwhile."""
    slow = view.remote(block=False, label="slow")(lambda: None)
    result = slow()
    assert (view.block, view.label) == (True, None)
    result.get(20)
    assert result.msg_ids[-1] == view.history[-1]


def test_what_silent_code_leaves_behind(view):
    """DV-01: no number, no history, no value; what it prints is there. DV-02: with ``silent=False`` all of it."""
    view.block = False
    count = "get_ipython().execution_count"
    before = view.pull(count).get()
    silent = view.execute("print('said'); 5")
    assert [reply.data for reply in silent.get()] == [{}] * 4
    assert (silent.stdout, view.pull(count).get()) == (["said\n"] * 4, before)
    shown = view.execute("5", silent=False)
    assert [reply.data for reply in shown.get() if shown.wait_for_output()] == [{"text/plain": "5"}] * 4
    assert view.pull(count).get() == [number + 1 for number in before]
    assert view.pull("In[-1]").get() == ["5"] * 4


def test_scatter_without_waiting(view):
    """DV-10"""
    result = view.scatter("part", range(8), block=False)
    assert repr(result).startswith("<AsyncResult: scatter:")
    assert result.get() == [None] * 4


def test_apply_leaves_nothing_in_the_namespace(view, notebook):
    """ENG-03: neither while it runs nor after it; the function brings what it uses, and nothing else."""
    names = notebook("def f(x, y):\n    return sorted(globals())")
    before = view.pull("sorted(globals())")
    during = view.apply(names["f"], [1], y=2)
    assert during == view.pull("sorted(globals())") == before


def test_from_engine_to_engine(view):
    """ENG-08: an engine may be a client of its own cluster; what it pushes and pulls goes through the controller."""

    def exchange():
        import pxkernel as px

        with px.Client() as rc:
            rc[1].push({"there": "from 0"}, block=True)
            return rc[1]["here"]

    view["here"] = "from 1"
    assert view.client[0].apply_async(exchange).get(20) == "from 1"
    assert view.pull("there", targets=1) == "from 0"


def test_aborting_what_a_view_has_called(view):
    """VW-16: without arguments everything that this view has called and nothing else."""
    other, mine = view.client[0], view.client[0]
    other.apply_sync(time.sleep, 0.05)  # what comes after a slow call waits in the controller
    running = other.apply_async(time.sleep, 30)
    theirs, calls = other.apply_async(abs, -1), [mine.apply_async(abs, -n) for n in range(3)]
    assert mine.abort(block=True) is None
    for call in calls:
        with pytest.raises(px.TaskAborted):
            call.get(20)
    assert not theirs.ready() and not running.ready()
    view.client.interrupt(running)
    assert theirs.get(20) == 1


# ---- clients


def test_views_that_are_made_later_block(cluster4):
    """RC-21: the views that there are keep their own."""
    with px.Client(cluster4.cluster.cluster_file) as other:
        before = other[0]
        other.block = True
        assert other[0].apply(abs, -1) == 1
        assert (other[:].block, other.direct_view().block, other.load_balanced_view().block) == (True, True, True)
        assert before.block is False
        assert before.apply(abs, -1).get(20) == 1


def test_the_cluster_of_a_client(cluster4):
    """RC-25"""
    assert isinstance(cluster4.cluster, px.Cluster)
    with cluster4.cluster.connect_client_sync() as other:
        assert other.cluster is cluster4.cluster
    with px.Client(cluster4.cluster.cluster_file) as other:
        assert other.cluster is None


def test_connecting_by_what_the_file_says(cluster4):
    """RC-01, RC-02, RC-26"""
    path = cluster4.cluster.cluster_file
    for arguments in (
        {"connection_info": json.loads(Path(path).read_text())},
        {"cluster_id": cluster4.cluster_id},
        {"cluster_id": cluster4.cluster_id, "profile": "default"},
        {"profile": "default"},
    ):
        with px.Client(**arguments) as other:
            assert (other.ids, other.profile, other.cluster_id) == ([0, 1, 2, 3], "default", cluster4.cluster_id)
            assert other.session != cluster4.session
            assert other[0].apply_sync(os.getpid) == cluster4[0].apply_sync(os.getpid)
            assert other.history[0].startswith(other.session)
        assert other.closed
    assert not cluster4.closed


def test_results_and_metadata_by_id(view):
    """RC-18, RC-20, VW-14"""
    client = view.client
    result = view.apply_async(lambda x: x, 5)
    failed = view.apply_async(lambda: 1 / 0)
    result.get()
    failed.wait(20)
    assert [client.results[msg_id] for msg_id in result.msg_ids] == [5] * 4
    assert all(isinstance(view.results[msg_id], ZeroDivisionError) for msg_id in failed.msg_ids)
    assert [client.metadata[msg_id].engine_id for msg_id in result.msg_ids] == [0, 1, 2, 3]
    assert set(result.msg_ids) <= set(client.results) <= set(client.metadata)
    assert client.history[-8:] == view.history[-8:] == result.msg_ids + failed.msg_ids
    with pytest.raises(KeyError):
        client.results["nosuch"]
    waiting = view.apply_async(time.sleep, 30)
    assert not set(waiting.msg_ids) & set(client.results)
    assert set(waiting.msg_ids) <= set(client.metadata)
    client.interrupt(waiting)
    waiting.wait(20)


def test_what_is_let_go_is_not_kept(view):
    """RC-20: the client's memory is bounded."""
    result = view.apply_async(lambda: 5)
    result.get()
    ids = result.msg_ids
    del result
    gc.collect()
    assert not set(ids) & set(view.client.results)
    assert view.client.wait(ids) is True


def test_waiting_with_a_bar(view, capsys):
    """RC-17"""
    results = [view.apply_async(abs, 1), view.map_async(abs, range(10))]
    assert view.client.wait_interactive(results, interval=0.01) is None
    assert all(result.ready() for result in results)
    assert "14/14" in capsys.readouterr().err
    stuck = view.apply_async(time.sleep, 30)
    view.client.wait_interactive(stuck, interval=0.01, timeout=0.05)
    assert not stuck.ready()
    view.client.interrupt(stuck)
    assert view.client.wait(stuck, 20)
    with pytest.raises(ValueError, match="interval"):
        view.client.wait_interactive(interval=0)


def test_waiting_for_other_futures(cluster4):
    """RC-16"""
    done, cancelled, pending = Future(), Future(), Future()
    done.set_exception(ValueError())
    cancelled.cancel()
    assert cluster4.wait([done, cancelled], 5) is True
    assert cluster4.wait([done, pending], 0.01) is False


def test_waiting_for_engines_in_the_background(cluster4):
    """RC-15"""
    assert cluster4.wait_for_engines(4, block=False).result(10) is None
    assert cluster4.wait_for_engines(4, timeout=-1, interactive=True) is None
    with pytest.raises(TimeoutError, match=r"9 engines not ready in 0.1 seconds. Currently ready: 4"):
        cluster4.wait_for_engines(9, timeout=0.1, block=False).result(10)


def test_targets_that_have_no_order(view):
    """VW-01"""
    view.targets = {0, 1}
    with pytest.raises(TypeError, match="targets must be an engine id, a slice, a list of ids or 'all', not {0, 1}"):
        view.apply(abs, 1)
    view.targets = slice(None, 2)
    assert view.apply(abs, 1) == [1, 1]
    view.targets = "all"
    assert view.apply(abs, 1) == [1] * 4


def test_closing_lets_go_what_is_on_its_way(cluster4):
    """RC-23"""
    other = px.Client(cluster4.cluster.cluster_file)
    other[0].apply_async(len, bytes(1_000_000))
    other.close(linger=0)
    other.close()
    assert other.closed
    with pytest.raises(RuntimeError, match="closed"):
        other[0]


def test_a_view_of_nothing(cluster4):
    """RC-07"""
    empty = cluster4[4:]
    assert (repr(empty), len(empty), list(empty)) == ("<DirectView []>", 0, [])
    with pytest.raises(IndexError, match="this view has no engines"):
        empty.apply_sync(abs, 1)


def test_use_dill(view):
    """SER-07, DV-21"""
    try:
        assert view.use_dill().get(20) == [None] * 4
        locks = view.apply(lambda lock: (lock.acquire(), lock)[1], threading.Lock())
        assert [lock.locked() for lock in locks] == [True] * 4
    finally:
        assert view.use_cloudpickle().get(20) == view.use_pickle().get(20) == [None] * 4
    with pytest.raises(TypeError, match="lock"):
        view.apply(abs, threading.Lock())


def test_the_first_client_in_a_notebook_has_px(cluster4, start_notebook):
    """RC-13, RC-14: also after a client that is closed, and not instead of a view that was activated."""
    nb = start_notebook()
    nb.run(f"import pxkernel as ipp\nrc = ipp.Client({str(cluster4.cluster.cluster_file)!r})")
    assert nb.run("%px 6 * 7").error == ""
    nb.run(f"rc.close()\nrc = ipp.Client({str(cluster4.cluster.cluster_file)!r})")
    nb.run("%px where = 'all'")
    assert nb.run("rc.activate([1, 2]).block").result == "True"
    nb.run(f"other = ipp.Client({str(cluster4.cluster.cluster_file)!r})\n%px where = 'two'")
    assert nb.run("rc[:]['where']").result == "['all', 'two', 'two', 'all']"


def test_what_a_view_asks_of_its_client(view):
    """VW-15, VW-17, DV-18: about its own engines and its own history."""
    some = view.client[1:3].set_flags(block=True)
    assert set(some.queue_status()) >= {1, 2}
    assert not {0, 3} & set(some.queue_status())
    result = some.apply_async(os.getpid)
    result.get()
    for found in (some.get_result(-1, block=False), some.get_result(result.msg_ids, block=False)):
        assert set(found.msg_ids) <= set(result.msg_ids)
        found.get(20)
    some.purge_results(result.msg_ids)
    some.purge_results()
    view["kept"] = 1
    assert some.clear() is None
    assert view.pull("'kept' in globals()") == [True, False, False, True]


def test_the_magics_outside_of_ipython(view):
    """DV-19"""
    with pytest.warns(UserWarning, match=r"The IPython parallel magics \(%px, etc.\) only work within IPython."):
        view.activate()
