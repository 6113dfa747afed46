"""Results of real engines: published data, times, streams, splitting, cancelling (AR, AMR, DAT)."""

import time

import numpy
import pytest

import pxkernel as px

PUBLISH = """
def publish(path, **values):
    from pxkernel import publish_data
    publish_data(values)
    publish_data({"a": values["a"] + 1})
    hold(path)
    publish_data({"end": True})
"""


@pytest.fixture
def publish(notebook, hold):
    return notebook(PUBLISH, hold=hold.function)["publish"]


# ---- published data (DAT-01)


def test_data_while_the_task_runs(view, publish, hold, wait_for):
    """DAT-01: live, newest values win, arrays are private."""
    array = numpy.arange(100_000)
    result = view.apply_async(publish, hold.path, a=1, array=array)
    wait_for(lambda: all(data.get("a") == 2 for data in result.data))
    assert not result.ready()
    assert [set(data) for data in result.data] == [{"a", "array"}] * 4
    assert all((data["array"] == array).all() and data["array"].flags.writeable for data in result.data)
    assert result.metadata[2].data["a"] == result["data"][2]["a"] == 2
    hold.release()
    assert result.get(10) == [None] * 4
    assert [data["end"] for data in result.data] == [True] * 4
    assert result.stdout == [""] * 4


def test_data_of_a_cell(cluster4):
    """DAT-01"""
    one = cluster4[1]
    for silent in (True, False):
        result = one.execute(f"from pxkernel.datapub import publish_data; publish_data(dict(x={silent}))", silent=silent)
        result.get(10)
        assert result.data == {"x": silent}
    assert one.apply_async(int).data == {}


@pytest.mark.parametrize("bad", ["[1]", "None", "{1: 2}"])
def test_data_that_is_none(cluster4, bad):
    """DAT-01"""
    with pytest.raises(TypeError, match="publish_data takes a dict"):
        cluster4[0].apply_sync(eval, f"__import__('pxkernel').publish_data({bad})")


def test_data_from_nowhere():
    """DAT-01"""
    with pytest.raises(RuntimeError, match="run on an engine"):
        px.publish_data({"a": 1})


# ---- times


def test_times_of_tasks(view):
    """AR-25 to AR-28"""
    result = view.apply_async(time.sleep, 0.05)
    result.get(10)
    assert 4 * 0.05 <= result.serial_time
    assert 0.05 <= result.wall_time == result.elapsed
    assert result.timedelta(result.submitted, result.received) == pytest.approx(result.wall_time, abs=1e-5)
    assert result.timedelta(result.started[0], result.completed[0]) >= 0.05


def test_times_of_cells(view):
    """AR-26: a kernel says when it began, and when it replied."""
    result = view.execute("import time; time.sleep(0.05)", silent=False, block=False)
    result.get(10)
    assert result.serial_time >= 4 * 0.05
    for data in result.metadata:
        assert data.submitted <= data.started <= data.completed <= data.received


# ---- parts


def test_parts_of_a_call(cluster4, view, hold):
    """AR-05, AR-37: what is done and what is not."""
    hold(cluster4[[1, 2]])
    result = view.apply_async(lambda: 7)
    done, pending = result.wait(10, return_when="FIRST_COMPLETED")
    assert done | pending == set(result.split())
    both = px.AsyncResult.join(result.split()[0], result.split()[3])
    assert both.get(10) == [7, 7] and both.engine_id == [0, 3]
    assert not result.ready() and result.pending == {result.msg_ids[1], result.msg_ids[2]}
    hold.release()
    assert result.get(10) == [7] * 4


def test_the_first_exception_ends_the_waiting(cluster4, view, hold):
    """AR-03"""
    hold(cluster4[2])
    result = view.apply_async(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        result.get(10, return_when="FIRST_EXCEPTION")
    assert not result.ready()
    hold.release()
    with pytest.raises(px.CompositeError):
        result.get(10)


# ---- output


def test_a_stream(view, hold, wait_for, capsys):
    """AR-31: it is there before the call is done, and errors as well."""
    source = "def f(hold, path):\n    print('before')\n    hold(path)\n    1 / 0"
    names = {}
    exec(source, names)
    result = view.apply_async(names["f"], hold.function, hold.path)
    shown = []

    def seen():
        shown.append(capsys.readouterr())
        return sum(out.out.count("before") for out in shown) == 4

    with result.stream_output():
        wait_for(seen)
        assert not result.ready()
        hold.release()
        assert result.wait(10)
    shown.append(capsys.readouterr())
    assert sum(out.err.count("[0:apply]:") for out in shown) == 1
    assert sum(out.err.count("ZeroDivisionError: division by zero") for out in shown) == 4


def test_a_bar_that_is_printed_has_its_last_state(cluster4):
    """AR-15"""
    result = cluster4[0].apply_async(lambda: [print(f"\r{n} %", end="", flush=True) for n in range(3)] and print())
    assert result.get(10) is None
    assert result.stdout == "2 %\n"


# ---- maps


def test_a_map_in_the_order_of_completion(cluster4, hold):
    """AMR-01: items of a block that is held up come last."""
    blocker = hold(cluster4[0])
    items = cluster4[:].map_async(lambda x: x, range(8))
    items.ordered = False
    seen = iter(items)
    first = [next(seen) for _ in range(6)]
    assert sorted(first) == [2, 3, 4, 5, 6, 7]
    hold.release()
    assert list(seen) == [0, 1] and items.get(10) == list(range(8))
    assert blocker.get(10) is None


# ---- cancelling


def test_cancelling(cluster4, hold, wait_for):
    """AR-10: what has not started is taken back, what has is not, and the answer says which."""
    one = cluster4[3]
    one.apply_sync(time.sleep, 0.05)  # what comes after a slow call waits in the controller
    running = hold(one, 5)
    wait_for(hold.has_started)
    waiting = one.apply_async(int)
    assert waiting.cancel() is True and waiting.cancelled()
    assert running.cancel() is False
    assert not running.cancelled() and running.running()
    hold.release()
    assert running.get(10) == 5


# ---- in a notebook


def test_representations(cluster4, view):
    """Issue 4, point 6: engines with what they do, and who ran what when."""
    for shown in (cluster4, view, cluster4[2], cluster4.load_balanced_view(), cluster4.cluster):
        html = shown._repr_html_()
        assert "<table>" in html and "MiB" in html and "idle" in html
    result = view.apply_async(time.sleep, 0.01)
    assert "of 4 tasks" in result._repr_html_()
    result.get(10)
    html = result._repr_html_()
    assert html.count("<rect") == 4 and "sleep on engine 3" in html and "4 of 4 tasks" in html
    assert "engine_uuid" in result.metadata[0]._repr_html_()


def test_a_representation_of_what_is_gone():
    """Issue 4, point 6: no error, no waiting."""
    cluster = px.Cluster(n=1)
    assert "not running" in cluster._repr_html_()
    with cluster as client:
        view = client[:]
    for shown in (cluster, client, view):
        assert "<table>" not in shown._repr_html_()
