"""Load balancing and dependencies on real engines (LB, DEP, MAP)."""

import os
import re
import signal
import threading
import time

import numpy as np
import pytest

import pxkernel as px
from pxkernel.client.chunks import GRAINS


@pytest.fixture
def lview(cluster4):
    return cluster4.load_balanced_view()


@pytest.fixture
def hold(cluster4, hold):
    """hold(targets): keep engines busy until the end of the test, or until hold.release()."""
    held = []

    def start(targets):
        held.append(hold(cluster4[targets]))
        return held[-1]

    start.release = hold.release
    yield start
    hold.release()
    cluster4.wait(held)


# ---- the view


def test_a_call_goes_to_one_engine(cluster4, lview):
    """LB-01: the bare value, and where it ran once that is known."""
    result = lview.apply_async(os.getpid)
    assert result.get() == cluster4[result.engine_id].apply_sync(os.getpid)
    assert result.metadata.engine_id == result.engine_id in cluster4.ids
    assert result.metadata.engine_uuid == cluster4.engine_info(result.engine_id)["uuid"]
    assert lview.apply_sync(lambda targets, block: (targets, block), targets=1, block=2) == (1, 2)


def test_there_is_no_data_movement(lview):
    """LB-02."""
    for name in ("push", "pull", "scatter", "gather", "execute", "run", "activate"):
        with pytest.raises(AttributeError, match=f"'LoadBalancedView' object has no attribute '{name}'"):
            getattr(lview, name)


def test_flags(lview):
    """LB-03, LB-09."""
    assert (lview.targets, lview.block, lview.track, lview.label) == (None, False, False, None)
    assert (lview.follow, lview.after, lview.timeout, lview.retries) == (None, None, 0.0, 0)
    assert repr(lview) == "<LoadBalancedView None>" and len(lview) == 4
    with lview.temp_flags(retries=2, timeout=1, after=["a:1"]):
        assert (lview.retries, lview.timeout, lview.after) == (2, 1.0, {"a:1"})
    assert (lview.retries, lview.timeout, lview.after) == (0, 0.0, None)
    for endless in (float("inf"), 1e300, None):
        assert lview.set_flags(timeout=endless).timeout == 0.0
    for name, value, error in [
        ("timeout", -1, ValueError), ("timeout", "5", TypeError), ("retries", 1.5, TypeError), ("retries", -1, ValueError),
        ("after", 5, ValueError), ("follow", [5], ValueError), ("foo", 1, KeyError),
    ]:  # fmt: skip
        with pytest.raises(error):
            lview.set_flags(**{name: value})


def test_targets(cluster4, hold):
    """LB-04, RC-10."""
    hold([0, 1])
    view = cluster4.load_balanced_view(targets=[1, 2])
    results = [view.apply_async(lambda: 1) for _ in range(5)]
    assert [result.get() for result in results] == [1] * 5
    assert {result.engine_id for result in results} == {2}
    assert cluster4.load_balanced_view("all").targets is None
    with pytest.raises(IndexError, match="No such engine: 77"):
        cluster4.load_balanced_view([77])


def test_work_goes_to_those_that_are_free(cluster4, lview, hold):
    """LB-14, LB-18: direct work counts."""
    hold([0, 1, 2])
    results = [lview.apply_async(lambda: None) for _ in range(20)]
    assert all(result.wait(20) for result in results)
    assert {result.engine_id for result in results} == {3}


def test_queue_status(cluster4, lview, hold, wait_for):
    """LB-15: what has no engine is unassigned."""
    hold(cluster4.ids)
    results = [lview.apply_async(int) for _ in range(3)]
    wait_for(lambda: cluster4.queue_status()["unassigned"] == 3)
    assert cluster4.queue_status(verbose=True)["unassigned"] == [result.msg_ids[0] for result in results]
    hold.release()
    assert [result.get(20) for result in results] == [0] * 3
    assert cluster4.queue_status()["unassigned"] == 0


def test_cancel(cluster4, lview, hold):
    """AR-10 of balanced calls: what waits never runs."""
    hold(cluster4.ids)
    result = lview.apply_async(int)
    assert result.cancel() and result.cancelled()


def test_output_is_labelled_with_the_engine(lview, wait_for):
    result = lview.apply_async(print, "hello")
    result.get()
    assert result.stdout == "hello\n"
    assert result.metadata.engine_id is not None


def test_an_error(lview):
    with pytest.raises(ZeroDivisionError):
        lview.apply_sync(lambda: 1 / 0)


def test_ordinary_and_balanced_views_of_two_clients(cluster4, lview):
    """LB-18."""
    with px.Client(cluster4.cluster.cluster_file) as other:
        theirs = [other.load_balanced_view().apply_async(lambda x=x: x) for x in range(50)]
        ours = [lview.apply_async(lambda x=x: -x) for x in range(50)]
        assert [result.get() for result in theirs] == list(range(50))
        assert [result.get() for result in ours] == [-x for x in range(50)]


# ---- dependencies between calls


def test_after_and_follow(cluster4, lview):
    """LB-05, LB-06, LB-17: what a call depended on stays in its metadata."""
    first = lview.apply_async(time.sleep, 0.05)
    with lview.temp_flags(after=first, follow=first):
        second = lview.apply_async(int)
    second.get()
    assert second.metadata.started >= first.metadata.completed
    assert second.engine_id == first.engine_id
    assert second.metadata.after == second.metadata.follow == first.msg_ids


def test_after_a_direct_call(cluster4, lview):
    """LB-10."""
    direct = cluster4[:].apply_async(time.sleep, 0.05)
    with lview.temp_flags(after=direct):
        result = lview.apply_async(int)
    assert result.get() == 0
    assert result.metadata.started >= max(direct["completed"])


def test_dependencies_that_cannot_be(lview):
    """LB-10, LB-11."""
    failed = lview.apply_async(lambda: 1 / 0)
    with lview.temp_flags(after=failed), pytest.raises(px.ImpossibleDependency, match="has not ended as it should"):
        lview.apply_sync(int)
    with lview.temp_flags(after="nonsense"), pytest.raises(px.InvalidDependency, match="nonsense"):
        lview.apply_sync(int)
    with lview.temp_flags(after=px.Dependency(failed, success=False, failure=True)):
        assert lview.apply_sync(int) == 0


def test_a_graph(lview):
    """DEP-07: in topological order, each after those that it needs."""
    needs = {"a": "", "b": "a", "c": "a", "d": "bc", "e": "d", "f": "ae"}
    results = {}
    for node, others in needs.items():
        with lview.temp_flags(after=[results[other] for other in others]):
            results[node] = lview.apply_async(time.sleep, 0.01)
    assert all(result.wait(20) for result in results.values())
    for node, others in needs.items():
        for other in others:
            assert results[node].metadata.started >= results[other].metadata.completed


def test_a_timeout_of_a_year(cluster4, lview, hold):
    """LB-07: longer than a system call can wait; the controller goes on."""
    hold(cluster4.ids)
    with lview.temp_flags(timeout=3e7):
        waiting = lview.apply_async(lambda: "done")
    assert cluster4.queue_status()["unassigned"] == 1
    hold.release()
    assert waiting.get(10) == "done"


def test_a_timeout(cluster4, lview, hold):
    """LB-07: of a call that waits for others (seed 004: DependencyTimeout), and of one that waits for an engine."""
    with lview.temp_flags(after=hold([0]), timeout=0.1):
        waits_for_another = lview.apply_async(int)
    with lview.temp_flags(targets=[0], timeout=0.1):
        waits_for_an_engine = lview.apply_async(int)
    with pytest.raises(px.DependencyTimeout, match=r"within 0\.1 seconds") as caught:
        waits_for_another.get(20)
    assert isinstance(caught.value, px.TaskTimeout)
    with pytest.raises(px.TaskTimeout, match="no engine had time"):
        waits_for_an_engine.get(20)


# ---- functional dependencies


def test_require(cluster4, lview, notebook):
    """DEP-01: modules, functions and objects are in the engine's namespace, and stay there."""
    names = notebook(
        """
        def helper(x):
            return x + offset

        @px.require("os.path", "colorsys", helper, offset=40)
        def f(x):
            return os.path.basename("/a/b"), colorsys.__name__, helper(x)
        """,
        px=px,
    )
    assert lview.apply_sync(names["f"], 2) == ("b", "colorsys", 42)
    engine = lview.apply_async(names["f"], 2)
    engine.get()
    assert cluster4[engine.engine_id].pull("offset", block=True) == 40
    assert names["f"].__name__ == "f" and isinstance(names["f"], px.dependent)
    with pytest.raises(TypeError, match="must be passed by kwarg, but got: <class 'int'>"):
        px.require(5)


def test_an_unmet_requirement(cluster4, lview):
    """DEP-02: it fails when every engine was asked, on a direct view at once."""

    @px.require("no_such_module")
    def f():
        return 1

    with pytest.raises(px.ImpossibleDependency, match="no engine meets its dependencies: UnmetDependency: no_such_module"):
        lview.apply_sync(f)
    with pytest.raises(px.UnmetDependency, match="no_such_module"):
        cluster4[0].apply_sync(f)


def test_depend(cluster4, lview):
    """DEP-03, DEP-04: called here, the condition is not asked."""
    cluster4[2].push({"has_data": True}, block=True)
    condition = eval("lambda name: name in globals()", {"__name__": "__main__"})
    f = px.depend(condition, "has_data")(lambda: "ran")
    result = lview.apply_async(f)
    assert (result.get(), result.engine_id) == ("ran", 2)
    assert f() == px.dependent(lambda: "ran", condition, "nonsense")() == "ran"
    cluster4[2].execute("del has_data", block=True)
    with pytest.raises(px.ImpossibleDependency, match="is False here"):
        lview.apply_sync(f)


def test_user_code_that_wants_another_engine(cluster4, lview, notebook):
    """DEP-05."""
    cluster4[:].scatter("number", cluster4.ids, flatten=True, block=True)
    names = notebook(
        """
        def f():
            if number != 1:
                raise px.UnmetDependency(number)
            return "here"
        """,
        px=px,
    )
    assert lview.apply_sync(names["f"]) == "here"


# ---- retries and failures


def test_retries(lview, tmp_path):
    """LB-08: more of them than engines."""

    def f(path):
        with open(path, "a") as file:
            file.write("x")
        with open(path) as file:
            tries = len(file.read())
        if tries < 7:
            raise ValueError(tries)
        return tries

    with lview.temp_flags(retries=6):
        assert lview.apply_sync(f, str(tmp_path / "tries")) == 7
    with lview.temp_flags(retries=1), pytest.raises(ValueError, match="2"):
        lview.apply_sync(f, str(tmp_path / "others"))


def test_abort(cluster4, lview, hold):
    """LB-16."""
    hold(cluster4.ids)
    results = [lview.apply_async(int) for _ in range(10)]
    lview.abort()
    for result in results:
        with pytest.raises(px.TaskAborted):
            result.get(20)


def test_an_interrupt_of_a_blocking_call(cluster4, lview, wait_for):
    """Ctrl-C interrupts the call there and raises KeyboardInterrupt here."""
    pid = os.getpid()
    timer = threading.Timer(0.5, os.kill, (pid, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        lview.apply_sync(time.sleep, 60)
    timer.join()
    assert cluster4[:].apply_async(int).get(20) == [0] * 4


def test_an_engine_that_dies(lview, tmp_path, wait_for):
    """LB-12: at once, or elsewhere with retries. A cluster of its own, because engines die."""
    with px.Cluster(n=3, scheme="lru") as rc:
        view = rc.load_balanced_view()
        with pytest.raises(px.EngineError, match="engine . "):
            view.apply_sync(os._exit, 3)

        def die_once(path):
            import os

            if not os.path.exists(path):
                open(path, "w").close()
                os._exit(3)
            return "survived"

        with view.temp_flags(retries=1):
            # Of a map with retries only the item that was lost runs again.
            paths = [str(tmp_path / "died")] + [str(tmp_path)] * 5
            assert view.map_sync(die_once, paths) == ["survived"] * 6

        def die_later(path):
            import os
            import time

            while not os.path.exists(path):
                time.sleep(0.005)
            os._exit(3)

        dying, behind = view.apply_async(die_later, str(tmp_path / "go")), view.apply_async(int)
        (tmp_path / "go").touch()
        with pytest.raises(px.EngineError, match=r"^engine (\d) died \(exit code 3\)"):
            dying.get(10)
        with pytest.raises(px.EngineError, match=r"no engine is left that it may run on: engine \d died \(exit code 3\)"):
            behind.get(10)
        # There is nobody left to wait for.
        wait_for(lambda: not rc.ids)
        with pytest.raises(px.NoEnginesRegistered):
            view.apply_sync(int)


# ---- map


def test_map(lview):
    """MAP-02 to MAP-04, MAP-07."""
    result = lview.map_async(lambda x, y: x * y, range(1000), range(5, 2000))
    assert len(result) == 1000
    assert result.get() == [x * (x + 5) for x in range(1000)] and result.progress == 1000
    assert lview.map_sync(abs, []) == [] and lview.map(abs, iter([-1]), block=True) == [1]
    assert len(set(result.engine_id)) > 1
    assert set(result.msg_ids) <= set(lview.history) and result.serial_time > 0
    with pytest.raises(TypeError, match="doesn't take a `block`"):
        lview.map_sync(abs, [1], block=False)
    with pytest.raises(TypeError, match="must have some sequences"):
        lview.map(abs)


def test_labels(lview):
    """VW-23, MAP-02: of each task, also of those that are submitted later."""
    lview.label = "the view's"
    for options in ({}, {"chunksize": 5}):
        assert set(lview.map_async(abs, range(50), label="the call's", **options).label) == {"the call's"}
        assert set(lview.map_async(abs, range(50), **options).label) == {"the view's"}


@pytest.mark.parametrize("size, count", [(20_000, 40), (200_000, 4), (1000, 2000)])
def test_items_that_travel_through_shared_memory(lview, size, count):
    """MAP-03: many arrays in one task are as large as one large array."""
    arrays = [np.full(size, number) for number in range(count)]
    assert lview.map_sync(lambda array: int(array[-1]) + len(array), arrays) == [number + size for number in range(count)]


@pytest.mark.parametrize("chunksize", [1, 7, 500])
def test_chunks_of_one_size(lview, chunksize):
    """MAP-02."""
    result = lview.map_async(str, range(100), chunksize=chunksize)
    assert result.get() == list(map(str, range(100)))
    assert len(result.msg_ids) == -(-100 // chunksize)


@pytest.mark.parametrize("bad", [0, -1, 1.5, "big", True])
def test_no_size(lview, bad):
    with pytest.raises(ValueError, match="chunksize must be a positive int"):
        lview.map(abs, [1], chunksize=bad)
    assert not lview.history


def test_errors_of_items(lview):
    """MAP-05, MAP-06: an item that fails costs its own result, in whatever chunk it is."""
    for chunksize in ("auto", 5):
        result = lview.map_async(lambda x: 1 / x, range(-10, 10), chunksize=chunksize)
        with pytest.raises(px.CompositeError) as caught:
            result.get()
        assert len(caught.value.exceptions) == 1
        values = result.get(return_exceptions=True)
        assert isinstance(values[10], ZeroDivisionError)
        assert values[:10] + values[11:] == [1 / x for x in range(-10, 10) if x]
    quiet = lview.map_sync(lambda x: 1 / x, range(2), return_exceptions=True)
    assert isinstance(quiet[0], ZeroDivisionError) and quiet[1] == 1.0


def test_a_map_of_which_everything_fails(lview):
    """MAP-05: its tasks grow all the same, since only the first errors of each engine are rendered."""
    result = lview.map_async(lambda x: 1 / x, [0] * 3000)
    error = result.exception()
    assert len(error.exceptions) == 3000
    assert len(result.msg_ids) < 1000
    with_traceback = [member for member in error.exceptions if member.traceback]
    assert 1 <= len(with_traceback) <= 10 * len(lview)


def test_an_item_whose_result_cannot_travel(view, lview):
    """MAP-05, MAP-06: it costs its own result only, also on a DirectView."""
    for either in (view, lview):
        lost = either.map_sync(lambda x: __import__("threading").Lock() if x == 2 else x, range(20), return_exceptions=True)
        assert [value for value in lost if not isinstance(value, px.RemoteError)] == [x for x in range(20) if x != 2]
        assert isinstance(lost[2], TypeError) and "cannot send the result (<unlocked _thread.lock" in lost[2].evalue


class Unwelcome:
    """It can be packed, and unpacked by nobody if it is bad."""

    def __init__(self, bad):
        self.bad = bad

    def __setstate__(self, state):
        if state["bad"]:
            raise LookupError("nothing here")
        self.__dict__ = state


async def is_bad(item):
    return item.bad


@pytest.mark.parametrize("function", [lambda item: item.bad, is_bad], ids=["function", "coroutine function"])
def test_an_item_that_cannot_be_unpacked(lview, function):
    """MAP-05, MAP-06: it costs its own result only; of a long map those that were packed with it."""
    found = lview.map_sync(function, [Unwelcome(number == 70) for number in range(100)], return_exceptions=True)
    assert [number for number, value in enumerate(found) if value is not False] == [70]
    assert isinstance(found[70], px.RemoteError) and found[70].evalue == "nothing here"
    assert 'raise LookupError("nothing here")' in re.sub(r"\x1b\[[0-9;]*m", "", found[70].traceback)
    many = lview.map_sync(function, [Unwelcome(number == 70) for number in range(2 * GRAINS)], return_exceptions=True)
    assert [number for number, value in enumerate(many) if value is not False] == [70, 71]
    assert {value.evalue for value in many[70:72]} == {"nothing here"}
    assert "2 items of the map were packed together" in many[70].traceback


async def slowly(x):
    import asyncio

    await asyncio.sleep(0)
    return 1 / x


def test_a_map_of_a_coroutine_function(view, lview):
    """MAP-01, MAP-02, SER-18: as ``apply``, which awaits it."""
    for either in (view, lview):
        assert either.map_sync(slowly, [1, 2, 4]) == [1, 0.5, 0.25]
        found = either.map_sync(slowly, [1, 0, 4], return_exceptions=True)
        assert [type(value) for value in found][::2] == [float, float] and isinstance(found[1], ZeroDivisionError)


def test_no_engines_to_choose_from(cluster4):
    """LB-04: refused at the call."""
    lview = cluster4.load_balanced_view([])
    for call in (lambda: lview.apply(abs, 1), lambda: lview.map(abs, [1]), lambda: list(lview.imap(abs, [1]))):
        with pytest.raises(IndexError, match="this view has no engines"):
            call()
    assert not lview.history


def test_results_come_as_they_are_done(cluster4, lview, hold):
    """MAP-02: ordered and not; MAP-12: while others are still at work."""
    hold([0])
    slow = cluster4.load_balanced_view(targets=[0, 1])
    items = slow.map_async(lambda x: x, range(20), chunksize=1, ordered=False)
    first = [item for item, _ in zip(items, range(5), strict=False)]
    assert len(set(first)) == 5
    hold.release()
    assert sorted(items) == list(range(20)) == items.get()
    assert sum(lview.map_async(abs, range(-50, 50), ordered=False)) == sum(map(abs, range(-50, 50)))


def test_arrays_are_sent_as_they_were(lview, hold, cluster4):
    """SER: a map that waits has its own copy of what it was given."""
    np = pytest.importorskip("numpy")
    hold(cluster4.ids)
    arrays = [np.full(2000, number) for number in range(30)]
    result = lview.map_async(lambda a: float(a.sum()), arrays)
    for array in arrays:
        array[:] = -1
    hold.release()
    assert result.get() == [2000.0 * number for number in range(30)]


def test_retries_of_items(lview, tmp_path):
    """LB-08: a task has one item then, so that only what has failed runs again."""

    def f(number, path):
        with open(f"{path}/{number}", "a") as file:
            file.write("x")
        with open(f"{path}/{number}") as file:
            if number == 3 and len(file.read()) < 3:
                raise ValueError(number)
        return number

    with lview.temp_flags(retries=2):
        assert lview.map_sync(f, range(10), [str(tmp_path)] * 10) == list(range(10))
    assert {path.name: len(path.read_text()) for path in tmp_path.iterdir() if path.name.isdigit()} == {
        str(number): 3 if number == 3 else 1 for number in range(10)
    }


def test_a_dependent_function_in_a_map(cluster4, lview):
    """DEP-03, MAP-02."""
    cluster4[1:3].push({"has_data": True}, block=True)
    condition = eval("lambda: 'has_data' in globals()", {"__name__": "__main__"})
    result = lview.map_async(px.depend(condition)(abs), range(-20, 20))
    assert result.get() == list(map(abs, range(-20, 20)))
    assert set(result.engine_id) <= {1, 2}
    cluster4[1:3].execute("del has_data", block=True)


def test_after_a_map(lview):
    """LB-05: after all of it, also what has not been submitted."""
    first = lview.map_async(lambda x: x, range(500))
    with lview.temp_flags(after=first):
        second = lview.apply_async(int)
    assert second.get() == 0 and first.ready()
    assert second.metadata.started >= max(first.completed)


def test_a_map_that_is_aborted(cluster4, lview, hold):
    """LB-16: what has not been submitted is aborted as well."""
    hold(cluster4.ids)
    result = lview.map_async(abs, range(1000))
    result.abort()
    assert result.wait(20)
    assert {type(value) for value in result.get(return_exceptions=True)} == {px.TaskAborted}
    assert not lview.outstanding


def test_ctrl_c_ends_a_map(cluster4, lview):
    """What runs is interrupted, and nothing more is submitted."""
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        lview.map_sync(time.sleep, [60] * 100)
    timer.join()
    assert cluster4[:].apply_async(int).get(20) == [0] * 4
    assert not lview.outstanding


def test_imap(lview):
    """MAP-08: over endless input, in order and not."""
    from itertools import count, islice

    assert list(islice(lview.imap(lambda x: 2 * x, count()), 30)) == list(range(0, 60, 2))
    results = lview.imap(lambda x: x, count(), ordered=False, max_outstanding=8)
    assert len(set(islice(results, 30))) == 30
    results.cancel()
    assert len(list(results)) <= 16
    assert list(lview.imap(lambda x, y: x + y, "abc", "def", max_outstanding=0)) == ["ad", "be", "cf"]
    assert isinstance(list(lview.imap(lambda x: 1 / x, [0], return_exceptions=True))[0], ZeroDivisionError)
    for bad in (-1, 1.5, "many"):
        with pytest.raises(ValueError, match="max_outstanding"):
            lview.imap(abs, [1], max_outstanding=bad)


@pytest.mark.parametrize("bad", [0, -1, 1.5, "big", True])
def test_a_parallel_function_of_no_size(lview, bad):
    """RF-07"""
    with pytest.raises(ValueError, match="chunksize must be a positive int"):
        lview.parallel(chunksize=bad)(abs)([1, 2])
    assert not lview.history


def test_a_parallel_function(lview):
    """RF-07."""
    pfunc = px.parallel(lview, block=True)(lambda part: [len(part)])
    assert pfunc([1, 2, 3]) == [1, 1, 1] and pfunc.map([[1], [1, 2]]) == [[1], [2]]
    assert px.parallel(lview, block=True, chunksize=2)(lambda part: [len(part)])(range(5)) == [2, 2, 1]
