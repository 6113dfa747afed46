"""Terminal IPython on a pseudo terminal: output, errors, %autopx."""

import os
import re
import sys

import pexpect
import pytest

MARK = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


class Terminal:
    """``enter(line)`` types a line and gives what is printed until the next prompt."""

    def __init__(self, ipython_dir):
        command = [
            *("-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"),
            f"--ipython-dir={ipython_dir}",
        ]
        # Wide enough for every line.
        self._child = pexpect.spawn(
            sys.executable,
            command,
            encoding="utf-8",
            timeout=30,
            dimensions=(50, 250),
            env={**os.environ, "TERM": "dumb"},
        )
        self._child.delaybeforesend = None
        self._read()

    def _read(self):
        self._child.expect(r"(?:^|\n)(In \[\d+\]: )")
        return MARK.sub("", self._child.before)

    def enter(self, line):
        self._child.sendline(line)
        text = self._read()
        echoed, _, rest = text.partition("\n")
        assert echoed.strip() == line.strip()
        return rest.strip("\n")

    def type(self, *lines):
        """Several lines that make one cell; an empty one ends it."""
        for line in lines:
            self._child.sendline(line)
        self._child.sendline("")
        return self._read()

    def debug(self, *lines):
        """What the debugger says to some lines, after ``%debug``; then it is left."""
        said = []
        for line in ("%debug", *lines):
            self._child.sendline(line)
            self._child.expect_exact("ipdb> ")
            said.append(MARK.sub("", self._child.before).partition("\n")[2].strip("\n"))
        self._child.sendline("q")
        self._read()
        return said

    def interrupt(self, line, when):
        """Type a line, press Ctrl-C when it has printed ``when``; what is printed after that."""
        self._child.sendline(line)
        self._child.expect(when)
        self._child.sendintr()
        return self._read()

    def close(self):
        try:
            self._child.sendintr()  # a test that has failed may have left an unfinished cell
            self._read()
            self._child.sendline("exit()")
            self._child.expect(pexpect.EOF)
        finally:
            self._child.close(force=True)
        return self._child.exitstatus


@pytest.fixture(scope="module")
def terminal(nothing_is_left, tmp_path_factory):
    terminal = Terminal(tmp_path_factory.mktemp("ipython"))
    terminal.enter("import pxkernel as px")
    terminal.enter("%load_ext pxkernel")
    assert terminal.enter("rc = px.Cluster(n=2).start_and_connect_sync(activate=True); rc.ids").endswith("[0, 1]")
    yield terminal
    # The cluster is its: nothing may be left when it ends.
    assert terminal.close() == 0


def rows(text):
    return [line for line in text.splitlines() if line.strip()]


def test_output_and_results(terminal):
    """MG-18"""
    shown = rows(terminal.enter("%px print('hello'); 6 * 7"))
    assert shown[0] == "Parallel execution on engines: [0, 1]"
    assert sorted(line for line in shown if "stdout" in line) == ["[stdout:0] hello", "[stdout:1] hello"]
    assert sorted(re.sub(r":\d+\]", ":n]", line) for line in shown if line.startswith("Out[")) == [
        "Out[0:n]: 42",
        "Out[1:n]: 42",
    ]
    assert len(shown) == 5


def test_output_of_apply(terminal):
    shown = rows(terminal.enter("rc[0].apply_sync(lambda: print('from apply') or 5)"))
    assert shown[0] == "[stdout:0] from apply"
    assert re.fullmatch(r"Out\[\d+\]: 5", shown[1])


def test_errors(terminal):
    shown = rows(terminal.enter("%px 1/0"))
    assert shown[0] == "Parallel execution on engines: [0, 1]"
    for engine in (0, 1):
        start = shown.index(f"[{engine}:execute]:")
        block = shown[start : start + 6]
        assert re.fullmatch("-+", block[1])
        assert re.fullmatch(r"ZeroDivisionError +Traceback \(most recent call last\)", block[2])
        assert "----> 1 1/0" in block
        assert "ZeroDivisionError: division by zero" in block
    assert "pxkernel" not in "\n".join(shown)
    assert not [line for line in shown if line.startswith(("CompositeError", "Traceback", "  |", "  +"))]


def test_an_error_of_apply(terminal):
    terminal.type("def f(x):", "    return 1 / x")
    shown = rows(terminal.enter("rc[:].apply_sync(f, 0)"))
    assert shown[0] == "[0:apply]:"
    assert any(re.search(r"-+> 2 +return 1 / x", line) for line in shown)
    assert "pxkernel" not in "\n".join(shown)


def test_debug_after_an_error(terminal):
    """ERR-12: the session in the seeds."""
    terminal.enter("dv = rc[:]; dv.block = True")
    terminal.enter("dv.execute('1/0')")
    place, _, shown, traceback, names = terminal.debug(
        *("e = self._exception", "e", "e.print_traceback(1)", "p [name for name in dir(e) if name == 'elist']")
    )
    assert "asyncresult.py" in place and re.search(r"-+> \d+ .*raise self._exception", place)
    assert shown == "CompositeError(2)"
    assert traceback.startswith("[1:execute]:\n---") and "----> 1 1/0" in traceback
    assert names == "['elist']"


def test_debug_after_an_error_of_px(terminal):
    """ERR-12"""
    terminal.enter("%px 1/0")
    place, error = terminal.debug("p error")
    assert "parallel.py" in place
    assert error == "CompositeError(2)"


def test_ctrl_c_stops_the_engines(terminal):
    """MG-13: no line of ours is shown, and the engines go on with the next cell."""
    terminal.enter("%px kept = 5")
    shown = terminal.interrupt("%px while True: pass", when="Parallel execution on engines")
    assert "Received Keyboard Interrupt. Sending signal SIGINT to engines..." in shown
    assert rows(shown)[-1].startswith("KeyboardInterrupt") and ".py" not in shown
    shown = rows(terminal.enter("%px kept"))
    assert sorted(re.sub(r":\d+\]", ":n]", line) for line in shown[1:]) == ["Out[0:n]: 5", "Out[1:n]: 5"]


def test_the_shell_goes_on_after_errors(terminal):
    assert terminal.enter("%pxconfig --nosuch").endswith("UsageError: unrecognized arguments: --nosuch")
    assert terminal.enter("1 + 1").endswith(": 2")


def test_autopx(terminal):
    terminal.enter("here = 'notebook'")
    assert terminal.enter("%autopx") == "Auto Parallel Enabled\nType %autopx to disable"
    shown = rows(terminal.enter("import os; here = os.getpid(); print('x'); here > 0"))
    assert sorted(line for line in shown if line.startswith("[")) == ["[stdout:0] x", "[stdout:1] x"]
    assert sorted(re.sub(r":\d+\]", ":n]", line) for line in shown if line.startswith("Out[")) == [
        "Out[0:n]: True",
        "Out[1:n]: True",
    ]
    terminal.type("for i in range(3):", "    here = i")
    assert [line for line in rows(terminal.enter("here")) if re.match(r"Out\[\d:\d+\]: 2$", line)]
    shown = rows(terminal.enter("1/0"))
    assert "[1:execute]:" in shown
    assert "ZeroDivisionError: division by zero" in shown
    assert terminal.enter("%autopx") == "Auto Parallel Disabled"
    assert terminal.enter("here").endswith("'notebook'")


def test_results_without_waiting(terminal):
    terminal.enter("%pxconfig --noblock")
    shown = rows(terminal.enter("%px print('later'); 8"))
    assert shown[0] == "Async parallel execution on engines: [0, 1]"
    assert re.fullmatch(r"Out\[\d+\]: <AsyncResult: %px:\w+>", shown[1])
    shown = rows(terminal.enter("%pxresult"))
    assert sorted(line for line in shown if "stdout" in line) == ["[stdout:0] later", "[stdout:1] later"]
    assert len([line for line in shown if re.fullmatch(r"Out\[[01]:\d+\]: 8", line)]) == 2
    assert terminal.enter("%pxconfig --block") == ""
