"""What engines print and display, as it is shown."""

import sys
import threading
import time
from types import SimpleNamespace

import pytest
from IPython.core.interactiveshell import InteractiveShell

from pxkernel.client import cellscreen, outputs
from pxkernel.client.cellscreen import CellScreen
from pxkernel.client.outputs import Printer, get_shell, interactive


@pytest.fixture
def printer(monkeypatch):
    """A printer in a plain Python."""
    monkeypatch.setattr(outputs, "get_shell", lambda: None)
    return Printer()


@pytest.fixture
def wait_until():
    def wait(condition, timeout=10.0):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end
            threading.Event().wait(0.005)

    return wait


class Shell:
    """Stands for IPython's shell and for its display publisher."""

    def __init__(self):
        self.display_pub = self
        self.published = []
        self.cleared = []

    def publish(self, data, metadata, **options):
        self.published.append((data, metadata, options))

    def clear_output(self, wait):
        self.cleared.append(wait)


@pytest.fixture
def shell(printer, monkeypatch):
    """This process is an IPython."""
    shell = Shell()
    monkeypatch.setattr(outputs, "get_shell", lambda: shell)
    return shell


@pytest.fixture
def published(shell):
    """What is displayed: (data, metadata, options)."""
    return shell.published


def stream(printer, engine, text, name="stdout"):
    printer.show(engine, "stream", {"name": name, "text": text})


def result(printer, engine, data, count=3):
    printer.show(engine, "execute_result", {"data": data, "metadata": {}, "execution_count": count})


# ---- streams


def test_a_line(printer, capsys):
    stream(printer, 0, "hello\n")
    assert capsys.readouterr().out == "[stdout:0] hello\n"


def test_several_lines_begin_below_the_label(printer, capsys):
    stream(printer, 0, "1\n2\n")
    assert capsys.readouterr().out == "[stdout:0]\n1\n2\n"


def test_the_same_engine_goes_on_without_a_label(printer, capsys):
    stream(printer, 0, "1\n")
    stream(printer, 0, "2\n")
    assert capsys.readouterr().out == "[stdout:0] 1\n2\n"


def test_half_a_line_is_completed(printer, capsys):
    stream(printer, 0, "hel")
    stream(printer, 0, "lo\n")
    assert capsys.readouterr().out == "[stdout:0] hello\n"


def test_another_engine_gets_a_label(printer, capsys):
    stream(printer, 0, "1\n")
    stream(printer, 1, "2\n")
    stream(printer, 0, "3\n")
    assert capsys.readouterr().out == "[stdout:0] 1\n[stdout:1] 2\n[stdout:0] 3\n"


def test_half_a_line_is_ended_when_another_engine_speaks(printer, capsys):
    stream(printer, 0, "half")
    stream(printer, 1, "2\n")
    assert capsys.readouterr().out == "[stdout:0] half\n[stdout:1] 2\n"


def test_the_end_of_a_line_that_was_ended_is_not_shown_again(printer, capsys):
    stream(printer, 0, "half")
    stream(printer, 1, "2\n")
    stream(printer, 0, "\n")
    stream(printer, 0, "\n")
    assert capsys.readouterr().out == "[stdout:0] half\n[stdout:1] 2\n[stdout:0] \n"


def test_what_follows_the_end_of_a_line_that_was_ended(printer, capsys):
    stream(printer, 0, "half")
    stream(printer, 1, "2\n")
    stream(printer, 0, "\nnext\n")
    assert capsys.readouterr().out == "[stdout:0] half\n[stdout:1] 2\n[stdout:0] next\n"


def test_stderr_goes_to_stderr(printer, capsys):
    stream(printer, 0, "oops\n", "stderr")
    assert capsys.readouterr() == ("", "[stderr:0] oops\n")


def test_half_a_line_is_ended_in_its_own_stream(printer, capsys):
    stream(printer, 0, "half", "stderr")
    stream(printer, 0, "out\n")
    assert capsys.readouterr() == ("[stdout:0] out\n", "[stderr:0] half\n")


def test_empty_lines_stay(printer, capsys):
    stream(printer, 0, "\n")
    assert capsys.readouterr().out == "[stdout:0] \n"


# ---- several engines at a time


@pytest.fixture
def holding(printer):
    return Printer(hold=True)


def test_lines_are_not_torn_where_messages_end(holding, capsys):
    for engine, text in ((0, "a0\na"), (1, "b0\nb"), (0, "1\n"), (1, "1\n")):
        stream(holding, engine, text)
    assert capsys.readouterr().out == "[stdout:0] a0\n[stdout:1] b0\n[stdout:0] a1\n[stdout:1] b1\n"
    assert not holding.holding


def test_the_beginning_of_a_line_waits_for_its_rest(holding, capsys):
    stream(holding, 0, "half")
    assert holding.holding and capsys.readouterr().out == ""
    holding.release()
    assert not holding.holding and capsys.readouterr().out == "[stdout:0] half"
    stream(holding, 0, " and the rest\n")
    assert capsys.readouterr().out == " and the rest\n"


def test_what_is_held_back_comes_before_the_result(holding, published, capsys):
    stream(holding, 0, "half")
    stream(holding, 1, "other")
    result(holding, 0, {"text/plain": "5"})
    assert capsys.readouterr().out == "[stdout:0] half\n"
    holding.finish()
    assert capsys.readouterr().out == "[stdout:1] other"


# ---- lines that are written over (issue 4: tqdm on engines)


BARS = ["\r 0%", "\r 50%", "\r100%", "\n"]


@pytest.fixture
def in_a_notebook(shell, monkeypatch):
    shell.kernel = object()
    return shell.published


def test_a_bar_of_an_engine_is_one_display(printer, in_a_notebook, capsys):
    for text in BARS:
        stream(printer, 3, text, "stderr")
    texts = [data["text/plain"] for data, _, _ in in_a_notebook]
    assert texts == ["[stderr:3] 0%", "[stderr:3] 50%", "[stderr:3] 100%", "[stderr:3] 100%"]
    assert len({options["transient"]["display_id"] for _, _, options in in_a_notebook}) == 1
    assert [options["update"] for _, _, options in in_a_notebook] == [False, True, True, True]
    assert capsys.readouterr() == ("", "")


def test_each_engine_has_a_line_of_its_own(holding, in_a_notebook):
    for text in BARS:
        for engine in (0, 1):
            stream(holding, engine, text)
    assert len([options for _, _, options in in_a_notebook if not options["update"]]) == 2


@pytest.mark.parametrize("bars", [BARS, ["".join(BARS)], BARS[:-1]])
def test_elsewhere_the_last_state_is_a_line(printer, capsys, bars):
    for text in bars:
        stream(printer, 0, text)
    printer.finish()
    assert capsys.readouterr().out == "[stdout:0] 100%\n"


def test_lines_around_a_bar_stay(printer, capsys):
    stream(printer, 0, "before\n\r 1%")
    stream(printer, 0, "\r 2%\nafter\n")
    assert capsys.readouterr().out == "[stdout:0] before\n[stdout:0] 2%\n[stdout:0] after\n"


def test_a_line_that_is_written_over_can_go_on_and_can_vanish(printer, in_a_notebook):
    for text in ("\r 1", "0%", "\r", "     \r", "\n"):
        stream(printer, 0, text)
    assert [data["text/plain"] for data, _, _ in in_a_notebook] == ["[stdout:0] 1", *["[stdout:0] 10%"] * 2]


def test_windows_line_ends_are_line_ends(printer, capsys):
    stream(printer, 0, "1\r\n2\r\n")
    assert capsys.readouterr().out == "[stdout:0]\n1\n2\n"


# ---- in the cell that made a call, after its end (issue 4)


class Kernel:
    """Stands for the Jupyter kernel of a notebook."""

    iopub_socket = "iopub"

    def __init__(self):
        self.session = self
        self.cell = "A"
        self.sent = []

    def get_parent(self, channel):
        assert channel == "shell"
        return self.cell

    def send(self, socket, msg_type, content, parent, ident):
        self.sent.append((parent, msg_type, content))


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr(cellscreen, "publish", lambda content, **options: kernel.sent.append(("A", "opened", options)))
    kernel = Kernel()
    return kernel


def test_text_is_one_display_of_the_cell_that_made_the_call(kernel, wait_until):
    screen = CellScreen(kernel)
    screen.open()
    kernel.cell = "C"
    printer = Printer(screen)
    stream(printer, 0, "one\n")
    stream(printer, 1, "two\n", "stderr")
    result(printer, 1, {"text/plain": "5"})
    wait_until(lambda: len(kernel.sent) == 2)
    (_, _, opened), (parent, msg_type, content) = kernel.sent
    assert (parent, msg_type) == ("C", "update_display_data")
    assert content["transient"] == opened["transient"]
    assert content["data"] == {"text/plain": "[stdout:0] one\n[stderr:1] two\nOut[1:3]: 5\n"}


def test_rich_displays_are_output_of_the_cell_that_made_the_call(kernel):
    printer = Printer(CellScreen(kernel))
    kernel.cell = "C"
    for kind in ("display_data", "update_display_data"):
        printer.show(0, kind, {"data": {"image/png": "x"}, "metadata": {}, "transient": {"display_id": "d"}})
    shown = [(parent, kind, content["transient"]) for parent, kind, content in kernel.sent if "png" in str(content)]
    assert shown == [("A", kind, {"display_id": "d@0"}) for kind in ("display_data", "update_display_data")]


def test_of_very_long_output_the_end_is_shown(kernel, wait_until):
    screen = CellScreen(kernel)
    screen.write("stdout", "x" * cellscreen.MOST + "end")
    wait_until(lambda: kernel.sent)
    text = kernel.sent[0][2]["data"]["text/plain"]
    assert text.startswith("... 3 characters before are in stdout") and text.endswith("xend")


def test_a_kernel_that_ends_does_no_harm(kernel):
    kernel.iopub_socket = None
    kernel.send = lambda *arguments, **options: None.send_multipart()
    CellScreen(kernel).publish({"data": {"text/html": ""}})


# ---- results


def test_a_result(printer, published):
    result(printer, 0, {"text/plain": "5"})
    assert published == [({"text/plain": "Out[0:3]: 5"}, {}, {})]


def test_a_result_of_several_lines_begins_below_the_label(printer, published):
    result(printer, 0, {"text/plain": "[1,\n 2]"})
    assert published[0][0] == {"text/plain": "Out[0:3]: \n[1,\n 2]"}


def test_the_label_of_a_rich_result_is_a_line_of_its_own(printer, published, capsys):
    result(printer, 0, {"text/plain": "table", "text/html": "<table>"})
    assert capsys.readouterr().out == "Out[0:3]: \n"
    assert published == [({"text/plain": "table", "text/html": "<table>"}, {}, {})]


def test_a_result_without_text(printer, published, capsys):
    result(printer, 0, {"image/png": "..."})
    assert capsys.readouterr().out == "Out[0:3]: \n"
    assert published[0][0] == {"image/png": "..."}


def test_a_result_is_not_changed(printer, published):
    data = {"text/plain": "5"}
    result(printer, 0, data)
    assert data == {"text/plain": "5"}


def test_a_result_ends_half_a_line(printer, published, capsys):
    stream(printer, 0, "half")
    result(printer, 0, {"text/plain": "5"})
    assert capsys.readouterr().out == "[stdout:0] half\n"


def test_the_label_comes_again_after_a_result(printer, published, capsys):
    stream(printer, 0, "1\n")
    result(printer, 0, {"text/plain": "5"})
    stream(printer, 0, "2\n")
    assert capsys.readouterr().out == "[stdout:0] 1\n[stdout:0] 2\n"


# ---- displays


def test_a_display(printer, published, capsys):
    printer.show(2, "display_data", {"data": {"image/png": "..."}, "metadata": {"width": 1}, "transient": {}})
    assert capsys.readouterr().out == "[output:2]\n"
    assert published == [({"image/png": "..."}, {"width": 1}, {})]


def test_a_display_without_metadata(printer, published):
    printer.show(2, "display_data", {"data": {"text/plain": "x"}})
    assert published == [({"text/plain": "x"}, {}, {})]


def test_a_display_is_updated_without_a_label(printer, published, capsys):
    content = {"data": {"text/plain": "x"}, "metadata": {}, "transient": {"display_id": "1"}}
    printer.show(2, "update_display_data", content)
    assert capsys.readouterr().out == ""
    assert published == [({"text/plain": "x"}, {}, {"transient": {"display_id": "1@2"}, "update": True})]


@pytest.mark.parametrize("wait", [True, False])
def test_clearing_output(printer, shell, wait):
    printer.show(0, "clear_output", {"wait": wait})
    assert shell.cleared == [wait]


def test_there_is_nothing_to_clear_in_a_plain_python(printer, capsys):
    printer.show(0, "clear_output", {"wait": False})
    assert capsys.readouterr() == ("", "")


def test_errors_are_not_shown_here(printer, capsys):
    """They are raised."""
    printer.show(0, "error", {"ename": "E", "evalue": "", "traceback": []})
    assert capsys.readouterr() == ("", "")


# ---- in a plain Python


def test_the_text_of_a_display_is_printed(printer, capsys):
    printer.show(2, "display_data", {"data": {"text/plain": "<Figure>", "image/png": "..."}})
    assert capsys.readouterr().out == "[output:2]\n<Figure>\n"


def test_the_text_of_a_result_is_printed(printer, capsys):
    result(printer, 0, {"text/plain": "5"})
    assert capsys.readouterr().out == "Out[0:3]: 5\n"


def test_what_has_no_text_is_not_printed(printer, capsys):
    printer.show(2, "display_data", {"data": {"image/png": "..."}})
    assert capsys.readouterr().out == "[output:2]\n"


def test_a_plain_python_does_not_become_an_ipython(printer, monkeypatch):
    monkeypatch.setattr(InteractiveShell, "instance", lambda: pytest.fail("a shell was made"))
    printer.show(2, "display_data", {"data": {"text/plain": "x"}})


# ---- interactive


def test_the_shell_of_this_process(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: "shell"))
    assert get_shell() == "shell"


def test_without_ipython_there_is_no_shell(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert get_shell() is None


def test_a_plain_python_is_not_interactive(printer):
    assert not interactive()


def test_ipython_is_interactive(shell):
    assert interactive()


def test_other_threads_of_ipython_are_not_interactive(shell):
    found = []
    thread = threading.Thread(target=lambda: found.append(interactive()))
    thread.start()
    thread.join()
    assert found == [False]


def test_lines_that_one_engine_prints_one_after_the_other_have_a_label_each(capsys):
    """MG-18: beside those of others; the lines below a label that stands by itself need none."""
    printer = Printer(hold=True)
    for engine, text in ((0, "a\n"), (1, "b\n"), (1, "c\n"), (1, "d\ne\n"), (1, "f\n"), (0, "g\n")):
        printer.show(engine, "stream", {"name": "stdout", "text": text})
    assert capsys.readouterr().out.splitlines() == [
        *("[stdout:0] a", "[stdout:1] b", "[stdout:1] c", "[stdout:1]", "d", "e", "f", "[stdout:0] g")
    ]
