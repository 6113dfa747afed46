"""DirectView against real engines: which of them, in what order, what travels, what comes back, and what is refused."""

import asyncio
import os
import re
import threading

import numpy as np
import pytest

import pxkernel as px


@pytest.fixture
def one(cluster4):
    """A view of a single engine, whose results come bare."""
    view = cluster4[0]
    view.block = True
    return view


@pytest.fixture
def pids(cluster4):
    return {cluster4.engine_info(engine)["pid"]: engine for engine in cluster4.ids}


# ---- which engines


@pytest.mark.parametrize(
    ("key", "targets", "text"),
    [
        (0, 0, "0"),
        (-1, 3, "3"),
        (slice(None), [0, 1, 2, 3], "[0, 1, 2, 3]"),
        (slice(1, 3), [1, 2], "[1, 2]"),
        (slice(None, None, 2), [0, 2], "[0, 2]"),
        (slice(None, None, -1), [3, 2, 1, 0], "[3, 2, 1, 0]"),
        ((0, 2), [0, 2], "[0, 2]"),
        ([2, 0], [2, 0], "[2, 0]"),
        ([1], [1], "[1]"),
        (range(1, 4), [1, 2, 3], "[1, 2, 3]"),
    ],
)
def test_indexing_a_client(cluster4, pids, key, targets, text):
    """RC-06, RC-08"""
    view = cluster4[key]
    assert view.targets == targets
    assert repr(view) == f"<DirectView {text}>"
    assert len(view) == (1 if isinstance(targets, int) else len(targets))
    where = view.apply_sync(os.getpid)
    assert ([pids[pid] for pid in where] if isinstance(where, list) else pids[where]) == targets


@pytest.mark.parametrize(
    ("key", "kind", "text"),
    [
        (4, IndexError, "No such engine: 4"),
        (-5, IndexError, "No such engine: -5"),
        ([0, 9], IndexError, "No such engine: 9"),
        ("a", TypeError, "str"),
        (1.5, TypeError, "float"),
        (None, TypeError, "NoneType"),
    ],
)
def test_there_is_no_such_engine(cluster4, key, kind, text):
    """RC-06, RC-08"""
    with pytest.raises(kind, match=re.escape(text)):
        cluster4[key]
    assert cluster4[:].apply_sync(lambda: 1) == [1] * 4


def test_iterating_over_a_client(cluster4):
    assert [view.targets for view in cluster4] == [0, 1, 2, 3] == cluster4.ids
    assert len(cluster4) == 4


def test_all_means_the_engines_there_are(cluster4):
    """RC-04, RC-09"""
    view = cluster4.direct_view()
    assert repr(view) == "<DirectView all>"
    assert len(view) == 4
    assert view.apply_sync(lambda: 1) == [1] * 4


@pytest.mark.parametrize(
    ("targets", "kind", "text"),
    [
        ("foo", TypeError, "'foo' not valid str target, must be 'all'"),
        (9, IndexError, "No such engine: 9"),
        ([0, 9], IndexError, "No such engine: 9"),
        (True, TypeError, "the id of an engine"),
        (1.5, TypeError, "1.5"),
        ([], IndexError, "no engines"),
    ],
)
def test_targets_that_mean_no_engines(cluster4, view, targets, kind, text):
    with pytest.raises(kind, match=re.escape(text)):
        view.pull("__name__", targets=targets)
    view.targets = targets
    for call in (
        lambda: view.apply(lambda: 1),
        lambda: view.execute("1"),
        lambda: view.push({"a": 1}),
        lambda: view.scatter("a", [1]),
        lambda: view.gather("a"),
        lambda: view.map(lambda x: x, [1]),
    ):
        with pytest.raises(kind, match=re.escape(text)):
            call()
    view.targets = "all"
    assert view.apply(lambda: 1) == [1] * 4


@pytest.mark.parametrize(
    ("targets", "values"),
    [(2, 2), ([2], [2]), ((0, 2), [0, 2]), (range(1, 3), [1, 2]), (slice(1, None), [1, 2, 3]), ("all", [0, 1, 2, 3])],
)
def test_the_shape_follows_the_targets(view, notebook, targets, values):
    view.scatter("number", range(4), flatten=True)
    assert view.pull("number", targets=targets) == values
    view.targets = targets
    assert view["number"] == values
    assert view.apply(notebook("f = lambda: number")["f"]) == values
    assert view.push({"other": 1}) == (None if isinstance(values, int) else [None] * len(values))
    assert view.execute("1").engine_id == values


def test_an_option_that_does_not_exist(view):
    for method, argument in ((view.execute, "1"), (view.push, {}), (view.pull, "a"), (view.run, "a")):
        with pytest.raises(TypeError, match="nosuch"):
            method(argument, nosuch=1)
    with pytest.raises(TypeError, match="nosuch"):
        view.map(abs, [1], nosuch=1)


def test_names_of_options_belong_to_the_function_of_an_apply(one):
    assert one.apply(lambda f, block, targets: (f, block, targets), f=1, block=2, targets=3) == (1, 2, 3)


# ---- order


def test_one_order_whichever_channel_it_takes(one, notebook):
    """VW-11, ENG-06"""
    append = notebook("def append(n):\n    log.append(n)")["append"]
    one["log"] = []
    results = []
    for number in range(0, 40, 4):
        results.append(one.apply_async(append, number))
        results.append(one.execute(f"log.append({number + 1})", block=False))
        results.append(one.execute(f"log.append({number + 2})", silent=False, block=False))
        results.append(one.push({"log[len(log):]": [number + 3]}, block=False))
    assert one["log"] == list(range(40))
    assert all(result.ready() for result in results)


def test_a_cell_that_awaits_is_not_overtaken(one, notebook):
    """VW-11, ENG-06"""
    one["log"] = []
    one.execute("import asyncio; await asyncio.sleep(.05); log.append('cell')", silent=False, block=False)
    one.apply_async(notebook("def f():\n    log.append('task')")["f"])
    one.execute("await asyncio.sleep(.05); log.append('execute')", block=False)
    one.execute("log.append('cell')", silent=False, block=False)
    assert one["log"] == ["cell", "task", "execute", "cell"]


# ---- what travels


def test_names_are_those_of_the_engine(view, notebook):
    """VW-08, SER-02, SER-05"""
    add = notebook("def add(x):\n    return base + x")["add"]
    view.scatter("base", [10, 20, 30, 40], flatten=True)
    assert view.apply(add, 1) == [11, 21, 31, 41]


def test_closures_helpers_and_defaults(view, notebook):
    """SER-02, SER-04"""
    names = notebook("""
        def outer(n):
            count = n
            def bump(step):
                nonlocal count
                count += step
                return helper(count)
            return bump

        def helper(x, factor=10):
            return deeper(x) * factor

        def deeper(x):
            return x if x < 100 else deeper(x - 100)
    """)
    assert view.apply(names["outer"](5), 1) == [60] * 4
    assert view.apply(names["helper"], 205) == [50] * 4
    assert view.apply(lambda x, f=names["helper"]: f(x), 1) == [10] * 4


def test_classes_and_instances(view, notebook):
    """SER-01, SER-06"""
    names = notebook("""
        class Base:
            def __init__(self, x):
                self.x = x
            def double(self):
                return twice(self.x)
        class Point(Base):
            def double(self):
                return Point(super().double())
        def twice(x):
            return 2 * x
        def make(x):
            return Point(x)
        point = Point(4)
    """)
    assert [p.x for p in view.apply(names["point"].double)] == [8] * 4
    back = view.apply(names["make"], 3)
    assert all(type(p) is names["Point"] and p.double().x == 6 for p in back)
    assert [p.x for p in view.apply(lambda p: p, names["point"])] == [4] * 4


def test_a_redefined_helper_is_the_one_that_runs(view, notebook):
    names = notebook("def helper():\n    return 1\n\ndef f():\n    return helper()")
    assert view.apply(names["f"]) == [1] * 4
    exec("def helper():\n    return 2", names)
    assert view.apply(names["f"]) == [2] * 4
    names["helper"] = lambda: 3
    assert view.map(lambda _, f=names["f"]: f(), range(2)) == [3] * 2


def test_what_the_user_put_on_the_engine_wins(view, notebook):
    names = notebook("limit = 1\n\ndef g():\n    return 'notebook'\n\ndef f():\n    return limit, g()")
    assert view.apply(names["f"]) == [(1, "notebook")] * 4
    view.push({"limit": 2}, targets=[0])
    view.execute("limit = 3", targets=[1])
    view.execute("def g():\n    return 'engine'", targets=[2])
    assert view.apply(names["f"]) == [(2, "notebook"), (3, "notebook"), (1, "engine"), (1, "notebook")]
    names["limit"] = 7
    assert view.apply(names["f"]) == [(2, "notebook"), (3, "notebook"), (7, "engine"), (7, "notebook")]
    view.execute("del limit, g")


def test_modules_travel_by_name(view, notebook):
    """VW-10"""
    names = notebook("""
        import collections as co
        import xml.dom
        import numpy as np
        def f():
            return co.OrderedDict(a=1), xml.dom.Node.TEXT_NODE, np.arange(3).sum()
    """)
    assert view.apply(names["f"]) == [({"a": 1}, 3, 3)] * 4
    assert view.pull("co.__name__") == ["collections"] * 4


def test_small_data_travels_and_large_data_does_not(view, notebook):
    names = notebook("""
        import numpy as np
        table = {"a": [1, 2]}
        large_array = np.zeros(1_000_000)
        def small():
            return table["a"]
        def large():
            return large_array.sum()
    """)
    assert view.apply(names["small"]) == [[1, 2]] * 4
    with pytest.raises(px.CompositeError) as caught:
        view.apply(names["large"])
    for error in caught.value.exceptions:
        assert isinstance(error, NameError)
        assert "name 'large_array' is not defined" in str(error)
        assert "a 8.0 MB ndarray" in error.traceback
        assert "dview.push(dict(large_array=large_array))" in error.traceback
    view.push({"large_array": names["large_array"]})
    assert view.apply(names["large"]) == [0.0] * 4


def test_any_callable(view):
    """VW-09, DV-24, SER-01"""
    from functools import partial

    assert view.apply(len, [1, 2]) == [2] * 4
    assert view.apply(partial(pow, 2), 5) == [32] * 4
    assert view.apply("{}-{}".format, 1, 2) == ["1-2"] * 4
    assert view.apply(int, "12") == [12] * 4
    with pytest.raises(TypeError, match="5"):
        view.apply(5)


def test_async_functions(view, one, notebook):
    """SER-18"""
    names = notebook("""
        import asyncio
        async def f(x):
            await asyncio.sleep(.01)
            print("awaited", x)
            return x + 1
        async def bad():
            await asyncio.sleep(0)
            raise KeyError("k")
    """)
    assert view.apply(names["f"], 1) == [2] * 4
    result = view.apply_async(names["f"], 2)
    assert result.get() == [3] * 4
    assert result.stdout == ["awaited 2\n"] * 4
    with pytest.raises(KeyError):
        one.apply(names["bad"])
    assert one.apply(names["f"], 5) == 6


# ---- arrays

ARRAYS = {
    "plain": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "strided": np.arange(24).reshape(4, 6)[::2, ::3],
    "big endian": np.arange(5, dtype=">i4"),
    "complex": np.array([1 + 2j, 3]),
    "structured": np.array([(1, 2.5), (3, 4.5)], dtype=[("a", "i2"), ("b", "f8")]),
    "booleans": np.array([True, False]),
    "text": np.array(["ab", "c"]),
    "dates": np.array(["2020-01-02"], dtype="datetime64[D]"),
    "objects": np.array([1, "a", None], dtype=object),
    "empty": np.empty((0, 3), dtype="f4"),
    "a point": np.array(3.5),
    "large": np.arange(200_000.0),
    "large fortran": np.asfortranarray(np.arange(200_000).reshape(400, 500)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_keep_type_shape_and_order(one, name):
    array = ARRAYS[name]
    back, seen = one.apply(lambda a: (a, (a.dtype.str, a.shape, a.flags.f_contiguous, a.flags.writeable)), array)
    for dtype, shape, fortran, writeable in (
        seen,
        (back.dtype.str, back.shape, back.flags.f_contiguous, back.flags.writeable),
    ):
        assert (dtype, shape, writeable) == (array.dtype.str, array.shape, True)
        assert fortran == array.flags.f_contiguous
    assert np.array_equal(back, array)
    assert back.dtype == array.dtype


def test_a_read_only_array_arrives_writable(view):
    array = np.arange(100_000.0)
    array.flags.writeable = False
    view["array"] = array
    view.execute("array += 1")
    assert [part[0] for part in view["array"]] == [1.0] * 4
    assert array[0] == 0.0


def test_arrays_are_private(view):
    array = np.zeros(100_000)
    view["array"] = array
    array[:] = 5
    view.execute("array[0] = 1", targets=[0])
    assert view.pull("(array[0], array[1])") == [(1, 0), (0, 0), (0, 0), (0, 0)]


def test_an_array_may_be_changed_after_an_asynchronous_call(view):
    array = np.zeros(500_000)
    result = view.apply_async(lambda a: a.sum(), array)
    array[:] = 1
    assert result.get() == [0] * 4


def test_large_texts_and_bytes(one):
    for value in ("ä" * 1_000_000, b"\0" * 3_000_000, bytearray(b"x" * 1_000_000)):
        back = one.apply(lambda v: v, value)
        assert back == value
        assert type(back) is type(value)


# ---- moving objects


def test_push_pull_update_and_get(view):
    """DV-05 to DV-09"""
    assert view.update({"a": 1, "b": [2]}) == [None] * 4
    assert view.get("a") == [1] * 4
    assert view.get(["a", "b"]) == [[1, [2]]] * 4
    assert view.pull({"a"}) == [[1]] * 4
    assert view.pull("a * 2 + len(b)") == [3] * 4
    view.block = False
    assert view.get("a") == view["a"] == [1] * 4


def test_nested_targets(view):
    """DV-05, DV-06, DV-09"""
    view.execute("class A:\n    pass\na = A(); d = {}")
    view["a.b"] = 5
    view.push({"d['k']": 6, "a.c": "x"})
    assert view["a.b"] == [5] * 4
    assert view.pull(["d['k']", "a.c.upper()"]) == [[6, "X"]] * 4
    with pytest.raises(px.CompositeError) as caught:
        view.push({"a b": 1})
    assert {type(error).__name__ for error in caught.value.exceptions} == {"SyntaxError"}


def test_what_push_and_pull_refuse(view):
    """DV-01, DV-05, DV-06"""
    with pytest.raises(TypeError, match="Must be a dict, not <class 'list'>"):
        view.push([1])
    with pytest.raises(TypeError, match="names must be strs, not 5"):
        view.push({5: 1})
    with pytest.raises(TypeError, match="names must be strs, not 5"):
        view.pull(["a", 5])
    with pytest.raises(TypeError, match="code must be text, not <class 'int'>"):
        view.execute(5)


def test_a_name_that_does_not_exist(view, one, notebook):
    """DV-06, VW-10"""
    f = notebook("f = lambda: nosuch")["f"]
    for ask in (lambda: view["nosuch"], lambda: view.gather("nosuch"), lambda: view.apply(f)):
        with pytest.raises(px.CompositeError) as caught:
            ask()
        assert str(caught.value).count("NameError: name 'nosuch' is not defined") == 4
        assert len(caught.value.exceptions) == 4
        assert all(isinstance(error, NameError) for error in caught.value.exceptions)
    with pytest.raises(NameError, match="name 'nosuch' is not defined"):
        one["nosuch"]
    assert view.apply(lambda: 1) == [1] * 4


@pytest.mark.parametrize(
    ("sequence", "dist", "parts", "joined"),
    [
        (range(6), "b", [[0, 1], [2, 3], [4], [5]], [0, 1, 2, 3, 4, 5]),
        (range(6), "r", [[0, 4], [1, 5], [2], [3]], [0, 1, 2, 3, 4, 5]),
        ([1, 2], "b", [[1], [2], [], []], [1, 2]),
        ((1, 2, 3, 4, 5), "b", [(1, 2), (3,), (4,), (5,)], [1, 2, 3, 4, 5]),
        ("abcdefg", "b", ["ab", "cd", "ef", "g"], "abcdefg"),
        ("abcdefg", "r", ["ae", "bf", "cg", "d"], "abcdefg"),
        ([], "b", [[], [], [], []], []),
    ],
)
def test_scatter_and_gather(view, sequence, dist, parts, joined):
    """DV-10 to DV-12"""
    assert view.scatter("part", sequence, dist=dist) == [None] * 4
    assert view["part"] == parts
    assert view.gather("part", dist=dist) == joined


@pytest.mark.parametrize("dist", ["b", "r"])
@pytest.mark.parametrize("shape", [(10,), (7, 3), (2, 5)])
def test_scatter_and_gather_arrays(view, dist, shape):
    """DV-10, DV-11"""
    array = np.arange(np.prod(shape), dtype="i2").reshape(shape)
    view.scatter("part", array, dist=dist)
    assert view.pull("len(part)") == [len(array[i::4]) for i in range(4)]
    back = view.gather("part", dist=dist)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_scatter_flat(view):
    """DV-10, DV-13"""
    view.scatter("x", [10, 20, 30, 40], flatten=True)
    assert view["x"] == view.gather("x") == [10, 20, 30, 40]
    view.scatter("x", [10, 20, 30, 40, 50], flatten=True)
    assert view["x"] == view.gather("x") == [[10, 20], 30, 40, 50]


def test_scatter_to_some_and_to_one(view):
    assert view.scatter("x", range(4), targets=[3, 1]) == [None, None]
    assert view.pull("x", targets=[3, 1]) == [[0, 1], [2, 3]]
    assert view.gather("x", targets=[3, 1]) == [0, 1, 2, 3]
    assert view.scatter("x", range(4), targets=2) is None
    assert view.gather("x", targets=2) == [0, 1, 2, 3]


def test_what_scatter_refuses(view):
    """DV-10, DV-11"""
    with pytest.raises(TypeError, match="generator"):
        view.scatter("x", (i for i in range(3)))
    with pytest.raises(TypeError, match="dict"):
        view.scatter("x", {"a": 1})
    with pytest.raises(ValueError, match="'zz'"):
        view.scatter("x", [1], dist="zz")
    with pytest.raises(ValueError, match="'zz'"):
        view.gather("x", dist="zz")


def test_run_a_file(view, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("def f():\n    return 'från'\nvalue = f()\nprint(value)")
    result = view.run(str(script), block=False)
    result.get()
    assert result.stdout == ["från\n"] * 4
    assert view.pull("value") == ["från"] * 4
    view.run(script, targets=[1])
    with pytest.raises(FileNotFoundError, match="nosuch.py"):
        view.run(tmp_path / "nosuch.py")
    script.write_text("x = 1\n1/0")
    with pytest.raises(px.CompositeError) as caught:
        view.run(script)
    assert str(caught.value).count("ZeroDivisionError") == 4


def test_execute_is_a_cell(view, one):
    """DV-01"""
    view.execute("%%capture captured\nprint('hidden')")
    assert one["captured.stdout"] == "hidden\n"
    assert one.execute("!echo shell").stdout.split() == ["shell"]
    view.execute("import os\n\nbefore = os.getpid()")
    assert len(set(view["before"])) == 4


# ---- maps


def test_map(view, notebook):
    """DV-20, MAP-01"""
    assert view.map(lambda x: x**2, range(10)) == [x**2 for x in range(10)]
    assert view.map_sync(lambda x, y, z: (x, y, z), [1, 2, 3], "abcd", range(9)) == [
        (1, "a", 0),
        (2, "b", 1),
        (3, "c", 2),
    ]
    assert view.map(lambda x: -x, (i for i in range(5))) == [0, -1, -2, -3, -4]
    assert view.map(str.upper, {"a": 1, "b": 2}) == ["A", "B"]
    assert view.map(lambda x: x, {3}) == [3]
    assert view.map(lambda row: row.sum(), np.arange(12).reshape(6, 2)) == [1, 5, 9, 13, 17, 21]
    assert view.map(abs, [-1]) == [1]
    assert view.map(abs, []) == view.map_async(abs, iter(())).get() == []
    f = notebook("def f(x):\n    return g(x)\n\ndef g(x):\n    return x + 1")["f"]
    assert view.map(f, range(4)) == [1, 2, 3, 4]


def test_map_spreads_contiguous_blocks(view, pids):
    """MAP-01"""
    where = view.map(lambda _: __import__("os").getpid(), range(6))
    assert [pids[pid] for pid in where] == [0, 0, 1, 1, 2, 3]


def test_map_on_a_single_engine(one):
    """MAP-01"""
    assert one.map(lambda x: x + 1, range(5)) == [1, 2, 3, 4, 5]


def test_errors_in_a_map_cost_their_own_result_only(view):
    """ERR-16"""
    result = view.map_async(lambda x: 60 // x, [1, 0, 3, 4, 0, 6, 0, 10])
    with pytest.raises(px.CompositeError) as caught:
        result.get()
    assert [error.engine_info["engine_id"] for error in caught.value.exceptions] == [0, 2, 3]
    assert all(isinstance(error, ZeroDivisionError) for error in caught.value.exceptions)
    values = result.get(return_exceptions=True)
    assert [value if isinstance(value, int) else type(value).__name__ for value in values] == [
        *(60, "ZeroDivisionError", 20, 15, "ZeroDivisionError", 10, "ZeroDivisionError", 6)
    ]
    direct = view.map_sync(lambda x: 60 // x, [1, 0, 3, 4, 0, 6, 0, 10], return_exceptions=True)
    assert list(map(repr, direct)) == list(map(repr, values))


def test_an_item_that_cannot_be_read_there(view):
    class Bad:
        def __reduce__(self):
            return (int, ("not a number",))

    values = view.map_sync(lambda x: x, [1, 2, 3, Bad(), 5], return_exceptions=True)
    assert values[:3] == [1, 2, 3]
    assert isinstance(values[3], ValueError)
    assert values[4] == 5


def test_what_map_refuses(view):
    """MAP-01"""
    with pytest.raises(TypeError, match="must have some sequences to map onto!"):
        view.map(abs)
    with pytest.raises(TypeError, match="5"):
        view.map(5, [1])
    with pytest.raises(TypeError, match="block"):
        view.map_sync(abs, [1], block=False)


def test_imap(view):
    """VW-18"""
    results = view.imap(lambda x: 6 // x, [1, 2, 3, 0, 6])
    assert [next(results), next(results), next(results)] == [6, 3, 2]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(view.imap(abs, range(-3, 0))) == [3, 2, 1]


def test_map_results_are_a_sequence(view):
    """AR-22"""
    result = view.map_async(lambda x: x * 2, range(9))
    assert len(result) == 9
    assert result[3] == 6
    assert result[-2:] == [14, 16]
    assert list(result) == result.get() == list(range(0, 18, 2))
    assert repr(result) == "<AsyncMapResult: <lambda>:finished>"
    assert result.progress == 9


# ---- what is refused


def test_an_argument_that_cannot_be_sent(view):
    """ERR-19"""
    lock = threading.Lock()
    with pytest.raises(TypeError, match=r"argument 1 .*lock"):
        view.apply(lambda *args: None, 1, lock)
    with pytest.raises(TypeError, match=r"argument key\['inner'\] .*lock"):
        view.apply(lambda key: None, key={"inner": lock})
    with pytest.raises(TypeError, match="closure variable lock"):
        view.apply(lambda: lock)
    with pytest.raises(TypeError, match=r"bad.*lock"):
        view.push({"good": 1, "bad": lock})
    with pytest.raises(TypeError, match="lock"):
        view.map(lambda x: x, [1, lock])
    assert view.apply(lambda: 1) == [1] * 4


def test_a_result_that_cannot_be_sent(view, one):
    """ERR-19, SER-18"""
    with pytest.raises(TypeError, match=r"the result\['inner'\] .*lock"):
        one.apply(lambda: {"inner": __import__("threading").Lock()})
    one.execute("import threading; lock = threading.Lock()")
    with pytest.raises(px.RemoteError, match="lock"):
        one["lock"]
    with pytest.raises(px.CompositeError) as caught:
        view.map(lambda x: (i for i in ()), range(4))
    assert str(caught.value).count("cannot send the result (<generator") == 4
    assert view.apply(lambda: 1) == [1] * 4


def test_a_result_that_cannot_be_read_here(one):
    one.execute("class Bad:\n    def __reduce__(self):\n        return (int, ('not a number',))")
    with pytest.raises(ValueError, match="not a number"):
        one.pull("Bad()")
    assert one.apply(lambda: 1) == 1


def test_a_closed_client(cluster4):
    other = px.Client(cluster4.cluster.cluster_file)
    view = other[:]
    pending = view.apply_async(lambda: __import__("time").sleep(0.2))
    other.close()
    other.close()
    with pytest.raises(px.CompositeError) as caught:
        pending.get(5)
    assert str(caught.value).count("EngineError: the client was closed") == 4
    for call in (
        lambda: view.apply(lambda: 1),
        lambda: view.execute("1"),
        lambda: view["a"],
        lambda: other[:],
        lambda: other[0],
        lambda: other.wait_for_engines(4),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            call()
    assert other.wait() is True
    assert cluster4[:].apply_sync(lambda: 1) == [1] * 4


# ---- much of it


def test_thousands_of_calls_all_come_back(one):
    results = [one.apply_async(lambda x: x + 1, number) for number in range(5000)]
    assert [result.get(30) for result in results] == list(range(1, 5001))
    assert one.client.outstanding == set()


def test_thousands_of_printed_lines_all_arrive(one):
    result = one.execute("for i in range(20_000):\n    print(i)", block=False)
    result.get()
    assert result.stdout == "".join(f"{i}\n" for i in range(20_000))
    result = one.execute("for i in range(20_000):\n    print(i)", silent=False, block=False)
    result.get()
    assert result.stdout == "".join(f"{i}\n" for i in range(20_000))


def test_printing_of_four_at_once(view):
    result = view.apply_async(lambda: [print(i, flush=True) for i in range(400)] and None)
    assert result.get() == [None] * 4
    assert result.stdout == ["".join(f"{i}\n" for i in range(400))] * 4


def test_two_clients_at_once(cluster4):
    """ENG-02"""
    with px.Client(cluster4.cluster.cluster_file) as other:
        mine, theirs = cluster4[:], other[:]
        pairs = []
        for number in range(50):
            f = lambda x: (print(x), x)[1]  # noqa: E731
            pairs.append((mine.apply_async(f, ("mine", number)), theirs.apply_async(f, ("theirs", number))))
        for number, (a, b) in enumerate(pairs):
            assert a.get(10) == [("mine", number)] * 4
            assert b.get(10) == [("theirs", number)] * 4
            assert a.stdout == [f"('mine', {number})\n"] * 4
            assert b.stdout == [f"('theirs', {number})\n"] * 4
        assert not set(cluster4.history) & set(other.history)
        with pytest.raises(KeyError, match="no such message"):
            other.wait(pairs[0][0].msg_ids)
        # Nor can one take back what the other waits for.
        mine.apply_async(lambda: __import__("time").sleep(0.1))
        queued = mine.apply_async(lambda: "done")
        other.abort(queued)
        assert theirs.apply_sync(lambda: "after") == ["after"] * 4
        assert queued.get(10) == ["done"] * 4


def test_calls_from_several_threads(view):
    found = {}

    def work(number):
        found[number] = [view.apply_sync(lambda x: x, (number, i)) for i in range(20)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [[(number, i)] * 4 for i in range(20)] for number in range(4)}


def test_calls_from_an_event_loop(view):
    async def main():
        return await view.apply_async(lambda: 5)

    assert asyncio.run(main()) == [5] * 4
