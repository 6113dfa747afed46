"""What engines print and display, as it is shown."""

import sys
import threading
from types import SimpleNamespace

import pytest
from IPython.core.interactiveshell import InteractiveShell

from pxkernel.client import outputs
from pxkernel.client.outputs import Printer, get_shell, interactive


@pytest.fixture
def printer(monkeypatch):
    """A printer in a plain Python."""
    monkeypatch.setattr(outputs, "get_shell", lambda: None)
    return Printer()


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
    assert published == [({"text/plain": "x"}, {}, {"transient": {"display_id": "1"}, "update": True})]


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
