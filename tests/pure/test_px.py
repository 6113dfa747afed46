"""What `%px` does with an interrupt, at whichever moment it comes (features MG-13)."""

from types import SimpleNamespace

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import ExecutionResult

from pxkernel.errors import NoEnginesRegistered
from pxkernel.magics import parallel, waiting
from pxkernel.magics.parallel import ParallelMagics


def press():
    """Stands for Ctrl-C."""
    raise KeyboardInterrupt


class Shell:
    user_ns = {}
    Completer = SimpleNamespace(custom_matchers=[])

    def __init__(self, here=None):
        self._here = here

    def var_expand(self, text):
        return text

    def run_cell(self, code):
        """As IPython's: an interrupt ends the cell, and is in its result."""
        result = ExecutionResult(None)
        result.error_in_exec = self._here
        return result


class View:
    """A view of one engine; ``sent`` is called when its call has been made."""

    block = True
    targets = 0
    history = ()

    def __init__(self, sent=lambda: None, resolve=lambda targets: ([0], True)):
        self._resolve = resolve
        self._sent = sent

    def _execute(self, code, silent, targets, block, fname, *, made, time_limit):
        result = SimpleNamespace(engine_id=0, exception=lambda: None, _parts=())
        made(result)
        self._sent()
        return result


def test_autopx_with_something_behind_it_switches_nothing():
    """MG-17"""
    magics = ParallelMagics(Shell())
    magics.view = View()
    with pytest.raises(UsageError, match="junk"):
        magics.autopx("junk")
    assert not magics._autopx.enabled


@pytest.fixture
def stopped(monkeypatch):
    """The signals that were sent to engines."""
    signals = []
    monkeypatch.setattr(waiting, "interrupt", lambda view, result, signum: signals.append(signum))
    monkeypatch.setattr(waiting, "wait", lambda *arguments: None)
    monkeypatch.setattr(waiting, "show", lambda *arguments: None)
    return signals


def magics(view, shell=None):
    made = ParallelMagics(shell or Shell())
    made.view = view
    return made


def test_during_the_submission(stopped):
    with pytest.raises(KeyboardInterrupt):
        magics(View(sent=press)).px("1")
    assert stopped == [2]


def test_between_submission_and_waiting(stopped, monkeypatch):
    monkeypatch.setattr(parallel, "_named", lambda engines: press())
    with pytest.raises(KeyboardInterrupt):
        magics(View()).px("--signal-on-interrupt TERM pass")
    assert stopped == [15]


def test_while_it_waits(stopped, monkeypatch):
    monkeypatch.setattr(waiting, "wait", lambda *arguments: press())
    with pytest.raises(KeyboardInterrupt):
        magics(View()).cell_px("", "1")
    assert stopped == [2]


def test_while_the_cell_runs_here(stopped):
    """MG-07: the engines run the same."""
    with pytest.raises(KeyboardInterrupt):
        magics(View(), Shell(here=KeyboardInterrupt())).cell_px("--local", "1")
    assert stopped == [2]
    magics(View(), Shell(here=ValueError())).cell_px("--local", "1")
    assert stopped == [2]


def test_a_call_that_nobody_waits_for_goes_on(stopped):
    with pytest.raises(KeyboardInterrupt):
        magics(View(sent=press)).cell_px("--noblock", "1")
    assert stopped == []


def test_before_there_is_a_call(stopped):
    with pytest.raises(KeyboardInterrupt):
        magics(View(resolve=lambda targets: press())).px("1")
    assert stopped == []


def test_engines_that_there_are_not():
    """MG-06"""

    def resolve(targets):
        raise IndexError("No such engine: 0: engine 0 died") if targets is None else NoEnginesRegistered("none")

    with pytest.raises(UsageError, match="No such engine: 0: engine 0 died"):
        magics(View(resolve=resolve)).px("1")
    with pytest.raises(NoEnginesRegistered):
        magics(View(resolve=resolve)).cell_px("-t all", "1")
