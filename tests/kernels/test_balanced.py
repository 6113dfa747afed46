"""Load balancing and dependencies on real engines (LB, DEP, MAP)."""

import os
import signal
import threading
import time

import pytest

import pxkernel as px


@pytest.fixture
def lview(cluster4):
    return cluster4.load_balanced_view()


@pytest.fixture
def hold(cluster4, tmp_path):
    """hold(targets): keep engines busy until the end of the test, or until hold.release()."""

    class Hold:
        gate = tmp_path / "gate"

        def __call__(self, targets):
            self.result = cluster4[targets].apply_async(wait_for_file, str(self.gate))
            return self.result

        def release(self):
            self.gate.touch()

    holding = Hold()
    yield holding
    holding.release()
    holding.result.wait()


def wait_for_file(path):
    import os
    import time

    while not os.path.exists(path):
        time.sleep(0.005)


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


def test_a_timeout(cluster4, lview, hold):
    """LB-07: of a call that waits for others (seed 004: DependencyTimeout), and of one that waits for an engine."""
    hold([0])
    with lview.temp_flags(after=hold.result, timeout=0.1):
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
    with px.Cluster(n=3) as rc:
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
            assert view.apply_sync(die_once, str(tmp_path / "died")) == "survived"
        with pytest.raises(px.EngineError, match="engine . "):
            view.apply_sync(os._exit, 3)
        # There is nobody left to wait for.
        wait_for(lambda: not rc.ids)
        with pytest.raises(px.NoEnginesRegistered):
            view.apply_sync(int)
