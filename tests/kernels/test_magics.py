"""The magics in a real notebook kernel, driven as a front end drives it: what a cell shows, and when."""

import re
from pathlib import Path

import pytest

from pxkernel.client.outputs import Printer

KERNELSPEC = Path(__file__).parents[2] / "jupyter-config" / "kernels" / "pxkernel" / "kernel.json"


@pytest.fixture(scope="module")
def fresh(start_notebook):
    """A kernel with the extension and without engines, for the tests at the top."""
    notebook = start_notebook()
    notebook.run("%load_ext pxkernel")
    return notebook


@pytest.fixture(scope="module")
def engines(fresh):
    # Not "as px": a variable of that name would be in the way of %px without its percent sign.
    shown = fresh.run("import pxkernel as ipp\nrc = ipp.Cluster(n=4).start_and_connect_sync(activate=True)\nrc.ids")
    assert shown.result == "[0, 1, 2, 3]", shown.error
    return fresh


@pytest.fixture
def nb(engines):
    """The kernel with its cluster, as a test expects it: a blocking view of all engines."""
    shown = engines.run(
        "dv = rc[:]; dv.block = True; dv.activate()\n"
        "magics = get_ipython().find_line_magic('px').__self__; magics.defaults = type(magics.defaults)()\n"
        "ipp.CompositeError.tb_limit = 5"
    )
    assert not shown.error
    return engines


ALL = "Parallel execution on engines: [0, 1, 2, 3]\n"


def each(text):
    return [text.format(engine) for engine in range(4)]


# ---- without engines


@pytest.mark.parametrize("cell", ["%px 1", "%%px\n1", "%autopx", "%pxresult", "%result", "%pxconfig --block"])
def test_magics_without_a_view(fresh, cell):
    """MG-01"""
    shown = fresh.run(cell)
    name = {"%result": "pxresult"}.get(cell, re.match(r"%+(\w+)", cell)[1])
    assert shown.stderr.startswith(f"UsageError: there are no engines for %{name} yet. Start some:\n")
    assert "start_and_connect_sync(activate=True)" in shown.stderr
    assert not shown.error


# ---- %px


def test_px_says_where_it_runs(nb):
    """MG-03"""
    assert nb.run("%px a = 5").texts == [ALL]
    assert nb.value("dv['a']") == "[5, 5, 5, 5]"
    assert nb.run("px a = 6").texts == [ALL]
    assert nb.value("dv['a']") == "[6, 6, 6, 6]"
    assert nb.run("a").ename == "NameError"


def test_output_and_results_are_labelled(nb):
    """MG-18"""
    shown = nb.run("%px print('hello'); 6 * 7")
    assert shown.stdout.startswith(ALL)
    assert shown.labelled == each("Out[{}:n]: 42") + each("[stdout:{}] hello")
    assert shown.result is None


def test_results_carry_the_number_of_the_cell_on_the_engine(nb):
    """MG-20"""

    def number(shown):
        return sorted(int(re.fullmatch(r"Out\[\d:(\d+)\]: 5", d["text/plain"])[1]) for d in shown.displays)

    first = number(nb.run("%px 5"))
    assert number(nb.run("%px 5")) == [n + 1 for n in first]
    assert nb.run("%px 5;").displays == []


def test_results_of_several_lines_begin_on_their_own(nb):
    shown = nb.run("%%px --targets 1\nlist(range(100, 180))")
    (data,) = shown.displays
    assert re.match(r"Out\[1:\d+\]: \n\[100,\n 101,", data["text/plain"])


def test_several_lines_of_output(nb):
    shown = nb.run("%%px --targets 2\nprint('one')\nprint('two')")
    # The label has a line of its own if more than one line comes at once.
    assert re.fullmatch(r"\[stdout:2\]\sone\ntwo\n", shown.stdout)


def test_lines_that_come_in_pieces(capsys):
    printer = Printer()
    for engine, text in ((0, "5"), (1, "6"), (0, "\n"), (1, "\n"), (0, "a"), (1, "b\n"), (0, "c\n"), (0, "\n")):
        printer.show(engine, "stream", {"name": "stdout", "text": text})
    assert capsys.readouterr().out.splitlines() == [
        *("[stdout:0] 5", "[stdout:1] 6", "[stdout:0] a", "[stdout:1] b", "[stdout:0] c", "")
    ]


def test_errors_of_streams(nb):
    shown = nb.run("%%px\nimport sys\nprint('problem', file=sys.stderr)")
    assert sorted(shown.stderr.splitlines()) == each("[stderr:{}] problem")
    assert shown.stdout == ""


def test_names_in_braces_stay_as_they_are(nb):
    """MG-04"""
    nb.run("name = 'expanded'")
    assert nb.run("%px print(f'{1 + 1} $name')").labelled == each("[stdout:{}] 2 $name")


def test_magics_and_commands_run_on_the_engines(nb):
    """MG-04, JUP-01"""
    assert nb.run("%px !echo shell").labelled == each("[stdout:{}] shell")
    assert nb.run("%%px --targets 0\n%%capture kept\nprint('hidden')").texts == []
    assert nb.value("rc[0]['kept.stdout']") == r"'hidden\n'"
    assert nb.run("%px import asyncio; await asyncio.sleep(.01); 'awaited'").labelled == each("Out[{}:n]: 'awaited'")


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("# a comment\n\n!echo shell", "shell"),
        ("# a comment\n%time x = 1\nprint('after')", "after"),
        ("%%time\nprint('after')", "after"),
        ("print('ünïcode \U0001d4b3 ✓')", "ünïcode \U0001d4b3 ✓"),
        ("print('unfinished', end='')", "unfinished"),
        ("for i in range(3):\n    print(f'\\r{i} of 2', end='')\nprint()", "2 of 2"),
        ("async def f():\n    return 'awaited'\nprint(await f())", "awaited"),
    ],
)
def test_whatever_a_cell_may_be(nb, cell, shown):
    """MG-04, MG-25, MG-27"""
    seen = nb.run(f"%%px --targets 0,1\n{cell}")
    # What is written over again and again is one display, which is updated.
    lines = [*seen.lines, *(line for data in seen.updates for line in data["text/plain"].splitlines())]
    for engine in (0, 1):
        assert {f"[stdout:{engine}] {shown}", shown} & set(lines), lines
    assert not seen.error


def test_a_cell_that_is_no_python(nb):
    seen = nb.run("%%px\nx = = 1")
    assert seen.ename == "CompositeError" and seen.error.count("SyntaxError: invalid syntax") == 4
    # IPython's word for a cell without code.
    assert nb.run("%%px").stderr.startswith("UsageError: %%px is a cell magic, but the cell body is empty")
    assert nb.run("%px").texts == [ALL]


def test_much_output_at_once(nb):
    seen = nb.run("%px -t 0,1 --no-verbose print('x' * 2_000_000)")
    assert sorted(map(len, seen.stdout.splitlines())) == [len("[stdout:0] ") + 2_000_000] * 2


def test_px_in_a_function(nb):
    """MG-02: errors can be caught there."""
    nb.run("def everywhere(code):\n    get_ipython().run_line_magic('px', '--no-verbose ' + code)")
    assert nb.run("everywhere('print(1)')").labelled == each("[stdout:{}] 1")
    seen = nb.run("try:\n    everywhere('1/0')\nexcept ipp.CompositeError as error:\n    print(len(error.exceptions))")
    assert seen.stdout == "4\n" and not seen.error


def test_completion_is_answered_by_an_engine(nb, wait_for):
    """Issue 4, point 7"""
    nb.run("%px only_on_engines_1 = only_on_engines_2 = 0")

    def complete(code):
        reply = nb.client.complete(code, len(code), reply=True, timeout=30)["content"]
        return [code[: reply["cursor_start"]] + match for match in reply["matches"]]

    for start in ("%%px\n", "%%px -t 1\nx = 1\n", "%px ", "%px -t 2 "):
        # An engine that has never completed anything may need longer than people wait.
        wait_for(lambda start=start: complete(start + "only_on"))
        assert complete(start + "only_on") == [start + "only_on_engines_1", start + "only_on_engines_2"]
    assert complete("only_on") == []


def test_the_cell_magic_says_nothing_of_its_own(nb):
    """MG-03, MG-04, MG-12"""
    assert nb.run("%%px\nb = 1\nc = 2").texts == []
    assert nb.value("dv.pull(['b', 'c'], targets=0)") == "[1, 2]"
    assert nb.run("%%px --verbose\nb = 1").texts == [ALL]


@pytest.mark.parametrize(
    ("option", "targets"),
    [
        ("--targets 0,2", [0, 2]), ("-t [3,1]", [1, 3]), ("--targets ::2", [0, 2]), ("-t 1:", [1, 2, 3]),
        ("-t 1", [1]), ("-t -1", [3]), ("--targets=-1", [3]), ("-t all", [0, 1, 2, 3]),
    ],
)  # fmt: skip
def test_targets_of_a_cell(nb, option, targets):
    assert nb.run(f"%%px {option}\nprint('x')").labelled == [f"[stdout:{engine}] x" for engine in targets]
    assert nb.value("dv.targets") == "[0, 1, 2, 3]"


def test_without_waiting_and_with_a_name(nb, tmp_path):
    """MG-05, MG-08"""
    gate = tmp_path / "gate"
    shown = nb.run(
        f"%%px --noblock --out later --targets 0,1\nimport os, time\nwhile not os.path.exists({str(gate)!r}):\n"
        "    time.sleep(.01)\nprint('done'); 7"
    )
    assert shown.result == "<AsyncResult: %px:pending>"
    assert nb.value("later.ready(), later is _") == "(False, True)"
    gate.touch()
    # What it prints is shown in its own cell (test_output.py).
    shown = nb.run("later.get()")
    assert shown.labelled == []
    assert re.fullmatch(r"\[Out\[0:\d+\]: 7, Out\[1:\d+\]: 7\]", shown.result)


def test_waiting_in_spite_of_the_view(nb):
    """MG-03, MG-05"""
    nb.run("dv.block = False")
    shown = nb.run("%px 1")
    assert shown.stdout == "Async parallel execution on engines: [0, 1, 2, 3]\n"
    assert shown.result.startswith("<AsyncResult: %px:")
    shown = nb.run("%%px --block\n1")
    assert shown.labelled == each("Out[{}:n]: 1")
    assert shown.result is None


def test_here_as_well(nb):
    """MG-07"""
    shown = nb.run("%%px --local --targets 0\nwhere = 'x'; print('said')")
    assert sorted(shown.stdout.splitlines()) == ["[stdout:0] said", "said"]
    assert nb.value("where") == "'x'"


def test_output_arrives_while_the_cell_runs(nb, tmp_path):
    gate = tmp_path / "gate"
    cell = (
        "import os, time\nprint('first')\n"
        f"while not os.path.exists({str(gate)!r}):\n    time.sleep(.01)\nprint('second')"
    )

    def open_gate(shown):
        if shown.stdout.count("first") == 4:
            gate.touch()

    shown = nb.run("%%px\n" + cell, seen=open_gate)
    assert gate.exists()
    assert shown.stdout.count("second") == 4
    gate.unlink()
    nb.run(f"def two_lines():\n    exec({cell!r})")
    shown = nb.run("_ = dv.apply_sync(two_lines)", seen=open_gate)
    assert gate.exists()
    assert shown.stdout.count("second") == 4


# ---- how a cell is run (MG-07 to MG-14)


def test_options_of_the_line(nb):
    """MG-02, MG-06: before the code, where the line is no Python as it stands."""
    assert nb.run("%px -t 1 x = 3; print(x)").texts == ["Parallel execution on engines: [1]\n[stdout:1] 3\n"]
    assert nb.run("%px -t '0, 2' --no-verbose --out kept -x").labelled == []
    nb.run("%px x = 3")
    assert nb.run("%px -x").labelled == each("Out[{}:n]: -3")
    nb.run("who = 2")
    assert nb.run("%px -t {who} -b print('{who}')").stdout.endswith("[stdout:2] {who}\n")


def grouped(shown):
    """Engine and kind of what was shown, in order."""
    return [re.match(r"\[?(Out|stdout|stderr|output)[:\[](\d)", line).groups() for line in shown.lines if "[" in line]


@pytest.mark.parametrize(
    ("option", "order"),
    [
        ("--group-outputs type", "stdout0 stdout1 stderr0 stderr1 output0 output1 Out0 Out1"),
        ("", "stdout0 stdout1 stderr0 stderr1 output0 output1 Out0 Out1"),
        ("-e", "stdout0 stderr0 output0 Out0 stdout1 stderr1 output1 Out1"),
        ("-r", "stdout0 stdout1 stderr0 stderr1 output0 output1 Out0 Out1"),
    ],
)
def test_output_at_the_end_is_grouped(nb, option, order):
    """MG-09, MG-10"""
    cell = "import sys\nfrom IPython.display import HTML\nsys.stderr.write('e\\n')\ndisplay(HTML('h'))\nprint('o')\n1"
    shown = nb.run(f"%%px -t 0,1 --no-stream {option}\n{cell}")
    assert " ".join(kind + engine for kind, engine in grouped(shown)) == order
    assert len(shown.displays) == 4
    nb.run(f"%%px -t 0,1 --noblock\n{cell}")
    shown = nb.run(f"%pxresult {option}")
    assert " ".join(kind + engine for kind, engine in grouped(shown)) == order


def test_output_at_the_end_comes_before_an_error(nb):
    """MG-10, MG-22"""
    shown = nb.run("%%px --no-stream\nprint('said')\n1/0")
    assert shown.labelled == each("[stdout:{}] said")
    assert shown.ename == "CompositeError"
    assert shown.error.count("division by zero") == 4


def test_no_output_before_the_end_without_stream(nb, tmp_path):
    """MG-10"""
    gate = tmp_path / "gate"
    cell = f"import os, time\nprint('first', flush=True)\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(.01)"
    nb.run(f"import threading\nthreading.Timer(.5, open, [{str(gate)!r}, 'w']).start()")
    early = []
    shown = nb.run(f"%%px --no-stream\n{cell}", seen=lambda shown: early.append((gate.exists(), shown.stdout)))
    assert shown.stdout.count("first") == 4
    assert all(printed == "" for there, printed in early if not there)


BAR = re.compile(r"^%px: +\d+%\|.*\d/4 ")


@pytest.mark.parametrize(("cell", "end"), [("import time; time.sleep(.2)", "4/4 "), ("import time; time.sleep(.2); 1/0", "4 failed]")])
def test_a_bar_counts_the_engines(nb, cell, end):
    """MG-11: one display, updated to its end or to a mark of failure; no widgets."""
    shown = nb.run(f"%%px --progress-after 0\n{cell}")
    bars = [data["text/plain"] for data in shown.displays + shown.updates if BAR.match(data["text/plain"])]
    assert len([data for data in shown.displays if BAR.match(data["text/plain"])]) == 1
    assert "0/4" in bars[0] and "100%" in bars[-1] and end in bars[-1]


def test_there_is_no_bar_before_its_time(nb):
    """MG-11"""
    for option in ("", "--progress-after 60", "--progress-after -1"):
        assert nb.run(f"%%px {option}\nimport time; time.sleep(.1)").displays == []
    nb.run("%pxconfig --progress-after 0")
    assert len(nb.run("%px import time; time.sleep(.1)").displays) == 1


def interrupted(nb, cell):
    """Run a cell and interrupt it when its engines have begun."""
    begun = []

    def stop(shown):
        if not begun and "begun" in shown.stdout:
            begun.append(True)
            nb.manager.interrupt_kernel()

    return nb.run(cell, seen=stop)


def test_an_interrupt_stops_the_engines(nb):
    """MG-13, issue 4: and says so."""
    shown = interrupted(nb, "%%px -t 0\nprint('begun')\nwhile True:\n    pass")
    assert shown.ename == "KeyboardInterrupt"
    assert "Received Keyboard Interrupt. Sending signal SIGINT to engines..." in shown.stderr
    assert nb.value("rc[0].apply_sync(lambda: 1)") == "1"


def test_an_interrupt_may_leave_the_engines_alone(nb, tmp_path):
    """MG-13: --signal-on-interrupt 0"""
    gate = tmp_path / "gate"
    cell = f"import os, time\nprint('begun')\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(.01)\n'went on'"
    shown = interrupted(nb, f"%%px -t 0 --signal-on-interrupt 0\n{cell}")
    assert shown.ename == "KeyboardInterrupt"
    assert "The engines go on" in shown.stderr
    gate.touch()
    assert nb.run("%pxresult").labelled == ["Out[0:n]: 'went on'", "[stdout:0] begun"]


def test_an_interrupt_may_send_another_signal(nb):
    """MG-13: by name or number"""
    nb.run("%%px\nimport signal\ngot = []\nsignal.signal(signal.SIGUSR2, lambda *_: got.append('USR2'))")
    cell = "import time\nprint('begun')\nwhile not got:\n    time.sleep(.01)\ngot"
    shown = interrupted(nb, f"%%px -t 0 --signal-on-interrupt SIGUSR2\n{cell}")
    assert "Sending signal SIGUSR2 to engines..." in shown.stderr
    assert nb.run("%pxresult").labelled == ["Out[0:n]: ['USR2']", "[stdout:0] begun"]


# ---- what is no text


def test_html(nb):
    """JUP-03"""
    nb.run("%px from IPython.display import HTML, display")
    shown = nb.run("%%px --targets 0,1\ndisplay(HTML('<b>x</b>'))\nHTML('<i>y</i>')")
    assert sorted(data["text/html"] for data in shown.displays) == ["<b>x</b>"] * 2 + ["<i>y</i>"] * 2
    assert [line for line in shown.labelled if "output" in line] == ["[output:0]", "[output:1]"]
    assert len([line for line in shown.labelled if line.startswith("Out[")]) == 2
    nb.run("def draw():\n    from IPython.display import HTML, display\n    display(HTML('<u>z</u>'))\n    return 1")
    shown = nb.run("rc[2:].apply_sync(draw)")
    assert [data["text/html"] for data in shown.displays] == ["<u>z</u>"] * 2
    assert shown.labelled == ["[output:2]", "[output:3]"]
    assert shown.result == "[1, 1]"


def pictures(shown):
    return [data for data in shown.displays if "image/png" in data]


def test_plots_appear_with_the_call_that_drew_them(nb):
    """MG-26, JUP-03"""
    nb.run("two = rc[:2]; two.block = True; two.activate('two')")
    nb.run("%pxtwo %matplotlib inline", timeout=50)
    shown = nb.run("%%pxtwo\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);", timeout=50)
    assert len(pictures(shown)) == 2, shown.error
    assert shown.labelled == ["[output:0]", "[output:1]"]
    assert pictures(nb.run("%pxtwo 1")) == []
    nb.run(
        "def plot(n):\n    import matplotlib.pyplot as plt\n    plt.plot([1, n])\n    print('plotted')\n    return n"
    )
    shown = nb.run("two.apply_sync(plot, 3)")
    assert len(pictures(shown)) == 2, shown.error
    assert shown.labelled == ["[output:0]", "[output:1]", "[stdout:0] plotted", "[stdout:1] plotted"]
    assert shown.result == "[3, 3]"
    assert pictures(nb.run("%pxtwo 1")) == []
    shown = nb.run("two.map_sync(plot, [4, 5])")
    assert len(pictures(shown)) == 2
    assert pictures(nb.run("two.apply_sync(lambda: 1)")) == []


# ---- results once more


def test_the_latest_result(nb):
    """MG-15"""
    nb.run("_ = dv.push(dict(ev=3))")
    nb.run("ar = dv.apply_async(lambda: ev)")
    assert nb.value("%result") == nb.value("%pxresult") == "[3, 3, 3, 3]"
    nb.run("%px print('again'); 8")
    shown = nb.run("%pxresult")
    assert shown.labelled == each("Out[{}:n]: 8") + each("[stdout:{}] again")
    assert shown.result is None


def test_a_result_by_its_index(nb):
    """MG-15"""
    # A view of its own, or the calls of the fixture would count.
    nb.run("three = rc[:3]; three.activate('three')")
    assert nb.run("%pxresultthree").stderr.startswith("UsageError: there is no result yet")
    nb.run("results = [three.apply_async(lambda n=n: n) for n in range(3)]")
    assert nb.value("%pxresultthree 0") == "[0, 0, 0]"
    assert nb.value("%pxresultthree 3") == "[1, 1, 1]"
    assert nb.value("%pxresultthree -1") == "[2, 2, 2]"
    assert nb.run("%pxresultthree 99").stderr.startswith("UsageError: the view has made 9 calls, there is no index 99")
    assert nb.run("%pxresultthree --out kept").texts == []
    assert nb.value("kept is results[2]") == "True"


def test_a_result_that_nobody_holds_comes_from_the_controller(nb):
    """MG-15: its index is that of one engine."""
    nb.run("import gc\none = rc[2]\none.activate('gone')\nfor n in (4, 5):\n    _ = one.apply_async(lambda n=n: n).get()")
    nb.run("del _\n_ = gc.collect()")
    assert nb.value("one.history[0] in rc._known") == "False"
    assert nb.value("%pxresultgone 0") == "4"
    assert nb.value("%pxresultgone") == "5"


def test_a_result_that_is_an_error(nb):
    """MG-15"""
    nb.run("%%px --noblock\n1/0")
    assert nb.run("%pxresult").error.count("ZeroDivisionError: division by zero") == 4
    assert nb.run("%pxresult").ename == "CompositeError"


# ---- %pxconfig


def test_defaults(nb):
    """MG-12, MG-14"""
    assert nb.run("%pxconfig --targets 1: --noblock --no-verbose").texts == []
    assert nb.value("dv.targets, dv.block") == "([1, 2, 3], False)"
    shown = nb.run("%px 1")
    assert shown.stdout == ""
    assert shown.result.startswith("<AsyncResult")
    nb.run("%pxconfig --targets all --block --verbose")
    assert nb.value("dv.targets, dv.block") == "('all', True)"
    assert nb.run("%%px\nx = 1").texts == [ALL]
    nb.run("%pxconfig --targets 2")
    assert nb.value("dv.targets") == "2"
    assert nb.run("%px print(1)").stdout == "Parallel execution on engines: [2]\n[stdout:2] 1\n"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("%%px --bad\n1", "unrecognized arguments: --bad"),
        ("%pxconfig --bad", "unrecognized arguments: --bad"),
        ("%pxresult --bad", "unrecognized arguments: --bad"),
        ("%pxresult abc", "abc"),
        ("%%px --targets x\n1", "--targets takes an engine id, ids with commas, a slice or 'all', not 'x'"),
        ("%pxconfig --targets 1:x", "not '1:x'"),
        ("%%px --out\n1", "expected one argument"),
    ],
)
def test_usage_errors(nb, cell, text):
    """MG-14"""
    shown = nb.run(cell)
    assert shown.stderr.startswith("UsageError: ")
    assert text in shown.stderr
    assert shown.error == ""


def test_no_such_engine(nb):
    """MG-06: an error of usage, without our own lines."""
    for cell in ("%%px --targets 9\n1", "%px -t 0,9 1", "%pxconfig --targets 0,9"):
        shown = nb.run(cell)
        assert shown.stderr == "UsageError: No such engine: 9; there are [0, 1, 2, 3]\n"
        assert shown.error == ""
    assert nb.run("%px -t 5: 1").stderr == "UsageError: this view has no engines\n"


# ---- several views


def test_suffixes(nb):
    """MG-01, MG-17, MG-23"""
    nb.run("one = rc[3]; one.block = True; one.activate('One')")
    nb.run("some = rc[:2]; some.block = True; some.activate('Some')")
    assert nb.run("%pxOne print('x')").stdout == "Parallel execution on engines: [3]\n[stdout:3] x\n"
    assert nb.run("%%pxSome\nprint('x')").labelled == ["[stdout:0] x", "[stdout:1] x"]
    assert nb.run("%px print('x')").labelled == each("[stdout:{}] x")
    nb.run("%pxconfigOne --targets 2")
    assert nb.value("one.targets, some.targets, dv.targets") == "(2, [0, 1], [0, 1, 2, 3])"
    assert nb.run("%autopxOne").stdout == "Auto Parallel Enabled\nType %autopxOne to disable\n"
    shown = nb.run("print('x')")
    assert nb.run("%autopxOne").stdout == "Auto Parallel Disabled\n"
    assert shown.labelled == ["[stdout:2] x"]
    assert nb.run("print('x')").texts == ["x\n"]
    shown = nb.run("%pxOne 1/0")
    assert shown.ename == "ZeroDivisionError"
    assert shown.error.startswith("[2:execute]:\n")


def test_the_view_that_was_activated_last(nb):
    """MG-23"""
    nb.run("other = rc[1:3]; other.block = True; other.activate()")
    assert nb.run("%px print('x')").labelled == ["[stdout:1] x", "[stdout:2] x"]


# ---- %autopx


@pytest.fixture
def auto(nb):
    nb.run("local = 'here'")
    assert nb.run("%autopx").stdout == "Auto Parallel Enabled\nType %autopx to disable\n"
    yield nb
    assert nb.run("%autopx").stdout == "Auto Parallel Disabled\n"
    assert nb.value("local") == "'here'"


def test_cells_run_on_the_engines(auto):
    assert auto.run("local = 5").texts == [ALL]
    assert auto.run("print(local); local + 1").labelled == each("Out[{}:n]: 6") + each("[stdout:{}] 5")
    shown = auto.run("for i in range(3):\n    local += i\n\ntext = '''a\n  %autopx\n'''\nlocal, text")
    assert shown.labelled == each("Out[{}:n]: (8, 'a\\n  %autopx\\n')")
    assert auto.run("").texts == auto.run("  \n\n").texts == []
    assert auto.run("# a comment").texts == [ALL]
    assert auto.run(r"'\n {local} $local \x41'").labelled == each("Out[{}:n]: '\\n {{local}} $local A'")


def test_magics_inside(auto):
    assert auto.run("!echo shell").labelled == each("[stdout:{}] shell")
    assert len(auto.run("%time 1").labelled) == 8
    assert auto.run("%%capture kept\nprint('hidden')").texts == [ALL]
    assert auto.run("kept.stdout").labelled == each(r"Out[{}:n]: 'hidden\n'")
    assert auto.run("import asyncio; await asyncio.sleep(.01); 1").labelled == each("Out[{}:n]: 1")


def test_errors_inside(auto):
    shown = auto.run("x = 1\n1/0")
    assert shown.ename == "CompositeError"
    assert [line for line in shown.error.splitlines() if line.endswith(":execute]:")] == each("[{}:execute]:")
    assert "run_cell_magic" not in shown.error
    assert auto.run("def f(:\n  1").error.count("SyntaxError") >= 4
    assert auto.run("x").labelled == each("Out[{}:n]: 1")


def test_the_kernel_is_as_it_was(nb):
    nb.run("shell = get_ipython(); seen = []")
    nb.run("shell.events.register('pre_run_cell', lambda info: seen.append(info.raw_cell))")
    before = nb.value("len(seen)")
    nb.run("%autopx")
    nb.run("remote = 1")
    nb.run("%autopx")
    assert nb.value(f"seen[{before}:-1]") == "['%autopx', 'remote = 1', '%autopx']"
    assert nb.value("'run_cell' in vars(shell), shell.history_manager.input_hist_raw[-5:-2]") == (
        "(False, ['%autopx', 'remote = 1', '%autopx'])"
    )


def test_completeness_is_about_what_was_typed(auto):
    def complete(code):
        auto.client.is_complete(code)
        return auto.client.get_shell_msg(timeout=10)["content"]["status"]

    assert complete("for i in range(3):") == "incomplete"
    assert complete("x = 1") == "complete"


def test_automatically_and_without_waiting(nb):
    nb.run("dv.block = False")
    nb.run("%autopx")
    shown = nb.run("max_evals = []")
    assert shown.result.startswith("<AsyncResult: %px:")
    assert shown.stdout == "Async parallel execution on engines: [0, 1, 2, 3]\n"
    assert nb.run("%autopx").stdout == "Auto Parallel Disabled\n"
    assert nb.value("dv['max_evals']") == "[[], [], [], []]"


# ---- errors


def blocks(line, count=4, method="execute", name="ZeroDivisionError", message="division by zero"):
    """The text that shows so many errors and nothing else; a place may be named, and the rule has any length."""
    place = r"(?:(?:Cell In|File|Input In|<).*\n)?"
    one = rf"-+\n{name} +Traceback \(most recent call last\)\n{place}{line}\n\n{name}: {message}"
    return "\n\n".join(rf"\[{engine}:{method}\]:\n{one}" for engine in range(count))


@pytest.mark.parametrize("cell", ["dv.execute('1/0')", "%px 1/0", "%%px\n1/0", "dv.execute('1/0', block=False).get()"])
def test_a_composite_error_shows_its_blocks_and_nothing_else(nb, cell):
    """MG-21, ERR-05"""
    shown = nb.run(cell)
    assert shown.ename == "CompositeError"
    assert re.fullmatch(blocks("----> 1 1/0") + "\n", shown.error), shown.error
    assert shown.stderr == ""


def test_an_error_of_a_function_shows_its_lines(nb):
    nb.run("def f(x):\n    y = x - 1\n    return 1/y")
    shown = nb.run("dv.apply(f, 1)")
    lines = r" +1 def f\(x\):\n +2 +y = x - 1\n-+> 3 +return 1/y"
    assert re.fullmatch(blocks(lines, method="apply") + "\n", shown.error), shown.error
    # The cell of the notebook, which the engine does not know.
    assert re.search(r"Cell In\[\d+\], line 3, in f\(x\)", shown.error) and "ipykernel_" not in shown.error
    shown = nb.run("dv.map_sync(f, [3, 2, 1, 2])")
    assert shown.ename == "CompositeError"
    assert shown.error.startswith("[2:apply]:\n")
    assert "----> 3" in shown.error
    assert "pxkernel" not in shown.error


def test_the_limit(nb):
    """MG-21"""
    nb.run("ipp.CompositeError.tb_limit = 1")
    shown = nb.run("%px x=z")
    expected = blocks("----> 1 x=z", 1, name="NameError", message="name 'z' is not defined")
    assert re.fullmatch(expected + r"\n\n\.\.\. 3 more exceptions \.\.\.", shown.error), shown.error
    assert shown.stdout == ALL


def test_one_engine_shows_one_block(nb):
    shown = nb.run("rc[1].apply_sync(lambda: 1/0)")
    assert shown.ename == "ZeroDivisionError"
    assert shown.error.startswith("[1:apply]:\n---")
    assert "pxkernel" not in shown.error
    nb.run("try:\n    dv.execute('1/0')\nexcept ipp.CompositeError as e:\n    kept = e")
    shown = nb.run("kept.raise_exception(2)")
    assert shown.ename == "ZeroDivisionError"
    assert re.fullmatch(blocks("----> 1 1/0", 1).replace(r"\[0:", r"\[2:"), shown.error), shown.error


def test_output_before_the_error_is_shown(nb):
    shown = nb.run("%%px\nprint('before')\n1/0")
    assert sorted(shown.stdout.splitlines()) == each("[stdout:{}] before")
    assert shown.ename == "CompositeError"


def test_some_engines_fail(nb):
    nb.run("dv.scatter('n', range(4), flatten=True)")
    shown = nb.run("%px 12 // n")
    assert shown.labelled == ["Out[1:n]: 12", "Out[2:n]: 6", "Out[3:n]: 4"]
    assert shown.error.startswith("[0:execute]:")
    assert shown.error.count("Traceback") == 1


def test_an_error_aborts_nobody_else(nb):
    """MG-24, DV-02"""
    nb.run("ars = [dv.execute(code, silent=False, block=False) for code in ('1/0', 'after = 1', '2/0', 'after += 1')]")
    assert nb.value("dv['after']") == "[2, 2, 2, 2]"


def test_debug_lands_where_the_exception_is(nb):
    assert nb.run("dv.execute('1/0')").ename == "CompositeError"
    answers = ["p self._exception", "self._exception.print_traceback(1)", "q"]
    shown = nb.run("%debug", answers=answers)
    assert "get(" in shown.stdout
    assert "asyncresult.py" in shown.stdout
    assert "CompositeError(4)" in shown.stdout
    assert "[1:execute]:" in shown.stdout
    assert "----> 1 1/0" in shown.stdout
    assert nb.value("1 + 1") == "2"


# ---- loading


def test_unloading_and_loading_again(nb):
    nb.run("%unload_ext pxkernel")
    assert "px" in nb.run("%px 1").stderr
    assert nb.run("print('x')").texts == ["x\n"]
    nb.run("%load_ext pxkernel")
    assert nb.run("%px 1").stderr.startswith("UsageError: there are no engines for %px yet")
    nb.run("dv.activate()")
    assert nb.run("%px print('x')").labelled == each("[stdout:{}] x")


def test_the_kernelspec_loads_the_magics(start_notebook, tmp_path, monkeypatch):
    folder = tmp_path / "kernels" / "pxkernel"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(KERNELSPEC.read_text())
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    notebook = start_notebook("pxkernel")
    assert notebook.manager.kernel_spec.display_name == "Python 3 (pxkernel)"
    assert notebook.run("%px 1").stderr.startswith("UsageError: there are no engines for %px yet")
