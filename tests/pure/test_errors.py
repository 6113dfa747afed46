"""Exceptions: their texts, what catches them, and that they survive a pickle."""

import copy
import json
import os
import pickle
import subprocess
import sys
import traceback
import types
import urllib.error

import pytest

import pxkernel
from pxkernel import errors, tracebacks
from pxkernel.errors import (
    AlreadyDisplayedError,
    CompositeError,
    EngineError,
    PxkernelError,
    RemoteError,
    ImpossibleDependency,
    TaskAborted,
    class_names,
    collect_exceptions,
    composite_error,
    remote_error,
    unwrap_exception,
    wrap_exception,
)

LINES = [
    "-" * 75,
    "\x1b[31mZeroDivisionError\x1b[39m                         Traceback (most recent call last)",
    "Cell \x1b[32mIn[1]\x1b[39m, line 1\n\x1b[32m----> 1\x1b[39m 1/0",
    "",
    "\x1b[31mZeroDivisionError\x1b[39m: division by zero",
]
RENDERED = "\n".join(LINES).split("\n")


def info(engine=0, method="execute"):
    return {"engine_id": engine, "engine_uuid": f"uuid-{engine}", "method": method}


def remote(cls=ZeroDivisionError, evalue="division by zero", engine=0, lines=LINES):
    return remote_error(cls.__name__, evalue, lines, info(engine), class_names(cls))


def composite(n=4):
    return CompositeError("one or more exceptions raised in: execute", [remote(engine=i) for i in range(n)])


def clone(error, how):
    return copy.copy(error) if how == "copy" else copy.deepcopy(error) if how == "deepcopy" else pickle_trip(error, how)


def pickle_trip(error, protocol):
    return pickle.loads(pickle.dumps(error, protocol))


every_way = pytest.mark.parametrize("how", ["copy", "deepcopy", *range(pickle.HIGHEST_PROTOCOL + 1)])


@pytest.fixture
def user_module(monkeypatch):
    """A module of the user's; what a test puts there can be imported by name."""
    module = types.ModuleType("user_errors")
    monkeypatch.setitem(sys.modules, "user_errors", module)

    def define(source):
        exec(source, vars(module))
        return module

    return define


# ---- the tree


def test_all_is_complete():
    public = {n for n, v in vars(errors).items() if getattr(v, "__module__", "") == errors.__name__ and n[0] != "_"}
    assert {*public, "TimeoutError"} == set(errors.__all__)


@pytest.mark.parametrize(
    "old, new",
    [
        ("AbortedTask", TaskAborted),
        ("IPythonError", PxkernelError),
        ("KernelError", PxkernelError),
        ("UnmetDependencyError", errors.UnmetDependency),
    ],
)
def test_old_names(old, new):
    """ERR-01; seed 004"""
    assert getattr(errors, old) is getattr(pxkernel, old) is getattr(pxkernel.error, old) is new


def test_the_module_has_its_old_name():
    """ERR-01; seeds 001 and 002"""
    assert all(getattr(pxkernel.error, name) is getattr(errors, name) for name in errors.__all__)


@pytest.mark.parametrize("name", ["ClusterError", "ProtocolError", "NoEnginesRegistered", "EngineError", "TaskAborted"])
def test_every_error_is_a_pxkernel_error(name):
    """ERR-01"""
    assert issubclass(getattr(errors, name), PxkernelError)
    assert not issubclass(getattr(errors, name), RemoteError)


def test_timeout_error_is_the_builtin():
    """ERR-01"""
    assert errors.TimeoutError is TimeoutError


SIMPLE = sorted(name for name in errors.__all__ if isinstance(getattr(errors, name), type) and name[0].isupper())


@every_way
@pytest.mark.parametrize("name", [n for n in SIMPLE if not issubclass(getattr(errors, n), RemoteError) and n != "TimeoutError"])
def test_every_error_can_be_copied(name, how):
    """ERR-20"""
    error = getattr(errors, name)("a text")
    again = clone(error, how)
    assert type(again) is type(error) and again.args == ("a text",)


@every_way
def test_simple_errors_are_copied_whole(how):
    """ERR-15: the arguments, the engine, the notes."""
    error = TaskAborted("msg-id", engine_info=info(3))
    error.add_note("a note")
    again = clone(error, how)
    assert type(again) is TaskAborted
    assert again.args == ("msg-id",)
    assert again.engine_info == info(3)
    assert again.__notes__ == ["a note"]


def test_an_aborted_task_says_why():
    """ERR-15"""
    error = TaskAborted("msg-id", reason="its client left", engine_info=info(3))
    for same in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert same.args == ("msg-id",) and same.engine_info == info(3)
        assert str(same) == "msg-id: its client left"
    assert str(TaskAborted("msg-id")) == "msg-id" and str(TaskAborted()) == ""


def test_an_error_of_no_engine_has_a_label():
    """ERR-03: a balanced task that has never had one."""
    error = ImpossibleDependency("no engine has it", engine_info=info(None, "apply"))
    assert str(CompositeError("m", [error])) == "m\n[?:apply] ImpossibleDependency: no engine has it"


# ---- one remote error


def test_remote_error_fields():
    """ERR-02"""
    error = RemoteError("NameError", "name 'z' is not defined", ["one", "two"], info())
    assert (error.ename, error.evalue) == error.args == ("NameError", "name 'z' is not defined")
    assert error.traceback == "one\ntwo"
    assert error.engine_info == info()


def test_remote_error_text():
    """ERR-03"""
    error = remote()
    assert str(error) == "[0:execute] ZeroDivisionError: division by zero"
    assert repr(error) == "<Remote[0]:ZeroDivisionError(division by zero)>"


def test_remote_error_text_of_a_call():
    """ERR-03"""
    assert str(RemoteError("E", "v", [], info(7, "apply"))) == "[7:apply] E: v"


def test_remote_error_text_without_engine():
    """ERR-03"""
    error = RemoteError("E", "v")
    assert str(error) == "[Engine Exception] E: v"
    assert repr(error) == "<Remote[ ]:E(v)>"


def test_remote_error_without_value_has_no_colon():
    assert str(RemoteError("KeyboardInterrupt", "", [], info())) == "[0:execute] KeyboardInterrupt"


def test_remote_error_rendering():
    """ERR-04: every line by itself, colours included."""
    assert remote().render_traceback() == ["[0:execute]:", *RENDERED]


def test_remote_error_rendering_without_traceback():
    """ERR-04"""
    assert remote(lines=[]).render_traceback() == ["[0:execute]:", "No traceback available"]


def test_traceback_may_be_one_text():
    assert remote(lines="one\ntwo").render_traceback() == ["[0:execute]:", "one", "two"]


@pytest.fixture
def terminal(monkeypatch):
    """stdout shows colours."""
    monkeypatch.setattr(tracebacks, "wants_colours", lambda: True)


def test_print_traceback(capsys, terminal):
    """ERR-04"""
    remote().print_traceback()
    assert capsys.readouterr().out == "\n".join(["[0:execute]:", *RENDERED, ""])


def test_print_traceback_where_colours_are_off(capsys):
    """Issue 4, point 3: a file, or an IPython without colours."""
    for error in (remote(), composite(2)):
        error.print_traceback()
        printed = capsys.readouterr().out
        assert "----> 1 1/0" in printed and "\x1b" not in printed
        assert "\x1b" not in "".join(error._render_traceback_())


@pytest.mark.parametrize("colors, wanted", [("NoColor", False), ("nocolor", False), ("Neutral", True), ("linux", True)])
def test_colours_are_those_of_ipython(monkeypatch, colors, wanted):
    """Both spellings: IPython 8 and 9."""
    shell = types.SimpleNamespace(colors=colors)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert tracebacks.wants_colours() is wanted


def test_ipython_hook(terminal):
    """ERR-04"""
    assert remote()._render_traceback_() == remote().render_traceback()


def test_plain_traceback_shows_the_remote_lines_once_and_without_colours():
    text = "".join(traceback.format_exception(remote()))
    assert text.count("----> 1 1/0") == 1
    assert "\x1b" not in text


@every_way
def test_remote_error_is_copied_whole(how):
    """ERR-20"""
    error = remote()
    error.add_note("a note")
    again = clone(error, how)
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert again.args == error.args
    assert again.render_traceback() == error.render_traceback()


# ---- what catches a remote error

CLASSES = [
    ArithmeticError,
    AttributeError,
    FileNotFoundError,
    ImportError,
    IndentationError,
    KeyError,
    MemoryError,
    ModuleNotFoundError,
    NameError,
    OSError,
    RecursionError,
    SyntaxError,
    TimeoutError,
    UnicodeDecodeError,
    UnicodeEncodeError,
    UserWarning,
    ZeroDivisionError,
    json.JSONDecodeError,
    subprocess.CalledProcessError,
    urllib.error.HTTPError,
    EngineError,
]


@pytest.mark.parametrize("cls", CLASSES)
def test_caught_by_its_class(cls):
    with pytest.raises(cls) as caught:
        raise remote(cls, "v")
    assert isinstance(caught.value, RemoteError)
    assert str(caught.value) == f"[0:execute] {cls.__name__}: v"
    assert repr(caught.value) == f"<Remote[0]:{cls.__name__}(v)>"
    assert caught.value.args == (cls.__name__, "v")


@pytest.mark.parametrize("cls", CLASSES)
def test_pickled_with_its_class(cls):
    again = pickle_trip(remote(cls), pickle.HIGHEST_PROTOCOL)
    assert isinstance(again, cls)
    assert vars(again) == vars(remote(cls))


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("lines", [LINES, []])
def test_plain_python_can_format_it(cls, lines):
    try:
        raise remote(cls, "the value", lines=lines)
    except RemoteError as error:
        assert "the value" in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("cls", CLASSES)
def test_every_attribute_is_there_or_an_attribute_error(cls):
    error = remote(cls)
    for name in dir(error):
        getattr(error, name, None)


def test_attributes_that_stayed_on_the_engine():
    assert remote(OSError).errno is None
    assert remote(SyntaxError, "invalid syntax").msg == "invalid syntax"
    with pytest.raises(AttributeError, match="stayed on the engine"):
        remote(urllib.error.HTTPError).code


def test_the_class_says_what_it_is():
    cls = type(remote(KeyError))
    assert repr(cls) == "<class 'pxkernel.errors.RemoteError[KeyError]'>"
    assert cls.__name__ == "KeyError"
    assert type(remote(KeyError)) is cls


@pytest.mark.parametrize(
    "cls", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, StopAsyncIteration, BaseException, Exception]
)
def test_never_caught_by_class(cls):
    """ERR-17"""
    error = remote(cls, "3")
    assert type(error) is RemoteError
    assert str(error) == f"[0:execute] {cls.__name__}: 3"


@pytest.mark.parametrize("cls", [ExceptionGroup, RemoteError, CompositeError, PxkernelError])
def test_groups_and_remote_errors_stay_plain(cls):
    assert type(remote(cls)) is RemoteError


def test_subclass_of_stop_iteration_stays_plain(user_module):
    assert type(remote(user_module("class Done(StopIteration): pass").Done)) is RemoteError


def test_a_remote_error_raised_on_an_engine_keeps_its_class():
    """An engine may drive engines of its own."""
    again = remote(type(remote(KeyError)))
    assert isinstance(again, KeyError)


# ---- classes of the user's (ERR-18)


def test_user_class_with_constructors(user_module):
    module = user_module(
        "class Bad(ValueError):\n"
        "    def __new__(cls, a, b): return super().__new__(cls)\n"
        "    def __init__(self, a, *, c): raise SystemError\n"
        "    def __str__(self): return self.missing\n"
        "    __repr__ = __str__\n"
    )
    error = remote(module.Bad, "v")
    assert isinstance(error, module.Bad)
    assert str(error) == "[0:execute] Bad: v"
    assert repr(error) == "<Remote[0]:Bad(v)>"


def test_missing_class_leaves_its_base():
    """ERR-18"""
    error = remote_error("Gone", "v", LINES, info(), [("user_errors", "Gone"), ("builtins", "ValueError")])
    assert isinstance(error, ValueError)
    assert str(error) == "[0:execute] Gone: v"


def test_missing_class_without_base_is_plain():
    """ERR-18"""
    error = remote_error("Gone", "v", LINES, info(), [("user_errors", "Gone"), ("builtins", "object")])
    assert type(error) is RemoteError


@pytest.mark.parametrize("name", ["f.<locals>.Local", "value", "function", "Bad.inner.missing", ""])
def test_name_that_leads_to_no_exception_class(user_module, name):
    user_module("value = 3\ndef function(): pass\nclass Bad(Exception): inner = 3\n")
    assert type(remote_error("E", "v", [], info(), [("user_errors", name)])) is RemoteError


def test_nested_class(user_module):
    module = user_module("class Outer:\n    class Inner(Exception): pass\n")
    assert isinstance(remote(module.Outer.Inner), module.Outer.Inner)


@pytest.mark.parametrize("source", ["1/0", "raise SystemExit(3)", "class Bad(", "raise BaseException", "import gone"])
def test_module_that_cannot_be_imported(tmp_path, monkeypatch, source):
    (tmp_path / "cannot_import.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert type(remote_error("Bad", "v", [], info(), [("cannot_import", "Bad")])) is RemoteError


def test_module_is_imported_on_demand(tmp_path, monkeypatch):
    (tmp_path / "imported_on_demand.py").write_text("class Bad(Exception): pass")
    monkeypatch.syspath_prepend(tmp_path)
    error = remote_error("Bad", "v", [], info(), [("imported_on_demand", "Bad")])
    assert isinstance(error, sys.modules.pop("imported_on_demand").Bad)


def test_module_that_is_being_imported_is_not_waited_for(user_module, monkeypatch):
    """The importing thread may be the one that waits for the result."""
    user_module("")
    waited_for = []
    monkeypatch.setattr(errors.importlib, "import_module", waited_for.append)
    assert type(remote_error("Bad", "v", [], info(), [("user_errors", "Bad")])) is RemoteError
    assert waited_for == []


def test_an_import_can_be_interrupted(tmp_path, monkeypatch):
    (tmp_path / "interrupted_import.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        remote_error("Bad", "v", [], info(), [("interrupted_import", "Bad")])


STRANGE = {
    "metaclass": (
        "class Meta(type):\n    def __call__(cls): raise SystemError\n    def __repr__(cls): raise SystemError\n"
        "class Bad(ValueError, metaclass=Meta): pass"
    ),
    "abstract": "import abc\nclass Bad(ValueError, abc.ABC):\n    @abc.abstractmethod\n    def f(self): pass",
    "init_subclass": "class Bad(ValueError):\n    def __init_subclass__(cls, *, tag): raise SystemError",
    "slots": "class Bad(ValueError):\n    __slots__ = ('ename', 'engine_info', '_lines')",
    "properties": "class Bad(ValueError):\n    ename = evalue = engine_info = traceback = property(lambda self: 1/0)",
    "getattr": "class Bad(ValueError):\n    def __getattr__(self, name): return getattr(self.inner, name)",
    "getattribute": "class Bad(ValueError):\n    def __getattribute__(self, name): raise SystemError",
    "setattr": "class Bad(ValueError):\n    def __setattr__(self, name, value): raise SystemError",
    "add_note": "class Bad(ValueError):\n    def add_note(self, note): raise SystemError",
    "reduce": "class Bad(ValueError):\n    def __reduce_ex__(self, protocol): raise SystemError",
    "setstate": "class Bad(ValueError):\n    def __setstate__(self, state): raise SystemError",
    "eq": "class Bad(ValueError):\n    def __eq__(self, other): return self.x == other.x",
    "bool": "class Bad(ValueError):\n    def __bool__(self): return self.ok",
    "del": "class Bad(ValueError):\n    def __del__(self): self.file.close()",
    "two C layouts": "class Bad(ValueError, OSError): pass",
}


@pytest.mark.parametrize("source", STRANGE.values(), ids=STRANGE)
def test_strange_class(user_module, source):
    """Nothing of the class runs, and so nothing of it fails."""
    module = user_module(source)
    error = remote_error("Bad", "v", LINES, info(), [("user_errors", "Bad")])
    again = pickle_trip(error, pickle.HIGHEST_PROTOCOL)
    for one in error, again:
        assert isinstance(one, module.Bad)
        assert str(one) == "[0:execute] Bad: v"
        assert (one.ename, one.engine_info) == ("Bad", info())
        assert one.traceback == "\n".join(LINES)
        assert one and hash(one) and one == one
        assert "----> 1 1/0" in "".join(traceback.format_exception(one))


IMPOSSIBLE = {
    "refuses subclasses": "class Meta(type):\n    def __new__(m, name, bases, ns):\n"
    "        if name == 'Bad' and len(bases) == 1: return super().__new__(m, name, bases, ns)\n"
    "        raise SystemError\nclass Bad(ValueError, metaclass=Meta): pass",
    "makes something else": "class Meta(type):\n    def __new__(m, name, bases, ns):\n"
    "        return super().__new__(m, name, bases[-1:], ns)\nclass Bad(ValueError, metaclass=Meta): pass",
    "cannot be hashed": "class Meta(type):\n    __hash__ = None\nclass Bad(ValueError, metaclass=Meta): pass",
    "read-only args": "class Bad(ValueError):\n    args = property(lambda self: ())",
}


@pytest.mark.parametrize("source", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_class_leaves_its_base(user_module, source):
    module = user_module(source)
    error = remote_error("Bad", "v", LINES, info(), [("user_errors", "Bad"), ("builtins", "ValueError")])
    assert isinstance(error, ValueError)
    assert not isinstance(error, module.Bad)


def test_a_subclass_made_here_is_not_announced(user_module):
    module = user_module(
        "seen = []\nclass Base(Exception):\n    def __init_subclass__(cls): seen.append(cls)\nclass Bad(Base): pass"
    )
    remote(module.Bad)
    assert module.seen == [module.Bad]


def test_redefined_class_is_the_one_that_catches(user_module):
    """A notebook defines its classes again and again."""
    old = user_module("class Bad(Exception): pass").Bad
    error = remote(old)
    new = user_module("class Bad(Exception): pass").Bad
    assert isinstance(error, old)
    assert isinstance(remote(new), new)


def test_unpickled_where_the_class_is_missing_and_where_it_is_not(user_module, monkeypatch):
    """The names travel on: who does not know a class does not lose it for the next."""
    cls = user_module("class Bad(ValueError): pass").Bad
    data = pickle.dumps(remote(cls))
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "user_errors")
        without = pickle.loads(data)
        assert isinstance(without, ValueError)
        assert not isinstance(without, cls)
        data = pickle.dumps(without)
    assert isinstance(pickle.loads(data), cls)


# ---- several errors


def test_composite_fields():
    """ERR-06, ERR-12"""
    error = composite(2)
    assert error.msg == error.message == "one or more exceptions raised in: execute"
    assert error.elist == [("ZeroDivisionError", "division by zero", "\n".join(LINES), info(i)) for i in range(2)]
    assert (error.ename, error.evalue, error.traceback, error.engine_info) == (None,) * 4


def test_composite_repr():
    """ERR-07"""
    assert repr(composite(4)) == "CompositeError(4)"


def test_composite_str():
    """ERR-07"""
    assert str(composite(2)).split("\n") == [
        "one or more exceptions raised in: execute",
        "[0:execute] ZeroDivisionError: division by zero",
        "[1:execute] ZeroDivisionError: division by zero",
    ]


def test_composite_str_is_truncated():
    """ERR-07"""
    lines = str(composite(7)).split("\n")
    assert lines[5:] == ["[4:execute] ZeroDivisionError: division by zero", "... 2 more exceptions ..."]


def test_composite_str_has_one_line_for_each_error():
    assert str(CompositeError("m", [remote(evalue="one\ntwo")])) == "m\n[0:execute] ZeroDivisionError: one"


def test_composite_rendering(terminal):
    """ERR-08"""
    assert composite(2).render_traceback() == ["[0:execute]:", *RENDERED, "", "[1:execute]:", *RENDERED, ""]
    assert composite(2)._render_traceback_() == composite(2).render_traceback()


def test_composite_rendering_is_truncated(monkeypatch):
    """ERR-08, ERR-09"""
    assert CompositeError.tb_limit == 5
    monkeypatch.setattr(CompositeError, "tb_limit", 1)
    assert composite(4).render_traceback() == ["[0:execute]:", *RENDERED, "", "... 3 more exceptions ..."]


@pytest.mark.parametrize(("limit", "shown"), [(0, 0), (4, 4), (5, 4), (None, 4)])
def test_tb_limit(monkeypatch, limit, shown):
    """ERR-09"""
    monkeypatch.setattr(CompositeError, "tb_limit", limit)
    lines = composite(4).render_traceback()
    assert sum("----> 1" in line for line in lines) == shown
    assert ("... 4 more exceptions ..." in lines) == (shown == 0)


def test_composite_print_traceback(capsys, terminal):
    """ERR-10: one by its index, or all."""
    composite(3).print_traceback(1)
    assert capsys.readouterr().out.split("\n") == ["[1:execute]:", *RENDERED, ""]
    composite(3).print_traceback()
    assert capsys.readouterr().out.count("Traceback (most recent call last)") == 3


def test_print_traceback_reaches_beyond_the_limit(capsys, monkeypatch):
    """ERR-10"""
    monkeypatch.setattr(CompositeError, "tb_limit", 1)
    composite(3).print_traceback(2)
    assert capsys.readouterr().out.startswith("[2:execute]:\n")


@pytest.mark.parametrize("method", ["print_traceback", "render_traceback", "raise_exception"])
def test_bad_index(method):
    """ERR-10, ERR-11"""
    with pytest.raises(IndexError, match="^an exception with index 9 does not exist$"):
        getattr(composite(4), method)(9)


def test_raise_exception():
    """ERR-11: the member itself, caught by its class too."""
    error = composite(3)
    with pytest.raises(ZeroDivisionError) as caught:
        error.raise_exception(2)
    assert caught.value is error.exceptions[2]
    with pytest.raises(RemoteError) as caught:
        error.raise_exception()
    assert caught.value is error.exceptions[0]


def test_raise_exception_does_not_show_the_group_again():
    """ERR-11"""
    try:
        try:
            raise composite()
        except CompositeError as error:
            error.raise_exception()
    except RemoteError as error:
        assert "CompositeError" not in "".join(traceback.format_exception(error))


def test_except_composite_error_catches_the_whole():
    error = composite()
    with pytest.raises(CompositeError) as caught:
        raise error
    assert caught.value is error
    assert isinstance(error, RemoteError)
    assert isinstance(error, ExceptionGroup)


def test_except_star_catches_members():
    caught, rest = None, None
    try:
        try:
            raise CompositeError("m", [remote(engine=0), remote(KeyError, engine=1), remote(engine=2)])
        except* ZeroDivisionError as group:
            caught = group
    except CompositeError as error:
        rest = error
    assert type(caught) is type(rest) is CompositeError
    assert [member.engine_info["engine_id"] for member in caught.exceptions] == [0, 2]
    assert [member.engine_info["engine_id"] for member in rest.exceptions] == [1]
    assert caught.msg == rest.msg == "m"


def test_except_star_catches_a_single_error():
    try:
        raise remote(KeyError)
    except* KeyError as group:
        assert isinstance(group.exceptions[0], RemoteError)


def test_split_keeps_the_notes():
    error = composite()
    error.add_note("a note")
    matched, rest = error.split(lambda member: member is error.exceptions[0])
    assert (repr(matched), repr(rest)) == ("CompositeError(1)", "CompositeError(3)")
    assert matched.__notes__ == rest.__notes__ == ["a note"]


@every_way
def test_composite_is_copied_whole(how):
    """ERR-20"""
    error = CompositeError("m", [remote(KeyError), RemoteError("E", "v"), EngineError("x", engine_info=info(2))])
    error.add_note("a note")
    again = clone(error, how)
    assert type(again) is CompositeError
    assert again.elist == error.elist
    assert [type(member) for member in again.exceptions] == [type(member) for member in error.exceptions]
    assert again.args == (again.message, again.exceptions)
    assert again.__notes__ == ["a note"]


def test_error_without_remote_traceback_is_rendered_too():
    """ERR-08, ERR-13"""
    error = CompositeError("m", [EngineError("engine 2 died", engine_info=info(2, "apply")), TaskAborted()])
    assert error.render_traceback() == [
        *("[2:apply]:", "EngineError: engine 2 died", ""),
        *("[Engine Exception]:", "TaskAborted", ""),
    ]
    assert str(error) == "m\n[2:apply] EngineError: engine 2 died\n[Engine Exception] TaskAborted"
    assert error.elist[0] == ("EngineError", "engine 2 died", "", info(2, "apply"))


# ---- collecting


def test_collect_passes_results_through():
    """ERR-13: an exception that is not pxkernel's is a value that the user's function returned."""
    results = [1, None, ValueError("returned")]
    assert collect_exceptions(results, "f") is results
    assert composite_error(results, "f") is None


@pytest.mark.parametrize("wrong", [remote(), EngineError("x"), TaskAborted("msg-id")])
@pytest.mark.parametrize("as_dict", [False, True])
def test_collect_raises(wrong, as_dict):
    """ERR-06, ERR-13: also for one, and also for those that never reached the user's code."""
    results = {0: 1, 1: wrong} if as_dict else [1, wrong]
    with pytest.raises(CompositeError) as caught:
        collect_exceptions(results, "f")
    assert caught.value.msg == "one or more exceptions raised in: f"
    assert caught.value.exceptions == (wrong,)


def test_collect_flattens():
    """ERR-13"""
    one, two, three = (remote(engine=i) for i in range(3))
    results = [CompositeError("m", [one, two]), CompositeError("n", [CompositeError("o", [three])])]
    assert composite_error(results, "f").exceptions == (one, two, three)


def test_collect_without_method():
    """ERR-13"""
    assert composite_error([remote()]).msg == "one or more exceptions raised in: unspecified"


# ---- errors that say the same (issue 4, point 3)


def several(*kinds):
    """A CompositeError of the errors that one letter each stands for, one engine after the other."""
    members = [
        remote(evalue=kind, engine=engine, lines=[f"Cell In[{engine}], line 1", f"<f at {hex(1000 + engine)}>", f"---> {kind}"])
        for engine, kind in enumerate(kinds)
    ]
    return CompositeError("m", members)


@pytest.fixture
def grouped(monkeypatch):
    monkeypatch.setattr(CompositeError, "grouped", True)


def test_groups():
    """The number of a cell and an address make no difference; a text does."""
    groups = several(*"aabaca").group_by_traceback()
    assert [type(group) for group in groups] == [CompositeError] * 3
    assert [group.engines for group in groups] == [[0, 1, 3, 5], [2], [4]]
    assert [group.message for group in groups] == ["m"] * 3


def test_errors_without_a_traceback_belong_to_those_with_one():
    """A map sends the tracebacks of its first failures only."""
    error = CompositeError("m", [remote(engine=0), remote(engine=1, lines=[]), remote(evalue="other", lines=[])])
    assert [len(group.exceptions) for group in error.group_by_traceback()] == [2, 1]


def test_identical_errors_are_shown_once(grouped):
    lines = several(*"aaba").render_traceback()
    assert [line for line in lines if line.startswith(("[", "--->"))] == ["[0-1,3:execute]:", "---> a", "[2:execute]:", "---> b"]
    assert not any("more exceptions" in line for line in lines)
    assert str(several(*"aaba")) == "m\n[0-1,3:execute] ZeroDivisionError: a\n[2:execute] ZeroDivisionError: b"


def test_groups_are_limited(grouped, monkeypatch):
    monkeypatch.setattr(CompositeError, "tb_limit", 2)
    lines = several(*"abca").render_traceback()
    assert [line for line in lines if line.startswith("--->")] == ["---> a", "---> b"]
    assert lines[-1] == "... 1 more exceptions ..."


def test_the_different_one_is_always_shown():
    """Also in the layout of the seeds, beyond the limit."""
    error = several(*"a" * 40, "b", *"a" * 23)
    lines = error.render_traceback()
    assert [line for line in lines if line.startswith("--->")] == ["---> a"] * 5 + ["---> b"]
    assert "[40:execute]:" in lines and lines[-1] == "... 58 more exceptions ..."
    assert "[40:execute] ZeroDivisionError: b" in str(error)


def test_not_all_different_ones_are_shown():
    error = several(*map(str, range(100)))
    assert sum(line.startswith("--->") for line in error.render_traceback()) == 10


@pytest.mark.parametrize("numbers, text", [([], ""), ([3], "3"), ([0, 1, 2], "0-2"), ([5, 1, 2, 2, 9, 8], "1-2,5,8-9")])
def test_numbers_in_short(numbers, text):
    assert tracebacks.ranges(numbers) == text


def test_the_name_of_the_old_seeds(capsys):
    """Seeds 001 and 002"""
    composite(2).print_tracebacks()
    assert capsys.readouterr().out.count("----> 1 1/0") == 2


# ---- errors that have been shown, errors as messages


@every_way
def test_already_displayed(how):
    """ERR-14, ERR-20"""
    for original, text in ((composite(2), "2 errors"), (remote(), "1 error")):
        error = clone(AlreadyDisplayedError(original), how)
        assert isinstance(error, RemoteError)
        assert (str(error), repr(error)) == (text, f"<AlreadyDisplayedError({text})>")
        assert error._render_traceback_() == [text]
        assert repr(error.original_error) == repr(original)


def test_wrapping_and_unwrapping():
    """ERR-21"""
    try:
        {}["a"]
    except KeyError:
        content = json.loads(json.dumps(wrap_exception(info(2))))
    error = unwrap_exception(content)
    assert isinstance(error, KeyError) and error.engine_info == info(2)
    assert str(error) == "[2:execute] KeyError: 'a'"
    assert "Traceback (most recent call last):" in error.render_traceback()
    with pytest.raises(RuntimeError, match="exception is handled"):
        wrap_exception()


def test_unwrapping_what_a_kernel_says():
    """ERR-21: the content of a stock error message."""
    error = unwrap_exception({"ename": "E", "evalue": "v", "traceback": ["line"]})
    assert str(error) == "[Engine Exception] E: v" and error.traceback == "line"


@every_way
def test_a_hint_travels_along(how):
    error = remote(NameError)
    error.add_hint("push it")
    again = clone(error, how)
    assert again.render_traceback()[-1] == "push it"
    assert again.__notes__ == error.__notes__


# ---- as users see them

SETUP = """
import json, sys
from pxkernel.client.shell import show_remote_errors
from pxkernel.errors import *
def remote(cls, engine=0):
    info = {"engine_id": engine, "engine_uuid": "u", "method": "execute"}
    return remote_error(cls.__name__, "the value", ["----> 1 remote()"], info, class_names(cls))
def both():
    return CompositeError("m", [remote(KeyError, 0), remote(OSError, 1)])
"""


def run_python(tmp_path, source):
    path = tmp_path / "script.py"
    path.write_text(SETUP + source, "utf-8")
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path), "NO_COLOR": "1"}
    return subprocess.run([sys.executable, path], capture_output=True, text=True, env=environment, timeout=60)


@pytest.mark.parametrize("name", ["ZeroDivisionError", "SyntaxError", "OSError", "UnicodeDecodeError", "ImportError"])
def test_uncaught_in_a_script(tmp_path, name):
    """The name, the value, and the remote lines, once."""
    shown = run_python(tmp_path, f"raise remote({name})").stderr
    assert f"pxkernel.errors.RemoteError[{name}]: " in shown
    assert "the value" in shown
    assert shown.count("----> 1 remote()") == 1


CELLS = {
    "one": "raise remote(KeyError)",
    "syntax": "raise remote(SyntaxError)",
    "several": "raise both()",
    "member": "try:\n    raise both()\nexcept CompositeError as e:\n    e.raise_exception(1)",
    "again": "%tb",
    "last": "print(repr(sys.last_value.error), sys.last_value.ename, sys.last_value)",
    "list": "[remote(KeyError)]",
    "group": "both()",
    "cause": "try:\n    raise remote(OSError)\nexcept OSError as e:\n    raise ValueError('local') from e",
    "local": "1/0",
    "own": "raise LookupError",
    "waiting": "def press():\n    raise KeyboardInterrupt\n\ncomposite_error(press() for _ in [0])",
    "gone": "def press():\n    raise EngineError('gone')\n\ncomposite_error(press() for _ in [0])",
    "nothing waited": "raise KeyboardInterrupt",
}

IN_IPYTHON = """
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance(colors="NoColor")
shell.push(globals())
def own(shell, etype, value, tb, tb_offset=None):
    print("own handler")
shell.set_custom_exc((LookupError,), own)
show_remote_errors(shell)
show_remote_errors(shell)
shown = {}
for name, cell in json.loads(CELLS).items():
    with capture_output() as captured:
        result = shell.run_cell(cell)
    shown[name] = [captured.stdout + captured.stderr, repr(result.error_in_exec)]
print(json.dumps(shown))
"""


@pytest.fixture(scope="module")
def in_ipython(tmp_path_factory):
    """What IPython shows for each of the cells, and the error that it reports."""
    done = run_python(tmp_path_factory.mktemp("ipython"), f"CELLS = {json.dumps(CELLS)!r}\n{IN_IPYTHON}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_ipython_shows_a_remote_error(in_ipython):
    """ERR-04: nothing but the lines of the engine."""
    assert in_ipython["one"] == ["[0:execute]:\n----> 1 remote()\n", "<Remote[0]:KeyError(the value)>"]


def test_ipython_shows_a_remote_syntax_error(in_ipython):
    """ERR-04: IPython renders a local one in another way."""
    assert in_ipython["syntax"] == ["[0:execute]:\n----> 1 remote()\n", "<Remote[0]:SyntaxError(the value)>"]


def test_ipython_shows_a_composite_error(in_ipython):
    """ERR-08: IPython hands other groups to the traceback module."""
    block = "----> 1 remote()\n\n"
    assert in_ipython["several"] == [f"[0:execute]:\n{block}[1:execute]:\n{block}", "CompositeError(2)"]


def test_ipython_shows_a_member_by_itself(in_ipython):
    """ERR-11"""
    assert in_ipython["member"] == ["[1:execute]:\n----> 1 remote()\n", "<Remote[1]:OSError(the value)>"]


def test_ipython_shows_it_again(in_ipython):
    assert in_ipython["again"][0] == in_ipython["member"][0]


def test_last_value_leads_to_the_error(in_ipython):
    """ERR-12"""
    assert in_ipython["last"][0] == "<Remote[1]:OSError(the value)> OSError [1:execute] OSError: the value\n"


def test_ipython_shows_errors_as_values(in_ipython):
    """ERR-03, ERR-07: what return_exceptions=True leaves in a list."""
    assert in_ipython["list"][0].endswith(": [<Remote[0]:KeyError(the value)>]\n")
    assert in_ipython["group"][0].endswith(": CompositeError(2)\n")


def test_ipython_shows_the_remote_cause_of_a_local_error(in_ipython):
    text = in_ipython["cause"][0]
    assert text.count("----> 1 remote()") == 1
    assert text.endswith("ValueError: local\n")


def test_ipython_shows_other_errors_as_ever(in_ipython):
    assert "ZeroDivisionError: division by zero" in in_ipython["local"][0]


@pytest.mark.parametrize(("cell", "last"), [("waiting", "KeyboardInterrupt: "), ("gone", "EngineError: gone")])
def test_ipython_shows_who_called_when_a_call_is_interrupted_or_fails_by_itself(in_ipython, cell, last):
    """VW-12, MG-13: and none of our own lines."""
    shown, error = in_ipython[cell]
    lines = shown.splitlines()
    assert [line for line in lines if line.startswith(("-", "File"))] == [lines[0], "----> 4 composite_error(press() for _ in [0])"]
    assert lines[-1].startswith(last) and error.startswith(last.split(":")[0])
    assert "errors.py" not in shown


def test_ipython_shows_an_interrupt_of_something_else_as_ever(in_ipython):
    shown, error = in_ipython["nothing waited"]
    assert "----> 1 raise KeyboardInterrupt" in shown and error == "KeyboardInterrupt()"


def test_an_earlier_handler_of_the_users_is_kept(in_ipython):
    assert in_ipython["own"][0] == "own handler\n"
