"""What an error on an engine looks like to the user: caught by class, shown with the user's own lines and no others."""

import os
import re

import pytest

import pxkernel as px

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SOON = 10


@pytest.fixture
def one(cluster4):
    view = cluster4[2]
    view.block = True
    return view


def plain(error):
    return COLOUR.sub("", "\n".join(error.render_traceback()))


def failure(call):
    with pytest.raises(px.RemoteError) as caught:
        call()
    return caught.value


# ---- catching


def test_catching_by_class(one):
    """DV-03"""
    with pytest.raises(ZeroDivisionError) as caught:
        one.execute("1/0")
    error = caught.value
    assert isinstance(error, px.RemoteError)
    assert (error.ename, error.evalue) == ("ZeroDivisionError", "division by zero")
    assert error.engine_info["engine_id"] == 2
    assert error.engine_info["method"] == "execute"
    assert error.engine_info["engine_uuid"] == one.client.engine_info(2)["uuid"]
    assert str(error) == "[2:execute] ZeroDivisionError: division by zero"
    assert repr(error) == "<Remote[2]:ZeroDivisionError(division by zero)>"
    with pytest.raises(ArithmeticError):
        one.apply(lambda: 1 / 0)


def test_catching_members_of_a_composite(view):
    view.scatter("case", ["1/0", "{}['a']", "int('x')", "5"], flatten=True)
    caught = {}
    try:
        view.execute("exec(case)")
    except* ZeroDivisionError as group:
        caught["division"] = [error.engine_info["engine_id"] for error in group.exceptions]
        caught["group"] = type(group)
    except* LookupError as group:
        caught["lookup"] = [error.engine_info["engine_id"] for error in group.exceptions]
    except* ValueError as group:
        caught["value"] = [error.engine_info["engine_id"] for error in group.exceptions]
    assert caught == {"division": [0], "group": px.CompositeError, "lookup": [1], "value": [2]}


def test_catching_the_whole(view):
    with pytest.raises(px.CompositeError) as caught:
        view.apply(lambda: 1 / 0)
    error = caught.value
    assert isinstance(error, ExceptionGroup)
    assert repr(error) == "CompositeError(4)"
    assert error.msg == error.message == "one or more exceptions raised in: <lambda>"
    assert [entry[0] for entry in error.elist] == ["ZeroDivisionError"] * 4
    with pytest.raises(ZeroDivisionError):
        error.raise_exception(3)
    with pytest.raises(IndexError, match="an exception with index 4 does not exist"):
        error.raise_exception(4)


def test_an_exception_class_of_the_notebook(view, one, notebook, monkeypatch):
    """ERR-18"""
    names = notebook("""
        class Trouble(Exception):
            def __init__(self, code, *, why):
                super().__init__(f"code {code}")
                self.why = why

        class Worse(Trouble):
            pass

        def fail():
            raise Worse(7, why="because")
    """)
    # In a notebook they are attributes of __main__, by which they are found.
    import __main__

    for name in ("Trouble", "Worse"):
        monkeypatch.setattr(__main__, name, names[name], raising=False)
    with pytest.raises(names["Trouble"], match="code 7") as caught:
        one.apply(names["fail"])
    assert isinstance(caught.value, px.RemoteError)
    assert isinstance(caught.value, names["Worse"])
    assert caught.value.ename == "Worse"
    groups = []
    try:
        view.apply(names["fail"])
    except* names["Trouble"] as group:
        groups.append(len(group.exceptions))
    assert groups == [4]


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        ("compile('a b', 'f', 'exec')", SyntaxError, "invalid syntax"),
        ("exec('if True:')", SyntaxError, "expected an indented block"),
        (r"b'\xff'.decode()", UnicodeDecodeError, "can't decode byte 0xff"),
        ("open('/no/such/file')", FileNotFoundError, "No such file"),
        ("raise OSError(5, 'broken')", OSError, "broken"),
        ("import nosuchmodule", ModuleNotFoundError, "nosuchmodule"),
        ("raise ExceptionGroup('several', [KeyError(1)])", Exception, "several"),
        ("assert 1 == 2, 'unequal'", AssertionError, "unequal"),
        ("raise StopIteration(3)", px.RemoteError, "3"),
        ("raise GeneratorExit", px.RemoteError, "GeneratorExit"),
    ],
)
def test_classes_with_constructors_of_their_own(view, one, code, kind, text):
    for call in (lambda: one.execute(code), lambda: one.apply(exec, code)):
        error = failure(call)
        assert isinstance(error, kind)
        assert not isinstance(error, StopIteration | GeneratorExit)
        assert text in str(error)
    errors = failure(lambda: view.execute(code)).exceptions
    assert [isinstance(error, kind) for error in errors] == [True] * 4


def test_an_unfinished_cell(one):
    error = failure(lambda: one.execute("def f(:\n  1"))
    assert isinstance(error, SyntaxError)
    assert "def f(:" in plain(error)


# ---- what would end a process


@pytest.mark.parametrize(
    "code",
    ["import sys; sys.exit(3)", "raise SystemExit('bye')", "raise KeyboardInterrupt", "raise BaseException('odd')"],
)
@pytest.mark.parametrize("how", ["execute", "apply", "map", "cell", "await"])
def test_the_engine_survives(one, notebook, how, code):
    """ERR-17"""
    pid = one.client.engine_info(2)["pid"]
    names = notebook("async def later(code):\n    exec(code)")
    error = failure(
        {
            "execute": lambda: one.execute(code),
            "cell": lambda: one.execute(code, silent=False),
            "apply": lambda: one.apply(exec, code),
            "map": lambda: one.map(exec, [code]),
            "await": lambda: one.apply(names["later"], code),
        }[how]
    )
    error = error.exceptions[0] if isinstance(error, px.CompositeError) else error
    assert not isinstance(error, SystemExit | KeyboardInterrupt)
    assert error.ename in ("SystemExit", "KeyboardInterrupt", "BaseException")
    assert one.apply(lambda: __import__("os").getpid()) == pid


# ---- what is shown

USER = """
def outer(x):
    # a comment
    return helper(x)

def helper(x):
    y = x - 1
    return deeper(y)

def deeper(y):
    return 1 / y
"""


def assert_only_the_users_lines(text):
    assert "pxkernel" not in text
    assert "Could not get source" not in text
    assert "ZeroDivisionError: division by zero" in text


@pytest.mark.parametrize("how", ["apply", "map", "execute", "cell", "await", "method", "pushed"])
def test_tracebacks_have_the_users_lines_only(one, notebook, how):
    """ERR-05"""
    names = notebook(USER)
    call = {
        "apply": lambda: one.apply(names["outer"], 1),
        "map": lambda: one.map(names["outer"], [2, 1]),
        "execute": lambda: one.execute(USER + "\nouter(1)"),
        "cell": lambda: one.execute(USER + "\nouter(1)", silent=False),
        "await": lambda: one.apply(notebook(USER + "\nasync def main():\n    return outer(1)")["main"]),
        "method": lambda: one.apply(
            notebook(USER + "\nclass A:\n    def go(self):\n        return outer(1)\n")["A"]().go
        ),
        "pushed": lambda: (one.push({"outer": names["outer"]}), one.execute("outer(1)")),
    }[how]
    error = failure(call)
    error = error.exceptions[0] if isinstance(error, px.CompositeError) else error
    text = plain(error)
    assert_only_the_users_lines(text)
    for line in ("return helper(x)", "return deeper(y)", "return 1 / y"):
        assert re.search(r"-+> \d+ +" + re.escape(line), text), text
    method = "execute" if how in ("execute", "cell", "pushed") else "apply"
    assert text.startswith(f"[2:{method}]:\n-----")


def test_a_lambda_has_its_line(one, notebook):
    error = failure(lambda: one.apply(notebook("f = lambda x: 1 / x")["f"], 0))
    assert_only_the_users_lines(plain(error))
    assert re.search(r"-+> 1 f = lambda x: 1 / x", plain(error))


def test_errors_of_libraries_show_their_frames(one, notebook):
    error = failure(lambda: one.apply(notebook("def f():\n    import json\n    return json.loads('{')")["f"]))
    assert isinstance(error, ValueError)
    text = plain(error)
    assert "json.loads('{')" in text
    assert "decoder.py" in text
    assert "pxkernel" not in text


def test_push_and_pull_show_no_frame_of_ours(one):
    for call in (lambda: one["nosuch"], lambda: one.push({"a b": 1}), lambda: one.pull("1/0")):
        assert "pxkernel" not in plain(failure(call))


def test_the_limit(view, monkeypatch):
    error = failure(lambda: view.execute("1/0"))
    assert plain(error).count("Traceback (most recent call last)") == 4
    assert "more exceptions" not in plain(error)
    monkeypatch.setattr(px.CompositeError, "tb_limit", 1)
    assert plain(error).count("Traceback (most recent call last)") == 1
    assert plain(error).splitlines()[-1] == "... 3 more exceptions ..."
    assert str(error).splitlines()[-1] == "... 3 more exceptions ..."
    monkeypatch.setattr(px.CompositeError, "tb_limit", None)
    assert plain(error).count("Traceback (most recent call last)") == 4


def test_more_errors_than_are_shown(view):
    error = failure(lambda: view.map(lambda x: 1 / 0, range(40)))
    assert repr(error) == "CompositeError(40)"
    assert px.CompositeError.tb_limit == 5
    assert plain(error).count("Traceback (most recent call last)") == 5
    assert plain(error).splitlines()[-1] == "... 35 more exceptions ..."


def test_printing_one_of_them(view, capsys):
    error = failure(lambda: view.execute("1/0"))
    error.print_traceback(1)
    text = COLOUR.sub("", capsys.readouterr().out)
    assert text.startswith("[1:execute]:\n")
    assert text.count("----> 1 1/0") == 1


def test_chained_exceptions(one, notebook):
    names = notebook("""
        def low():
            return {}["key"]

        def caused():
            try:
                low()
            except KeyError as error:
                raise ValueError("worse") from error

        def during():
            try:
                low()
            except KeyError:
                1 / 0
    """)
    text = plain(failure(lambda: one.apply(names["caused"])))
    assert "The above exception was the direct cause of the following exception" in text
    assert 'return {}["key"]' in text
    assert 'raise ValueError("worse") from error' in text
    assert "pxkernel" not in text
    text = plain(failure(lambda: one.apply(names["during"])))
    assert "During handling of the above exception, another exception occurred" in text
    assert "KeyError: 'key'" in text
    assert "ZeroDivisionError" in text
    assert "pxkernel" not in text


@pytest.mark.parametrize("how", ["apply", "execute", "map", "cell"])
def test_an_exception_without_a_text(one, notebook, how):
    source = """
class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")

def fail(*_):
    raise Mute
"""
    fail = notebook(source)["fail"]
    error = failure(
        {
            "apply": lambda: one.apply(fail),
            "map": lambda: one.map(fail, [1]),
            "execute": lambda: one.execute(source + "\nfail()"),
            "cell": lambda: one.execute(source + "\nfail()", silent=False),
        }[how]
    )
    error = error.exceptions[0] if isinstance(error, px.CompositeError) else error
    assert "Mute" in str(error) or "no text" in str(error)
    assert one.apply(lambda: 1) == 1


def test_notes_are_shown(one, notebook):
    source = "def f():\n    error = ValueError('v')\n    error.add_note('remember this')\n    raise error\n"
    text = plain(failure(lambda: one.apply(notebook(source)["f"])))
    assert "ValueError: v" in text
    assert "remember this" in text


def test_an_endless_recursion(one, notebook):
    f = notebook("def f(x):\n    return f(x + 1)")["f"]
    error = failure(lambda: one.apply(f, 0))
    assert isinstance(error, RecursionError)
    assert len(error.traceback) < 100_000
    assert one.apply(lambda: 1) == 1


def test_plain_python_shows_the_users_lines(one, notebook):
    """Outside IPython, below Python's own traceback."""
    import traceback

    error = failure(lambda: one.apply(notebook(USER)["outer"], 1))
    text = "".join(traceback.format_exception(error))
    assert "return deeper(y)" in text
    assert "[2:apply]:" in text


def test_what_exists_here_only(one, view, monkeypatch):
    """Issue 4, point 3: a NameError says how to get it there."""
    import __main__

    monkeypatch.setattr(__main__, "only_here", 3, raising=False)
    for error in (failure(lambda: one.execute("only_here")), failure(lambda: view.execute("only_here")).exceptions[3]):
        assert plain(error).splitlines()[-1] == (
            "`only_here` exists in your notebook, not on the engine: push it with dview.push(dict(only_here=only_here))"
        )


def test_identical_errors_and_a_different_one(view):
    """Issue 4, point 3"""
    view.scatter("n", [0, 0, 1, 0], flatten=True)
    error = failure(lambda: view.execute("1 / n if n == 0 else undefined"))
    assert [(group.engines, group.exceptions[0].ename) for group in error.group_by_traceback()] == [
        ([0, 1, 3], "ZeroDivisionError"),
        ([2], "NameError"),
    ]


# ---- exceptions that misbehave


@pytest.fixture
def odd(one):
    one.execute("""
        class NoUnicode(Exception):
            def __str__(self): return "a\\udcffb"
        class NoName(NameError):
            @property
            def name(self): raise ValueError
        class Leaves(Exception):
            def __str__(self): raise SystemExit(4)
        def fail(kind): raise globals()[kind]("x")
    """.replace("\n        ", "\n"))
    return one


@pytest.mark.parametrize("kind", ["NoUnicode", "NoName", "Leaves"])
def test_an_odd_exception_ends_neither_engine_nor_client(odd, kind):
    """ERR-17, ERR-18: whichever way the code came; a text that is no Unicode comes with replacement characters."""
    for call in (
        lambda: odd.apply(px.Reference("fail"), kind),
        lambda: odd.execute(f"fail({kind!r})"),
        lambda: odd.execute(f"fail({kind!r})", silent=False),
        lambda: odd.map(px.Reference("fail"), [kind]),
    ):
        assert failure(call).args
    assert odd.apply(abs, -1) == 1


def test_a_result_that_cannot_be_unpickled_here(one):
    """ERR-19"""

    def broken():
        class Broken:
            def __reduce__(self):
                return int, ("no number",)

        return Broken()

    result = one.apply_async(broken)
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal") as caught:
            result.get()
    assert "broken went well on engine 2; its result cannot be unpickled here" in caught.value.__notes__[0]


# ---- exceptions that end a program elsewhere

EXOTIC = """
import asyncio, sys, threading

class Own(BaseException):
    pass

class Arrives:
    def __setstate__(self, state):
        raise state["kind"]("in __setstate__")

class Leaves:
    def __init__(self, kind):
        self.kind = kind
    def __reduce__(self):
        raise self.kind("in __reduce__")

class Shown(Exception):
    def __str__(self):
        raise self.args[0]("in __str__")
    __repr__ = __str__

class Dies(Leaves):
    def __del__(self):
        raise self.kind("in __del__")

def raises(kind):
    raise kind("here")

async def raises_at_once(kind):
    raise kind("here")

async def raises_later(kind):
    await asyncio.sleep(0)
    raise kind("here")

async def returns(kind):
    return Leaves(kind)

def raises_unprintable(kind):
    raise Shown(kind)

def raises_in_hook(kind):
    def hook(*arguments):
        raise kind("in sys.excepthook")
    sys.excepthook = hook
    raise kind("here")

def arrives(kind):
    object = Arrives()
    object.kind = kind
    return object

def collects(kind):
    Dies(kind)
    return 5

def starts_a_thread(kind):
    thread = threading.Thread(target=raises, args=(kind,))
    thread.start()
    thread.join()
    return 5

def registers(kind, event):
    def once():
        get_ipython().events.unregister(event, once)
        raise kind("in a hook")
    get_ipython().events.register(event, once)
    return 5
"""


@pytest.mark.parametrize("name", ["SystemExit", "GeneratorExit", "KeyboardInterrupt", "RecursionError", "MemoryError", "Own"])
def test_whatever_is_raised_is_the_error_of_its_call_only(cluster4, notebook, name):
    """ERR-17: and the engine goes on, as the same process."""
    names = notebook(EXOTIC)
    kind, one, balanced = eval(name, names), cluster4[1], cluster4.load_balanced_view(1)
    code = f"class R:\n    def __repr__(self): raise {name}('here')\n" if name != "Own" else "class R(BaseException): pass\n"
    pid = one.apply_sync(os.getpid)
    failing = [one.apply_async(names[f], kind) for f in ("raises", "raises_at_once", "raises_later", "returns")]
    failing += [one.apply_async(names[f], kind) for f in ("Leaves", "raises_unprintable", "raises_in_hook")]
    failing += [one.apply_async(lambda x: x, names["arrives"](kind)), one.push({"x": names["arrives"](kind)})]
    failing += [view.map_async(names[f], [kind]) for view in (one, balanced) for f in ("raises", "raises_later", "Leaves")]
    failing += [balanced.map_async(lambda x: x, [names["arrives"](kind)])]
    for silent in (True, False):
        failing += [one.execute(f"{code}raise {name if name != 'Own' else 'R'}('here')", silent=silent)]
        failing += [one.execute(f"{code}import asyncio\nawait asyncio.sleep(0)\nraise BaseException('here')", silent=silent)]
    for result in failing:
        with pytest.raises((px.RemoteError, px.CompositeError)):
            result.get(SOON)
    going_on = [one.apply_async(names[f], kind) for f in ("collects", "starts_a_thread")]
    going_on += [one.apply_async(names["registers"], kind, event) for event in ("post_execute", "pre_execute")]
    assert [result.get(SOON) for result in [*going_on, one.apply_async(int, 5)]] == [5] * 5
    one.execute("import sys; sys.excepthook = sys.__excepthook__").get(SOON)
    assert one.apply_async(os.getpid).get(SOON) == pid
