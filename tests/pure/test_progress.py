"""The bar that counts what is done (features MG-11, JUP-10)."""

import multiprocessing
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from pxkernel.client import outputs, progress
from pxkernel.client.progress import Progress
from pxkernel.magics.parallel import ParallelMagics


@pytest.fixture
def clock(monkeypatch):
    """A time that the test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


class Notebook:
    """Stands for the shell of a notebook kernel and its display publisher."""

    kernel = object()

    def __init__(self):
        self.display_pub = self
        self.published = []

    def publish(self, data, metadata, transient, update):
        self.published.append((data["text/plain"], transient["display_id"], update))


@pytest.fixture
def notebook(monkeypatch):
    notebook = Notebook()
    monkeypatch.setattr(outputs, "get_shell", lambda: notebook)
    return notebook


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    monkeypatch.setattr(outputs, "get_shell", lambda: None)


def test_it_appears_after_a_while(clock, capsys):
    bar = Progress(4, "%px", after=2.0)
    bar.show(1)
    assert bar.wait == 2.0
    clock[0] += 1.5
    bar.show(2)
    assert bar.wait == 0.5
    assert capsys.readouterr().err == ""
    clock[0] += 0.5
    bar.show(2)
    text = capsys.readouterr().err
    assert "%px" in text and "2/4" in text and "tasks" in text
    assert bar.wait == progress.REFRESH
    bar.close(2)


def test_it_can_appear_at_once(capsys):
    bar = Progress(2, "f", "items", after=0)
    bar.show(0)
    assert "f:   0%" in (text := capsys.readouterr().err) and "0/2 [00:00<?, ?items/s]" in text
    bar.close(2)
    assert "100%" in capsys.readouterr().err


def test_it_counts_from_the_beginning_of_the_work(capsys):
    bar = Progress(4, "f", after=0, elapsed=64.0)
    bar.show(4)
    bar.close(4)
    assert "4/4 [01:04<00:00, 16.0" in capsys.readouterr().err


@pytest.mark.parametrize("after", [-1, 5])
def test_it_may_never_appear(clock, capsys, after):
    bar = Progress(2, "f", after=after)
    bar.show(1)
    bar.clear()
    bar.close(2)
    bar.close(2)
    clock[0] += 1e9
    bar.show(2)
    assert capsys.readouterr() == ("", "")


def test_a_quick_call_does_not_import_tqdm():
    code = (
        "import sys; from pxkernel.client.progress import Progress; b = Progress(1, 'f'); b.show(1); b.close(1);"
        "sys.exit('tqdm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_failures_are_marked(capsys):
    bar = Progress(4, "f", after=0)
    bar.show(2, 1)
    assert "1 failed" in capsys.readouterr().err
    bar.close(4, 3)
    text = capsys.readouterr().err
    assert "100%" in text and "4/4" in text and "3 failed" in text


def test_a_call_that_was_given_up_is_marked(capsys):
    bar = Progress(4, "f", after=0)
    bar.show(1)
    bar.close(1)
    last = capsys.readouterr().err.rsplit("\r", 1)[1]
    assert "1/4" in last and "stopped" in last


def test_it_makes_room_for_what_is_printed(capsys):
    bar = Progress(2, "f", after=0)
    bar.show(0)
    capsys.readouterr()
    bar.clear()
    assert capsys.readouterr().err.strip() == ""
    bar.show(1)
    assert "1/2" in capsys.readouterr().err
    bar.close(2)


def test_in_a_notebook_it_is_one_display(notebook, capsys):
    bar = Progress(2, "f", after=0)
    for done in (0, 1):
        bar.show(done)
        bar.clear()
    bar.close(2)
    assert capsys.readouterr() == ("", "")
    texts, ids, updates = zip(*notebook.published, strict=True)
    assert len(set(ids)) == 1
    assert updates == (False, *[True] * (len(updates) - 1))
    assert "0/2" in texts[0] and "2/2" in texts[-1] and texts[-1].startswith("f: 100%|█")
    assert not any("\r" in text or "\n" in text for text in texts)


def test_two_bars_are_two_displays(notebook):
    for _ in range(2):
        bar = Progress(1, "f", after=0)
        bar.show(0)
        bar.close(1)
    assert len({display for _, display, _ in notebook.published}) == 2


def test_nothing_is_left_running(capsys):
    before = threading.active_count(), multiprocessing.active_children()
    bar = Progress(1, "f", after=0)
    bar.show(0)
    bar.close(1)
    assert (threading.active_count(), multiprocessing.active_children()) == before


@pytest.mark.parametrize(("value", "off"), [("1", True), ("yes", True), ("0", False), ("", False), (None, False)])
def test_the_switch_for_documents(monkeypatch, capsys, value, off):
    """JUP-11: no bars and no live output."""
    if value is None:
        monkeypatch.delenv("PXKERNEL_NONINTERACTIVE", raising=False)
    else:
        monkeypatch.setenv("PXKERNEL_NONINTERACTIVE", value)
    bar = Progress(1, "f", after=0)
    bar.show(0)
    bar.close(1)
    assert (capsys.readouterr().err == "") is off
    shell = SimpleNamespace(input_transformers_cleanup=[])
    assert ParallelMagics(shell).defaults.stream is not off
