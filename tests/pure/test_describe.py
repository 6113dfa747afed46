"""What a client is told of an exception on an engine, whatever that exception does (features ERR-02, ERR-05, ERR-17)."""

import itertools
import json
from types import SimpleNamespace

import pytest
from IPython.core.ultratb import VerboseTB

from pxkernel.engine import describe
from pxkernel.engine.describe import Describer


class Traceback:
    """Renders as IPython does as far as it matters: it reads the text of the exception."""

    def structured_traceback(self, kind, error, trace, tb_offset):
        return [f"{kind.__name__}: {error}"]


@pytest.fixture
def describer():
    return Describer(SimpleNamespace(InteractiveTB=Traceback()))


class Odd(Exception):
    def __init__(self, a, b):
        super().__init__(a)


class NoText(Exception):
    def __str__(self):
        raise self.args[0]


class NoString(Exception):
    def __str__(self):
        return None


class Uncomparable(Exception):
    __hash__ = None

    def __eq__(self, other):
        raise ValueError("not comparable")


class BadName(NameError):
    @property
    def name(self):
        raise ValueError("no name")


def raised(error, cause=None):
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def raised_by(f, *args):
    try:
        f(*args)
    except Exception as caught:
        return caught


def loop():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    return raised(one, two)


def test_an_ordinary_one(describer):
    found = describer.describe(raised(KeyError("k")))
    assert (found["ename"], found["evalue"], found["traceback"]) == ("KeyError", "'k'", ["KeyError: 'k'"])
    assert found["mro"][:2] == [("builtins", "KeyError"), ("builtins", "LookupError")]


@pytest.mark.parametrize(
    "error",
    [
        NoText(SystemExit(4)), NoText(KeyboardInterrupt()), NoText(ValueError("no")), NoText(GeneratorExit()), NoString("x"),
        Odd(1, 2), SystemExit(3), KeyboardInterrupt(), BadName("x"),
    ],
)  # fmt: skip
def test_an_exception_cannot_end_the_engine(describer, error):
    """ERR-17: not even one whose text raises SystemExit."""
    found = describer.describe(raised(error))
    assert json.dumps(found)
    assert found["ename"] in (type(error).__name__, "Exception")


def test_what_ipython_has_shown(describer):
    assert describer.classes(KeyError("x"), "KeyError")[0] == ("builtins", "KeyError")
    assert describer.classes(KeyError("x"), "ValueError") == describer.classes(None, "KeyError") == []


def test_a_text_that_cannot_be_had(describer):
    assert describer.describe(raised(NoText(SystemExit(4))))["evalue"] == "<its text cannot be had: SystemExit>"
    assert describer.describe(raised(NoText(SystemExit(4))))["ename"] == "NoText"


def test_a_class_that_cannot_be_looked_at(describer):
    class Secret(type):
        def __getattribute__(cls, name):
            raise SystemExit("nobody looks at me")

    class Hidden(Exception, metaclass=Secret):
        pass

    found = describer.describe(raised(Hidden()))
    assert found == {"ename": "Exception", "evalue": "<it cannot be described: SystemExit>", "traceback": [], "mro": []}


def test_a_class_whose_module_is_no_text(describer):
    """ERR-18: what cannot be sent would leave the call without an answer."""
    found = describer.describe(raised(type("Strange", (Exception,), {"__module__": object})("x")))
    assert json.loads(json.dumps(found))["mro"][0] == ["<class 'object'>", "Strange"]


def test_causes_that_go_round(describer):
    assert describer.describe(loop())["evalue"] == "one"
    assert describer.describe(raised(Uncomparable("y"), Uncomparable("x")))["evalue"] == "y"


def test_ipython_renders_what_it_can(describer):
    """ERR-05: the real one, with an exception whose text ends the process."""
    for colour in ({"theme_name": "nocolor"}, {"color_scheme": "NoColor"}):
        try:
            shell = SimpleNamespace(InteractiveTB=VerboseTB(**colour))
            break
        except TypeError:
            continue
    found = Describer(shell).describe(raised(NoText(SystemExit(4))))
    assert any("raise error from cause" in line for line in found["traceback"])


def deeper(n):
    if n:
        deeper(n - 1)
    raise RecursionError("deep")


def test_the_ends_of_a_long_traceback():
    """ERR-05: IPython would take ten seconds for those of an endless recursion."""
    trace, left_out = describe.user_frames(raised_by(deeper, 500).__traceback__)
    frames = []
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert len(frames) == describe.MOST_FRAMES and left_out == 502 - len(frames)
    assert frames[0] == "raised_by" and frames[-1] == "deeper"
    found = Describer(SimpleNamespace(InteractiveTB=Traceback())).describe(raised_by(deeper, 500))
    assert found["traceback"][-1] == f"... {left_out} frames in the middle are not shown ..."
    assert describe.user_frames(raised_by(deeper, 5).__traceback__)[1] == 0


def test_a_map_shows_its_first_errors_only(describer, monkeypatch):
    """MAP-05: of each map, in however many tasks they fail."""
    shown = [bool(describer.describe_item(ValueError(str(n)), "one map")["traceback"]) for n in range(30)]
    assert shown == [True] * 10 + [False] * 20
    assert describer.describe_item(ValueError("x"), "another map")["traceback"]
    assert not describer.describe_item(ValueError("x"), "one map")["traceback"]
    for name in itertools.islice(itertools.count(), describe.REMEMBERED):
        describer.describe_item(ValueError("x"), name)
    assert len(describer._shown) == describe.REMEMBERED
    assert describer.describe_item(ValueError("x"), "one map")["traceback"], "it has been forgotten"
